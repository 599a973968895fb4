//! Mounts: making, attaching, hiding, closing. All by descriptor; a path is only ever a place inside the root.

use super::path::{self, Kind, Links};
use super::verify::{self, Mounted};
use crate::spec::{Attributes, MountOption, Propagation};
use crate::sys::defence::Defence;
use crate::sys::mount::{Change, set_attributes};
use core::ffi::CStr;
use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, OFlags, StatxFlags, fstat, statx};
use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    move_mount, open_tree, unmount,
};

/// Cuts our copies of the host's mounts off: what happens here no longer shows there. What the host unmounts still
/// goes away here, so that we hold nothing busy.
pub(super) fn isolate() -> Result<()> {
    mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
}

/// A detached copy of the mount at a host path.
pub(super) fn clone_tree(path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let deep = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | deep)
}

/// A detached copy of the mount at an open file or directory.
pub(super) fn clone_at(fd: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd> {
    let deep = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(fd, c"", flags | deep)
}

/// Makes the file system mounted on `staging` the root, lets go of the old one and returns the new.
pub(super) fn pivot(staging: &CStr) -> Result<OwnedFd> {
    rustix::process::chdir(staging)?;
    // Both arguments the same: the old root ends up over the new one, nameless, and is detached at once
    // (pivot_root(2), NOTES).
    rustix::process::pivot_root(c".", c".")?;
    // Over the old root may lie what the new one was put together on.
    for _ in 0..MOST_OVER {
        let old_root_gone = Defence::OldRootGone.stands();
        if old_root_gone {
            unmount(c".", UnmountFlags::DETACH)?;
        }
        if !old_root_gone || mount_id(CWD, c".")? == mount_id(CWD, ABOVE_ROOT)? {
            rustix::process::chdir(c"/")?;
            return path::host(c"/", OFlags::DIRECTORY);
        }
    }
    Err(Errno::BUSY)
}

/// How many mounts are taken off the new root.
const MOST_OVER: usize = 4;
/// Leads to what was mounted over the root last.
pub(super) const ABOVE_ROOT: &CStr = c"/..";

/// The id of the mount that `path` lies on, from `directory` on; of `directory` itself when it is empty.
pub(super) fn mount_id<Fd: AsFd>(directory: Fd, path: &CStr) -> Result<u64> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    Ok(statx(directory, path, flags, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// The new root while the host's is still there: how runtimes build containers that pivot last.
pub(super) fn stay(staging: &CStr) -> Result<OwnedFd> {
    path::host(staging, OFlags::DIRECTORY)
}

/// A new, detached instance of a file system.
pub(super) fn create(kind: &CStr, options: &[MountOption<'_>], attributes: Attributes) -> Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // Shown as the mount's source, as other tools do; the kernel takes no second one.
    if !options.iter().any(|option| matches!(option, MountOption::Value(key, _) if *key == c"source")) {
        fsconfig_set_string(context.as_fd(), c"source", kind)?;
    }
    for option in options {
        match *option {
            MountOption::Flag(word) => fsconfig_set_flag(context.as_fd(), word)?,
            MountOption::Value(key, value) => fsconfig_set_string(context.as_fd(), key, value)?,
            MountOption::CopyUp => {}
        }
    }
    fsconfig_create(context.as_fd())?;
    let flags = MountAttrFlags::from_bits_retain(attributes.set | attributes.set_recursive);
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// Gives a detached mount its attributes and propagation, puts it at `target`, which is made when missing, and gives
/// its id.
pub(super) fn attach(
    root: BorrowedFd<'_>,
    mount: &OwnedFd,
    target: &CStr,
    attributes: Attributes,
    propagation: Option<Propagation>,
) -> Result<u64> {
    change(mount, attributes, propagation)?;
    let found = statx(mount, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE | StatxFlags::MNT_ID)?;
    let directory = FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory;
    let kind = if directory { Kind::Directory } else { Kind::File };
    put_at(root, mount, target, kind, is_kernel_type(mount)?)?;
    Ok(found.stx_mnt_id)
}

/// The same with a mount that [`create`] has just made of a file system of this `kind`: it has its attributes, and
/// shares nothing with anybody.
pub(super) fn attach_new(
    root: BorrowedFd<'_>,
    mount: &OwnedFd,
    kind: &CStr,
    target: &CStr,
    attributes: Attributes,
    propagation: Option<Propagation>,
) -> Result<()> {
    let set = attributes.set | attributes.set_recursive;
    // One in memory may still have been filled.
    let writable = kind == c"tmpfs" && set & raw::MOUNT_ATTR_RDONLY != 0;
    let private = matches!(propagation, None | Some(Propagation::Private));
    if writable || !private || attributes.clear | attributes.clear_recursive != 0 {
        change(mount, attributes, propagation)?;
    }
    put_at(root, mount, target, Kind::Directory, KERNEL_KINDS.contains(&kind))
}

/// Puts a mount at `target`; one of the kernel's own file systems on a real directory only.
fn put_at(root: BorrowedFd<'_>, mount: &OwnedFd, target: &CStr, kind: Kind, kernel: bool) -> Result<()> {
    let allowed = MOUNTABLE_IN_PROC.contains(&target);
    let links = if allowed || kernel { Links::Refuse } else { Links::Follow };
    let place = path::ensure(root, target, kind, links)?;
    if is_proc(&place)? && !allowed && Defence::WholeProc.stands() {
        return Err(Errno::PERM);
    }
    put(mount, &place)
}

/// What other programs replace in a container's procfs, and what steers nothing (proc(5), lxcfs(8)).
const MOUNTABLE_IN_PROC: [&CStr; 10] = [
    c"/proc/cpuinfo",
    c"/proc/diskstats",
    c"/proc/loadavg",
    c"/proc/meminfo",
    c"/proc/net/dev",
    c"/proc/slabinfo",
    c"/proc/stat",
    c"/proc/swaps",
    c"/proc/uptime",
    c"/proc/sys/kernel/ns_last_pid",
];

/// Whether this place is in a procfs. What lies over it there would be taken for the kernel's word, and written to as
/// its parameter.
fn is_proc(place: &OwnedFd) -> Result<bool> {
    Ok(rustix::fs::fstatfs(place)?.f_type as u64 == u64::from(raw::PROC_SUPER_MAGIC))
}

/// The names of what [`is_kernel_type`] knows.
const KERNEL_KINDS: [&CStr; 4] = [c"proc", c"sysfs", c"cgroup2", c"devpts"];

/// Whether this file system describes or steers the kernel. Such a one goes on a real directory of the image or
/// nowhere: a link there would put the masks, which trust these paths, in the wrong place.
fn is_kernel_type(mount: &OwnedFd) -> Result<bool> {
    let magic = rustix::fs::fstatfs(mount)?.f_type as u64;
    let known = [raw::PROC_SUPER_MAGIC, raw::SYSFS_MAGIC, raw::CGROUP2_SUPER_MAGIC, raw::DEVPTS_SUPER_MAGIC];
    Ok(known.iter().any(|kernel| u64::from(*kernel) == magic))
}

/// The kernel's `MS_*` for it.
pub(super) const fn propagation_flag(propagation: Option<Propagation>) -> u32 {
    match propagation {
        None | Some(Propagation::Private) => raw::MS_PRIVATE,
        Some(Propagation::Slave) => raw::MS_SLAVE,
        Some(Propagation::Shared) => raw::MS_SHARED,
        Some(Propagation::Unbindable) => raw::MS_UNBINDABLE,
    }
}

fn change(mount: &OwnedFd, attributes: Attributes, propagation: Option<Propagation>) -> Result<()> {
    let deep = Change {
        set: attributes.set_recursive.into(),
        clear: clear(attributes.set_recursive, attributes.clear_recursive),
        propagation: propagation_flag(propagation).into(),
        idmap: None,
    };
    set_attributes(mount, deep, true)?;
    if attributes.set == 0 && attributes.clear == 0 {
        return Ok(());
    }
    let top = Change {
        set: attributes.set.into(),
        clear: clear(attributes.set, attributes.clear),
        ..Change::default()
    };
    set_attributes(mount, top, false)
}

/// The bits to clear: those asked for, and the old access-time mode when a new one is set (mount_setattr(2)).
fn clear(set: u32, clear: u32) -> u64 {
    let modes = raw::MOUNT_ATTR_NOATIME | raw::MOUNT_ATTR_STRICTATIME;
    let old = if (set | clear) & modes != 0 { raw::MOUNT_ATTR__ATIME } else { 0 };
    u64::from(clear | old)
}

fn put(mount: &OwnedFd, place: &OwnedFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", place, c"", flags)
}

/// Opens what is to be masked or closed; `None` when the container has no such path.
pub(super) fn find(root: BorrowedFd<'_>, path: &CStr) -> Result<Option<OwnedFd>> {
    match path::open(root, path, OFlags::PATH, Links::Refuse) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A mount to hide paths with: laid over the first itself, as copies over the others.
pub(super) struct Cover {
    mount: OwnedFd,
    laid: bool,
}

impl Cover {
    /// Takes a detached mount.
    pub(super) const fn new(mount: OwnedFd) -> Self {
        Self { mount, laid: false }
    }

    /// Lays it over `place`. The first time it is the mount itself: a detached mount that is only ever copied has
    /// to be taken down when its descriptor closes, for which the kernel makes us wait.
    fn lay(&mut self, place: &OwnedFd, mounted: &mut Mounted) -> Result<()> {
        if self.laid {
            return put_cover(&clone_at(self.mount.as_fd(), false)?, place, mounted);
        }
        self.laid = true;
        put_cover(&self.mount, place, mounted)
    }
}

fn put_cover(mount: &OwnedFd, place: &OwnedFd, mounted: &mut Mounted) -> Result<()> {
    put(mount, place)?;
    mounted.note(mount, verify::Kind::Cover)
}

/// Lays the null device over a file, or a shared, empty directory over a directory; false when there is none.
pub(super) fn mask(
    root: BorrowedFd<'_>,
    path: &CStr,
    null: &mut Cover,
    empty: &mut Option<Cover>,
    mounted: &mut Mounted,
) -> Result<bool> {
    let Some(place) = find(root, path)? else { return Ok(false) };
    if FileType::from_raw_mode(fstat(&place)?.st_mode) != FileType::Directory {
        return null.lay(&place, mounted).map(|()| true);
    }
    let empty = match empty {
        Some(empty) => empty,
        None => empty.insert(Cover::new(empty_directory()?)),
    };
    empty.lay(&place, mounted).map(|()| true)
}

/// One read-only directory that holds nothing and takes nothing, for all masks: each file system costs the kernel
/// memory, each further mount of one hardly any.
fn empty_directory() -> Result<OwnedFd> {
    let inert =
        raw::MOUNT_ATTR_RDONLY | raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NODEV | raw::MOUNT_ATTR_NOEXEC;
    let options = [MountOption::Value(c"nr_inodes", c"2"), MountOption::Value(c"mode", c"555")];
    create(c"tmpfs", &options, Attributes::only(inert))
}

/// Lays a read-only copy of a file or directory over itself, with all that is mounted below.
pub(super) fn make_read_only(root: BorrowedFd<'_>, path: &CStr, mounted: &mut Mounted) -> Result<()> {
    let Some(place) = find(root, path)? else { return Ok(()) };
    let cover = clone_at(place.as_fd(), true)?;
    let inert =
        raw::MOUNT_ATTR_RDONLY | raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NODEV | raw::MOUNT_ATTR_NOEXEC;
    set_attributes(&cover, Change { set: inert.into(), ..Change::default() }, true)?;
    put_cover(&cover, &place, mounted)
}

/// Makes the root's own mount read-only; what is mounted below keeps its attributes.
pub(super) fn make_root_read_only(root: BorrowedFd<'_>) -> Result<()> {
    set_attributes(root, Change { set: raw::MOUNT_ATTR_RDONLY.into(), ..Change::default() }, false)
}
