//! The event files of a group: counters and states that can be polled.

use super::deadline::Deadline;
use super::group::Group;
use super::line;
use super::read::keyed;
use crate::error::{Error, Result};
use core::marker::PhantomData;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::{Errno, pread};

/// What a flat keyed event file tells.
pub trait Events: Default {
    /// The file's name.
    const FILE: &'static str;
    /// Takes one line; keys not known are left out.
    fn take(&mut self, key: &[u8], value: u64);
}

/// `cgroup.events`: whether processes are in a group or below it, and whether all of them stand still.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Occupancy {
    /// A live process is in the group or below it.
    pub populated: bool,
    /// The group is frozen as a whole.
    pub frozen: bool,
}

impl Events for Occupancy {
    const FILE: &'static str = "cgroup.events";

    fn take(&mut self, key: &[u8], value: u64) {
        match key {
            b"populated" => self.populated = value != 0,
            b"frozen" => self.frozen = value != 0,
            _ => {}
        }
    }
}

/// `memory.events`: how often memory limits of a group and those below it were met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryEvents {
    /// Memory below `memory.low` was reclaimed all the same.
    pub low: u64,
    /// `memory.high` throttled it.
    pub high: u64,
    /// `memory.max` was about to be exceeded.
    pub max: u64,
    /// The limit was reached and nothing could be reclaimed.
    pub oom: u64,
    /// Processes killed for want of memory, whoever's limit it was.
    pub oom_kill: u64,
    /// Kills of a whole group (Linux 5.17).
    pub oom_group_kill: u64,
}

impl Events for MemoryEvents {
    const FILE: &'static str = "memory.events";

    fn take(&mut self, key: &[u8], value: u64) {
        match key {
            b"low" => self.low = value,
            b"high" => self.high = value,
            b"max" => self.max = value,
            b"oom" => self.oom = value,
            b"oom_kill" => self.oom_kill = value,
            b"oom_group_kill" => self.oom_group_kill = value,
            _ => {}
        }
    }
}

/// `memory.events.local`: the same for the group alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LocalMemoryEvents(
    /// The counters.
    pub MemoryEvents,
);

impl Events for LocalMemoryEvents {
    const FILE: &'static str = "memory.events.local";

    fn take(&mut self, key: &[u8], value: u64) {
        self.0.take(key, value);
    }
}

/// `pids.events`: how often `pids.max` refused a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PidsEvents {
    /// Refused forks: of this group's tasks before Linux 6.11, through this group's or a lower limit since.
    pub max: u64,
}

impl Events for PidsEvents {
    const FILE: &'static str = "pids.events";

    fn take(&mut self, key: &[u8], value: u64) {
        if key == b"max" {
            self.max = value;
        }
    }
}

/// An open event file. Its descriptor is ready for `POLLPRI` when the file changed after it was last read.
#[derive(Debug)]
pub struct Watch<E> {
    file: OwnedFd,
    events: PhantomData<E>,
}

impl<E> AsFd for Watch<E> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl<E: Events> Watch<E> {
    /// Opens the event file of `group`.
    ///
    /// # Errors
    /// `ENOENT` when the group is gone or lacks the controller; the root has no event files.
    pub fn open(group: &Group) -> Result<Self> {
        let file = group.open_file(E::FILE, OFlags::RDONLY);
        file.map(|file| Self { file, events: PhantomData })
            .map_err(|errno| Error::named("watch the cgroup file", E::FILE, errno))
    }

    /// Reads what the file says now.
    ///
    /// # Errors
    /// `ENODEV` when the group is gone, `EBADMSG` for text that is no event file.
    pub fn read(&self) -> Result<E> {
        let failed = |errno| Error::named("read the cgroup file", E::FILE, errno);
        let mut offset = 0_u64;
        let mut lines = line::Lines::<_, 128>::new(|buffer: &mut [u8]| {
            let got = pread(&self.file, buffer, offset)?;
            offset = offset.saturating_add(got as u64);
            Ok(got)
        });
        let mut events = E::default();
        while let Some(line) = lines.next().map_err(failed)? {
            let (key, value) = keyed(line.text).filter(|_| line.whole).ok_or(failed(Errno::BADMSG))?;
            events.take(key, value);
        }
        Ok(events)
    }

    /// Waits until the file says something for which `done` holds.
    ///
    /// # Errors
    /// `ETIMEDOUT` after `deadline`, and as [`Watch::read`].
    pub fn wait_until(&self, deadline: Deadline, done: &dyn Fn(&E) -> bool) -> Result<E> {
        loop {
            let events = self.read()?;
            if done(&events) {
                return Ok(events);
            }
            deadline
                .wait_for_change(self.as_fd())
                .map_err(|errno| Error::named("wait for the cgroup file", E::FILE, errno))?;
        }
    }
}
