//! The steps that only an engine's container has: its root is a directory as it is, and it waits for hooks and for its
//! start.

use super::filesystem::{self, propagation_flag};
use super::path::{self, Links};
use super::{State, channel};
use crate::plan::{Report, Step};
use crate::spec::{Process, Propagation};
use crate::sys::mount::{Change, set_attributes};
use crate::sys::{image, schedule};
use core::ffi::CStr;
use linux_raw_sys::general::MS_PRIVATE;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, AtFlags, CWD, OFlags, accessat};
use rustix::io::{Errno, Result, retry_on_intr};
use rustix::mount::{MoveMountFlags, move_mount};
use rustix::net::{SocketFlags, accept_with};

/// Puts a mount of our own over the host directory `staging`, of the directory itself and all below it. What the host
/// mounts there later does not come here.
pub(super) fn bind_root(staging: &CStr) -> Result<OwnedFd> {
    let mount = filesystem::clone_tree(staging, true)?;
    set_attributes(&mount, Change { propagation: MS_PRIVATE.into(), ..Change::default() }, true)?;
    move_mount(&mount, c"", CWD, staging, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(mount)
}

impl State<'_> {
    /// Carries out a step of this file.
    pub(super) fn act_for_engine(&mut self, step: &Step<'_>) -> Result<()> {
        match *step {
            Step::PropagateRoot { propagation, recursive } => propagate(self.root()?, propagation, recursive),
            Step::AwaitHooks => {
                channel::report(self.context.channel.as_fd(), Report::Waiting);
                channel::await_release(self.context.channel.as_fd(), true)
            }
            Step::SetPersonality(domain) => schedule::set_personality(domain),
            Step::SetScheduler(scheduler) => schedule::set_scheduler(&schedule::Attributes {
                policy: scheduler.policy,
                flags: scheduler.flags,
                nice: scheduler.nice,
                priority: scheduler.priority,
                runtime_ns: scheduler.runtime_ns,
                deadline_ns: scheduler.deadline_ns,
                period_ns: scheduler.period_ns,
            }),
            Step::SetIoPriority(priority) => schedule::set_io_priority(priority),
            Step::SetMemoryPolicy(policy) => schedule::set_memory_policy(policy.mode, policy.nodes),
            Step::SetAffinity(cpus) => schedule::set_affinity(cpus),
            Step::FindCommand(command) => find_command(self.root()?, self.context.process, command),
            Step::AwaitStart => self.await_start(),
            _ => self.act_on_entry(step),
        }
    }

    /// Waits until somebody connects. There is no deadline: a container may stand created for days.
    fn await_start(&mut self) -> Result<()> {
        let listener = self.context.start.ok_or(Errno::BADF)?;
        channel::report(self.context.channel.as_fd(), Report::Waiting);
        // As little as possible stands by until then. What keeps some of it costs nothing but memory.
        image::set_sleep_apart().unwrap_or(());
        image::let_go_of_stack();
        retry_on_intr(|| image::sleep(&mut [PollFd::from_borrowed_fd(listener, PollFlags::IN)], None))?;
        self.starter = Some(retry_on_intr(|| accept_with(listener, SocketFlags::CLOEXEC))?);
        Ok(())
    }
}

fn propagate(root: BorrowedFd<'_>, propagation: Propagation, recursive: bool) -> Result<()> {
    let change = Change { propagation: propagation_flag(Some(propagation)).into(), ..Change::default() };
    set_attributes(root, change, recursive)
}

/// Whether the command could be executed by somebody, so that what is missing is told when the container is made and
/// not when it is started. The exec itself has the last word.
fn find_command(root: BorrowedFd<'_>, process: &Process<'_>, command: &CStr) -> Result<()> {
    let name = command.to_bytes();
    if name.contains(&b'/') {
        // From the working directory, where we stand; what is absolute begins at our root, which is the container's.
        return executable(CWD, command);
    }
    let mut answer = Errno::NOENT;
    for directory in process.path.split(|byte| *byte == b':') {
        let directory = if directory.is_empty() { b"." } else { directory };
        let Ok(directory) = path::Prefix::new(directory) else { continue };
        let Ok(directory) =
            path::open(root, directory.as_c_str(), OFlags::PATH | OFlags::DIRECTORY, Links::Follow)
        else {
            continue;
        };
        match executable(directory.as_fd(), command) {
            Ok(()) => return Ok(()),
            Err(Errno::ACCESS) => answer = Errno::ACCESS,
            Err(_) => {}
        }
    }
    Err(answer)
}

fn executable(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    accessat(directory, name, Access::EXEC_OK, AtFlags::EACCESS)
}
