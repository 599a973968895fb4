//! The end of a group: freeze, kill, wait until empty, remove.
//!
//! All of it can be repeated: a group that is gone has no processes and is removed. `cgroup.kill` also reaches frozen
//! processes and those that fork meanwhile. A process in uninterruptible sleep outlives every deadline.

use super::deadline::Deadline;
use super::group::Group;
use super::resolve::{self, DIRECTORY, NAME_CAPACITY};
use super::watch::{Occupancy, Watch};
use crate::error::{Error, Result, Stage};
use core::ops::ControlFlow;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Mode, openat, unlinkat};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// How often a group without `cgroup.kill` is gone through for new processes, and how often an empty group is tried
/// again that the kernel still holds.
const RETRY_MS: u64 = 5;

impl Group {
    /// Stops every process in and below this group, and waits until all stand still.
    ///
    /// # Errors
    /// `ETIMEDOUT` when some did not stop before `deadline`: the rest stand still until [`Group::thaw`].
    pub fn freeze(&self, deadline: Deadline) -> Result<()> {
        self.put("cgroup.freeze", b"1").stage("freeze the cgroup")?;
        self.settle(deadline, &|now| now.frozen).map(|_| ())
    }

    /// Lets the processes of a frozen group go on. A group below a frozen one stays as it is until that is thawed.
    ///
    /// # Errors
    /// `ETIMEDOUT` when it still was frozen at `deadline`.
    pub fn thaw(&self, deadline: Deadline) -> Result<()> {
        self.put("cgroup.freeze", b"0").stage("thaw the cgroup")?;
        self.settle(deadline, &|now| !now.frozen).map(|_| ())
    }

    /// Whether this group holds processes and stands still.
    ///
    /// # Errors
    /// As [`Watch::open`] and [`Watch::read`].
    pub fn occupancy(&self) -> Result<Occupancy> {
        Watch::open(self)?.read()
    }

    /// Waits until no live process is in or below this group.
    ///
    /// # Errors
    /// `ETIMEDOUT` when there still was one at `deadline`.
    pub fn wait_empty(&self, deadline: Deadline) -> Result<()> {
        self.unless_gone(self.settle(deadline, &|now| !now.populated).map(|_| ()))
    }

    fn settle(&self, deadline: Deadline, done: &dyn Fn(&Occupancy) -> bool) -> Result<Occupancy> {
        Watch::open(self)?.wait_until(deadline, done)
    }

    /// Sends SIGKILL to every process in and below this group, without waiting for their ends. Before Linux 5.14
    /// it goes through the processes one by one until none is left, or fails with `ETIMEDOUT` at `deadline`.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a threaded group, `EACCES` without the right to write to it.
    pub fn kill(&self, deadline: Deadline) -> Result<()> {
        match self.put("cgroup.kill", b"1") {
            Err(Errno::NOENT) => self.unless_gone(self.kill_each(deadline)),
            other => self.unless_gone(other.stage("kill the cgroup")),
        }
    }

    /// What [`Group::kill`] does on a kernel without `cgroup.kill`. Frozen processes neither fork nor end, so an id
    /// read stays that process's, save when someone else kills it in between.
    pub(super) fn kill_each(&self, deadline: Deadline) -> Result<()> {
        let watch = Watch::<Occupancy>::open(self)?;
        self.put("cgroup.freeze", b"1").stage("freeze the cgroup")?;
        let mut outcome = Ok(());
        while outcome.is_ok() && watch.read()?.populated {
            outcome = self.visit(&mut kill_members);
            outcome = outcome.and_then(|()| deadline.pause_ms(RETRY_MS).stage("kill the cgroup"));
        }
        outcome.and(self.put("cgroup.freeze", b"0").stage("thaw the cgroup"))
    }

    /// Removes the group `name` below this one and all groups below that. Waits for processes on their way out; kills
    /// none.
    ///
    /// # Errors
    /// `ETIMEDOUT` when processes were left at `deadline`, `EINVAL` for a name that is not one component, `EACCES`
    /// without the right. A group that is not there is no error.
    pub fn remove(&self, name: &[u8], deadline: Deadline) -> Result<()> {
        if !resolve::is_component(name) {
            return Err(Error::on(REMOVE, name, Errno::INVAL));
        }
        while !remove_one(self, name)? {
            let group = match self.open(name) {
                Err(error) if error.errno == Errno::NOENT => return Ok(()),
                other => other?,
            };
            if first_child(&group)?.is_some() {
                remove_below(group, deadline)?;
            } else {
                group.await_release(name, deadline)?;
            }
        }
        Ok(())
    }

    /// Removes the group `name` below this one if the kernel lets go of it: `false` when it is busy, with children, with
    /// processes, or for a moment more in the kernel. One that is not there is gone.
    ///
    /// # Errors
    /// `EINVAL` for a name that is not one component, `EACCES` without the right.
    pub fn remove_at_once(&self, name: &[u8]) -> Result<bool> {
        if resolve::is_component(name) {
            remove_one(self, name)
        } else {
            Err(Error::on(REMOVE, name, Errno::INVAL))
        }
    }

    /// Waits until a group without children, which rmdir(2) called busy, is worth another try.
    fn await_release(&self, name: &[u8], deadline: Deadline) -> Result<()> {
        if deadline.left_ms() == 0 {
            return Err(Error::on(REMOVE, name, Errno::TIMEDOUT));
        }
        let waited = match self.occupancy() {
            Ok(now) if now.populated => self.wait_empty(deadline),
            Ok(_) => deadline.pause_ms(RETRY_MS).stage(REMOVE),
            Err(error) => Err(error),
        };
        self.unless_gone(waited)
            .map_err(|error| Error::on("wait for the processes of the cgroup", name, error.errno))
    }

    /// Takes the answers of a group that was removed for success: nothing is left to be done there.
    fn unless_gone(&self, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if matches!(error.errno, Errno::NOENT | Errno::NODEV) && self.is_gone() => Ok(()),
            other => other,
        }
    }
}

const REMOVE: &str = "remove the cgroup";

/// Removes every group below `top`, however deep, with constant memory: down to a leaf, removed from its parent.
fn remove_below(top: Group, deadline: Deadline) -> Result<()> {
    let mut here = top;
    let mut depth = 0_usize;
    loop {
        let Some(name) = first_child(&here)? else {
            let Some(less) = depth.checked_sub(1) else { return Ok(()) };
            // cgroup v2 has no rename, so the parent is the one we came from.
            let parent = openat(here.as_fd(), c"..", DIRECTORY, Mode::empty()).stage(REMOVE)?;
            (here, depth) = (Group::from_directory(parent), less);
            continue;
        };
        if deadline.left_ms() == 0 {
            return Err(Error::on(REMOVE, &name, Errno::TIMEDOUT));
        }
        if remove_one(&here, &name)? {
            continue;
        }
        match here.open(&name) {
            Err(error) if error.errno == Errno::NOENT => {}
            Err(error) => return Err(error),
            Ok(child) if first_child(&child)?.is_some() => (here, depth) = (child, depth.saturating_add(1)),
            Ok(child) => child.await_release(&name, deadline)?,
        }
    }
}

/// Removes one group; [`Group::remove_at_once`] for a name that is known to be one component.
fn remove_one(parent: &Group, name: &[u8]) -> Result<bool> {
    match unlinkat(parent.as_fd(), name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::BUSY | Errno::NOTEMPTY) => Ok(false),
        Err(errno) => Err(Error::on(REMOVE, name, errno)),
    }
}

fn first_child(group: &Group) -> Result<Option<heapless::Vec<u8, NAME_CAPACITY>>> {
    let mut first = None;
    group.children(&mut |name| {
        first = heapless::Vec::from_slice(name).ok();
        Ok(if first.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(first)
}

/// Sends SIGKILL to the processes in `group` itself.
fn kill_members(group: &Group) -> Result<()> {
    let sent = group.processes(&mut kill_one).and_then(|hidden| match hidden {
        0 => Ok(()),
        _ => Err(Error::new("kill processes outside of our pid namespace", Errno::SRCH)),
    });
    group.unless_gone(sent)
}

fn kill_one(pid: Pid) -> Result<()> {
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(Error::new("kill a process of the cgroup", errno)),
    }
}
