//! Removes trees whose inside is not trusted: never through a link, whatever their depth, read-only directories
//! included.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::beneath::Root;
use crate::error::{Doing, Result};
use crate::name::Name;

const REMOVE: &str = "remove";

/// Removes the directory `path` and everything in it. Nothing being there is success.
pub fn remove_tree(path: &Path) -> Result<()> {
    let root = match Root::open(path) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno).doing(REMOVE, || path.display()),
    };
    remove_below(&root, &Name::ROOT).map_err(|error| error.within(path.display()))?;
    std::fs::remove_dir(path).doing(REMOVE, || path.display())
}

/// Removes `name` below `root`, whatever it is, and everything in it; of the root itself only what is in it.
/// Nothing being there is success.
///
/// Holds a fixed number of descriptors: each directory is reached by its path from the top, so that a tree deeper
/// than the descriptor limit goes too.
pub fn remove_below(root: &Root, name: &Name) -> Result<()> {
    match root.stat(name) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {}
        Ok(_) => return unlink(root, name, AtFlags::empty()).doing(REMOVE, || name),
        // What a link or a file stands in the way of is not below `root`.
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(()),
        Err(errno) => return Err(errno).doing(REMOVE, || name),
    }
    let mut pending = vec![name.clone()];
    while let Some(directory) = pending.last().cloned() {
        let inner = empty_of_files(root, &directory).doing(REMOVE, || &directory)?;
        if inner.is_empty() {
            pending.pop();
            unlink(root, &directory, AtFlags::REMOVEDIR).doing(REMOVE, || &directory)?;
        } else {
            pending.extend(inner);
        }
    }
    Ok(())
}

fn unlink(root: &Root, name: &Name, flags: AtFlags) -> rustix::io::Result<()> {
    match name.split() {
        Some((parent, last)) => {
            rustix::fs::unlinkat(open_parent(root, &parent)?, OsStr::from_bytes(last), flags)
        }
        None => Ok(()),
    }
}

fn open_parent(root: &Root, name: &Name) -> rustix::io::Result<OwnedFd> {
    root.open_at(name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

/// Unlinks all but directories and returns those.
fn empty_of_files(root: &Root, name: &Name) -> io::Result<Vec<Name>> {
    let fd = open_writable(root, name)?;
    let mut directories = Vec::new();
    for entry in Dir::read_from(&fd)? {
        let entry = entry?;
        let last = entry.file_name().to_bytes();
        if last == b"." || last == b".." {
            continue;
        }
        let file_type = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        if file_type.is_dir() {
            directories.push(name.join(last).map_err(io::Error::other)?);
        } else {
            rustix::fs::unlinkat(&fd, entry.file_name(), AtFlags::empty())?;
        }
    }
    Ok(directories)
}

/// Opens a directory so that its entries can be removed, which its owner may have to allow first.
fn open_writable(root: &Root, name: &Name) -> io::Result<OwnedFd> {
    let stat = root.stat(name)?;
    if stat.st_mode & 0o700 != 0o700 && !rustix::process::geteuid().is_root() {
        match name.split() {
            Some((parent, last)) => {
                let parent = open_parent(root, &parent)?;
                rustix::fs::chmodat(parent, OsStr::from_bytes(last), Mode::RWXU, AtFlags::empty())?;
            }
            None => rustix::fs::fchmod(root, Mode::RWXU)?,
        }
    }
    Ok(root.open_directory(name)?)
}
