//! Where the cgroup v2 hierarchy is mounted, and where in it this process is.

use super::group::Group;
use super::line;
use super::mountinfo::{self, Mount, MountPath};
use super::resolve::{self, DIRECTORY};
use crate::error::{Error, Result, Stage};
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, fstatfs, openat, statx};
use rustix::io::Errno;
use rustix::process::Pid;
use ufmt::uwrite;

/// `f_type` of cgroup v2 in statfs(2).
const CGROUP2_SUPER_MAGIC: u32 = linux_raw_sys::general::CGROUP2_SUPER_MAGIC;
/// Longest path of our own group, in bytes; a longer one is an error.
const OWN_CAPACITY: usize = 1024;
/// Longest line read of the files in /proc; of a longer one only the beginning is seen.
const LINE_CAPACITY: usize = 2048;

const STAGE: &str = "open the cgroup";

/// Path of a group from the hierarchy's root, which our cgroup namespace may hide in part.
pub type OwnPath = heapless::Vec<u8, OWN_CAPACITY>;

/// What cgroup hierarchies this machine has mounted for us.
#[derive(Debug)]
pub enum Found {
    /// v2 where it belongs; controllers are its unless v1 hierarchies were mounted elsewhere.
    Unified(Hierarchy),
    /// v2 beside mounted v1 hierarchies, which usually hold the controllers.
    Hybrid(Hierarchy),
    /// v1 alone.
    Legacy,
    /// None at all.
    Absent,
}

impl Found {
    /// The v2 hierarchy, if there is one.
    #[must_use]
    pub const fn hierarchy(&self) -> Option<&Hierarchy> {
        match self {
            Self::Unified(hierarchy) | Self::Hybrid(hierarchy) => Some(hierarchy),
            Self::Legacy | Self::Absent => None,
        }
    }
}

/// A mounted cgroup v2 hierarchy.
#[derive(Debug)]
pub struct Hierarchy {
    root: Group,
    point: MountPath,
}

/// Finds the v2 hierarchy: in two system calls at its usual place, else by the list of mounts.
///
/// # Errors
/// A list of mounts that cannot be read. A hierarchy that cannot be opened is passed over.
pub fn find() -> Result<Found> {
    if let Some(hierarchy) = Hierarchy::at(b"/sys/fs/cgroup") {
        return Ok(Found::Unified(hierarchy));
    }
    if let Some(hierarchy) = Hierarchy::at(b"/sys/fs/cgroup/unified") {
        return Ok(Found::Hybrid(hierarchy));
    }
    let (mut v1, mut v2) = (false, None);
    each_mount(&mut |mount| {
        if !mount.v2 {
            v1 = true;
        } else if v2.is_none() {
            v2 = Hierarchy::at(&mount.point);
        }
    })?;
    Ok(match (v2, v1) {
        (Some(hierarchy), false) => Found::Unified(hierarchy),
        (Some(hierarchy), true) => Found::Hybrid(hierarchy),
        (None, true) => Found::Legacy,
        (None, false) => Found::Absent,
    })
}

impl Hierarchy {
    /// The hierarchy mounted at `point`, if that is one.
    fn at(point: &[u8]) -> Option<Self> {
        let name = MountPath::from_slice(point).ok()?;
        let mut path = heapless::Vec::<u8, { mountinfo::PATH_CAPACITY + 1 }>::from_slice(point).ok()?;
        path.push(0).ok()?;
        let path = CStr::from_bytes_with_nul(&path).ok()?;
        let dir = openat(CWD, path, DIRECTORY, Mode::empty()).ok()?;
        let kind = fstatfs(&dir).ok()?.f_type;
        (kind as u32 == CGROUP2_SUPER_MAGIC).then(|| Self { root: Group::from_directory(dir), point: name })
    }

    /// The group at the mount's root: the true root, or that of our cgroup namespace or container.
    #[must_use]
    pub const fn root(&self) -> &Group {
        &self.root
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> &[u8] {
        &self.point
    }

    /// Opens the group this process is in, also where the mount shows a part of the hierarchy only.
    ///
    /// # Errors
    /// `EXDEV` when it lies outside of what is mounted, as in a cgroup namespace whose mount came from outside;
    /// and what opening it gives.
    pub fn own(&self) -> Result<Group> {
        self.at_path(&own_path()?)
    }

    /// Opens the group at `path`, as [`own_path`] and [`path_of`] give it.
    ///
    /// # Errors
    /// As [`Hierarchy::own`].
    pub fn at_path(&self, path: &OwnPath) -> Result<Group> {
        let below = self.below(path)?;
        resolve::open_path(self.root.as_fd(), &below).map(Group::from_directory).stage_on(STAGE, path)
    }

    /// The same path from the root of what is mounted.
    ///
    /// # Errors
    /// `EXDEV` when it lies outside.
    pub fn below(&self, path: &OwnPath) -> Result<OwnPath> {
        let top = self.mount_root()?;
        let below = below(path, &top).and_then(|below| OwnPath::from_slice(below).ok());
        below.ok_or(Error::on(STAGE, path, Errno::XDEV))
    }

    /// The directory of the hierarchy that the mount shows as its root.
    fn mount_root(&self) -> Result<MountPath> {
        const STAGE: &str = "find the root of the cgroup mount";
        let stat = statx(self.root.as_fd(), c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).stage(STAGE)?;
        let mut found = None;
        each_mount(&mut |mount| {
            if mount.v2 && mount.id == stat.stx_mnt_id {
                found = Some(mount.root);
            }
        })?;
        found.ok_or(Error::on(STAGE, &self.point, Errno::NOENT))
    }
}

/// Path of the group this process is in, from the root of our cgroup namespace, as `/proc/self/cgroup` tells it. It
/// begins with `/..` when the group lies outside of that namespace.
///
/// # Errors
/// `ENOENT` when there is no v2 line or no /proc, `ENAMETOOLONG` for a path of more than 1024 bytes.
pub fn own_path() -> Result<OwnPath> {
    read_path(c"/proc/self/cgroup")
}

/// The same of process `pid`, whose id must be known to stay its own.
///
/// # Errors
/// As [`own_path`]; `ENOENT` also when there is no such process.
pub fn path_of(pid: Pid) -> Result<OwnPath> {
    let mut file = heapless::String::<32>::new();
    let named = uwrite!(&mut file, "/proc/{}/cgroup\0", pid.as_raw_nonzero().get());
    let file = CStr::from_bytes_with_nul(file.as_bytes()).ok().filter(|_| named.is_ok());
    read_path(file.ok_or(Error::new("name the cgroup of a process", Errno::NAMETOOLONG))?)
}

fn read_path(file: &CStr) -> Result<OwnPath> {
    let failed = |errno| Error::on("find the cgroup in", file.to_bytes(), errno);
    let mut lines = line::of_file::<_, LINE_CAPACITY>(open_proc(file).map_err(failed)?);
    while let Some(line) = lines.next().map_err(failed)? {
        let Some(path) = line.text.strip_prefix(b"0::").filter(|path| path.starts_with(b"/")) else {
            continue;
        };
        let path = OwnPath::from_slice(path).ok().filter(|_| line.whole);
        return path.ok_or(failed(Errno::NAMETOOLONG));
    }
    Err(failed(Errno::NOENT))
}

/// What of `path` lies below `top`, where `/..` leads out of our cgroup namespace.
fn below<'a>(path: &'a [u8], top: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(top.strip_suffix(b"/").unwrap_or(top))?;
    let outside = rest.split(|byte| *byte == b'/').any(|name| name == b"..");
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest).filter(|_| !outside)
}

fn each_mount(each: &mut dyn FnMut(Mount)) -> Result<()> {
    let failed = |errno| Error::named("read the list of mounts", "/proc/self/mountinfo", errno);
    let mut lines = line::of_file::<_, LINE_CAPACITY>(open_proc(c"/proc/self/mountinfo").map_err(failed)?);
    while let Some(line) = lines.next().map_err(failed)? {
        if let Some(mount) = mountinfo::parse(line.text, line.whole) {
            each(mount);
        }
    }
    Ok(())
}

/// Opens a file of /proc for reading.
pub(super) fn open_proc(path: &CStr) -> rustix::io::Result<OwnedFd> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_below_a_mounts_root() {
        assert_eq!(below(b"/docker/a/b", b"/docker/a"), Some(&b"/b"[..]));
        assert_eq!(below(b"/docker/a", b"/docker/a"), Some(&b""[..]));
        assert_eq!(below(b"/docker/ab", b"/docker/a"), None);
        assert_eq!(below(b"/", b"/docker/a"), None);
        assert_eq!(below(b"/../x", b"/docker"), None);
        assert_eq!(below(b"/a/b", b"/"), Some(&b"/a/b"[..]));
        assert_eq!(below(b"/", b"/"), Some(&b"/"[..]));
        assert_eq!(below(b"/../x", b"/"), None);
        assert_eq!(below(b"/", b"/../.."), None);
        assert_eq!(below(b"/../x/y", b"/../x"), Some(&b"/y"[..]));
    }

    #[test]
    fn only_a_cgroup2_mount_is_a_hierarchy() {
        assert!(Hierarchy::at(b"/proc").is_none());
        assert!(Hierarchy::at(b"/nonexistent").is_none());
        assert!(Hierarchy::at(&[b'/'; 2000]).is_none());
    }
}
