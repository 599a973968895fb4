//! What booting consists of: a list, and how each step on it is done.
//!
//! Each step is idempotent and independent: what an initramfs, the kernel or a container engine has done already
//! is left as it is, and one that fails does not keep the next from being tried.

use super::file;
use super::mountinfo;
use crate::error::{Error, Result, Stage};
use crate::init::console;
use crate::netlink::link;
use crate::sys::process::duplicate_onto;
use crate::sys::stdio::Stream;
use core::ffi::CStr;
use rustix::fd::AsRawFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, mkdir, open, statx, symlink};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, move_mount, open_tree};
use rustix::system::RebootCommand;

/// A pseudo file system and where it belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mount {
    kind: &'static CStr,
    target: &'static CStr,
    flags: MountFlags,
    data: &'static CStr,
}

/// One thing to do at boot.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// Mount, unless something is mounted there.
    Mount(&'static Mount),
    /// Have a root that pivot_root(2) can replace, as containers need it.
    Root,
    /// Have somewhere to write temporary files, also under a read-only root.
    Temporary,
    /// Take `/dev/console` as the standard streams.
    Console,
    /// Make the links in `/dev` that devtmpfs leaves to user space.
    DeviceLinks,
    /// Load the modules that `/etc/pipkin/modules` lists.
    Modules,
    /// Move out of the root cgroup and hand its controllers to the groups below it.
    Cgroup,
    /// Have Ctrl-Alt-Del sent to us as SIGINT instead of a reset.
    CtrlAltDel,
    /// Bring up `lo`.
    Loopback,
    /// Name the machine: this, or what `/etc/hostname` says, or `pipkin`.
    Hostname(Option<&'a CStr>),
}

const PRIVATE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

const DEV: Mount = Mount { kind: c"devtmpfs", target: c"/dev", flags: MountFlags::NOSUID, data: c"mode=755" };
const PROC: Mount = Mount { kind: c"proc", target: c"/proc", flags: PRIVATE, data: c"" };
const SYS: Mount = Mount { kind: c"sysfs", target: c"/sys", flags: PRIVATE, data: c"" };
const PTS: Mount = Mount {
    kind: c"devpts",
    target: c"/dev/pts",
    flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
    data: c"gid=5,mode=620,ptmxmode=666",
};
const SHM: Mount = Mount {
    kind: c"tmpfs",
    target: c"/dev/shm",
    flags: MountFlags::NOSUID.union(MountFlags::NODEV),
    data: c"mode=1777",
};
const RUN: Mount = Mount {
    kind: c"tmpfs",
    target: c"/run",
    flags: MountFlags::NOSUID.union(MountFlags::NODEV),
    data: c"mode=755",
};
const TMP: Mount = Mount {
    kind: c"tmpfs",
    target: c"/tmp",
    flags: MountFlags::NOSUID.union(MountFlags::NODEV),
    data: c"mode=1777",
};
const CGROUP: Mount = Mount {
    kind: c"cgroup2",
    target: c"/sys/fs/cgroup",
    flags: PRIVATE,
    data: c"nsdelegate,memory_recursiveprot",
};

/// What comes before the kernel command line can be read.
pub(super) const EARLY: [Step<'static>; 3] = [Step::Mount(&DEV), Step::Console, Step::Mount(&PROC)];

/// All the rest, in order: the root before there is more to copy with it, and modules early, since a file system or a
/// controller may be one.
pub(super) const fn rest(hostname: Option<&CStr>) -> [Step<'_>; 13] {
    [
        Step::Root,
        Step::Mount(&SYS),
        Step::Modules,
        Step::Mount(&PTS),
        Step::Mount(&SHM),
        Step::Mount(&RUN),
        Step::Temporary,
        Step::DeviceLinks,
        Step::Mount(&CGROUP),
        Step::Cgroup,
        Step::CtrlAltDel,
        Step::Loopback,
        Step::Hostname(hostname),
    ]
}

impl Step<'_> {
    /// Whether this is the kernel's business, in which the PID 1 of a container has no say, or what its engine did.
    pub(super) const fn is_for_machine(self) -> bool {
        matches!(self, Self::Modules | Self::CtrlAltDel | Self::Hostname(_))
    }
}

/// Whether this is the PID 1 of a container: its pid namespace is not the first one, whose number is fixed
/// (PROC_PID_INIT_INO, include/linux/proc_ns.h). A kernel without these namespaces has no such link.
pub(super) fn in_container() -> bool {
    const FIRST: &[u8] = b"pid:[4026531836]";
    let mut link = [0_u8; 64];
    match rustix::fs::readlinkat_raw(CWD, c"/proc/self/ns/pid", &mut link) {
        Ok(length) => link.get(..length) != Some(FIRST),
        Err(_) => false,
    }
}

/// The failures so far: each is told on the console when it happens.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    count: u32,
}

impl Troubles {
    /// Whether anything has failed.
    pub(super) const fn any(&self) -> bool {
        self.count > 0
    }

    /// Tells a failure, if it is one.
    pub(super) fn note(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.count = self.count.saturating_add(1);
            console::report(&error);
        }
    }
}

/// Does one step.
pub(super) fn perform(step: Step<'_>, troubles: &mut Troubles) {
    match step {
        Step::Mount(wanted) => troubles.note(mount_once(wanted)),
        Step::Root => troubles.note(root()),
        Step::Temporary => troubles.note(temporary()),
        Step::Console => troubles.note(take_console()),
        Step::DeviceLinks => device_links(troubles),
        Step::Modules => modules(troubles),
        Step::Cgroup => cgroup(troubles),
        Step::CtrlAltDel => {
            troubles.note(rustix::system::reboot(RebootCommand::CadOff).stage("take over Ctrl-Alt-Del"));
        }
        Step::Loopback => troubles.note(link::raise_loopback()),
        Step::Hostname(name) => troubles.note(hostname(name)),
    }
}

/// Whether something is mounted at `path`.
fn is_mounted(path: &CStr) -> bool {
    let asked = statx(rustix::fs::CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS);
    asked.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn mount_once(wanted: &Mount) -> Result<()> {
    if is_mounted(wanted.target) {
        return Ok(());
    }
    // A read-only root has the directory or has it not: the mount itself will tell.
    match mkdir(wanted.target, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST | Errno::ROFS) => {}
        Err(errno) => return Err(Error::on("make directory", wanted.target.to_bytes(), errno)),
    }
    match mount(wanted.kind, wanted.target, wanted.kind, wanted.flags, wanted.data) {
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(errno) => Err(Error::on("mount", wanted.target.to_bytes(), errno)),
    }
}

/// Puts a copy of the root mount over an initramfs, and goes there.
///
/// The mount an initramfs is unpacked to hangs on no other, and pivot_root(2) refuses to replace such a one, in every
/// mount namespace copied from ours as well. The copy hangs on it; the files are the same.
fn root() -> Result<()> {
    const STAGE: &str = "put a mount over the initramfs";
    let mut initramfs = false;
    mountinfo::for_each_from_last(|mounted| initramfs |= mounted.is_initramfs());
    if !initramfs {
        return Ok(());
    }
    let whole = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
    let copy = open_tree(CWD, c"/", whole | OpenTreeFlags::OPEN_TREE_CLOEXEC).stage(STAGE)?;
    move_mount(&copy, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).stage(STAGE)?;
    rustix::process::fchdir(&copy).stage(STAGE)?;
    rustix::process::chroot(c".").stage(STAGE)
}

fn temporary() -> Result<()> {
    match mkdir(TMP.target, Mode::from_raw_mode(0o755)) {
        // The mode of mkdir(2) is subject to the umask, and carries no sticky bit everywhere.
        Ok(()) => rustix::fs::chmod(TMP.target, Mode::from_raw_mode(0o1777)).stage("open up /tmp"),
        Err(Errno::EXIST) if rustix::fs::access(TMP.target, rustix::fs::Access::WRITE_OK).is_ok() => Ok(()),
        Err(Errno::EXIST | Errno::ROFS) => mount_once(&TMP),
        Err(errno) => Err(Error::named("make directory", "/tmp", errno)),
    }
}

fn take_console() -> Result<()> {
    const STAGE: &str = "open the console";
    let console =
        rustix::io::retry_on_intr(|| open(c"/dev/console", OFlags::RDWR | OFlags::NOCTTY, Mode::empty()))
            .stage(STAGE)?;
    for target in Stream::ALL {
        if console.as_raw_fd() != target as i32 {
            duplicate_onto(&console, target as u32).stage(STAGE)?;
        }
    }
    if console.as_raw_fd() <= Stream::Error as i32 {
        // It became a standard stream itself, because that one was closed; those are never closed again.
        core::mem::forget(console);
    }
    Ok(())
}

fn device_links(troubles: &mut Troubles) {
    const LINKS: [(&CStr, &CStr); 4] = [
        (c"/proc/self/fd", c"/dev/fd"),
        (c"fd/0", c"/dev/stdin"),
        (c"fd/1", c"/dev/stdout"),
        (c"fd/2", c"/dev/stderr"),
    ];
    for (target, link) in LINKS {
        match symlink(target, link) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => troubles.note(Err(Error::on("make link", link.to_bytes(), errno))),
        }
    }
}

/// Loads the modules of the list, in its order; dependencies are listed before what needs them. No list, no modules.
fn modules(troubles: &mut Troubles) {
    const LIST: &CStr = c"/etc/pipkin/modules";
    /// Longest list, in bytes.
    const CAPACITY: usize = 16 * 1024;
    let mut text = [0_u8; CAPACITY];
    match file::read_whole(LIST, &mut text) {
        Ok(len) => {
            for path in file::lines(text.get(..len).unwrap_or_default()) {
                troubles.note(load(path).stage_on("load module", path));
            }
        }
        Err(error) if error.errno == Errno::NOENT => {}
        Err(error) => troubles.note(Err(error)),
    }
}

/// Loads one module; one that is loaded, or built in, is fine.
fn load(path: &[u8]) -> rustix::io::Result<()> {
    // include/uapi/linux/module.h
    const COMPRESSED: i32 = 4;
    let module = rustix::io::retry_on_intr(|| open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))?;
    let flags = if path.ends_with(b".ko") { 0 } else { COMPRESSED };
    match rustix::system::finit_module(&module, c"", flags) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// A group with processes of its own cannot hand controllers to groups below it, so PID 1 makes itself a leaf first.
/// Each controller is handed down by itself: one that is refused does not cost the others.
fn cgroup(troubles: &mut Troubles) {
    const LEAF: &CStr = c"/sys/fs/cgroup/init";
    match mkdir(LEAF, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {
            troubles.note(file::write_whole(c"/sys/fs/cgroup/init/cgroup.procs", b"0"));
        }
        Err(errno) => return troubles.note(Err(Error::on("make cgroup", LEAF.to_bytes(), errno))),
    }
    let mut names = [0_u8; 512];
    let len = match file::read_whole(c"/sys/fs/cgroup/cgroup.controllers", &mut names) {
        Ok(len) => len,
        Err(error) => return troubles.note(Err(error)),
    };
    for name in names.get(..len).unwrap_or_default().split(u8::is_ascii_whitespace) {
        let mut order = heapless::Vec::<u8, 64>::new();
        if name.is_empty() || order.push(b'+').is_err() || order.extend_from_slice(name).is_err() {
            continue;
        }
        let handed = file::write_whole(c"/sys/fs/cgroup/cgroup.subtree_control", &order);
        troubles.note(handed.map_err(|error| Error::on("hand down controller", name, error.errno)));
    }
}

fn hostname(given: Option<&CStr>) -> Result<()> {
    /// HOST_NAME_MAX of Linux.
    const LONGEST: usize = 64;
    let mut text = [0_u8; 1024];
    let len = match given {
        Some(_) => 0,
        // Whatever is wrong with that file, a name there must be.
        None => file::read_whole(c"/etc/hostname", &mut text).unwrap_or(0),
    };
    let written = file::lines(text.get(..len).unwrap_or_default())
        .find_map(|line| line.split(u8::is_ascii_whitespace).next())
        .filter(|name| name.len() <= LONGEST);
    let name = given.map(CStr::to_bytes).or(written).unwrap_or(b"pipkin");
    rustix::system::sethostname(name).stage_on("set the hostname to", name)
}
