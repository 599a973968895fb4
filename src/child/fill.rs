//! What a new file system in memory takes over from the directory that it is put on: the mode, and where that was asked
//! for all that lies there (`tmpcopyup`); and what a volume does while it is empty.
//!
//! Dangers: the directory is the image's, hostile, and read by descriptor without following links. A file system in memory
//! is seen by nobody else yet, but a volume may be: that no container has anything in it does not mean that none is
//! there. So nothing in it is believed or followed either. Of several containers that begin with the same one, one fills
//! it and the others wait for that; what was left half done is done anew by the next one.

use super::filesystem;
use super::path::{self, Links};
use crate::spec::{Attributes, MountOption};
use crate::sys::clock::{monotonic_ms, pause_ms};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use linux_raw_sys::general::MOUNT_ATTR_RDONLY;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir, Stat, Timespec, Timestamps, chownat, fchmod,
    fchown, flock, fstat, futimens, mkdirat, mknodat, openat, readlinkat_raw, sendfile, statat, symlinkat,
    syncfs, unlinkat, utimensat,
};
use rustix::io::{Errno, Result, retry_on_intr};
use rustix::process::{Gid, Uid, umask};

/// Deepest nesting that is copied: each level stands on the stack.
const DEEPEST: usize = 64;
/// Most bytes of one sendfile(2).
const PORTION: usize = 1 << 20;
/// `PATH_MAX` of the kernel.
const PATH_CAPACITY: usize = 4096;
/// A file in a volume that is there as long as it is being filled, locked by whoever does that.
const FILLING: &CStr = c".pipkin-filling";
/// How long another container may take for that, and how often that is looked at.
const PATIENCE_MS: u64 = 60_000;
const PAUSE_MS: u64 = 10;

const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = READ.union(OFlags::DIRECTORY);

/// Makes one of this `kind`, not read-only yet.
pub(super) fn create(
    kind: &CStr,
    options: &[MountOption<'_>],
    mut attributes: Attributes,
) -> Result<OwnedFd> {
    for set in [&mut attributes.set, &mut attributes.set_recursive] {
        *set &= !MOUNT_ATTR_RDONLY;
    }
    filesystem::create(kind, options, attributes)
}

/// Gives `mount` what it takes over from `target`.
///
/// # Errors
/// `ENOSPC` when more lies there than fits, `ELOOP` for what is nested deeper than 64 levels, and those of copying.
pub(super) fn fill(
    root: BorrowedFd<'_>,
    mount: &OwnedFd,
    options: &[MountOption<'_>],
    target: &CStr,
) -> Result<()> {
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
        fchmod(&to, mode(&stat))?;
    }
    if !copies {
        return Ok(());
    }
    if !given(c"uid") && !given(c"gid") {
        own(&to, &stat)?;
    }
    copy_all(&from, &to, 0)
}

fn own(directory: &OwnedFd, like: &Stat) -> Result<()> {
    fchown(directory, Some(Uid::from_raw(like.st_uid)), Some(Gid::from_raw(like.st_gid)))
}

/// Copies what lies at `target` into the volume `mount`, its mode and owner too, unless something is in that.
///
/// # Errors
/// `ENOTDIR` when a file lies there, `ETIMEDOUT` when another container does not finish, and those of copying: the next
/// one begins anew then.
pub(super) fn volume(root: BorrowedFd<'_>, mount: &OwnedFd, target: &CStr) -> Result<()> {
    let to = openat(mount, c".", DIRECTORY, Mode::empty())?;
    let Some(_lock) = lock_empty(&to)? else { return Ok(()) };
    match path::open(root, target, OFlags::DIRECTORY, Links::Follow) {
        Err(Errno::NOENT) => {}
        found => {
            let from = found?;
            let stat = fstat(&from)?;
            copy_all(&from, &to, 0)?;
            own(&to, &stat)?;
            fchmod(&to, mode(&stat))?;
            // What no longer says that it is half done is whole, after a power cut too.
            syncfs(&to)?;
        }
    }
    unlinkat(&to, FILLING, AtFlags::empty())
}

/// The lock of a volume that is to be filled; `None` when something is in it.
fn lock_empty(volume: &OwnedFd) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let deadline_ms = monotonic_ms().saturating_add(PATIENCE_MS);
    while is_empty(volume)? {
        let lock = openat(volume, FILLING, flags, Mode::RUSR | Mode::WUSR)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            // Whoever had it before may have finished, and taken the file away.
            Ok(()) if fstat(&lock)?.st_nlink > 0 => return Ok(Some(lock)),
            Ok(()) | Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(errno),
        }
        if monotonic_ms() > deadline_ms {
            return Err(Errno::TIMEDOUT);
        }
        pause_ms(PAUSE_MS);
    }
    Ok(None)
}

/// Whether nothing is in a volume but what is left of filling it.
fn is_empty(volume: &OwnedFd) -> Result<bool> {
    match statat(volume, FILLING, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => return Ok(true),
        // Something else by that name is the containers' own.
        Ok(_) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    // Its own place to read from.
    let directory = openat(volume, c".", DIRECTORY, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&directory, &mut buffer);
    while let Some(entry) = entries.next() {
        if ![c".", c".."].contains(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
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
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::Directory {
        // It is there where a copy was begun before.
        unless(unlinkat(to, name, AtFlags::empty()), Errno::NOENT)?;
    }
    match kind {
        FileType::Directory => {
            unless(mkdirat(to, name, Mode::RWXU), Errno::EXIST)?;
            let open = |directory: &OwnedFd| openat(directory, name, DIRECTORY, Mode::empty());
            let made = open(to)?;
            copy_all(&open(from)?, &made, depth.saturating_add(1))?;
            make_alike(&made, &stat)
        }
        FileType::RegularFile => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let made = openat(to, name, flags, Mode::RUSR)?;
            let file = openat(from, name, READ, Mode::empty())?;
            while retry_on_intr(|| sendfile(&made, &file, None, PORTION))? > 0 {}
            make_alike(&made, &stat)
        }
        // It is bound to a process outside, if to any.
        FileType::Socket => Ok(()),
        FileType::Symlink => copy_link(from, to, name).and_then(|()| make_name_alike(to, name, &stat)),
        kind => {
            let mask = umask(Mode::empty());
            let made = mknodat(to, name, kind, mode(&stat), stat.st_rdev);
            umask(mask);
            made.and_then(|()| make_name_alike(to, name, &stat))
        }
    }
}

/// Gives owner, mode and times of the original, by descriptor: a volume's other users may have put something else in
/// the place of its name by now.
fn make_alike(made: &OwnedFd, like: &Stat) -> Result<()> {
    own(made, like)?;
    fchmod(made, mode(like))?;
    futimens(made, &times(like))
}

/// The same for what cannot be opened, and has its mode.
fn make_name_alike(directory: &OwnedFd, name: &CStr, like: &Stat) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
    chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    utimensat(directory, name, &times(like), AtFlags::SYMLINK_NOFOLLOW)
}

const fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

fn times(stat: &Stat) -> Timestamps {
    // Unsigned or not, as rustix's backend has it.
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
    }
}

/// `done`, where `expected` is no error.
fn unless(done: Result<()>, expected: Errno) -> Result<()> {
    if done == Err(expected) { Ok(()) } else { done }
}

#[inline(never)]
fn copy_link(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> Result<()> {
    let mut buffer = [MaybeUninit::uninit(); PATH_CAPACITY];
    let (text, _) = readlinkat_raw(from.as_fd(), name, &mut buffer)?;
    symlinkat(&*text, to, name)
}
