//! What a new file system in memory takes over from the directory that it is put on: the mode, and where that was asked
//! for all that lies there (`tmpcopyup`).
//!
//! Dangers: the directory is the image's, hostile, and read by descriptor without following links; what is written is
//! ours and new, seen by nobody else yet.

use super::filesystem;
use super::path::{self, Links};
use crate::spec::{Attributes, MountOption};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use linux_raw_sys::general::MOUNT_ATTR_RDONLY;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, Timespec, Timestamps, chmodat, chownat, fchmod, fchown, fstat,
    mkdirat, mknodat, openat, readlinkat_raw, sendfile, statat, symlinkat, utimensat,
};
use rustix::io::{Errno, Result, retry_on_intr};
use rustix::process::{Gid, Uid};

/// Deepest nesting that is copied: each level stands on the stack.
const DEEPEST: usize = 64;
/// Most bytes of one sendfile(2).
const PORTION: usize = 1 << 20;
/// `PATH_MAX` of the kernel.
const PATH_CAPACITY: usize = 4096;

const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = READ.union(OFlags::DIRECTORY);

/// Makes one, not read-only yet, for `target`.
///
/// # Errors
/// `ENOSPC` when more lies there than fits, `ELOOP` for what is nested deeper than 64 levels, and those of copying.
pub(super) fn create(
    root: BorrowedFd<'_>,
    options: &[MountOption<'_>],
    target: &CStr,
    mut attributes: Attributes,
) -> Result<OwnedFd> {
    for set in [&mut attributes.set, &mut attributes.set_recursive] {
        *set &= !MOUNT_ATTR_RDONLY;
    }
    let mount = filesystem::create(c"tmpfs", options, attributes)?;
    fill(root, &mount, options, target)?;
    Ok(mount)
}

fn fill(root: BorrowedFd<'_>, mount: &OwnedFd, options: &[MountOption<'_>], target: &CStr) -> Result<()> {
    let copies = options.contains(&MountOption::CopyUp);
    let given = |name: &CStr| {
        options.iter().any(|option| matches!(option, MountOption::Value(key, _) if *key == name))
    };
    if given(c"mode") && !copies {
        return Ok(());
    }
    let flags = OFlags::DIRECTORY | if copies { OFlags::RDONLY } else { OFlags::PATH };
    let from = match path::open(root, target, flags, Links::Follow) {
        Err(Errno::NOENT) => return Ok(()),
        found => found?,
    };
    let stat = fstat(&from)?;
    let to = openat(mount, c".", DIRECTORY, Mode::empty())?;
    if !given(c"mode") {
        fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    }
    if !copies {
        return Ok(());
    }
    if !given(c"uid") && !given(c"gid") {
        fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    }
    copy_all(&from, &to, 0)
}

fn copy_all(from: &OwnedFd, to: &OwnedFd, depth: usize) -> Result<()> {
    if depth > DEEPEST {
        return Err(Errno::LOOP);
    }
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(from, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy(from, to, name, depth)?;
        }
    }
    Ok(())
}

fn copy(from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: usize) -> Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let (kind, mode) = (FileType::from_raw_mode(stat.st_mode), Mode::from_raw_mode(stat.st_mode & 0o7777));
    match kind {
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU)?;
            let open = |directory: &OwnedFd| openat(directory, name, DIRECTORY, Mode::empty());
            copy_all(&open(from)?, &open(to)?, depth.saturating_add(1))?;
        }
        FileType::RegularFile => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let made = openat(to, name, flags, Mode::RUSR)?;
            let file = openat(from, name, READ, Mode::empty())?;
            while retry_on_intr(|| sendfile(&made, &file, None, PORTION))? > 0 {}
        }
        FileType::Symlink => copy_link(from, to, name)?,
        // It is bound to a process outside, if to any.
        FileType::Socket => return Ok(()),
        kind => mknodat(to, name, kind, mode, stat.st_rdev)?,
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if kind != FileType::Symlink {
        chmodat(to, name, mode, AtFlags::empty())?;
    }
    // Unsigned or not, as rustix's backend has it.
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
    };
    utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

#[inline(never)]
fn copy_link(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> Result<()> {
    let mut buffer = [MaybeUninit::uninit(); PATH_CAPACITY];
    let (text, _) = readlinkat_raw(from.as_fd(), name, &mut buffer)?;
    symlinkat(&*text, to, name)
}
