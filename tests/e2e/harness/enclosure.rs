//! Where cases run: this machine, but with store, mounts, cgroups and network of their own.
//!
//! Duty: keep the cases and this machine's containers apart, and make the ground as revealing as it can be: every
//! mount is shared, as systemd has it, so that a mount which leaks out of a container shows in our own list.

use pipkin::sys::process::unshare;
use rustix::fs::statfs;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::process::{getpid, set_child_subreaper};
use rustix::thread::UnshareFlags;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// `f_type` of cgroup v2 in statfs(2).
const CGROUP2_MAGIC: u64 = 0x6367_7270;
/// The store's data directory; its run directory is below `/run`, which is all ours.
const DATA: &str = "/var/lib/pipkin";

/// The folder that Alpine is in.
pub(crate) fn alpine() -> Option<PathBuf> {
    std::env::var_os("PIPKIN_ROOTFS").map(PathBuf::from)
}

/// Where cgroup v2 is mounted, if it is.
pub(crate) fn cgroup_root() -> Option<&'static Path> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .map(Path::new)
        .into_iter()
        .find(|point| statfs(*point).is_ok_and(|found| found.f_type as u64 == CGROUP2_MAGIC))
}

/// Whether limits can be had.
pub(super) fn has_controllers() -> bool {
    let offered = cgroup_root().and_then(|root| fs::read_to_string(root.join("cgroup.controllers")).ok());
    offered.is_some_and(|offered| offered.split_whitespace().any(|name| name == "memory"))
}

/// The ground of all cases; gone when dropped, but for what is only this process's view.
pub(crate) struct Enclosure {
    group: Option<PathBuf>,
    data_was_missing: bool,
}

impl Enclosure {
    /// Enters it; `None` without root, or when it cannot be made, which is then told.
    pub(crate) fn enter() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        Some(Self::make().expect("the ground for the cases"))
    }

    fn make() -> std::io::Result<Self> {
        // What a dead supervisor leaves running becomes our child, and is seen.
        set_child_subreaper(Some(getpid()))?;
        unshare(UnshareFlags::NEWNS | UnshareFlags::NEWNET)?;
        pipkin::netlink::link::raise_loopback().expect("a loopback of our own");
        let all = MountPropagationFlags::REC;
        mount_change("/", MountPropagationFlags::PRIVATE | all)?;
        let group = cgroup_root().map(enclose_group).transpose()?;
        let mut enclosure = Self { group, data_was_missing: false };
        match fs::create_dir(DATA) {
            Ok(()) => enclosure.data_was_missing = true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        for point in ["/run", DATA] {
            mount("tmpfs", point, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=755")?;
        }
        mount_change("/", MountPropagationFlags::SHARED | all)?;
        Ok(enclosure)
    }
}

/// Makes a group and has it take the place of the whole hierarchy in our sight; gives its former path.
fn enclose_group(root: &'static Path) -> std::io::Result<PathBuf> {
    let group = root.join(format!("pipkin-e2e-{}", getpid()));
    fs::create_dir(&group)?;
    mount_bind(&group, root)?;
    Ok(group)
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            if let (Some(group), Some(root)) = (&self.group, cgroup_root()) {
                remove_groups(root);
                unmount(root, UnmountFlags::DETACH).expect("the hierarchy back");
                fs::remove_dir(group).unwrap_or_else(|error| eprintln!("{}: {error}", group.display()));
            }
            unmount(DATA, UnmountFlags::DETACH).expect("the data directory back");
            if self.data_was_missing {
                fs::remove_dir(DATA).expect("the data directory removed");
            }
        });
    }
}

/// Removes every group below `group`, with the processes that failed cases left in them.
fn remove_groups(group: &Path) {
    fs::write(group.join("cgroup.kill"), "1").unwrap_or(());
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_groups(&entry.path());
        fs::remove_dir(entry.path()).unwrap_or(());
    }
}
