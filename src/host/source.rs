//! What the host takes hold of for a child that, inside its user namespace, could not reach it.

use crate::error::{Error, Result, Stage};
use crate::sys::mount::{Change, set_attributes};
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, chownat, openat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{Gid, Pid, Uid};
use ufmt::uwrite;

/// A detached copy of the mount at `path`.
///
/// # Errors
/// Those of open_tree(2), named after the path.
pub(super) fn open(path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let deep = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | deep;
    open_tree(CWD, path, flags).stage_on("take hold of", path.to_bytes())
}

/// Lets the files of `source` have inside the ids that they have on disk (mount_setattr(2) `MOUNT_ATTR_IDMAP`), by
/// the maps of `child`'s user namespace. The child has the same mount, since its descriptor is a copy of ours.
///
/// # Errors
/// `EINVAL` when the file system cannot, named after the path.
pub(super) fn map(source: &OwnedFd, path: &CStr, child: Pid, recursive: bool) -> Result<()> {
    const STAGE: &str = "map the ids of";
    let mut file = heapless::String::<40>::new();
    let failed = Error::on(STAGE, path.to_bytes(), Errno::INVAL);
    // The pid cannot have been used again: it is our child, which we have not reaped.
    uwrite!(&mut file, "/proc/{}/ns/user\0", child.as_raw_nonzero().get()).map_err(|_| failed)?;
    let file = CStr::from_bytes_with_nul(file.as_bytes()).map_err(|_| failed)?;
    let user = openat(CWD, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .stage_on(STAGE, path.to_bytes())?;
    let change = Change { idmap: Some(user.as_fd()), ..Change::default() };
    set_attributes(source, change, recursive).stage_on(STAGE, path.to_bytes())
}

/// Gives the fresh, empty writable layer in `directory` to whom root inside is outside. The directories above it
/// let nobody else in.
///
/// # Errors
/// Those of chown(2), named after the path.
pub(super) fn give_layer(directory: &CStr, uid: u32, gid: u32) -> Result<()> {
    const STAGE: &str = "give away the writable layer in";
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let own = openat(CWD, directory, flags, Mode::empty()).stage_on(STAGE, directory.to_bytes())?;
    for name in [c"upper", c"work", c""] {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(&own, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)
            .stage_on(STAGE, directory.to_bytes())?;
    }
    Ok(())
}
