//! A process that does nothing, to keep alive what somebody makes around a process: a unit of systemd.
//!
//! Dangers: it is a copy of ours, so it ends when we do and holds nothing that is not close-on-exec beyond that.

use super::spawn::end_process;
use crate::cgroup::hierarchy::{OwnPath, find, path_of};
use crate::error::{Error, Result, Stage};
use crate::sys::process::{Side, clone, exit};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, set_parent_process_death_signal};

/// The process; it ends when this goes.
#[derive(Debug)]
pub struct Placeholder {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Placeholder {
    /// Makes it.
    ///
    /// # Errors
    /// Those of clone3(2).
    pub fn new() -> Result<Self> {
        match clone(0, None).stage("make a placeholder")? {
            Side::Parent(pid, pidfd) => Ok(Self { pid, pidfd }),
            Side::Child => {
                if set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
                    exit(1);
                }
                loop {
                    rustix::event::pause();
                }
            }
        }
    }

    /// Its id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The cgroup that it is in now, from the root of the hierarchy that we see.
    ///
    /// # Errors
    /// `ENOENT` without a hierarchy, and as [`path_of`].
    pub fn cgroup(&self) -> Result<OwnPath> {
        let found = find()?;
        let missing = Error::new("find a cgroup v2 hierarchy", Errno::NOENT);
        found.hierarchy().ok_or(missing)?.below(&path_of(self.pid)?)
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        end_process(&self.pidfd);
    }
}
