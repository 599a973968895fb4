//! What booting consists of: a list, and how each step on it is done.
//!
//! Each step is idempotent and independent: what an initramfs, the kernel or a container engine has done already
//! is left as it is, and one that fails does not keep the next from being tried.

use super::network::{self, Network};
use super::{file, seed, volume};
use crate::error::{Error, Result, Stage};
use crate::init::console;
use crate::netlink::link;
use crate::sys::clock::raise_realtime;
use crate::sys::process::duplicate_onto;
use crate::sys::stdio::Stream;
use core::ffi::CStr;
use rustix::fd::AsRawFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, mkdir, open, statx, symlink};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
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
    /// Set the clock to a time at which this program existed, where it is earlier.
    Clock,
    /// Give the random number generator what the last boot left.
    Seed,
    /// Mount what the command line asks for.
    Volume(&'a CStr),
    /// Bring up `lo`, and the interface that the command line asks for.
    Network(Option<&'a Network<'a>>),
    /// Name the machine: this, or what `/etc/hostname` says, or `pipkin`; and have it find itself by that name.
    Hostname(Option<&'a [u8]>),
}

/// No machine that runs this program lives before the year it was written in: 1 January 2026.
const FLOOR_S: i64 = 1_767_225_600;

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

/// What comes before there is another root: a driver or a file system may be a module.
pub(super) const BEFORE_ROOT: [Step<'static>; 2] = [Step::Mount(&SYS), Step::Modules];

/// What another root needs again: the mounts that could not be moved there, and modules of its own.
pub(super) const AFTER_ROOT: [Step<'static>; 4] =
    [Step::Mount(&DEV), Step::Mount(&PROC), Step::Mount(&SYS), Step::Modules];

/// All the rest, in order, but what the command line asks for.
pub(super) const REST: [Step<'static>; 9] = [
    Step::Mount(&PTS),
    Step::Mount(&SHM),
    Step::Mount(&RUN),
    Step::Temporary,
    Step::DeviceLinks,
    Step::Mount(&CGROUP),
    Step::Cgroup,
    Step::CtrlAltDel,
    Step::Clock,
];

impl Step<'_> {
    /// Whether this is the kernel's business, in which the PID 1 of a container has no say, or what its engine did.
    pub(super) const fn is_for_machine(self) -> bool {
        matches!(self, Self::Modules | Self::CtrlAltDel | Self::Clock | Self::Seed | Self::Hostname(_))
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
    /// Whether what is for a machine is left out.
    pub(super) only_own: bool,
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

    /// Tells of a kernel argument that cannot be obeyed.
    pub(super) fn refuse(&mut self, word: &CStr) {
        self.note(Err(Error::on("obey kernel argument", word.to_bytes(), Errno::INVAL)));
    }

    /// Does these steps.
    pub(super) fn each(&mut self, steps: &[Step<'_>]) {
        for step in steps {
            if !(self.only_own && step.is_for_machine()) {
                perform(*step, self);
            }
        }
    }
}

fn perform(step: Step<'_>, troubles: &mut Troubles) {
    match step {
        Step::Mount(wanted) => troubles.note(mount_once(wanted)),
        Step::Temporary => troubles.note(temporary()),
        Step::Console => troubles.note(take_console()),
        Step::DeviceLinks => device_links(troubles),
        Step::Modules => modules(troubles),
        Step::Cgroup => cgroup(troubles),
        Step::CtrlAltDel => {
            troubles.note(rustix::system::reboot(RebootCommand::CadOff).stage("take over Ctrl-Alt-Del"));
        }
        Step::Clock => troubles.note(raise_realtime(FLOOR_S).map(drop).stage("set the clock")),
        Step::Seed => troubles.note(seed::sow()),
        Step::Volume(text) => troubles.note(volume::attach(text.to_bytes())),
        Step::Network(None) => troubles.note(link::raise_loopback()),
        Step::Network(Some(network)) => {
            troubles.note(network.configure());
            troubles.note(network.name_servers());
        }
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
    let console = open(c"/dev/console", OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
    if console.is_err() {
        // None of the kernel's consoles exists: what is opened later must not become a standard stream.
        Stream::open_closed().stage("open the null device")?;
    }
    let console = console.stage(STAGE)?;
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

fn hostname(given: Option<&[u8]>) -> Result<()> {
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
    let name = given.or(written).unwrap_or(b"pipkin");
    rustix::system::sethostname(name).stage_on("set the hostname to", name)?;
    network::hosts(name)
}
