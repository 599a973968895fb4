//! Waiting for the container's end: one poll loop over the child, our signals, the socket and the terminal.

use super::group::Group;
use super::signal::{is_forwarded, received};
use super::spawn::Child;
use super::terminal::{Raw, Relay};
use crate::error::{Error, Result, Stage};
use crate::plan::{REPORT_SIZE, Report};
use crate::sys;
use crate::sys::stdio::Stream;
use core::mem::MaybeUninit;
use linux_raw_sys::general as raw;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSliceMut};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// How long the child may take until it executes its command. It is there to end a hang.
const SETUP_PATIENCE: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// Signals by which a person or a manager ends a program.
const ENDING: [u32; 4] = [raw::SIGHUP, raw::SIGINT, raw::SIGQUIT, raw::SIGTERM];

/// A step of the child that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Index into the child's list.
    pub step: u16,
    /// What the kernel said.
    pub errno: Errno,
}

/// How a container ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its exit status; 128 and the signal's number when a signal killed it.
    pub status: u8,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The step that failed, when the command was never executed.
    pub failure: Option<Failure>,
    /// How many of its processes the kernel killed for want of memory.
    pub oom_kills: u64,
}

/// What the loop holds besides the child.
struct Watch<'a> {
    child: &'a Child,
    group: Option<&'a Group>,
    signals: OwnedFd,
    /// Whether the child is still on its way to the exec.
    setup: bool,
    /// The signal that ended it on that way.
    cancelled: Option<i32>,
    failure: Option<Failure>,
    /// Whether our standard input goes to the container's terminal.
    stdin: bool,
    relay: Option<Relay>,
    raw: Option<Raw>,
}

/// Waits for the end of `child`, passing on signals and, when it opened one, its terminal.
///
/// # Errors
/// `ETIMEDOUT` when the child does not come to its exec, and those of poll(2), signalfd(2) and waitid(2).
pub(super) fn supervise(child: &Child, group: Option<&Group>, stdin: bool) -> Result<Ended> {
    let signals = sys::signal::signalfd(received()).stage("open a signalfd")?;
    let mut watch = Watch {
        child,
        group,
        signals,
        setup: true,
        cancelled: None,
        failure: None,
        stdin,
        relay: None,
        raw: None,
    };
    while !watch.turn()? {}
    if let Some(relay) = &mut watch.relay {
        relay.finish().stage("show the terminal's last output")?;
    }
    drop(watch.raw.take());
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)
        .stage("wait for the container")?
        .ok_or(Error::new("wait for the container", Errno::CHILD))?;
    watch.read_late_report()?;
    let signal = watch.cancelled.or_else(|| status.terminating_signal());
    let code = status.exit_status().or_else(|| signal.map(|signal| signal.saturating_add(128)));
    Ok(Ended {
        status: code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX),
        signal,
        failure: watch.failure,
        oom_kills: group.map_or(0, Group::oom_kills),
    })
}

impl Watch<'_> {
    /// Waits once and deals with what came. True when the child has ended.
    fn turn(&mut self) -> Result<bool> {
        let none = PollFlags::empty();
        let interest = self.relay.as_ref().map_or([none; 3], Relay::interest);
        let [ended, signals, report, streams @ ..] = self.wait(interest)?;
        // First whether the command runs, then what to do with a signal: in this order they happened.
        if !report.is_empty() {
            self.read_report()?;
        }
        if !signals.is_empty() {
            self.pass_signals()?;
        }
        if let Some(relay) = &mut self.relay {
            relay.turn(streams).stage("pass on the terminal")?;
        }
        Ok(!ended.is_empty())
    }

    /// Waits; for ever once the command runs. What is not of interest is not polled: a closed descriptor would
    /// otherwise be ready for ever.
    fn wait(&self, interest: [PollFlags; 3]) -> Result<[PollFlags; 6]> {
        let (stdin, stdout) = (Stream::Input.fd(), Stream::Output.fd());
        let master = self.relay.as_ref().map_or(stdin, Relay::master);
        let sources: [(BorrowedFd<'_>, PollFlags); 6] = [
            (self.child.pidfd.as_fd(), PollFlags::IN),
            (self.signals.as_fd(), PollFlags::IN),
            (self.child.channel.as_fd(), if self.setup { PollFlags::IN } else { PollFlags::empty() }),
            (stdin, interest[0]),
            (stdout, interest[1]),
            (master, interest[2]),
        ];
        let mut polled: heapless::Vec<PollFd<'_>, 6> = heapless::Vec::new();
        for (fd, flags) in sources.iter().filter(|(_, flags)| !flags.is_empty()) {
            polled.push(PollFd::from_borrowed_fd(*fd, *flags)).unwrap_or(());
        }
        let patience = self.setup.then_some(&SETUP_PATIENCE);
        match poll(&mut polled, patience) {
            Ok(0) => return Err(Error::new("prepare the container within two minutes", Errno::TIMEDOUT)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("wait for the container", errno)),
        }
        let mut answers = polled.iter().map(PollFd::revents);
        Ok(sources.map(
            |(_, flags)| {
                if flags.is_empty() { flags } else { answers.next().unwrap_or(PollFlags::empty()) }
            },
        ))
    }

    fn pass_signals(&mut self) -> Result<()> {
        while let Some(received) = sys::signal::receive(&self.signals).stage("receive a signal")? {
            match received.signal as u32 {
                raw::SIGWINCH if self.relay.is_some() => {
                    if let Some(relay) = &self.relay {
                        relay.resize();
                    }
                }
                raw::SIGTSTP => self.stop()?,
                signal if self.setup && ENDING.contains(&signal) => self.cancel(received.signal)?,
                _ if is_forwarded(received.signal) => self.send(received.signal)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends the set-up. The child has no use for the signal itself: as PID 1 it would not even die of it.
    fn cancel(&mut self, signal: i32) -> Result<()> {
        self.cancelled = Some(signal);
        self.send(raw::SIGKILL as i32)
    }

    /// Passes a signal on; a container that is gone needs none.
    fn send(&self, signal: i32) -> Result<()> {
        match sys::signal::send(&self.child.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(Error::new("pass on a signal", errno)),
        }
    }

    /// Ctrl-Z without a terminal of its own: the container stands still, then we do, until the shell continues us.
    /// The signal itself would not stop a PID 1, so the cgroup is frozen where there is one.
    fn stop(&self) -> Result<()> {
        if let Some(raw) = &self.raw {
            raw.restore();
        }
        let frozen = self.group.is_some_and(|group| group.freeze(true).is_ok());
        if !frozen {
            self.send(raw::SIGTSTP as i32)?;
        }
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)
            .stage("stop")?;
        if let Some(raw) = &self.raw {
            raw.apply().stage("make the terminal raw again")?;
        }
        if frozen && let Some(group) = self.group {
            return group.freeze(false);
        }
        Ok(())
    }

    /// Reads one record from the child. The end of the socket means that the command was executed.
    fn read_report(&mut self) -> Result<()> {
        let stage = "hear from the child";
        let mut record = [0; REPORT_SIZE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let mut receive =
            || recvmsg(&self.child.channel, &mut [IoSliceMut::new(&mut record)], &mut control, flags);
        // A child that died with a release unread resets the socket; what it had sent comes after that is told.
        let received =
            match receive().or_else(|errno| if errno == Errno::CONNRESET { receive() } else { Err(errno) }) {
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Ok(message) if message.bytes > 0 => message.bytes,
                Ok(_) | Err(Errno::CONNRESET) => {
                    self.setup = false;
                    return Ok(());
                }
                Err(errno) => return Err(Error::new(stage, errno)),
            };
        match Report::decode(record.get(..received).unwrap_or_default()) {
            Some(Report::Failed { step, errno }) => {
                self.failure = Some(Failure { step, errno: Errno::from_raw_os_error(errno) });
            }
            Some(Report::Terminal) => {
                let master = control.drain().find_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                    _ => None,
                });
                let master = master.ok_or(Error::new("receive the container's terminal", Errno::BADMSG))?;
                self.relay =
                    Some(Relay::new(master, self.stdin).stage("take over the container's terminal")?);
                self.raw = if self.stdin { Raw::enter().stage("make the terminal raw")? } else { None };
            }
            None => return Err(Error::new(stage, Errno::BADMSG)),
        }
        Ok(())
    }

    /// The child may have reported and died between two polls.
    fn read_late_report(&mut self) -> Result<()> {
        // At most a terminal, a failure and the end of the socket are still to come.
        for _ in 0..3 {
            if self.setup && self.failure.is_none() {
                self.read_report()?;
            }
        }
        Ok(())
    }
}
