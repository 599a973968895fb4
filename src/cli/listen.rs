//! `pipkin events`: what happens to containers, as it happens.

use super::argv::Sorted;
use super::launch::errno_of;
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
    let since = match sorted.last("--since") {
        // Who looks at what there is means all of it, who waits what is to come.
        None => {
            if follow {
                now_ns()
            } else {
                0
            }
        }
        Some(text) => time::read(text, now_ns()).ok_or_else(|| {
            let why = ": give a time as 2026-01-02T03:04:05Z, or how long ago as 10m";
            Failure::usage("events", &["--since ", text, why].concat())
        })?,
    };
    let store = open_store()?;
    match show(&store, &time::stamp(since), follow) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        shown => {
            shown.map_err(|error| Failure::errno("read the events", b"", errno_of(&error)))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn show(store: &Store, since: &[u8], follow: bool) -> io::Result<()> {
    let path = store.events_path();
    store.make_directories()?;
    let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(from_errno)?;
    let events = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    let directory = path.parent().unwrap_or(&path).as_os_str().as_encoded_bytes();
    inotify::add_watch(&changes, directory, events).map_err(from_errno)?;
    print(&mut open(&path.with_extension("1"))?, &mut Vec::new(), since)?;
    let (mut file, mut line) = (None, Vec::new());
    loop {
        // One that was begun anew is read to its end before the next one is begun.
        print(&mut file, &mut line, since)?;
        let next = open(&path)?;
        let inode = |file: &Option<BufReader<File>>| -> io::Result<Option<u64>> {
            file.as_ref().map(|file| Ok(file.get_ref().metadata()?.ino())).transpose()
        };
        if inode(&next)? != inode(&file)? {
            print(&mut file, &mut line, since)?;
            file = next;
            continue;
        }
        if !follow {
            return Ok(());
        }
        rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&changes, PollFlags::IN)], None))
            .map_err(from_errno)?;
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

/// Prints whole lines that are not older than `since`. Each begins with its time: `{"time":"…`.
fn print(file: &mut Option<BufReader<File>>, line: &mut Vec<u8>, since: &[u8]) -> io::Result<()> {
    const BEFORE: usize = r#"{"time":""#.len();
    let Some(file) = file else { return Ok(()) };
    while file.read_until(b'\n', line)? > 0 && line.ends_with(b"\n") {
        if line.get(BEFORE..).is_some_and(|rest| rest >= since) {
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
