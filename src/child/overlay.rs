//! The new root: layers under a writable one, or nothing but Pipkin.

use super::filesystem::create;
use super::path;
use crate::plan::LAYERS;
use crate::spec::{Attributes, MountOption, Upper};
use crate::sys::exe;
use core::ffi::CStr;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, MoveMountFlags, mount as mount_old, move_mount};
use ufmt::uwrite;

/// The kernel takes one page of options (mount(2)).
const OPTIONS_CAPACITY: usize = 4095;

/// Mounts `lower` under `upper` on the host directory `staging`.
///
/// The layers are named by descriptor: no character in a path can be taken for a separator, long paths do not
/// fill the one page of options, and `/proc/self/mountinfo` tells the container nothing of the host's directories.
///
/// # Errors
/// `ENOENT` or `ENOTDIR` for a layer, `E2BIG` when the options do not fit, and those of mount(2).
pub(super) fn mount(
    lower: &[&CStr],
    upper: Upper<'_>,
    volatile: bool,
    staging: &CStr,
    user: bool,
) -> Result<()> {
    let mut layers: heapless::Vec<OwnedFd, LAYERS> = heapless::Vec::new();
    for layer in lower {
        layers.push(path::host(layer, OFlags::DIRECTORY)?).map_err(|_| Errno::TOOBIG)?;
    }
    let home = match upper {
        Upper::Directory(directory) => path::host(directory, OFlags::DIRECTORY)?,
        Upper::Tmpfs => stage_tmpfs(staging)?,
    };
    lay(&layers, &home, volatile, user, staging)
}

/// Mounts the first `count` of `held`, topmost first, under a writable layer on `staging`. What was taken before
/// this process had a user namespace is attached here first: overlayfs takes layers only from our own mounts.
///
/// # Errors
/// `EBADF` when too few are held, and those of [`mount`].
pub(super) fn mount_held(
    count: usize,
    held: &[OwnedFd],
    upper: Upper<'_>,
    volatile: bool,
    staging: &CStr,
) -> Result<()> {
    let memory = stage_tmpfs(staging)?;
    let layers = held.get(..count).ok_or(Errno::BADF)?;
    let home = match upper {
        Upper::Directory(_) => held.get(count).ok_or(Errno::BADF)?,
        Upper::Tmpfs => &memory,
    };
    for (place, mount) in held.iter().take(count.saturating_add(1)).enumerate() {
        let mut name = heapless::String::<8>::new();
        uwrite!(&mut name, "{}\0", place).map_err(|_| Errno::TOOBIG)?;
        let name = CStr::from_bytes_with_nul(name.as_bytes()).map_err(|_| Errno::INVAL)?;
        mkdirat(&memory, name, Mode::from_raw_mode(0o700))?;
        move_mount(mount, c"", &memory, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    lay(layers, home, volatile, true, staging)
}

/// Lays the directories `upper` and `work` of `home` over `layers`. In a user namespace the marks of overlayfs are
/// ones that need no privilege.
fn lay(layers: &[OwnedFd], home: &OwnedFd, volatile: bool, user: bool, staging: &CStr) -> Result<()> {
    let open =
        |name: &CStr| openat(home, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let (upper, work) = (open(c"upper")?, open(c"work")?);

    let mut options = heapless::String::<OPTIONS_CAPACITY>::new();
    for (place, layer) in layers.iter().enumerate() {
        let separator = if place == 0 { "lowerdir=" } else { ":" };
        uwrite!(&mut options, "{}/proc/self/fd/{}", separator, layer.as_raw_fd())
            .map_err(|_| Errno::TOOBIG)?;
    }
    let (upper, work) = (upper.as_raw_fd(), work.as_raw_fd());
    uwrite!(&mut options, ",upperdir=/proc/self/fd/{},workdir=/proc/self/fd/{}", upper, work)
        .map_err(|_| Errno::TOOBIG)?;
    for (wanted, option) in [(volatile, ",volatile"), (user, ",userxattr"), (true, "\0")] {
        options.push_str(if wanted { option } else { "" }).map_err(|_| Errno::TOOBIG)?;
    }
    let options = CStr::from_bytes_until_nul(options.as_bytes()).map_err(|_| Errno::TOOBIG)?;
    mount_old(c"overlay", staging, c"overlay", MountFlags::empty(), Some(options))
}

/// Mounts a file system in memory on `staging` with empty `upper` and `work`. Overlayfs takes no upper directory
/// on a mount that is not attached anywhere; the overlay then covers it.
fn stage_tmpfs(staging: &CStr) -> Result<OwnedFd> {
    let memory = create(c"tmpfs", &[MountOption::Value(c"mode", c"755")], Attributes::default())?;
    attach_to_host(&memory, staging)?;
    for name in [c"upper", c"work"] {
        mkdirat(&memory, name, Mode::from_raw_mode(0o755))?;
    }
    Ok(memory)
}

fn attach_to_host(mount: &OwnedFd, place: &CStr) -> Result<()> {
    move_mount(mount, c"", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Mounts an empty root in memory on `staging` that holds only this program, as `/pipkin`.
///
/// # Errors
/// Those of the mount calls.
pub(super) fn mount_scratch(staging: &CStr) -> Result<()> {
    let options = [MountOption::Value(c"mode", c"755"), MountOption::Value(c"size", c"64m")];
    let memory = create(c"tmpfs", &options, Attributes::default())?;
    attach_to_host(&memory, staging)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    // The container gets bytes of its own: no handle leads from them to the file that runs the host.
    exe::copy_to(&openat(&memory, c"pipkin", flags, Mode::from_raw_mode(0o755))?)
}
