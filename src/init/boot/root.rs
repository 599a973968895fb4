//! The root of the machine: what an initramfs makes way for, or a mount over it that can be replaced.
//!
//! Dangers: making way deletes every file of the initramfs. It is done only where the kernel's first root is `/`, and
//! crosses into no other file system.

use super::cmdline::Request;
use super::{device, mountinfo};
use crate::error::{Error, Result, Stage};
use crate::init::best_effort;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use heapless::Vec;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, fstat, mkdir, open, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_move, move_mount, open_tree,
    unmount,
};

/// Where the new root waits for its turn.
const PLACE: &CStr = c"/.root";
/// What is tried when the command line does not say it; a kernel without one answers at once.
const KINDS: [&CStr; 6] = [c"ext4", c"squashfs", c"erofs", c"btrfs", c"xfs", c"f2fs"];

/// Does what the root needs. Answers whether it is another one now.
///
/// # Errors
/// The new root's device, file system or top directory; the initramfs then is as it was.
pub(super) fn settle(request: &Request<'_>) -> Result<bool> {
    let mut initramfs = false;
    mountinfo::for_each_from_last(|mounted| initramfs |= mounted.is_initramfs());
    match (initramfs, request.root) {
        (false, _) => Ok(false),
        (true, Some(device)) => switch(device, request).map(|()| true),
        (true, None) => cover().map(|()| false),
    }
}

/// Puts a copy of the root mount over an initramfs, and goes there.
///
/// The mount an initramfs is unpacked to hangs on no other, and pivot_root(2) refuses to replace such a one, in every
/// mount namespace copied from ours as well. The copy hangs on it; the files are the same.
fn cover() -> Result<()> {
    const STAGE: &str = "put a mount over the initramfs";
    let whole = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
    let copy = open_tree(CWD, c"/", whole | OpenTreeFlags::OPEN_TREE_CLOEXEC).stage(STAGE)?;
    move_mount(&copy, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).stage(STAGE)?;
    rustix::process::fchdir(&copy).stage(STAGE)?;
    rustix::process::chroot(c".").stage(STAGE)
}

/// Mounts the new root, frees the initramfs and goes where the new root then is.
fn switch(device: &CStr, request: &Request<'_>) -> Result<()> {
    const STAGE: &str = "change to the root";
    let name = device.to_bytes();
    match mkdir(PLACE, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(Error::on("make directory", PLACE.to_bytes(), errno)),
    }
    let mut path = Vec::new();
    let found = device::wait_for(name, &mut path).stage_on("find the root", name)?;
    mount_root(found, request).stage_on("mount the root", name)?;
    let old = open(c"/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).stage(STAGE)?;
    for (from, to) in [(c"/dev", c"/.root/dev"), (c"/proc", c"/.root/proc"), (c"/sys", c"/.root/sys")] {
        // What the new root has no place for, or does not take, is mounted anew there.
        if mount_move(from, to).is_err() {
            best_effort(unmount(from, UnmountFlags::DETACH), "hidden from now on in any case");
        }
    }
    rustix::process::chdir(PLACE).stage(STAGE)?;
    if let Ok(top) = fstat(&old) {
        clear(&old, top.st_dev, DEPTH);
    }
    mount_move(c".", c"/").stage(STAGE)?;
    rustix::process::chroot(c".").stage(STAGE)?;
    rustix::process::chdir(c"/").stage(STAGE)
}

fn mount_root(device: &[u8], request: &Request<'_>) -> rustix::io::Result<()> {
    let flags = if request.root_writable { MountFlags::empty() } else { MountFlags::RDONLY };
    let data = request.root_flags.unwrap_or(c"");
    let given = request.root_kind.as_slice();
    let kinds = if given.is_empty() { &KINDS } else { given };
    let mut answer = Errno::NODEV;
    for kind in kinds {
        match mount(device, PLACE, *kind, flags, data) {
            Ok(()) => return Ok(()),
            // Another file system, or one that this kernel has not.
            Err(errno @ (Errno::INVAL | Errno::NODEV)) => answer = errno,
            Err(errno) => return Err(errno),
        }
    }
    Err(answer)
}

/// Deeper than any initramfs; what is below stays where it is.
const DEPTH: u32 = 40;

/// Deletes what is in a directory of the file system `device`; what does not go keeps its memory, no more.
fn clear(directory: &OwnedFd, device: u64, depth: u32) {
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let mut how = AtFlags::empty();
        if entry.file_type() == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(below) = openat(directory, name, flags, Mode::empty()) else { continue };
            if depth == 0 || fstat(&below).map(|found| found.st_dev) != Ok(device) {
                continue;
            }
            clear(&below, device, depth.saturating_sub(1));
            how = AtFlags::REMOVEDIR;
        }
        best_effort(unlinkat(directory, name, how), "a mount point stays, empty");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    #[test]
    fn a_tree_is_cleared_and_its_top_stays() {
        let mut name = heapless::Vec::<u8, 64>::from_slice(b"/tmp/pipkin-clear-").unwrap();
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        name.extend_from_slice(crate::init::payload::decimal(pid.unsigned_abs(), &mut [0; 10])).unwrap();
        mkdir(name.as_slice(), Mode::RWXU).unwrap();
        let top = open(name.as_slice(), FLAGS, Mode::empty()).unwrap();
        for directory in [c"a", c"a/b", c"a/b/c"] {
            rustix::fs::mkdirat(&top, directory, Mode::RWXU).unwrap();
        }
        let made = openat(&top, c"a/b/file", OFlags::CREATE | OFlags::CLOEXEC, Mode::RWXU);
        drop(made.unwrap());
        rustix::fs::symlinkat(c"/", &top, c"a/link").unwrap();
        let device = fstat(&top).unwrap().st_dev;
        clear(&top, device.wrapping_add(1), DEPTH);
        assert!(
            openat(&top, c"a/b/file", OFlags::CLOEXEC, Mode::empty()).is_ok(),
            "another file system is entered"
        );
        let again = open(name.as_slice(), FLAGS, Mode::empty()).unwrap();
        clear(&again, device, DEPTH);
        // Only an empty directory goes.
        rustix::fs::rmdir(name.as_slice()).unwrap();
    }
}
