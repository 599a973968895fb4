//! Starts the payload under the loop: as a container's entry point, in an already cloned PID 1, or anywhere else.
//!
//! Duty: everything between "this process is to be an init" and the loop. Whatever can fail does so before the
//! fork; from then on init does not bail.

use super::best_effort;
use super::console;
use super::option::{Lead, Options, Scope};
use super::service::Services;
use super::state::Outcome;
use super::supervise::{Sources, supervise};
use crate::error::{Error, Result, Stage};
use crate::sys::process::{exit, group};
use crate::sys::signal::{self, Action, SignalSet};
use crate::sys::spawn::{self, Fork};
use crate::sys::stdio::Stream;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, setpgid, setsid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

const SIGCHLD: i32 = 17;

/// This process as an init, ready to start its payload: signals blocked, descriptors open.
#[derive(Debug)]
pub struct Init<'o> {
    options: &'o Options,
    /// The signal mask the payload gets back.
    inherited: SignalSet,
    signals: OwnedFd,
    parent: Option<OwnedFd>,
}

impl<'o> Init<'o> {
    /// Blocks every signal from here on, and opens what the loop waits on.
    ///
    /// # Errors
    /// What keeps this process from being an init; its signal mask is then as it was. `EINVAL` when [`Scope::All`]
    /// is asked of a process that is not PID 1, `ESRCH` when the parent to be watched has ended.
    pub fn new(options: &'o Options) -> Result<Self> {
        let inherited = block_signals()?;
        match open(options) {
            Ok((signals, parent)) => Ok(Self { options, inherited, signals, parent }),
            Err(error) => unblocked(inherited, error),
        }
    }

    /// Forks, lets the child become the payload by `exec`, and is its init until the end. Signals stay blocked
    /// afterwards, so that a late one does not take the place of the exit code.
    ///
    /// `exec` runs in the child with the signal mask and dispositions that this process was started with (SIGCHLD
    /// apart, whose default action is restored); it returns only when the program could not be started. The child
    /// then says so and ends with 127 when the program was not found and 126 otherwise.
    ///
    /// # Errors
    /// Those of the fork; nothing was started then.
    pub fn run(&self, exec: impl FnOnce() -> Error) -> Result<Outcome> {
        self.run_beside(&mut Services::none(), exec)
    }

    /// The same with services beside it, which are asked to end when it has ended.
    ///
    /// # Errors
    /// Those of [`Init::run`].
    pub fn run_beside(&self, services: &mut Services<'_>, exec: impl FnOnce() -> Error) -> Result<Outcome> {
        let foreground = Foreground::held();
        let main = match spawn::fork().stage("fork the payload")? {
            Fork::Child => become_payload(self.options.lead, self.inherited, foreground, exec),
            Fork::Parent(main) => main,
        };
        // What `exec` holds open belongs to the child; here it would keep pipes from ending.
        drop(exec);
        if self.options.lead == Lead::Group {
            own_group(main);
        }
        let outcome = self.supervise(Some(main), services);
        if let Some(held) = foreground {
            held.take_back(main);
        }
        Ok(outcome)
    }

    /// Is the init of a child that was started elsewhere, or, without one, of nobody, and of `services`, which may be
    /// [`Services::none()`]. Without a child it goes on until TERM or INT tells it to go, and the code is 0.
    #[must_use]
    pub fn supervise(&self, main: Option<Pid>, services: &mut Services<'_>) -> Outcome {
        if self.options.detach {
            self.detach();
        }
        services.inherited = self.inherited;
        let parent = self.parent.as_ref().map(AsFd::as_fd);
        supervise(self.options, main, Sources { signals: self.signals.as_fd(), parent }, services)
    }

    /// Lets go of what was inherited: the working directory, whose file system could not be unmounted, and
    /// descriptors, whose other ends would wait for us. Neither is worth ending for.
    fn detach(&self) {
        let signals = self.signals.as_fd();
        let kept = [signals, self.parent.as_ref().map_or(signals, AsFd::as_fd)];
        spawn::close_inherited(0, &kept);
        if let Err(errno) = rustix::process::chdir(c"/") {
            console::report(&Error::named("change directory to", "/", errno));
        }
    }
}

/// Starts the payload by `exec` and is its init until the end: [`Init::new`] and [`Init::run`] in one.
///
/// # Errors
/// Theirs; nothing was started then.
pub fn contain(options: &Options, exec: impl FnOnce() -> Error) -> Result<Outcome> {
    Init::new(options)?.run(exec)
}

/// Blocks every signal, before anything is started whose signals could be lost. Signals that were inherited as
/// ignored arrive all the same while they are blocked; an ignored SIGCHLD alone has to be reset, or the kernel
/// would reap in our place.
fn block_signals() -> Result<SignalSet> {
    let inherited = signal::set_mask(SignalSet::ALL).stage("block signals")?;
    signal::set_action(SIGCHLD, Action::Default).stage("reset SIGCHLD")?;
    Ok(inherited)
}

/// Gives the mask back on the way out of a failure.
fn unblocked<T>(inherited: SignalSet, error: Error) -> Result<T> {
    signal::set_mask(inherited).stage("restore the signal mask")?;
    Err(error)
}

fn open(options: &Options) -> Result<(OwnedFd, Option<OwnedFd>)> {
    let first = getpid().is_init();
    if options.scope == Scope::All && !first {
        return Err(Error::new("signal a whole pid namespace without being its PID 1", Errno::INVAL));
    }
    if options.subreaper && !first {
        rustix::process::set_child_subreaper(Some(getpid())).stage("become a subreaper")?;
    }
    let signals = signal::signalfd(SignalSet::ALL).stage("open a signalfd")?;
    let parent = match options.parent_death {
        Some(signal) => watch_parent(signal)?,
        None => None,
    };
    Ok((signals, parent))
}

/// Watches the parent by pidfd; a parent outside of our pid namespace, which has no id here, by
/// `PR_SET_PDEATHSIG`. A pidfd stands for the process, where that signal also comes when a mere thread ends.
fn watch_parent(signal: u8) -> Result<Option<OwnedFd>> {
    const STAGE: &str = "watch the parent process";
    if let Some(parent) = getppid()
        && let Ok(pidfd) = pidfd_open(parent, PidfdFlags::empty())
    {
        // When the parent ended in between, the descriptor may stand for another process of the same id.
        return if getppid() == Some(parent) { Ok(Some(pidfd)) } else { Err(Error::new(STAGE, Errno::SRCH)) };
    }
    let parent = getppid();
    let signal = Signal::from_named_raw(i32::from(signal)).ok_or(Error::new(STAGE, Errno::INVAL))?;
    rustix::process::set_parent_process_death_signal(Some(signal)).stage(STAGE)?;
    if getppid() == parent { Ok(None) } else { Err(Error::new(STAGE, Errno::SRCH)) }
}

/// The terminal whose foreground init's process group is.
#[derive(Clone, Copy)]
pub(super) struct Foreground(Stream);

impl Foreground {
    /// The terminal among the standard streams that this process group is in the foreground of. An init in the
    /// background, or without a terminal, takes nothing from anybody.
    fn held() -> Option<Self> {
        let own = group()?;
        Stream::ALL.into_iter().find(|stream| tcgetpgrp(stream.fd()) == Ok(own)).map(Self)
    }

    /// Makes `group` the foreground. SIGTTOU is blocked, so a process in the background may do it too.
    fn give(self, group: Pid) {
        best_effort(
            tcsetpgrp(self.0.fd(), group),
            "a terminal hung up or closed meanwhile (ENOTTY, EIO) has no foreground to give",
        );
    }

    /// Becomes the foreground again, unless somebody else has taken it from the payload.
    fn take_back(self, payload: Pid) {
        if let Some(own) = group()
            && tcgetpgrp(self.0.fd()) == Ok(payload)
        {
            self.give(own);
        }
    }
}

/// Puts `pid` into a process group of its own. Both sides of the fork do it, so that neither is late.
pub(super) fn own_group(pid: Pid) {
    best_effort(setpgid(Some(pid), Some(pid)), "whoever comes second finds it done (EACCES after the exec)");
}

/// Becomes the payload in a child just forked: its group or session, its signal mask, and then what `exec` makes of it.
pub(super) fn become_payload(
    lead: Lead,
    inherited: SignalSet,
    foreground: Option<Foreground>,
    exec: impl FnOnce() -> Error,
) -> ! {
    let failed = |error: &Error| -> ! {
        console::report(error);
        exit(code_of(error.errno))
    };
    match lead {
        Lead::Group => {
            own_group(getpid());
            if let Some(held) = foreground {
                held.give(getpid());
            }
        }
        Lead::Session => {
            if let Err(errno) = setsid() {
                failed(&Error::new("start a session", errno));
            }
        }
    }
    if let Err(errno) = signal::set_mask(inherited) {
        failed(&Error::new("restore the signal mask", errno));
    }
    failed(&exec())
}

/// The exit code that stands for a program that could not be started.
#[must_use]
pub fn code_of(errno: Errno) -> u8 {
    if errno == Errno::NOENT { 127 } else { 126 }
}
