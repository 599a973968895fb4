//! The mount calls that rustix lacks: mount_setattr(2).

use super::arch::syscall;
use core::mem::size_of;
use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Result;

/// How a mount's attributes are to change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// `MOUNT_ATTR_*` bits to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` bits to clear; `MOUNT_ATTR__ATIME` must be among them when an atime bit is set.
    pub clear: u64,
    /// `MS_SHARED`, `MS_PRIVATE`, `MS_SLAVE`, `MS_UNBINDABLE`, or 0 to leave propagation alone.
    pub propagation: u64,
    /// The user namespace whose maps the mount takes on; sets `MOUNT_ATTR_IDMAP`.
    pub idmap: Option<BorrowedFd<'a>>,
}

/// Changes the mount of `fd`, with everything mounted below it when `recursive`.
///
/// # Errors
/// `EINVAL` for an unknown or contradicting attribute or an `fd` that is not a mount's root, `EPERM` for a locked
/// flag or without privilege, `ENOSYS` before Linux 5.12.
pub fn set_attributes<Fd: AsFd>(fd: Fd, change: Change<'_>, recursive: bool) -> Result<()> {
    let attr = raw::mount_attr {
        attr_set: change.set | change.idmap.map_or(0, |_| u64::from(raw::MOUNT_ATTR_IDMAP)),
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: change.idmap.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let flags = raw::AT_EMPTY_PATH | if recursive { raw::AT_RECURSIVE } else { 0 };
    let args = [
        fd.as_fd().as_raw_fd() as usize,
        c"".as_ptr() as usize,
        flags as usize,
        &raw const attr as usize,
        size_of::<raw::mount_attr>(),
        0,
    ];
    // SAFETY: the path is an empty NUL-terminated string and `attr` a whole mount_attr, both read during the call.
    unsafe { syscall(raw::__NR_mount_setattr, args) }?;
    Ok(())
}
