//! Device nodes and the links of `/dev`.

use super::path::{self, Links};
use crate::spec::{Device, DeviceKind};
use crate::sys::mount::{Change, set_attributes};
use crate::sys::process::duplicate_onto;
use core::ffi::CStr;
use linux_raw_sys::general::MS_PRIVATE;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, chmodat, chownat, fstat, major, makedev, minor, mknodat, statat,
    symlinkat,
};
use rustix::io::{Errno, Result};
use rustix::process::{Gid, Uid};

/// Number of the null device (Documentation/admin-guide/devices.txt).
const NULL: (u32, u32) = (1, 3);

fn is_null(stat: &Stat) -> bool {
    let character = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    character && (major(stat.st_rdev), minor(stat.st_rdev)) == NULL
}

/// A detached mount of the host's null device, checked to be that. It shares nothing with the host's: what a
/// container mounts over a mask must not end up over the host's device.
///
/// # Errors
/// `ENODEV` when the host's `/dev/null` is something else.
pub(super) fn open_null() -> Result<OwnedFd> {
    let null = super::filesystem::clone_tree(c"/dev/null", false)?;
    set_attributes(&null, Change { propagation: MS_PRIVATE.into(), ..Change::default() }, false)?;
    if is_null(&fstat(&null)?) { Ok(null) } else { Err(Errno::NODEV) }
}

/// Points standard input at the container's null device, checked to be that.
///
/// # Errors
/// `ENODEV` when it is something else, and those of open(2).
pub(super) fn close_stdin(root: BorrowedFd<'_>) -> Result<()> {
    duplicate_onto(open_null_inside(root, OFlags::RDONLY)?, 0)
}

/// The same with standard output and error.
///
/// # Errors
/// As [`close_stdin`].
pub(super) fn close_output(root: BorrowedFd<'_>) -> Result<()> {
    let null = open_null_inside(root, OFlags::WRONLY)?;
    duplicate_onto(&null, 1)?;
    duplicate_onto(&null, 2)
}

fn open_null_inside(root: BorrowedFd<'_>, access: OFlags) -> Result<OwnedFd> {
    let null = path::open(root, c"/dev/null", access | OFlags::NONBLOCK, Links::Refuse)?;
    if is_null(&fstat(&null)?) { Ok(null) } else { Err(Errno::NODEV) }
}

/// Makes a node called `name` in `parent`; one that is there already must be the same device.
///
/// # Errors
/// `EEXIST` when something else is there, `EPERM` without CAP_MKNOD or in a user namespace.
pub(super) fn make(parent: BorrowedFd<'_>, name: &CStr, device: &Device<'_>) -> Result<()> {
    let kind = match device.kind {
        DeviceKind::Character => FileType::CharacterDevice,
        DeviceKind::Block => FileType::BlockDevice,
        DeviceKind::Fifo => FileType::Fifo,
    };
    let number = makedev(device.major, device.minor);
    let mode = Mode::from_raw_mode(device.mode & 0o7777);
    match mknodat(parent, name, kind, mode, number) {
        Err(Errno::EXIST) => {
            let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let same = FileType::from_raw_mode(found.st_mode) == kind && found.st_rdev == number;
            return if same { Ok(()) } else { Err(Errno::EXIST) };
        }
        done => done?,
    }
    // The umask took part in mknod; the node is ours and new, so the name cannot be a link.
    chmodat(parent, name, mode, AtFlags::empty())?;
    if (device.uid, device.gid) == (0, 0) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// Makes a symbolic link called `name` in `parent`; whatever is there already stays.
///
/// # Errors
/// Those of symlink(2) other than `EEXIST`.
pub(super) fn link(parent: BorrowedFd<'_>, name: &CStr, target: &CStr) -> Result<()> {
    match symlinkat(target, parent, name) {
        Err(Errno::EXIST) => Ok(()),
        done => done,
    }
}
