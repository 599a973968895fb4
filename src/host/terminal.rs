//! The user's terminal while a container has one of its own: raw mode, size, and the two streams between them.

use crate::sys::memory;
use crate::sys::stdio::Stream as Standard;
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, Result, read, retry_on_intr};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// What a terminal reads as "end of input" (termios(3), VEOF).
const END_OF_INPUT: u8 = 4;
/// Bytes moved at a time.
const CHUNK: usize = 8192;
/// How often a terminal is read after its container's end: more than it holds, at 4095 bytes each, and an end where
/// others have it too and go on writing.
const LAST_READS: usize = 1024;

/// Our terminal in raw mode; put back when dropped.
#[derive(Debug)]
pub struct Raw {
    former: Termios,
}

impl Raw {
    /// Makes standard input raw; `None` when it is no terminal.
    ///
    /// # Errors
    /// Those of tcgetattr(3) and tcsetattr(3).
    pub fn enter() -> Result<Option<Self>> {
        if !isatty(Standard::Input.fd()) {
            return Ok(None);
        }
        let former = tcgetattr(Standard::Input.fd())?;
        let raw = Self { former };
        raw.apply()?;
        Ok(Some(raw))
    }

    /// Makes it raw again, after it was put back for a while.
    pub(super) fn apply(&self) -> Result<()> {
        let mut wanted = self.former.clone();
        wanted.make_raw();
        tcsetattr(Standard::Input.fd(), OptionalActions::Drain, &wanted)
    }

    /// Puts it back. Best effort: when the terminal is gone there is nothing to put back.
    pub(super) fn restore(&self) {
        tcsetattr(Standard::Input.fd(), OptionalActions::Drain, &self.former).unwrap_or(());
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.restore();
    }
}

/// One direction: bytes read but not yet written.
struct Stream {
    bytes: &'static mut [u8],
    from: usize,
    to: usize,
    open: bool,
}

impl Stream {
    fn new(open: bool) -> Result<Self> {
        Ok(Self { bytes: memory::reserve_bytes(CHUNK)?, from: 0, to: 0, open })
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Reads when there is room. Zero bytes, or the error a master gives when its slave is closed, end the stream.
    fn fill(&mut self, source: BorrowedFd<'_>) -> Result<()> {
        if !self.is_empty() || !self.open {
            return Ok(());
        }
        match retry_on_intr(|| read(source, &mut *self.bytes)) {
            Ok(0) | Err(Errno::IO) => self.open = false,
            Ok(length) => (self.from, self.to) = (0, length),
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Writes what is there. A reader that is gone ends the stream.
    fn drain(&mut self, target: BorrowedFd<'_>) -> Result<()> {
        let pending = self.bytes.get(self.from..self.to).unwrap_or_default();
        if pending.is_empty() {
            return Ok(());
        }
        match rustix::io::write(target, pending) {
            Ok(length) => self.from = self.from.saturating_add(length).min(self.to),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::IO | Errno::PIPE) => (self.from, self.to, self.open) = (0, 0, false),
            Err(errno) => return Err(errno),
        }
        Ok(())
    }
}

/// The container's terminal as we hold it.
pub(super) struct Relay {
    master: OwnedFd,
    input: Stream,
    output: Stream,
    ended: bool,
    /// How often it may still be read after the container's end.
    last_reads: usize,
}

impl Relay {
    /// Takes the master; `input` tells whether our standard input goes to it.
    pub(super) fn new(master: OwnedFd, input: bool) -> Result<Self> {
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        let (input, output, ended) = (Stream::new(input)?, Stream::new(true)?, !input);
        let relay = Self { master, input, output, ended, last_reads: LAST_READS };
        relay.resize();
        Ok(relay)
    }

    /// Gives the container's terminal the size of ours. Best effort: without one of ours it keeps its own.
    pub(super) fn resize(&self) {
        for own in [Standard::Input.fd(), Standard::Output.fd()] {
            if let Ok(size) = tcgetwinsize(own) {
                tcsetwinsize(&self.master, size).unwrap_or(());
                return;
            }
        }
    }

    /// What to wait for on our input, our output and the master.
    pub(super) fn interest(&self) -> [PollFlags; 3] {
        let when = |wanted: bool, flag: PollFlags| if wanted { flag } else { PollFlags::empty() };
        let master = when(self.output.open && self.output.is_empty(), PollFlags::IN)
            | when(!self.input.is_empty() || (!self.input.open && !self.ended), PollFlags::OUT);
        [
            when(self.input.open && self.input.is_empty(), PollFlags::IN),
            when(!self.output.is_empty(), PollFlags::OUT),
            master,
        ]
    }

    /// The master, for polling.
    pub(super) fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Moves what can be moved after a poll that answered `ready`.
    pub(super) fn turn(&mut self, ready: [PollFlags; 3]) -> Result<()> {
        let [from_us, to_us, container] = ready;
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        if from_us.intersects(readable) {
            self.input.fill(Standard::Input.fd())?;
        }
        if container.intersects(readable) {
            self.output.fill(self.master.as_fd())?;
        }
        if container.contains(PollFlags::OUT) {
            self.input.drain(self.master.as_fd())?;
            self.end_input()?;
        }
        if to_us.intersects(PollFlags::OUT | PollFlags::HUP | PollFlags::ERR) {
            self.output.drain(Standard::Output.fd())?;
        }
        Ok(())
    }

    /// Types "end of input" once ours has ended.
    fn end_input(&mut self) -> Result<()> {
        if self.ended || self.input.open || !self.input.is_empty() {
            return Ok(());
        }
        match rustix::io::write(&self.master, &[END_OF_INPUT]) {
            Ok(_) | Err(Errno::IO) => self.ended = true,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// After the container's end: takes what it wrote last. False once all of that is shown.
    pub(super) fn has_more(&mut self) -> Result<bool> {
        if self.output.is_empty() && self.last_reads > 0 {
            self.last_reads = self.last_reads.saturating_sub(1);
            self.output.fill(self.master.as_fd())?;
        }
        Ok(!self.output.is_empty())
    }

    /// After the container's end: shows what was taken, of which our output may want a part only.
    pub(super) fn show(&mut self) -> Result<()> {
        self.output.drain(Standard::Output.fd())
    }
}
