//! What the host takes hold of for a child that, inside its user namespace, could not reach it.

use crate::error::{Result, Stage};
use crate::sys::mount::{Change, set_attributes};
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, chownat, openat};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{Gid, Uid};

/// A detached copy of the mount at `path`.
///
/// # Errors
/// Those of open_tree(2), named after the path.
pub(super) fn open(path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let deep = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | deep;
    open_tree(CWD, path, flags).stage_on("take hold of", path.to_bytes())
}

/// Lets the ids that the files of `source` have on disk go through the maps of the user namespace `user`
/// (mount_setattr(2) `MOUNT_ATTR_IDMAP`). The child has the same mount, since its descriptor is a copy of ours.
///
/// # Errors
/// `EINVAL` when the file system cannot, named after the path.
pub(super) fn map(source: &OwnedFd, path: &CStr, user: &OwnedFd, recursive: bool) -> Result<()> {
    let change = Change { idmap: Some(user.as_fd()), ..Change::default() };
    set_attributes(source, change, recursive).stage_on("map the ids of", path.to_bytes())
}

/// A detached copy of the mount at `path`, without what is mounted below, that shows the ids of its files as those of the
/// user namespace `user`.
///
/// # Errors
/// `EINVAL` when the file system cannot, and those of open_tree(2), named after the path.
pub fn show_for(user: &OwnedFd, path: &CStr) -> Result<OwnedFd> {
    let source = open(path, false)?;
    map(&source, path, user, false)?;
    Ok(source)
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
