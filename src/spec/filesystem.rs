//! The container's file systems: root, mounts, devices, and what is hidden of them.

use super::IdMap;
use core::ffi::CStr;
use linux_raw_sys::general as raw;

/// Where the writable layer of the root lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upper<'a> {
    /// In the directories `upper` and `work` of this one, on disk.
    Directory(&'a CStr),
    /// In memory; gone with the container.
    Tmpfs,
}

/// What the root is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RootSource<'a> {
    /// Directories, topmost first, under a writable layer (overlayfs).
    Layers {
        /// The read-only directories; at least one.
        lower: &'a [&'a CStr],
        /// The writable layer.
        upper: Upper<'a>,
        /// Whether the writable layer may be lost in a crash, since nobody will look at it (`volatile`).
        volatile: bool,
    },
    /// An empty root in memory that holds only Pipkin itself, as `/pipkin`.
    Scratch,
    /// The staging directory itself, used as it is with everything mounted below it.
    Directory {
        /// How mounts made in it later show elsewhere; private when not given.
        propagation: Option<Propagation>,
        /// Whether that also goes for everything mounted below.
        recursive: bool,
    },
}

/// The root file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Root<'a> {
    /// What it is made of.
    pub source: RootSource<'a>,
    /// Where it is put together: an existing directory of the host, hidden from the container afterwards.
    pub staging: &'a CStr,
    /// Whether the process finds it read-only.
    pub readonly: bool,
}

/// How mounts made on one side of a bind show on the other (mount_namespaces(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// From the host into the container.
    Slave,
    /// Both ways.
    Shared,
    /// Not at all, and it cannot be bound again.
    Unbindable,
}

/// Attributes of a mount as `MOUNT_ATTR_*` bits (mount_setattr(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attributes {
    /// Bits to set on the mount.
    pub set: u32,
    /// Bits to clear on it.
    pub clear: u32,
    /// Bits to set on it and on everything below.
    pub set_recursive: u32,
    /// Bits to clear on it and on everything below.
    pub clear_recursive: u32,
}

impl Attributes {
    /// Only these bits, on the mount alone.
    #[must_use]
    pub const fn only(set: u32) -> Self {
        Self { set, clear: 0, set_recursive: 0, clear_recursive: 0 }
    }
}

/// One option of a file system, as fsconfig(2) takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MountOption<'a> {
    /// A word that stands alone.
    Flag(&'a CStr),
    /// A key and its value.
    Value(&'a CStr, &'a CStr),
    /// None of its own: what lies at the target is copied into it.
    CopyUp,
}

/// By which maps the ids of files on disk become those of the host (mount_setattr(2) `MOUNT_ATTR_IDMAP`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping<'a> {
    /// The user and group ids on disk, and what they are outside. Without these it goes by the container's user
    /// namespace: files belong inside to the ids that they have on disk.
    pub own: Option<(&'a [IdMap], &'a [IdMap])>,
    /// Also everything mounted below.
    pub recursive: bool,
}

impl Mapping<'_> {
    /// By the container's user namespace, with everything mounted below.
    pub const CONTAINER: Mapping<'static> = Mapping { own: None, recursive: true };
}

/// What a mount shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source<'a> {
    /// A file or directory of the host.
    Bind {
        /// Where it is on the host.
        path: &'a CStr,
        /// With everything mounted below it.
        recursive: bool,
        /// Whose ids its files are shown with; the host's when not given.
        mapped: Option<Mapping<'a>>,
        /// Whether it is a volume of Pipkin's: its files have the container's ids on disk, and as long as it is empty
        /// it takes over what lies at the target.
        volume: bool,
    },
    /// A new instance of a file system of the kernel.
    FileSystem {
        /// Its type: `proc`, `tmpfs`, …
        kind: &'a CStr,
        /// Its options.
        options: &'a [MountOption<'a>],
    },
    /// The cgroup v2 hierarchy as the container sees it; left out where the host has none.
    Cgroup,
}

/// One mount below the root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mount<'a> {
    /// Where, inside the container: absolute.
    pub target: &'a CStr,
    /// What.
    pub source: Source<'a>,
    /// With which attributes.
    pub attributes: Attributes,
    /// With which propagation; private when not given.
    pub propagation: Option<Propagation>,
}

/// What kind of device node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceKind {
    /// Character device.
    Character,
    /// Block device.
    Block,
    /// Named pipe.
    Fifo,
}

/// A device node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device<'a> {
    /// Absolute path inside the container.
    pub path: &'a CStr,
    /// The host's node, which is bound where none can be made: in a user namespace.
    pub source: &'a CStr,
    /// Its kind.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner inside the container.
    pub uid: u32,
    /// Group inside the container.
    pub gid: u32,
}

const fn character(path: &CStr, major: u32, minor: u32) -> Device<'_> {
    Device { path, source: path, kind: DeviceKind::Character, major, minor, mode: 0o666, uid: 0, gid: 0 }
}

/// The nodes every container has (OCI runtime-spec, config-linux, default devices). `ptmx` and the links of
/// `/dev` come beside them.
pub const DEFAULT_DEVICES: [Device<'static>; 6] = [
    character(c"/dev/null", 1, 3),
    character(c"/dev/zero", 1, 5),
    character(c"/dev/full", 1, 7),
    character(c"/dev/random", 1, 8),
    character(c"/dev/urandom", 1, 9),
    character(c"/dev/tty", 5, 0),
];

const INERT: u32 = raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NODEV | raw::MOUNT_ATTR_NOEXEC;

const fn filesystem(
    target: &'static CStr,
    kind: &'static CStr,
    options: &'static [MountOption<'static>],
    set: u32,
) -> Mount<'static> {
    let source = Source::FileSystem { kind, options };
    Mount { target, source, attributes: Attributes::only(set), propagation: None }
}

/// The file systems every `run` container has, in mount order.
pub const DEFAULT_MOUNTS: [Mount<'static>; 7] = [
    filesystem(c"/proc", c"proc", &[], INERT),
    filesystem(
        c"/dev",
        c"tmpfs",
        &[MountOption::Value(c"mode", c"755"), MountOption::Value(c"size", c"64m")],
        raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NOEXEC | raw::MOUNT_ATTR_STRICTATIME,
    ),
    filesystem(
        c"/dev/pts",
        c"devpts",
        &[
            MountOption::Flag(c"newinstance"),
            MountOption::Value(c"ptmxmode", c"0666"),
            MountOption::Value(c"mode", c"0620"),
            MountOption::Value(c"gid", c"5"),
        ],
        raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NOEXEC,
    ),
    filesystem(
        c"/dev/shm",
        c"tmpfs",
        &[MountOption::Value(c"mode", c"1777"), MountOption::Value(c"size", c"64m")],
        INERT,
    ),
    filesystem(c"/dev/mqueue", c"mqueue", &[], INERT),
    filesystem(c"/sys", c"sysfs", &[], INERT | raw::MOUNT_ATTR_RDONLY),
    Mount {
        target: c"/sys/fs/cgroup",
        source: Source::Cgroup,
        attributes: Attributes::only(INERT | raw::MOUNT_ATTR_RDONLY),
        propagation: None,
    },
];

/// The thermal counters of every CPU; the one path that stands for many.
pub const THERMAL: &CStr = c"/sys/devices/system/cpu/cpu*/thermal_throttle";

/// Paths that tell about or reach into the host. Most are OCI's; `interrupts`, `powercap` and the thermal counters tell
/// one container what another computes.
pub const DEFAULT_MASKED: [&CStr; 14] = [
    c"/proc/acpi",
    c"/proc/asound",
    c"/proc/interrupts",
    c"/proc/kcore",
    c"/proc/keys",
    c"/proc/latency_stats",
    c"/proc/sched_debug",
    c"/proc/scsi",
    c"/proc/timer_list",
    c"/proc/timer_stats",
    THERMAL,
    c"/sys/devices/virtual/powercap",
    c"/sys/firmware",
    c"/sys/fs/selinux",
];

/// Paths of `/proc` that configure the host (OCI's list).
pub const DEFAULT_READONLY: [&CStr; 5] =
    [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys", c"/proc/sysrq-trigger"];
