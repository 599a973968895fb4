//! Waiting for the container's end: one poll loop over the child, our signals, the socket and the terminal.

use super::attendant::{ATTENDED, Attendant, Reach, Sources};
use super::group::Group;
use super::signal::{is_forwarded, received};
use super::spawn::Child;
use super::terminal::{Raw, Relay};
use crate::cgroup::watch::{MemoryEvents, Watch as EventWatch};
use crate::error::{Error, Result, Stage};
use crate::plan::{REPORT_SIZE, Report};
use crate::sys;
use crate::sys::stdio::Stream;
use core::mem::MaybeUninit;
use linux_raw_sys::general as raw;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSliceMut, retry_on_intr};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// How long the child may take until it executes its command. It is there to end a hang.
const SETUP_PATIENCE_MS: u64 = 120_000;

/// How long a command that enters may be silent until it is looked whether its container stands still.
pub(super) const ENTRY_PATIENCE_MS: u64 = 1000;

/// How long nothing must have happened before a background loop goes to sleep with next to no memory.
const AWAKE_MS: u64 = 1000;

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
    /// Whether its first process died the way reboot(2) ends a pid namespace: by SIGHUP for a restart, by SIGINT for
    /// power off and halt. The first process of a namespace of its own dies of them in no other way.
    pub reboot: bool,
}

/// Who is with the container while it runs.
pub enum Company<'a> {
    /// The user's terminal or what stands in its place. Its standard input is the container's, if so wished, also when
    /// the container has a terminal of its own.
    Foreground {
        /// Whether standard input is passed on.
        stdin: bool,
        /// Who hears of it, and may end it before its time, if anybody does.
        warden: Option<&'a mut dyn Attendant>,
    },
    /// The same for one more command in a container that runs: the child's own end is nothing special then, and
    /// signals are for the command alone.
    Further {
        /// Whether standard input is passed on.
        stdin: bool,
    },
    /// Somebody who serves it in the background.
    Background(&'a mut dyn Attendant),
}

impl Company<'_> {
    /// Who is to be served by the loop.
    fn attendant(&mut self) -> Option<&mut dyn Attendant> {
        match self {
            Self::Background(attendant) => Some(&mut **attendant),
            Self::Foreground { warden, .. } => warden.as_mut().map(|warden| &mut **warden as _),
            Self::Further { .. } => None,
        }
    }
}

/// What the loop holds besides the child.
pub(super) struct Watch<'a, 'c> {
    process: BorrowedFd<'a>,
    /// Where it is heard of; `None` when it came to its exec before.
    channel: Option<BorrowedFd<'a>>,
    group: Option<&'a Group>,
    /// Who connects its network, a child of ours too, as long as it lives.
    connector: Option<BorrowedFd<'a>>,
    signals: OwnedFd,
    /// Whether the child is still on its way to the exec.
    pub(super) setup: bool,
    /// The reaper of one that entered, which is our child.
    pub(super) reaper: Option<OwnedFd>,
    /// The cgroup that it enters.
    pub(super) entered: Option<&'a crate::cgroup::Group>,
    /// The command of one that entered.
    pub(super) command: Option<OwnedFd>,
    /// How that ended.
    pub(super) code: Option<u8>,
    /// Whether its reaper ends with it.
    pub(super) last: bool,
    /// The signal that ended it on that way.
    cancelled: Option<i32>,
    pub(super) failure: Option<Failure>,
    company: Company<'c>,
    memory: Option<EventWatch<MemoryEvents>>,
    relay: Option<Relay>,
    raw: Option<Raw>,
    /// Whether something has happened a moment ago.
    awake: bool,
    /// How long nothing has happened on the way to the exec.
    silent_ms: u64,
}

/// Waits for the end of `child`, passing on signals and, when it opened one, its terminal. The process `connector`, if
/// any, is reaped should it end before.
///
/// # Errors
/// `ETIMEDOUT` when the child does not come to its exec, and those of poll(2), signalfd(2) and waitid(2).
pub(super) fn supervise(
    child: &Child,
    group: Option<&Group>,
    connector: Option<BorrowedFd<'_>>,
    company: Company<'_>,
) -> Result<Ended> {
    let mut watch = Watch::new(child.pidfd.as_fd(), Some(child.channel.as_fd()), group, company)?;
    watch.connector = connector;
    watch.end()
}

/// Waits for the end of `process`, a child of ours that has executed its command, passing on signals and its terminal.
///
/// # Errors
/// Those of [`supervise`].
pub(super) fn attend(process: BorrowedFd<'_>, terminal: Option<OwnedFd>) -> Result<Ended> {
    let company = Company::Foreground { stdin: true, warden: None };
    let mut watch = Watch::new(process, None, None, company)?;
    if let Some(master) = terminal {
        watch.take_terminal(master)?;
    }
    watch.end()
}

/// What became ready.
struct Ready {
    ended: bool,
    signals: bool,
    report: bool,
    memory: bool,
    disconnected: bool,
    streams: [PollFlags; 3],
    attended: heapless::Vec<PollFlags, ATTENDED>,
}

impl<'a, 'c> Watch<'a, 'c> {
    /// Before the first turn.
    pub(super) fn new(
        process: BorrowedFd<'a>,
        channel: Option<BorrowedFd<'a>>,
        group: Option<&'a Group>,
        company: Company<'c>,
    ) -> Result<Self> {
        let memory = match company {
            Company::Background(_) => group.and_then(Group::watch_memory),
            Company::Foreground { .. } | Company::Further { .. } => None,
        };
        Ok(Self {
            process,
            channel,
            group,
            connector: None,
            signals: sys::signal::signalfd(received()).stage("open a signalfd")?,
            setup: channel.is_some(),
            reaper: None,
            entered: None,
            silent_ms: 0,
            command: None,
            code: None,
            last: false,
            cancelled: None,
            failure: None,
            company,
            memory,
            relay: None,
            raw: None,
            awake: true,
        })
    }

    /// Goes on to the end, and tells of it.
    fn end(mut self) -> Result<Ended> {
        const STAGE: &str = "wait for the container";
        while !self.turn()? {}
        self.read_late_report()?;
        self.finish_terminal()?;
        if let Some(attendant) = self.company.attendant() {
            attendant.finish()?;
        }
        let status = waitid(WaitId::PidFd(self.process), WaitIdOptions::EXITED).stage(STAGE)?;
        let status = status.ok_or(Error::new(STAGE, Errno::CHILD))?;
        let signal = self.cancelled.or_else(|| status.terminating_signal());
        let code = status.exit_status().or_else(|| signal.map(|signal| signal.saturating_add(128)));
        let reboots = [raw::SIGHUP, raw::SIGINT].map(|signal| Some(signal as i32));
        Ok(Ended {
            status: code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX),
            signal,
            failure: self.failure,
            oom_kills: self.group.map_or(0, Group::oom_kills),
            reboot: self.cancelled.is_none() && reboots.contains(&status.terminating_signal()),
        })
    }

    /// Shows what the terminal still has, and puts ours back. A signal ends that where nobody takes it from us.
    pub(super) fn finish_terminal(&mut self) -> Result<()> {
        const STAGE: &str = "show the terminal's last output";
        while let Some(relay) = &mut self.relay
            && relay.has_more().stage(STAGE)?
        {
            let output = PollFd::from_borrowed_fd(Stream::Output.fd(), PollFlags::OUT);
            let mut polled = [output, PollFd::new(&self.signals, PollFlags::IN)];
            retry_on_intr(|| poll(&mut polled, None)).stage(STAGE)?;
            let [output, signals] = polled.map(|fd| !fd.revents().is_empty());
            if output {
                relay.show().stage(STAGE)?;
            } else if signals && self.is_ended_by_signal()? {
                break;
            }
        }
        drop(self.raw.take());
        Ok(())
    }

    /// Whether one of the signals that have come ends us, now that there is no container for them.
    fn is_ended_by_signal(&self) -> Result<bool> {
        while let Some(received) = sys::signal::receive(&self.signals).stage("receive a signal")? {
            if ENDING.contains(&(received.signal as u32)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits once and deals with what came. True when the child has ended.
    pub(super) fn turn(&mut self) -> Result<bool> {
        let ready = self.wait()?;
        // First whether the command runs, then what to do with a signal: in this order they happened.
        if ready.report {
            self.read_report()?;
        }
        if ready.signals {
            self.pass_signals()?;
        }
        if let Some(relay) = &mut self.relay {
            relay.turn(ready.streams).stage("pass on the terminal")?;
        }
        let disconnected = ready.disconnected && self.reap_connector()?;
        let reach = Reach { process: self.process, group: self.group };
        if let Some(attendant) = self.company.attendant() {
            if ready.memory {
                let events = self.memory.as_ref().and_then(|memory| memory.read().ok());
                attendant.out_of_memory(events.map_or(0, |events| events.oom_kill));
            }
            if disconnected {
                attendant.disconnected();
            }
            attendant.serve(&ready.attended, &reach)?;
            if !self.awake {
                attendant.rest();
            }
        }
        Ok(ready.ended)
    }

    /// Waits; for ever once the command runs, unless the attendant wants otherwise. What is not of interest is not
    /// polled: a closed descriptor would otherwise be ready for ever.
    fn wait(&mut self) -> Result<Ready> {
        const OWN: usize = 8;
        let none = PollFlags::empty();
        let interest = self.relay.as_ref().map_or([none; 3], Relay::interest);
        let (stdin, stdout) = (Stream::Input.fd(), Stream::Output.fd());
        let master = self.relay.as_ref().map_or(stdin, Relay::master);
        let memory = self.memory.as_ref();
        let when = |wanted: bool| if wanted { PollFlags::IN } else { none };
        let further = matches!(self.company, Company::Further { .. });
        let own: [(BorrowedFd<'_>, PollFlags); OWN] = [
            (self.process, when(!further)),
            // Before there is a further command there is nobody to pass a signal on to.
            (self.signals.as_fd(), when(!further || self.command.is_some())),
            (self.channel.unwrap_or(stdin), when(self.setup)),
            (memory.map_or(stdin, AsFd::as_fd), if memory.is_some() { PollFlags::PRI } else { none }),
            (self.connector.unwrap_or(stdin), when(self.connector.is_some())),
            (stdin, interest[0]),
            (stdout, interest[1]),
            (master, interest[2]),
        ];
        let mut attended = Sources::new();
        let mut patience_ms = None;
        let background = matches!(self.company, Company::Background(_));
        if let Some(attendant) = self.company.attendant() {
            patience_ms = attendant.patience_ms();
            attendant.sources(&mut attended);
        }
        let mut polled: heapless::Vec<PollFd<'_>, { OWN + ATTENDED }> = heapless::Vec::new();
        for (fd, flags) in own.iter().chain(&attended).filter(|(_, flags)| !flags.is_empty()) {
            polled.push(PollFd::from_borrowed_fd(*fd, *flags)).unwrap_or(());
        }
        // The socket of a further command stays open to its end.
        let setup = self.setup && self.command.is_none();
        let asleep = !setup && !self.awake;
        let setup_ms = if self.entered.is_some() { ENTRY_PATIENCE_MS } else { SETUP_PATIENCE_MS };
        let timeout = match patience_ms {
            _ if setup => Some(setup_ms),
            Some(ms) if asleep => Some(ms),
            None if asleep || !background => None,
            patience_ms => Some(patience_ms.map_or(AWAKE_MS, |ms| ms.min(AWAKE_MS))),
        };
        let timeout = timeout.map(timespec);
        let waited = match asleep && background {
            true => sys::image::sleep(&mut polled, timeout.as_ref()),
            false => poll(&mut polled, timeout.as_ref()).map(drop),
        };
        match waited {
            Ok(()) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("wait for the container", errno)),
        }
        let mut answers = polled.iter().map(PollFd::revents);
        let mut answer =
            |flags: PollFlags| if flags.is_empty() { flags } else { answers.next().unwrap_or(none) };
        let [ended, signals, report, memory, disconnected, streams @ ..] =
            own.map(|(_, flags)| answer(flags));
        let attended = attended.iter().map(|(_, flags)| answer(*flags)).collect();
        let came = polled.iter().any(|fd| !fd.revents().is_empty());
        drop(polled);
        self.awake = came;
        self.silent_ms = if came { 0 } else { self.silent_ms.saturating_add(setup_ms) };
        if !came && setup {
            be_patient(self.entered, self.silent_ms)?;
        }
        let [ended, signals, report, memory, disconnected] =
            [ended, signals, report, memory, disconnected].map(|flags| !flags.is_empty());
        Ok(Ready { ended, signals, report, memory, disconnected, streams, attended })
    }

    /// Reaps who connected the network. Whether it is gone.
    fn reap_connector(&mut self) -> Result<bool> {
        let Some(connector) = self.connector.take() else { return Ok(false) };
        waitid(WaitId::PidFd(connector), WaitIdOptions::EXITED).stage("reap what connected the network")?;
        Ok(true)
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
                signal if self.setup && self.command.is_none() && ENDING.contains(&signal) => {
                    self.cancel(received.signal)?;
                }
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
        match sys::signal::send(self.command.as_ref().map_or(self.process, AsFd::as_fd), signal) {
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
        let Some(channel) = self.channel else { return Ok(()) };
        let stage = "hear from the child";
        let mut record = [0; REPORT_SIZE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let mut receive = || recvmsg(channel, &mut [IoSliceMut::new(&mut record)], &mut control, flags);
        // A child that died with a release unread resets the socket; what it had sent comes after that is told.
        let received =
            match receive().or_else(|errno| if errno == Errno::CONNRESET { receive() } else { Err(errno) }) {
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Ok(message) if message.bytes > 0 => message.bytes,
                Ok(_) | Err(Errno::CONNRESET) => {
                    self.setup = false;
                    return match self.company.attendant() {
                        Some(attendant) if self.failure.is_none() => attendant.executed(),
                        _ => Ok(()),
                    };
                }
                Err(errno) => return Err(Error::new(stage, errno)),
            };
        match Report::decode(record.get(..received).unwrap_or_default()) {
            Some(Report::Failed { step, errno }) => {
                self.failure = Some(Failure { step, errno: Errno::from_raw_os_error(errno) });
            }
            Some(Report::Terminal) => {
                let master = descriptor(&mut control);
                let master = master.ok_or(Error::new("receive the container's terminal", Errno::BADMSG))?;
                self.take_terminal(master)?;
            }
            Some(Report::Inside) => self.reaper = descriptor(&mut control),
            Some(Report::Started) => self.command = descriptor(&mut control),
            Some(Report::Exited { code, last }) => (self.code, self.last) = (Some(code), last),
            Some(Report::Waiting | Report::Listener) | None => return Err(Error::new(stage, Errno::BADMSG)),
        }
        Ok(())
    }

    fn take_terminal(&mut self, master: OwnedFd) -> Result<()> {
        let stdin = match &mut self.company {
            Company::Foreground { stdin, .. } | Company::Further { stdin } => *stdin,
            Company::Background(attendant) => return attendant.take_terminal(master),
        };
        self.relay = Some(Relay::new(master, stdin).stage("take over the container's terminal")?);
        self.raw = if stdin { Raw::enter().stage("make the terminal raw")? } else { None };
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

/// After a silence on the way to the exec: whether one may go on waiting.
pub(super) fn be_patient(entered: Option<&crate::cgroup::Group>, silent_ms: u64) -> Result<()> {
    if entered.is_some_and(|group| group.occupancy().is_ok_and(|now| now.frozen)) {
        return Err(Error::new("enter the container, which is paused", Errno::BUSY));
    }
    if silent_ms < SETUP_PATIENCE_MS {
        return Ok(());
    }
    Err(Error::new("prepare the container within two minutes", Errno::TIMEDOUT))
}

/// The descriptor that came with a record.
pub(super) fn descriptor(control: &mut RecvAncillaryBuffer<'_>) -> Option<OwnedFd> {
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}

pub(super) fn timespec(ms: u64) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: (ms % 1000).cast_signed().saturating_mul(1_000_000),
    }
}
