//! Keeping the host's own program file out of the container's reach.

use super::filesystem;
use super::path::Piece;
use crate::sys::defence::Defence;
use crate::sys::exe;
use crate::sys::mount::{Change, set_attributes};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use linux_raw_sys::general::MOUNT_ATTR_RDONLY;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat_raw};
use rustix::io::{Errno, Result};
use rustix::mount::{MoveMountFlags, move_mount};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// `PATH_MAX` of the kernel, with its NUL.
const PATH_CAPACITY: usize = 4096;

/// Makes this process, until it executes something, one that nobody in the container can look into, and what it runs
/// from a file that nobody can write to: its own, mounted read-only, or a sealed copy where that mount cannot be made.
///
/// # Errors
/// Those of [`exe::run_from_copy`].
pub(super) fn shield() -> Result<()> {
    hide()?;
    if !Defence::OwnFile.stands() {
        return Ok(());
    }
    if mount_own().and_then(|file| exe::run_from(file.as_fd())).is_ok() {
        return Ok(());
    }
    // The name may lead nowhere any more, or nowhere for the container's root.
    match exe::run_from_copy() {
        // To whom the file may not even be read, it is out of reach as it is.
        Err(Errno::ACCESS) => Ok(()),
        done => done,
    }
}

/// The same for a process that leaves this mount namespace as it is: the mount is seen nowhere. It is answered, for the
/// kernel takes its time to let go of a mount, milliseconds on a busy machine, and makes whoever closes it wait.
///
/// # Errors
/// As [`shield`].
pub(super) fn shield_apart() -> Result<Option<OwnedFd>> {
    hide()?;
    if !Defence::OwnFile.stands() {
        return Ok(None);
    }
    let mount = own_path().and_then(|path| clone_read_only(path.as_c_str()));
    let open = mount.as_ref().map_err(|errno| *errno).and_then(open_apart);
    if open.and_then(|file| exe::run_from(file.as_fd())).is_err() {
        exe::run_from_copy()?;
    }
    Ok(mount.ok())
}

/// Takes from others the right to trace this process and to follow its links in `/proc`, until it executes something.
///
/// # Errors
/// Those of prctl(2).
pub(super) fn hide() -> Result<()> {
    if !Defence::NotDumpable.stands() {
        return Ok(());
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Mounts our own file read-only over itself, in this mount namespace, and opens it there. The mount goes with the
/// host's root.
fn mount_own() -> Result<OwnedFd> {
    let path = own_path()?;
    let path = path.as_c_str();
    let mount = clone_read_only(path)?;
    move_mount(&mount, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens the file that is all of a mount that is nowhere.
fn open_apart(mount: &OwnedFd) -> Result<OwnedFd> {
    let mut link = heapless::String::<32>::new();
    ufmt::uwrite!(&mut link, "/proc/self/fd/{}\0", mount.as_raw_fd()).map_err(|_| Errno::NAMETOOLONG)?;
    let link = CStr::from_bytes_until_nul(link.as_bytes()).map_err(|_| Errno::INVAL)?;
    openat(CWD, link, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn own_path() -> Result<Piece<PATH_CAPACITY>> {
    let mut buffer = [MaybeUninit::uninit(); PATH_CAPACITY];
    Piece::new(readlinkat_raw(CWD, c"/proc/self/exe", &mut buffer)?.0)
}

fn clone_read_only(path: &CStr) -> Result<OwnedFd> {
    let mount = filesystem::clone_tree(path, false)?;
    set_attributes(&mount, Change { set: MOUNT_ATTR_RDONLY.into(), ..Change::default() }, false)?;
    Ok(mount)
}
