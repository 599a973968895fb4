//! `pipkin attach`: in front of a container that runs in the background.
//!
//! Input goes straight to the container: its supervisor hands out the other end of its standard input, or its terminal.
//! Output comes by way of the log, from now on, so that nobody who reads slowly holds up the container or anybody else.

use super::argv::Sorted;
use super::detach::control::{attach, hear};
use super::launch::errno_of;
use super::logs::{Follower, Wanted};
use super::message::{Failure, note};
use super::operand::Found;
use super::{ExitCode, Outcome, open_store};
use crate::store::{Status, process};
use pipkin::host::{Raw, is_forwarded, received};
use pipkin::sys::signal::{self, SignalSet, set_mask};
use pipkin::sys::stdio::Stream;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, Result, read, retry_on_intr, write};
use rustix::termios::{isatty, tcgetwinsize, tcsetwinsize};

/// Its help, and the table of its options.
pub(super) const HELP: &str = "\
Usage: pipkin attach [OPTIONS] CONTAINER

Shows what a detached container writes from now on, and, when it was made with -i,
passes on to it what is typed. Ends with its exit code, or, leaving it running,
with 0 when the detach keys are typed. Signals go to the container's command.

Options:
      --detach-keys KEYS  what to type to leave it: between commas, letters or
                          ctrl- and a letter [ctrl-p,ctrl-q]
      --no-stdin          pass nothing on
      --sig-proxy         pass signals on; --sig-proxy=false keeps them
      --help              show this help";

/// What is typed to leave a container.
const KEYS: &str = "ctrl-p,ctrl-q";
/// Signals that a terminal's user expects to act on this program.
const OURS: [i32; 2] = [18, 20];
const SIGWINCH: i32 = 28;

/// The verb.
pub(super) fn run(typed: &Sorted<'_>) -> Outcome {
    let [name] = typed.operands.as_slice() else {
        return Err(Failure::usage("attach", "the name or id of one container is needed"));
    };
    let ways = Ways {
        keys: keys(typed.last("--detach-keys").unwrap_or(KEYS))?,
        input: !typed.has("--no-stdin"),
        signals: !typed.off.contains(&"--sig-proxy"),
    };
    let store = open_store()?;
    let found = Found::find(&store, "attach to", name)?;
    if found.record.status == Status::Exited {
        return Err(found.fail("it does not run").remedy("run it again: pipkin start"));
    }
    // From here on nothing that it writes is missed.
    let fail = |error: std::io::Error| found.errno(errno_of(&error));
    let mut follower = Follower::open(&found, Wanted::all()).map_err(fail)?;
    let unfinished = follower.skip().map_err(fail)?;
    sit(&found, follower, &unfinished, ways)
}

const GONE: &str = "its supervisor is gone";

/// How to be attached.
pub(super) struct Ways {
    /// What leads away from it; nothing does when it is empty.
    keys: Vec<u8>,
    input: bool,
    signals: bool,
}

impl Ways {
    /// As without any option.
    pub(super) fn usual(input: bool) -> Self {
        Self { keys: vec![16, 17], input, signals: true }
    }
}

/// Is attached to a container until that has ended, or is left. `follower` shows what it writes, `unfinished` stands on
/// the last line of what it wrote before.
///
/// # Errors
/// It does not run in the background, or its supervisor is killed meanwhile.
pub(super) fn sit(found: &Found<'_>, mut follower: Follower, unfinished: &[u8], ways: Ways) -> Outcome {
    match found.record.status {
        Status::Creating => return Err(found.fail("it does not run")),
        Status::Paused => {
            return Err(found.fail("it is paused").remedy("let it go on first: pipkin resume"));
        }
        _ if !found.record.detached => {
            return Err(found.fail("it runs in the foreground of another command"));
        }
        Status::Running | Status::Restarting | Status::Exited => {}
    }
    let fail = |error: std::io::Error| found.errno(errno_of(&error));
    let signals = receive_signals(&ways).map_err(|errno| found.errno(errno))?;
    let (socket, input) = match attach(found.store, &found.id) {
        Ok(taken_in) => taken_in,
        Err(errno) => {
            // It may have ended before we came.
            follower.turn().map_err(fail)?;
            let record = found.store.read(&found.id).map_err(fail)?;
            let exit = record.and_then(|record| record.exit);
            return exit.map(ExitCode).ok_or_else(|| match errno {
                Errno::NOENT | Errno::CONNREFUSED | Errno::CONNRESET | Errno::PIPE => found.fail(GONE),
                errno => found.errno(errno),
            });
        }
    };
    let mut seat = Seat::take(found, input, ways, signals).map_err(|errno| found.errno(errno))?;
    if seat.raw.is_some() {
        // What stands there is most likely a prompt.
        follower.show(unfinished).map_err(fail)?;
    }
    let ended = loop {
        follower.turn().map_err(fail)?;
        match seat.turn(found, &socket, follower.changes()).map_err(|errno| found.errno(errno))? {
            Turn::On => {}
            Turn::Left => break None,
            Turn::Ended(status) => break Some(status),
        }
    };
    if let Some(status) = ended {
        follower.turn().map_err(fail)?;
        let status = status.ok_or_else(|| found.fail(GONE))?;
        return Ok(ExitCode(u8::try_from(status).unwrap_or(u8::MAX)));
    }
    drop(seat);
    note("left it running");
    Ok(ExitCode::SUCCESS)
}

/// What came of one wait.
enum Turn {
    On,
    /// The keys for that were typed.
    Left,
    /// It has ended for good, with this status; `None` when nobody is there to tell.
    Ended(Option<i32>),
}

/// Our side: what is typed, and the signals that come.
struct Seat {
    /// Where what is typed goes; `None` when it goes nowhere.
    target: Option<OwnedFd>,
    /// Whether more can come from our standard input.
    open: bool,
    pending: Vec<u8>,
    keys: Keys,
    signals: OwnedFd,
    /// Our terminal, when the container has one too.
    raw: Option<Raw>,
}

/// From here on signals are received by descriptor.
fn receive_signals(ways: &Ways) -> Result<OwnedFd> {
    let mut wanted = SignalSet::EMPTY.with(SIGWINCH);
    if ways.signals {
        wanted = OURS.iter().fold(received(), |set, signal| set.without(*signal));
    }
    set_mask(wanted)?;
    signal::signalfd(wanted)
}

impl Seat {
    fn take(found: &Found<'_>, input: Option<OwnedFd>, ways: Ways, signals: OwnedFd) -> Result<Self> {
        let target = input.filter(|_| ways.input);
        let mut raw = None;
        if let Some(target) = &target {
            // Also of those who were attached before us: it is one description.
            fcntl_setfl(target, fcntl_getfl(target)? | OFlags::NONBLOCK)?;
            raw = if isatty(target) { Raw::enter()? } else { None };
        }
        let open = target.is_some();
        let keys = Keys { keys: ways.keys, held: 0 };
        let seat = Self { target, open, pending: Vec::new(), keys, signals, raw };
        seat.signal(found, SIGWINCH);
        Ok(seat)
    }

    /// Waits once, and passes on what came.
    fn turn(&mut self, found: &Found<'_>, socket: &OwnedFd, changes: &OwnedFd) -> Result<Turn> {
        let none = PollFlags::empty();
        let reads = self.open && self.pending.is_empty();
        let target = self.target.as_ref().filter(|_| !self.pending.is_empty());
        let mut polled = [
            PollFd::new(socket, PollFlags::IN),
            PollFd::new(changes, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::from_borrowed_fd(
                if reads { Stream::Input.fd() } else { socket.as_fd() },
                if reads { PollFlags::IN } else { none },
            ),
            PollFd::from_borrowed_fd(
                target.map_or(socket.as_fd(), AsFd::as_fd),
                if target.is_some() { PollFlags::OUT } else { none },
            ),
        ];
        retry_on_intr(|| poll(&mut polled, None))?;
        let [ended, _, signals, typed, taken] = polled.map(|fd| !fd.revents().is_empty());
        if signals {
            while let Some(received) = signal::receive(&self.signals)? {
                self.signal(found, received.signal);
            }
        }
        let leaves = typed && reads && self.type_in()?;
        if (taken || leaves)
            && let Some(target) = &self.target
        {
            match write(target, &self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                // A terminal that is being opened anew for the next run.
                Err(Errno::IO) => self.pending.clear(),
                Err(errno) => return Err(errno),
            }
        }
        if leaves {
            return Ok(Turn::Left);
        }
        if ended {
            match hear(socket).unwrap_or_default() {
                (_, Some(next)) => self.go_on_with(found, next)?,
                (status, None) => return Ok(Turn::Ended(status)),
            }
        }
        Ok(Turn::On)
    }

    /// The container runs again, with another terminal.
    fn go_on_with(&mut self, found: &Found<'_>, next: OwnedFd) -> Result<()> {
        if let Some(target) = &mut self.target {
            *target = next;
            fcntl_setfl(&*target, fcntl_getfl(&*target)? | OFlags::NONBLOCK)?;
            self.signal(found, SIGWINCH);
        }
        Ok(())
    }

    /// Reads what is typed. True when it leads away.
    fn type_in(&mut self) -> Result<bool> {
        let mut typed = [0; 4096];
        match read(Stream::Input.fd(), &mut typed) {
            Ok(0) | Err(Errno::IO) => self.open = false,
            Ok(length) => {
                let typed = typed.get(..length).unwrap_or_default();
                return Ok(self.keys.pass(typed, &mut self.pending));
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(false)
    }

    /// Passes a signal on; to a container that is just starting again there is nobody to pass it to.
    fn signal(&self, found: &Found<'_>, number: i32) {
        if number == SIGWINCH
            && let Some(target) = &self.target
        {
            if let Ok(size) = tcgetwinsize(Stream::Input.fd()) {
                tcsetwinsize(target, size).unwrap_or(());
            }
            return;
        }
        let record = found.store.read(&found.id).unwrap_or(None);
        let process = record.and_then(|record| process::open(record.pid, record.pid_start));
        if let Some(process) = process.filter(|_| is_forwarded(number) && number != SIGWINCH) {
            signal::send(&process, number).unwrap_or(());
        }
    }
}

/// Looks for the keys among what is typed.
struct Keys {
    keys: Vec<u8>,
    /// How many of them were typed last.
    held: usize,
}

impl Keys {
    /// Adds to `out` what is no part of them. True once all were typed.
    fn pass(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        for byte in typed {
            let mut held = [self.keys.get(..self.held).unwrap_or_default(), &[*byte]].concat();
            while !self.keys.starts_with(&held) {
                out.push(held.remove(0));
            }
            self.held = held.len();
            if self.held > 0 && self.held == self.keys.len() {
                return true;
            }
        }
        false
    }
}

/// Reads `ctrl-p,ctrl-q`; nothing means no keys.
fn keys(text: &str) -> std::result::Result<Vec<u8>, Failure> {
    let key = |word: &str| match (word.strip_prefix("ctrl-").map(str::as_bytes), word.as_bytes()) {
        (Some([letter @ (b'a'..=b'z' | b'@'..=b'_')]), _) => Some(letter & 31),
        (None, [letter]) if letter.is_ascii_graphic() => Some(*letter),
        _ => None,
    };
    let words = text.split(',').filter(|_| !text.is_empty());
    words.map(key).collect::<Option<_>>().ok_or_else(|| {
        Failure::usage("attach", &["--detach-keys ", text, ": give letters or ctrl- and one"].concat())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_dockers() {
        assert_eq!(keys("ctrl-p,ctrl-q").unwrap(), [16, 17]);
        assert_eq!(keys("ctrl-@,a,ctrl-_,ctrl-[").unwrap(), [0, b'a', 31, 27]);
        assert_eq!(keys("").unwrap(), [0_u8; 0]);
        for wrong in ["ctrl-", "ctrl-pq", "ab", ",", "a,,b", "ctrl-1", "é"] {
            assert!(keys(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_key_goes_through() {
        let typed = |keys: &str, parts: &[&str]| {
            let (mut keys, mut out) = (Keys { keys: keys.into(), held: 0 }, Vec::new());
            let left = parts.iter().any(|part| keys.pass(part.as_bytes(), &mut out));
            (String::from_utf8(out).unwrap(), left)
        };
        assert_eq!(typed("pq", &["abp", "q", "x"]), ("ab".into(), true));
        assert_eq!(typed("pq", &["appx", "p", "p", "y"]), ("appxppy".into(), false));
        assert_eq!(typed("aab", &["aaab"]), ("a".into(), true));
        assert_eq!(typed("", &["anything"]), ("anything".into(), false));
    }
}
