//! A container that is made by one call and started by another: the host's list up to the child that waits.
//!
//! Dangers: whoever returns from here without an error leaves a process behind on purpose; on any other way out the
//! child is ended and its cgroup taken away.

use super::enter::{Target, pid_of};
use super::report::{Heard, hear};
use super::spawn::{Entry, Host, clone, end_process};
use super::supervise::{ENTRY_PATIENCE_MS, Ended, Failure, attend, be_patient, timespec};
use crate::cgroup::group::Group;
use crate::error::{Error, Result};
use crate::plan::{HostStep, Plan};
use crate::spec::Id;
use core::ffi::CStr;
use rustix::event::Timespec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Pid;

/// How long the child may take to the next place where it waits. It is there to end a hang.
const PATIENCE: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// Where the making of a container has come to.
#[derive(Debug)]
pub enum Moment<'m> {
    /// The child exists and may not go on yet.
    Born,
    /// Its root is built and the host's still in sight: the time for hooks.
    Built,
    /// It waits to be started; the master of its terminal, when it was to have one.
    Waiting(&'m mut Option<OwnedFd>),
}

impl Host {
    /// Takes over the cgroup at `path`, which somebody else made for container `id`.
    ///
    /// # Errors
    /// `ENOENT` when there is none.
    pub fn take_group(&mut self, id: &Id, path: &CStr) -> Result<()> {
        self.group = Some(super::group::Group::handed_over(id, path)?);
        Ok(())
    }

    /// Carries out the host's list up to the child that waits to be started, and leaves it there. `seen` is called at
    /// each [`Moment`] with the child's pid and pidfd. Gives the step of the child that failed, if one did.
    ///
    /// # Errors
    /// The first step of the host that failed, or the first error of `seen`.
    pub fn create(
        &mut self,
        plan: &Plan<'_>,
        id: &Id,
        entry: Entry<'_>,
        seen: &mut dyn FnMut(Moment<'_>, Pid, BorrowedFd<'_>) -> Result<()>,
    ) -> Result<Option<Failure>> {
        let done = self.create_steps(plan, id, entry, seen);
        if matches!(done, Ok(None)) {
            self.child = None;
            self.group = None;
        } else {
            self.end_child();
            // What kept the container from being made is the news, not what is left of it.
            self.group.take().map_or(Ok(()), super::group::Group::remove).unwrap_or(());
        }
        done
    }

    /// Waits for the end of `process`, a child of ours that was made here and runs, passing on signals and its terminal.
    ///
    /// # Errors
    /// Those of poll(2), signalfd(2) and waitid(2).
    pub fn attend(&self, process: &OwnedFd, terminal: Option<OwnedFd>) -> Result<Ended> {
        attend(process.as_fd(), terminal)
    }

    fn create_steps(
        &mut self,
        plan: &Plan<'_>,
        id: &Id,
        entry: Entry<'_>,
        seen: &mut dyn FnMut(Moment<'_>, Pid, BorrowedFd<'_>) -> Result<()>,
    ) -> Result<Option<Failure>> {
        let mut terminal = None;
        for (index, step) in plan.host.iter().enumerate() {
            self.pause_before(index);
            let moment = match step {
                HostStep::Clone { namespaces, cgroup } => {
                    self.clone(*namespaces, *cgroup, entry)?;
                    Moment::Born
                }
                HostStep::AwaitSuccessor => {
                    if let Some(failure) = self.follow_child()? {
                        return Ok(Some(failure));
                    }
                    Moment::Born
                }
                HostStep::RunHooks | HostStep::LeaveWaiting => {
                    if let Some(failure) = self.await_child(&mut terminal)? {
                        return Ok(Some(failure));
                    }
                    if *step == HostStep::RunHooks { Moment::Built } else { Moment::Waiting(&mut terminal) }
                }
                _ => {
                    self.prepare(step, id)?;
                    continue;
                }
            };
            let child = self.child()?;
            seen(moment, child.pid, child.pidfd.as_fd())?;
        }
        Ok(None)
    }

    /// Takes the process in which the child goes on for it. Gives the step that failed, if one did.
    fn follow_child(&mut self) -> Result<Option<Failure>> {
        const STAGE: &str = "enter the user namespace";
        let pidfd = match hear(self.child()?.channel.as_fd(), &PATIENCE)? {
            Heard::Inside(pidfd) => pidfd,
            Heard::Failed(failure) => return Ok(Some(failure)),
            Heard::End => return Err(Error::new(STAGE, Errno::CHILD)),
            Heard::Terminal(_) | Heard::Waiting | Heard::Listener(_) => {
                return Err(Error::new(STAGE, Errno::BADMSG));
            }
        };
        let child = self.child.as_mut().ok_or(Error::new(STAGE, Errno::CHILD))?;
        // It has told all, and ends.
        end_process(&core::mem::replace(&mut child.pidfd, pidfd));
        child.pid = pid_of(&child.pidfd)?;
        Ok(None)
    }

    /// Waits until the child waits.
    fn await_child(&self, terminal: &mut Option<OwnedFd>) -> Result<Option<Failure>> {
        loop {
            match hear(self.child()?.channel.as_fd(), &PATIENCE)? {
                Heard::Waiting => return Ok(None),
                Heard::Failed(failure) => return Ok(Some(failure)),
                Heard::Terminal(master) => *terminal = Some(master),
                Heard::Inside(_) | Heard::Listener(_) => {
                    return Err(Error::new("prepare the container", Errno::BADMSG));
                }
                Heard::End => return Err(Error::new("prepare the container", Errno::CHILD)),
            }
        }
    }
}

/// Waits on `connection` to a child that was asked to start until it has executed its command. Gives the step that
/// failed, if one did. The listener of a filter that asks is given to `asked`, at once: the exec may wait for it.
///
/// # Errors
/// Those of hearing from it and of `asked`.
pub fn start_waiting(
    connection: BorrowedFd<'_>,
    asked: &mut dyn FnMut(OwnedFd) -> Result<()>,
) -> Result<Option<Failure>> {
    loop {
        match hear(connection, &PATIENCE)? {
            Heard::End => return Ok(None),
            Heard::Failed(failure) => return Ok(Some(failure)),
            Heard::Listener(listener) => asked(listener)?,
            Heard::Terminal(_) | Heard::Waiting | Heard::Inside(_) => {
                return Err(Error::new("start the container", Errno::BADMSG));
            }
        }
    }
}

/// Takes the listener of the filter of a process, and its pidfd.
pub type Asked<'a> = &'a mut dyn FnMut(OwnedFd, &OwnedFd) -> Result<()>;

/// A further process in a container, once it has executed its command.
#[derive(Debug)]
pub struct Entered {
    /// The process.
    pub pidfd: OwnedFd,
    /// The master of its terminal, when it was to have one.
    pub terminal: Option<OwnedFd>,
}

impl Host {
    /// Carries out the host's list of a plan to enter `target` for an engine: the process becomes our child, and is left
    /// to run. Gives the step that failed, if one did. `asked` is given the listener of a filter that asks, and the
    /// process's pidfd.
    ///
    /// # Errors
    /// The first step of the host that failed, and those of `asked`.
    pub fn enter_alone(
        &mut self,
        plan: &Plan<'_>,
        target: Target,
        entry: Entry<'_>,
        asked: Asked<'_>,
    ) -> Result<core::result::Result<Entered, Failure>> {
        let (files, group) = target.into_parts();
        let cgroup = plan.host.iter().any(|step| matches!(step, HostStep::Clone { cgroup: true, .. }));
        let group = group.as_ref().filter(|_| cgroup);
        let child = self.child.insert(clone(0, group.map(AsFd::as_fd), &files, &[], entry)?);
        let mut inside = None;
        let heard = follow(child.channel.as_fd(), group, &mut inside, asked);
        // The scout has ended by itself, or is to.
        self.end_child();
        if let Some(process) = inside {
            // Ours to end and to reap: a container whose dead are not reaped does not end.
            end_process(&process);
        }
        heard
    }
}

/// Listens until the process that enters has executed its command. One that has not is left in `inside`.
fn follow(
    channel: BorrowedFd<'_>,
    group: Option<&Group>,
    inside: &mut Option<OwnedFd>,
    asked: Asked<'_>,
) -> Result<core::result::Result<Entered, Failure>> {
    const STAGE: &str = "enter the container";
    let (mut terminal, mut asking, mut silent_ms) = (None, None, 0);
    loop {
        // Who tells of the process and who is it run side by side: either can be heard first.
        if let Some(process) = inside.as_ref()
            && let Some(listener) = asking.take()
        {
            asked(listener, process)?;
        }
        let heard = match hear(channel, &timespec(ENTRY_PATIENCE_MS)) {
            Err(error) if error.errno == Errno::TIMEDOUT => {
                silent_ms = ENTRY_PATIENCE_MS.saturating_add(silent_ms);
                be_patient(group, silent_ms)?;
                continue;
            }
            heard => heard?,
        };
        silent_ms = 0;
        match heard {
            Heard::Inside(process) => *inside = Some(process),
            Heard::Terminal(master) => terminal = Some(master),
            Heard::Failed(failure) => return Ok(Err(failure)),
            Heard::Listener(listener) if asking.is_none() => asking = Some(listener),
            Heard::End => {
                let pidfd = inside.take().ok_or(Error::new(STAGE, Errno::CHILD))?;
                return Ok(Ok(Entered { pidfd, terminal }));
            }
            Heard::Waiting | Heard::Listener(_) => return Err(Error::new(STAGE, Errno::BADMSG)),
        }
    }
}
