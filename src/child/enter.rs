//! Into a running container, and the reaper that stays there as long as what was started.
//!
//! Dangers: a container can list its processes and, with the right to trace, look into them. So a process of ours
//! that is born inside its pid namespace has the container's root and no descriptor of the host's but the socket, and
//! cannot be dumped; the reaper has no rights at all.

use super::{FAILED, State, channel, device, path, program};
use crate::init::supervise::code_of;
use crate::plan::{Report, Step};
use crate::sys::process::{self, Side, join_new_session_keyring};
use crate::sys::signal::{Action, SignalSet, receive, set_action, signalfd};
use crate::sys::spawn::close_everything;
use core::ffi::CStr;
use linux_raw_sys::general::CLONE_PARENT;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, Result};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use rustix::thread::{
    CapabilitySet, CapabilitySets, LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space,
    move_into_thread_name_spaces, set_capabilities,
};

const SIGCHLD: i32 = 17;

impl State<'_> {
    /// The steps of a process that enters.
    pub(super) fn act_on_entry(&mut self, step: &Step<'_>) -> Result<()> {
        match *step {
            Step::ShieldProgramApart => {
                self.own = program::shield_apart()?;
                Ok(())
            }
            Step::EnterNamespaces(flags) => self.enter_namespaces(flags),
            Step::OpenFurtherTerminal(size) => {
                let slave = super::terminal::open_further(self.root()?, size, self.context.channel.as_fd())?;
                self.terminal = Some(slave);
                Ok(())
            }
            Step::GoTo(path) => self.go_to(path),
            Step::CloseOutput => device::close_output(self.root()?),
            Step::AppearInside => {
                appear_inside(self.context.channel.as_fd(), 0)?;
                // The process that ends now is left with the last one, and nobody waits for it yet.
                self.own = None;
                Ok(())
            }
            Step::EnterUserNamespace { namespaces, .. } => {
                let file = self.context.namespaces.first().ok_or(Errno::BADF)?;
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::User))?;
                appear_inside(self.context.channel.as_fd(), namespaces)
            }
            Step::StayAsReaper { attached } => self.stay_as_reaper(attached),
            // Every step stands in one of the lists; a plan with another one cannot be carried out.
            _ => Err(Errno::NOSYS),
        }
    }

    fn enter_namespaces(&mut self, flags: u64) -> Result<()> {
        // Ours are reaped by the kernel, those of the reaper are not.
        set_action(SIGCHLD, Action::Default)?;
        program::hide()?;
        let target = self.context.namespaces.first().ok_or(Errno::BADF)?;
        let flags = u32::try_from(flags).map_err(|_| Errno::INVAL)?;
        move_into_thread_name_spaces(target.as_fd(), ThreadNameSpaceType::from_bits_retain(flags))?;
        // Entering a mount namespace makes its root ours.
        let root = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.root = Some(openat(CWD, c"/", root, Mode::empty())?);
        Ok(())
    }

    /// Goes to a directory that is there, resolved inside and without links of `/proc`.
    fn go_to(&self, path: &CStr) -> Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        rustix::process::fchdir(path::open(self.root()?, path, flags, path::Links::Follow)?)
    }

    /// Returns in a child; the parent stays until its last child has ended, and exits.
    fn stay_as_reaper(&mut self, attached: bool) -> Result<()> {
        let host = self.context.channel.as_fd();
        set_child_subreaper(Some(getpid()))?;
        match process::clone(0, None)? {
            Side::Child => Ok(()),
            Side::Parent(command, pidfd) => reap(host, attached, command, pidfd),
        }
    }
}

/// Goes on in a sibling, which has entered the pid namespace by its birth, and these new ones.
fn appear_inside(host: BorrowedFd<'_>, namespaces: u64) -> Result<()> {
    // Becoming another user can make a process dumpable again (prctl(2), fs.suid_dumpable).
    program::hide()?;
    match process::clone(u64::from(CLONE_PARENT) | namespaces, None)? {
        Side::Child => Ok(()),
        Side::Parent(_, reaper) => {
            let told = channel::send_descriptor(host, Report::Inside, reaper.as_fd());
            process::exit(if told.is_ok() { 0 } else { FAILED })
        }
    }
}

/// Tells the host of the command, lets go of everything, and reaps. Tells how the command ended, and ends with the last
/// of those that it left.
fn reap(host: BorrowedFd<'_>, attached: bool, command: Pid, pidfd: OwnedFd) -> ! {
    let none = CapabilitySet::empty();
    let nothing = CapabilitySets { effective: none, permitted: none, inheritable: none };
    let told = channel::send_descriptor(host, Report::Started, pidfd.as_fd());
    let ready = told.and(set_capabilities(None, nothing)).and(signalfd(SignalSet::EMPTY.with(SIGCHLD)));
    let tell = |code, last| channel::report(host, Report::Exited { code, last });
    let Ok(ended) = ready else {
        // Our end takes the command along.
        tell(FAILED, true);
        process::exit(FAILED)
    };
    // Where there are no keyrings, or a filter lets nobody have another one, there is none of the host's either.
    join_new_session_keyring().unwrap_or(());
    // They belong to this process, which closes all of them.
    core::mem::forget(pidfd);
    let (own, both) = ([ended.as_fd()], [ended.as_fd(), host]);
    close_everything(if attached { &both } else { &own });
    let (mut listening, mut code) = (attached.then_some(host), None);
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == command => code = Some(code_of(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Err(_) => {
                if listening.is_some() {
                    tell(code.unwrap_or(FAILED), true);
                }
                process::exit(0)
            }
            Ok(None) => {
                if let (Some(code), Some(_)) = (code, listening.take_if(|_| code.is_some())) {
                    tell(code, false);
                    close_everything(&own);
                }
                sleep(ended.as_fd(), &mut listening, command);
            }
        }
    }
}

/// Sleeps until a child has ended. When the host ends first, so does the command.
fn sleep(ended: BorrowedFd<'_>, host: &mut Option<BorrowedFd<'_>>, command: Pid) {
    let mut both = [ended, host.unwrap_or(ended)].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    // EINTR and ENOMEM alike lead to another look at the children.
    if poll(&mut both, None).is_err() {
        return;
    }
    while matches!(receive(ended), Ok(Some(_))) {}
    if host.is_some() && both.last().is_some_and(|host| !host.revents().is_empty()) {
        *host = None;
        // It is our child, not reaped yet: the id is its own.
        kill_process(command, Signal::KILL).unwrap_or(());
    }
}
