//! `pipkin events`: what happens to containers, as it happens.

use super::argv::Sorted;
use super::launch::errno_of;
use super::logs::{left, moment};
use super::message::Failure;
use super::{ExitCode, Outcome, open_store};
use crate::store::{Store, now_ns, time};
use pipkin::sys::stdio::Stream;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;

/// Prints events, each a JSON object on a line of its own, until nobody reads them any more; with `--no-follow` those
/// that there are.
///
/// # Errors
/// A file of events that cannot be read.
pub(super) fn run(sorted: &Sorted<'_>) -> Outcome {
    if !sorted.operands.is_empty() {
        return Err(Failure::usage("events", "it takes no operand"));
    }
    let follow = !sorted.has("--no-follow");
    // Who looks at what there is means all of it, who waits what is to come.
    let usual = if follow { now_ns() } else { 0 };
    let since = time::stamp(moment(sorted, "events", "--since")?.unwrap_or(usual));
    let filters: Vec<&str> = sorted.all("--filter").collect();
    if let Some(wrong) = filters.iter().find(|filter| !is_filter(filter)) {
        let why = ": give event=TYPE, or container=NAME or its id";
        return Err(Failure::usage("events", &["--filter ", wrong, why].concat()));
    }
    let wanted = Wanted { since, until_ns: moment(sorted, "events", "--until")?, filters, follow };
    let store = open_store()?;
    match show(&store, &wanted) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        shown => {
            shown.map_err(|error| Failure::errno("read the events", b"", errno_of(&error)))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Which events are shown.
struct Wanted<'a> {
    /// Those that are not older, as their time is written.
    since: [u8; time::STAMP],
    /// Those that are not newer, in nanoseconds since 1970.
    until_ns: Option<u64>,
    /// Those that pass: of several of a key one is enough.
    filters: Vec<&'a str>,
    /// Also those to come.
    follow: bool,
}

impl Wanted<'_> {
    /// Whether an event is, by its line: `{"time":"…","type":"…","id":"…","name":"…",…`.
    fn takes(&self, line: &[u8]) -> bool {
        const BEFORE: usize = r#"{"time":""#.len();
        let Some(time) = line.get(BEFORE..).and_then(<[u8]>::first_chunk::<{ time::STAMP }>) else {
            return false;
        };
        let newer = self.until_ns.is_some_and(|ns| *time > time::stamp(ns));
        *time >= self.since && !newer && ["event", "container"].iter().all(|key| self.passes(key, line))
    }

    /// Whether it passes the filters of one key. A quotation mark within a value has a backslash before it.
    fn passes(&self, key: &str, line: &[u8]) -> bool {
        let given =
            self.filters.iter().filter_map(|filter| filter.split_once('=')).filter(|(k, _)| *k == key);
        let has = |parts: [&str; 3]| {
            let text = parts.concat();
            line.windows(text.len()).any(|part| part == text.as_bytes())
        };
        let mut given = given.map(|(_, text)| match key {
            "event" => has([r#""type":""#, text, r#"""#]),
            _ => has([r#""id":""#, text, ""]) || has([r#""name":""#, text, r#"""#]),
        });
        given.next().is_none_or(|first| first || given.any(|passed| passed))
    }
}

/// `type=container` is what all are about.
fn is_filter(filter: &str) -> bool {
    let known = |(key, text): (&str, &str)| ["event", "container"].contains(&key) && !text.is_empty();
    filter == "type=container" || filter.split_once('=').is_some_and(known)
}

fn show(store: &Store, wanted: &Wanted<'_>) -> io::Result<()> {
    let path = store.events_path();
    store.make_directories()?;
    let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(from_errno)?;
    let events = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    let directory = path.parent().unwrap_or(&path).as_os_str().as_encoded_bytes();
    inotify::add_watch(&changes, directory, events).map_err(from_errno)?;
    print(&mut open(&path.with_extension("1"))?, &mut Vec::new(), wanted)?;
    let (mut file, mut line) = (None, Vec::new());
    let mut follow = wanted.follow;
    loop {
        // One that was begun anew is read to its end before the next one is begun.
        print(&mut file, &mut line, wanted)?;
        let next = open(&path)?;
        let inode = |file: &Option<BufReader<File>>| -> io::Result<Option<u64>> {
            file.as_ref().map(|file| Ok(file.get_ref().metadata()?.ino())).transpose()
        };
        if inode(&next)? != inode(&file)? {
            print(&mut file, &mut line, wanted)?;
            file = next;
            continue;
        }
        if !follow {
            return Ok(());
        }
        let (mut polled, timeout) = ([PollFd::new(&changes, PollFlags::IN)], left(wanted.until_ns));
        // Once our time is over what has come is read once more.
        follow = rustix::io::retry_on_intr(|| poll(&mut polled, timeout.as_ref())).map_err(from_errno)? > 0;
        let mut seen = [0; 4096];
        while matches!(rustix::io::read(&changes, &mut seen), Ok(length) if length > 0) {}
    }
}

fn open(path: &std::path::Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => Ok(Some(BufReader::new(file?))),
    }
}

/// Prints whole lines that are wanted.
fn print(file: &mut Option<BufReader<File>>, line: &mut Vec<u8>, wanted: &Wanted<'_>) -> io::Result<()> {
    let Some(file) = file else { return Ok(()) };
    while file.read_until(b'\n', line)? > 0 && line.ends_with(b"\n") {
        if wanted.takes(line) {
            let mut rest = line.as_slice();
            while !rest.is_empty() {
                let written = rustix::io::retry_on_intr(|| rustix::io::write(Stream::Output.fd(), rest));
                rest = rest.get(written.map_err(from_errno)?..).unwrap_or_default();
            }
        }
        line.clear();
    }
    Ok(())
}

fn from_errno(errno: rustix::io::Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}
