use super::*;
use proptest::prelude::*;
use std::fs;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pipkin-log-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What the two streams said, put together again.
fn drain(reader: &mut Reader, streams: &mut [Vec<u8>; 2]) {
    while let Some(entry) = reader.next().unwrap() {
        let stream = &mut streams[usize::from(entry.error)];
        stream.extend_from_slice(entry.text);
        if entry.whole {
            stream.push(b'\n');
        }
    }
}

#[test]
fn the_format_is_that_of_the_interface() {
    let folder = Folder::new("format");
    let mut log = Writer::open(&folder.0, Limits::DEFAULT).unwrap();
    log.append("stdout", b"The content\npart");
    log.append("stderr", b"\n");
    log.flush();
    let text = fs::read_to_string(folder.0.join("log")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.iter().map(|line| &line[30..]).collect::<Vec<_>>(),
        [" stdout F The content", " stdout P part", " stderr F "]
    );
    assert!(lines.iter().all(|line| line.as_bytes()[10] == b'T' && line.as_bytes()[29] == b'Z'));
}

#[test]
fn files_are_rotated_and_only_so_many_kept() {
    let folder = Folder::new("rotate");
    let limits = Limits { size: 1000, files: 3 };
    let mut log = Writer::open(&folder.0, limits).unwrap();
    for _ in 0..100 {
        log.append("stdout", &[b'x'; 100]);
        log.flush();
    }
    drop(log);
    let mut log = Writer::open(&folder.0, limits).unwrap();
    log.append("stdout", &[b'y'; 2000]);
    log.flush();
    assert_eq!(numbers(&folder.0).unwrap().len(), 2);
    assert!(fs::metadata(folder.0.join("log")).unwrap().len() > 2000);
    assert!(fs::read_dir(&folder.0).unwrap().count() == 3 && log.lost == 0);
}

#[test]
fn any_number_of_lines_can_come_at_once() {
    let folder = Folder::new("many");
    let mut log = Writer::open(&folder.0, Limits::DEFAULT).unwrap();
    let mut said = [Vec::new(), Vec::new()];
    for lines in (500..520).chain([1020, 1021, 1022, 1023, 1024, 1025, 5000]) {
        let output = [&b"\n".repeat(lines), &b"end"[..]].concat();
        log.append("stdout", &output);
        said[0].extend(output);
    }
    log.flush();
    let mut read = [Vec::new(), Vec::new()];
    drain(&mut Reader::open(&folder.0).unwrap(), &mut read);
    assert!(read == said && log.lost == 0);
}

#[test]
fn what_cannot_be_written_is_counted() {
    let folder = Folder::new("full");
    std::os::unix::fs::symlink("/dev/full", folder.0.join("log")).unwrap();
    let mut log = Writer::open(&folder.0, Limits::DEFAULT).unwrap();
    log.append("stdout", b"gone\nlost");
    log.flush();
    assert_eq!(log.lost, 9);
    fs::remove_file(folder.0.join("log")).unwrap();
    log.append("stdout", b"kept");
    log.flush();
    assert_eq!(log.lost, 9);
    assert!(fs::read_to_string(folder.0.join("log")).unwrap().ends_with(" stdout P kept\n"));
}

#[test]
fn a_line_that_is_still_being_written_waits() {
    let folder = Folder::new("torn");
    let path = folder.0.join("log");
    fs::write(&path, "T stdout F one\nT stdo").unwrap();
    let mut reader = Reader::open(&folder.0).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().text, b"one");
    assert_eq!(reader.next().unwrap(), None);
    fs::write(&path, "T stdout F one\nT stdout P a b\n").unwrap();
    let entry = reader.next().unwrap().unwrap();
    assert_eq!((entry.text, entry.whole, entry.error), (&b"a b"[..], false, false));
    assert_eq!(reader.next().unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn what_was_written_is_read(
        chunks in proptest::collection::vec((any::<bool>(), proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200)), 0..20),
        every in 1..10_usize,
        later in 1..4_usize,
        size in 100..2000_u64,
    ) {
        let folder = Folder::new("random");
        // More than all of it can need: a log that is full forgets its beginning.
        let mut log = Writer::open(&folder.0, Limits { size, files: 10_000 }).unwrap();
        let (mut written, mut read) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut follower = Reader::open(&folder.0).unwrap();
        follower.follow = true;
        for (count, (error, chunk)) in chunks.iter().enumerate() {
            log.append(if *error { "stderr" } else { "stdout" }, chunk);
            if count % later == 0 {
                log.flush();
            }
            written[usize::from(*error)].extend_from_slice(chunk);
            if count % every == 0 {
                drain(&mut follower, &mut read);
            }
        }
        log.rest();
        drain(&mut follower, &mut read);
        prop_assert_eq!(&read, &written);
        let mut whole = Reader::open(&folder.0).unwrap();
        for _ in 0..2 {
            let mut read = [Vec::new(), Vec::new()];
            drain(&mut whole, &mut read);
            prop_assert_eq!(&read, &written);
            whole.rewind().unwrap();
        }
    }
}
