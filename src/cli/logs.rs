//! `pipkin logs`: what a container wrote.

use super::argv::Sorted;
use super::launch::errno_of;
use super::message::{Failure, note};
use super::operand::Found;
use super::{ExitCode, Outcome, open_store};
use crate::store::log::{Entry, Reader};
use crate::store::{Status, now_ns, process, time};
use pipkin::sys::stdio::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use std::io;

/// How much is collected before it is written.
const FLUSH: usize = 64 << 10;

/// What is shown.
pub(super) struct Wanted {
    /// Standard output and standard error.
    streams: [bool; 2],
    /// Only what is not older, as its time is written.
    since: Vec<u8>,
    /// Only what is not newer, in nanoseconds since 1970.
    until_ns: Option<u64>,
    timestamps: bool,
    /// Only so many lines from the end.
    tail: Option<u64>,
    follow: bool,
}

/// The verb.
pub(super) fn run(sorted: &Sorted<'_>) -> Outcome {
    let wanted = wanted(sorted)?;
    let [name] = sorted.operands.as_slice() else {
        return Err(Failure::usage("logs", "the name or id of one container is needed"));
    };
    let store = open_store()?;
    let found = Found::find(&store, "show the log of", name)?;
    if !found.record.detached {
        return Err(found.fail("it runs in the foreground and keeps none"));
    }
    let fail = |error: io::Error| found.errno(errno_of(&error));
    match show(&found, wanted) {
        // Nobody reads any more: that is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        shown => shown.map_err(fail)?,
    }
    let record = store.read(&found.id).map_err(fail)?.unwrap_or(found.record.clone());
    if record.lost_bytes > 0 {
        let lost = record.lost_bytes.to_string();
        note(
            &[&lost, " bytes of output are not in this log: they could not be written (see inspect)"]
                .concat(),
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(sorted: &Sorted<'_>) -> Result<Wanted, Failure> {
    let refuse = |name: &str, text: &str, why: &str| {
        Err(Failure::usage("logs", &[name, " ", text, ": ", why].concat()))
    };
    let tail = match sorted.last("--tail") {
        None | Some("all" | "-1") => None,
        Some(text) => match text.parse() {
            Ok(lines) => Some(lines),
            Err(_) => return refuse("--tail", text, "give a number of lines, or all"),
        },
    };
    let since = moment(sorted, "logs", "--since")?.map(|ns| time::stamp(ns).to_vec()).unwrap_or_default();
    let streams = [sorted.has("--stdout"), sorted.has("--stderr")];
    Ok(Wanted {
        streams: if streams == [false; 2] { [true; 2] } else { streams },
        since,
        until_ns: moment(sorted, "logs", "--until")?,
        timestamps: sorted.has("--timestamps"),
        tail,
        follow: sorted.has("--follow"),
    })
}

/// The point in time that an option of `verb` gives, in nanoseconds since 1970.
///
/// # Errors
/// It is none.
pub(super) fn moment(sorted: &Sorted<'_>, verb: &str, name: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = sorted.last(name) else { return Ok(None) };
    let why = ": give a time as 2026-01-02T03:04:05Z, or how long ago as 10m";
    let ns = time::read(text, now_ns());
    ns.map(Some).ok_or_else(|| Failure::usage(verb, &[name, " ", text, why].concat()))
}

/// How long it is until then; for ever without an end, nothing when it has passed.
pub(super) fn left(until_ns: Option<u64>) -> Option<Timespec> {
    let ns = until_ns?.saturating_sub(now_ns());
    let seconds = i64::try_from(ns / time::SECOND_NS).unwrap_or(i64::MAX);
    Some(Timespec { tv_sec: seconds, tv_nsec: (ns % time::SECOND_NS).cast_signed() })
}

fn show(found: &Found<'_>, wanted: Wanted) -> io::Result<()> {
    let supervisor = process::open(found.record.supervisor, found.record.supervisor_start);
    let mut alive = wanted.follow && supervisor.is_some() && found.record.status != Status::Exited;
    let until_ns = wanted.until_ns;
    let mut follower = Follower::open(found, wanted)?;
    loop {
        follower.turn()?;
        let (true, Some(supervisor)) = (alive, &supervisor) else { return Ok(()) };
        let mut polled =
            [PollFd::new(&follower.changes, PollFlags::IN), PollFd::new(supervisor, PollFlags::IN)];
        let timeout = left(until_ns);
        let changed =
            rustix::io::retry_on_intr(|| poll(&mut polled, timeout.as_ref())).map_err(from_errno)?;
        // After its end, or that of our time, everything is read once more.
        alive = changed > 0 && polled[1].revents().is_empty();
    }
}

/// Shows what is there, and what comes.
pub(super) struct Follower {
    /// Readable when there may be more.
    changes: OwnedFd,
    reader: Reader,
    printer: Printer,
}

impl Follower {
    /// Opens the log of a container.
    ///
    /// # Errors
    /// Those of inotify(7) and of opening files.
    pub(super) fn open(found: &Found<'_>, wanted: Wanted) -> io::Result<Self> {
        let directory = found.store.layer(&found.id);
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(from_errno)?;
        if wanted.follow {
            // Watched before it is read, so that nothing comes in between.
            let events =
                WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF;
            inotify::add_watch(&changes, directory.as_os_str().as_encoded_bytes(), events)
                .map_err(from_errno)?;
        }
        let mut reader = Reader::open(&directory)?;
        let mut printer = Printer::new(wanted);
        if let Some(tail) = printer.wanted.tail {
            printer.skip = lines(&mut reader, &printer.wanted)?.saturating_sub(tail);
            reader.rewind()?;
        }
        reader.follow = printer.wanted.follow;
        Ok(Self { changes, reader, printer })
    }

    /// What to wait for.
    pub(super) fn changes(&self) -> &OwnedFd {
        &self.changes
    }

    /// Shows what has come until now.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        let mut events = [0; 4096];
        while matches!(rustix::io::read(&self.changes, &mut events), Ok(length) if length > 0) {}
        while let Some(entry) = self.reader.next()? {
            self.printer.print(&entry)?;
        }
        self.printer.flush()
    }

    /// Leaves out what has come until now, and gives what of it stands on a line that has not ended.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn skip(&mut self) -> io::Result<Vec<u8>> {
        let mut unfinished = Vec::new();
        while let Some(entry) = self.reader.next()? {
            unfinished.extend_from_slice(entry.text);
            if entry.whole {
                unfinished.clear();
            }
        }
        Ok(unfinished)
    }

    /// Shows this first.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn show(&mut self, text: &[u8]) -> io::Result<()> {
        self.printer.pending.extend_from_slice(text);
        self.printer.flush()
    }
}

fn from_errno(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

/// How many lines there are.
fn lines(reader: &mut Reader, wanted: &Wanted) -> io::Result<u64> {
    let (mut lines, mut open) = (0, [false; 2]);
    while let Some(entry) = reader.next()? {
        if wanted.takes(&entry) {
            let open = if entry.error { &mut open[1] } else { &mut open[0] };
            lines += u64::from(!*open);
            *open = !entry.whole;
        }
    }
    Ok(lines)
}

impl Wanted {
    /// Everything, and what comes.
    pub(super) fn all() -> Self {
        Self {
            streams: [true; 2],
            since: Vec::new(),
            until_ns: None,
            timestamps: false,
            tail: None,
            follow: true,
        }
    }

    fn takes(&self, entry: &Entry<'_>) -> bool {
        let [output, error] = self.streams;
        let newer = self.until_ns.is_some_and(|ns| entry.time > &time::stamp(ns)[..]);
        (if entry.error { error } else { output }) && entry.time >= self.since.as_slice() && !newer
    }
}

/// Writes entries to where they came from.
struct Printer {
    wanted: Wanted,
    /// How many lines are left out first.
    skip: u64,
    /// Of each stream, whether a line is open, and whether that is shown.
    open: [Option<bool>; 2],
    /// Collected for one of our streams.
    pending: Vec<u8>,
    error: bool,
}

impl Printer {
    fn new(wanted: Wanted) -> Self {
        Self { wanted, skip: 0, open: [None; 2], pending: Vec::new(), error: false }
    }

    fn print(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        if !self.wanted.takes(entry) {
            return Ok(());
        }
        let open = if entry.error { &mut self.open[1] } else { &mut self.open[0] };
        let begins = open.is_none();
        let shown = open.unwrap_or(self.skip == 0);
        *open = (!entry.whole).then_some(shown);
        if !shown {
            self.skip -= u64::from(begins);
            return Ok(());
        }
        if self.error != entry.error || self.pending.len() > FLUSH {
            self.flush()?;
        }
        self.error = entry.error;
        if begins && self.wanted.timestamps {
            self.pending.extend_from_slice(entry.time);
            self.pending.push(b' ');
        }
        self.pending.extend_from_slice(entry.text);
        if entry.whole {
            self.pending.push(b'\n');
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let stream = if self.error { Stream::Error } else { Stream::Output };
        let mut rest = self.pending.as_slice();
        while !rest.is_empty() {
            let written =
                rustix::io::retry_on_intr(|| rustix::io::write(stream.fd(), rest)).map_err(from_errno)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        self.pending.clear();
        Ok(())
    }
}
