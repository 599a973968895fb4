//! The self-check: before anything of the container runs, what the plan promised is looked at from inside.
//!
//! Duty: find what our own steps, or the kernel in them, did otherwise than planned, and refuse to go on. It mends
//! nothing. Every mount we make is noted by its id; whatever else is seen in the container's own list of mounts, or lies
//! where a mask should, is not ours.

use super::State;
use super::filesystem::{ABOVE_ROOT, mount_id};
use crate::cgroup::line;
use crate::plan::{STEPS, Step};
use crate::spec::{Capabilities, Process};
use crate::sys::defence::Defence;
use crate::sys::memory;
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, Result};

/// Longest line that is read; of a longer one the beginning tells enough.
const LINE_CAPACITY: usize = 2048;

/// Most mounts that are noted: one a step, and one for each CPU's counters.
const MOST: usize = STEPS + super::MOST_CPUS as usize;

/// What may lie on a mount that we made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but other mounts of ours.
    Plain = 1,
    /// What the host has below it.
    Deep = 2,
    /// The same; and it hides or closes something.
    Cover = 3,
}

/// The mounts that we made: ids, which have 31 bits, each with its kind in the two lowest bits.
pub(super) struct Mounted {
    /// Room for all; none before the first.
    room: &'static mut [u64],
    /// How many there are.
    count: usize,
}

impl Mounted {
    /// None.
    pub(super) const fn new() -> Self {
        Self { room: &mut [], count: 0 }
    }

    /// Notes the mount of `fd`, which is attached by now.
    ///
    /// # Errors
    /// As [`Self::add`], and those of statx(2).
    pub(super) fn note<Fd: AsFd>(&mut self, fd: Fd, kind: Kind) -> Result<()> {
        self.add(mount_id(fd, c"")?, kind)
    }

    /// Notes the mount of this id.
    ///
    /// # Errors
    /// `ENOBUFS` when there are too many, `ENOMEM`.
    pub(super) fn add(&mut self, id: u64, kind: Kind) -> Result<()> {
        if self.room.is_empty() {
            self.room = memory::reserve(MOST)?;
        }
        *self.room.get_mut(self.count).ok_or(Errno::NOBUFS)? = id << 2 | kind as u64;
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    fn kind(&self, id: u64) -> Option<Kind> {
        let known = self.room.iter().take(self.count).rfind(|known| **known >> 2 == id)?;
        [Kind::Plain, Kind::Deep, Kind::Cover].into_iter().find(|kind| *kind as u64 == known & 3)
    }

    /// Reads the list of mounts (proc_pid_mountinfo(5)): each is one of ours, or lies below one that brought some along.
    fn judge(&mut self, list: OwnedFd) -> Result<()> {
        let mut lines = line::of_file::<_, LINE_CAPACITY>(list);
        while let Some(line) = lines.next()? {
            let mut fields = line.text.split(|byte| *byte == b' ').map(|field| number(field, 10));
            let (Some(Some(id)), Some(Some(parent))) = (fields.next(), fields.next()) else {
                return Err(Errno::BADMSG);
            };
            if self.kind(id).is_some() {
                continue;
            }
            match self.kind(parent) {
                Some(Kind::Deep | Kind::Cover) => self.add(id, Kind::Deep)?,
                Some(Kind::Plain) | None => return Err(Errno::XDEV),
            }
        }
        Ok(())
    }
}

impl State<'_> {
    /// Looks whether the root is the one that was built, with nothing over it, whether every mount in sight was
    /// planned, and whether every mask and read-only cover is what is found at its path.
    ///
    /// # Errors
    /// `EBUSY` for a root that is not ours or is covered, `EXDEV` for a mount that was not planned, `ESTALE` for a path
    /// that is not covered.
    pub(super) fn verify_root(&mut self) -> Result<()> {
        if !Defence::SelfCheck.stands() {
            return Ok(());
        }
        let bound = self.context.plan.child.iter().any(|step| matches!(step, Step::BindRoot { .. }));
        let root = self.root.as_ref().ok_or(Errno::BADF)?;
        let own = mount_id(root, c"")?;
        if [c"/", ABOVE_ROOT].into_iter().any(|path| mount_id(CWD, path) != Ok(own)) {
            return Err(Errno::BUSY);
        }
        self.mounted.add(own, if bound { Kind::Deep } else { Kind::Plain })?;
        self.mounted.judge(self.open_own(c"self/mountinfo")?)?;
        for step in &self.context.plan.child {
            if let Step::Mask(path) | Step::MakeReadOnly(path) = step {
                match mount_id(CWD, path) {
                    Ok(id) if self.mounted.kind(id) == Some(Kind::Cover) => {}
                    Err(Errno::NOENT | Errno::NOTDIR) => {}
                    Ok(_) => return Err(Errno::STALE),
                    Err(errno) => return Err(errno),
                }
            }
        }
        // Under the filter to come, reading is all that can be relied on.
        self.status = Some(self.open_own(c"self/status")?);
        Ok(())
    }

    /// Opens a file of our own procfs.
    fn open_own(&self, path: &CStr) -> Result<OwnedFd> {
        let proc = self.proc.as_ref().ok_or(Errno::NOENT)?;
        openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Looks whether capabilities, no_new_privs and the filter are what was planned, by what the kernel says of this
    /// process in `/proc/self/status` (proc_pid_status(5)).
    ///
    /// # Errors
    /// `EPERM` when they are not, `EBADMSG` when it does not say.
    pub(super) fn verify_process(&mut self) -> Result<()> {
        if !Defence::SelfCheck.stands() {
            return Ok(());
        }
        let status = self.status.take().ok_or(Errno::BADF)?;
        let expected = expected(self.context.process);
        let mut lines = line::of_file::<_, LINE_CAPACITY>(status);
        let mut seen = 0_usize;
        while let Some(line) = lines.next()? {
            let known =
                expected.iter().find_map(|(name, rule)| Some((*rule, line.text.strip_prefix(*name)?)));
            let Some((rule, text)) = known else { continue };
            let value = number(text, 16).ok_or(Errno::BADMSG)?;
            let holds = match rule {
                Rule::AtMost(bits) => value & !bits == 0,
                Rule::Is(wanted) => value == wanted,
                Rule::Whatever => true,
            };
            if !holds {
                return Err(Errno::PERM);
            }
            seen = seen.saturating_add(1);
        }
        if seen == expected.len() { Ok(()) } else { Err(Errno::BADMSG) }
    }
}

/// What a number must be.
#[derive(Clone, Copy)]
enum Rule {
    /// No bit but these.
    AtMost(u64),
    Is(u64),
    Whatever,
}

fn expected(process: &Process<'_>) -> [(&'static [u8], Rule); 7] {
    // SECCOMP_MODE_FILTER, linux/seccomp.h
    const FILTER: u64 = 2;
    let Capabilities { bounding, effective, permitted, inheritable, ambient, .. } = process.capabilities;
    let when = |asked: bool, value: u64| if asked { Rule::Is(value) } else { Rule::Whatever };
    [
        (b"CapInh:\t", Rule::AtMost(inheritable.0)),
        (b"CapPrm:\t", Rule::AtMost(permitted.0)),
        (b"CapEff:\t", Rule::AtMost(effective.0)),
        (b"CapBnd:\t", Rule::AtMost(bounding.0)),
        (b"CapAmb:\t", Rule::AtMost(ambient.0)),
        (b"NoNewPrivs:\t", when(process.no_new_privileges, 1)),
        (b"Seccomp:\t", when(process.filter.is_some(), FILTER)),
    ]
}

/// The number that `digits` are in this base; `None` for anything else, or one too large.
fn number(digits: &[u8], base: u8) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let value = char::from(*digit).to_digit(base.into())?;
        sum.checked_mul(base.into())?.checked_add(value.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_whole() {
        assert_eq!(number(b"00000000a80425fb", 16), Some(0xa804_25fb));
        assert_eq!(number(b"4294967296", 10), Some(1 << 32));
        for bad in [&b""[..], b"x", b"1 ", b"ffffffffffffffff1"] {
            assert_eq!(number(bad, 16), None);
        }
    }
}
