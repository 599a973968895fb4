//! Who serves a container that runs in the background, in the same loop that waits for its end.
//!
//! Duty: the face between the loop, which knows processes and cgroups, and a program that keeps logs, answers requests
//! and watches clocks. It does nothing itself.

use super::group::Group;
use crate::error::{Error, Result, Stage};
use crate::sys;
use linux_raw_sys::general::SIGKILL;
use rustix::event::PollFlags;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;

/// Most descriptors that an attendant waits on.
pub const ATTENDED: usize = 24;

/// The descriptors that an attendant waits on, each with what for.
pub type Sources<'s> = heapless::Vec<(BorrowedFd<'s>, PollFlags), ATTENDED>;

/// Serves a container while it runs. An error from any of these ends the container.
pub trait Attendant {
    /// The container's command has been executed.
    ///
    /// # Errors
    /// The attendant's own.
    fn executed(&mut self) -> Result<()>;

    /// Takes over the container's terminal: its output is to be read, until that fails with `EIO`. Not asked of one in
    /// the foreground.
    ///
    /// # Errors
    /// The attendant's own.
    fn take_terminal(&mut self, master: OwnedFd) -> Result<()> {
        drop(master);
        Ok(())
    }

    /// What to wait for. What does not fit is not waited for.
    fn sources<'s>(&'s self, sources: &mut Sources<'s>);

    /// How long to wait at most, in milliseconds.
    fn patience_ms(&self) -> Option<u64>;

    /// Deals with what came: `ready` are the answers for what [`Self::sources`] gave, in its order. Called after every
    /// wait, also when nothing came.
    ///
    /// # Errors
    /// The attendant's own.
    fn serve(&mut self, ready: &[PollFlags], reach: &Reach<'_>) -> Result<()>;

    /// The kernel has killed processes of the container for want of memory, so many until now.
    fn out_of_memory(&mut self, _kills: u64) {}

    /// What connected the container to the network has died; it goes on without.
    fn disconnected(&mut self) {}

    /// Nothing has happened for a while: gives back memory that is not needed.
    fn rest(&mut self) {}

    /// The container has ended: reads what it wrote last.
    ///
    /// # Errors
    /// The attendant's own.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A running container, as its attendant can act on it.
pub struct Reach<'a> {
    pub(super) process: BorrowedFd<'a>,
    pub(super) group: Option<&'a Group>,
}

impl Reach<'_> {
    /// Sends a signal to its first process; one that is gone needs none.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn send(&self, signal: i32) -> Result<()> {
        match sys::signal::send(self.process, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(Error::new("pass on a signal", errno)),
        }
    }

    /// Kills everything in it, also what stands still.
    ///
    /// # Errors
    /// `ETIMEDOUT` when the kernel did not do so in ten seconds.
    pub fn kill(&self) -> Result<()> {
        self.send(SIGKILL as i32)?;
        self.group.map_or(Ok(()), Group::kill)
    }

    /// Makes all its processes stand still, or go on.
    ///
    /// # Errors
    /// `ENOENT` without a cgroup, `ETIMEDOUT` after ten seconds.
    pub fn freeze(&self, on: bool) -> Result<()> {
        match self.group {
            Some(group) => group.freeze(on),
            None => Err(Errno::NOENT).stage("freeze a container without a cgroup"),
        }
    }
}
