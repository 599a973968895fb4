//! Landlock: a process gives up access to paths for good (landlock(7)).

use super::arch::syscall;
use core::mem::size_of;
use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Result;

/// `LANDLOCK_ACCESS_FS_*` of linux/landlock.h: what reading and executing a file needs.
pub const READ_FILE: u64 = 1 << 0 | 1 << 2;
/// What reading a directory needs.
pub const READ_DIRECTORY: u64 = 1 << 3;
/// What changing a file needs, as far as version 1 of the interface knows it.
pub const WRITE_FILE: u64 = 1 << 1;
/// What changing a directory needs there.
pub const WRITE_DIRECTORY: u64 = 0x1ff0;
/// Moving between directories, known since version 2; until then it is forbidden to everybody.
pub const REFER: u64 = 1 << 13;
/// Truncating a file, known since version 3; until then nobody can be kept from it.
pub const TRUNCATE: u64 = 1 << 14;

/// Version of the kernel's interface; 0 where there is none, or it is not switched on.
#[must_use]
pub fn version() -> u32 {
    // LANDLOCK_CREATE_RULESET_VERSION, linux/landlock.h
    const VERSION: usize = 1;
    // SAFETY: with this flag the kernel wants a null address and a size of 0, and touches no memory.
    let version = unsafe { syscall(raw::__NR_landlock_create_ruleset, [0, 0, VERSION, 0, 0, 0]) };
    version.map_or(0, |version| version as u32)
}

/// Rules under construction: everything among `handled` is forbidden that [`Ruleset::allow`] does not allow.
#[derive(Debug)]
pub struct Ruleset(OwnedFd);

impl Ruleset {
    /// Forbids `handled`.
    ///
    /// # Errors
    /// `EINVAL` for what this version does not know, `ENOSYS` or `EOPNOTSUPP` without Landlock.
    pub fn new(handled: u64) -> Result<Self> {
        let args = [&raw const handled as usize, size_of::<u64>(), 0, 0, 0, 0];
        // SAFETY: the first version of the structure is one u64, read during the call.
        let fd = unsafe { syscall(raw::__NR_landlock_create_ruleset, args) }?;
        // SAFETY: the call made a new, close-on-exec descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Allows `access` to `path` and all below it.
    ///
    /// # Errors
    /// `EINVAL` for what was not handled, or for a directory's access to a file.
    pub fn allow<Fd: AsFd>(&self, path: Fd, access: u64) -> Result<()> {
        /// `struct landlock_path_beneath_attr`
        #[repr(C, packed)]
        struct Beneath {
            allowed: u64,
            parent: i32,
        }
        const PATH_BENEATH: usize = 1;
        let rule = Beneath { allowed: access, parent: path.as_fd().as_raw_fd() };
        let args = [self.0.as_raw_fd() as usize, PATH_BENEATH, &raw const rule as usize, 0, 0, 0];
        // SAFETY: `rule` is a whole landlock_path_beneath_attr, read during the call.
        unsafe { syscall(raw::__NR_landlock_add_rule, args) }?;
        Ok(())
    }

    /// Puts the rules in force for the calling thread and everything it starts.
    ///
    /// # Errors
    /// `EPERM` without no_new_privs or CAP_SYS_ADMIN, `E2BIG` at the sixteenth time.
    pub fn restrict(self) -> Result<()> {
        // SAFETY: numbers only.
        unsafe { syscall(raw::__NR_landlock_restrict_self, [self.0.as_raw_fd() as usize, 0, 0, 0, 0, 0]) }?;
        Ok(())
    }
}
