//! What runs in the container.

use super::{Confinement, Tuning, User};
use crate::sys::process::{StrArray, StrSlot};
use core::ffi::CStr;

/// A list of strings, and the same list as execve(2) takes it.
#[derive(Clone, Copy)]
pub struct Strings<'a> {
    /// For reading.
    pub list: &'a [&'a CStr],
    /// For the kernel.
    pub array: StrArray<'a>,
}

impl Strings<'_> {
    /// No strings.
    pub const EMPTY: Strings<'static> = Strings { list: &[], array: StrArray::EMPTY };
}

/// A set of capabilities, bit n for capability number n (capabilities(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// No capability.
    pub const EMPTY: Self = Self(0);
    /// Every capability that has a name.
    pub const ALL: Self = Self((1 << CAPABILITY_NAMES.len()) - 1);

    /// This set and capability `number`; numbers from 64 on add nothing.
    #[must_use]
    pub const fn with(self, number: u32) -> Self {
        if number < 64 { Self(self.0 | 1 << number) } else { self }
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether capability `number` is in the set.
    #[must_use]
    pub const fn contains(self, number: u32) -> bool {
        number < 64 && self.0 & 1 << number != 0
    }

    /// The number of the capability called `name`, with or without `CAP_`, in any case.
    #[must_use]
    pub fn number(name: &[u8]) -> Option<u32> {
        let prefix = name.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"CAP_"));
        let bare = if prefix { name.get(4..)? } else { name };
        let place = CAPABILITY_NAMES.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(bare))?;
        u32::try_from(place).ok()
    }

    /// The names in the set, in order of their numbers.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CAPABILITY_NAMES.iter().enumerate().filter(move |(n, _)| self.0 >> n & 1 == 1).map(|(_, name)| *name)
    }
}

/// Names of the capabilities in order of their numbers, without `CAP_` (include/uapi/linux/capability.h, 6.18).
#[rustfmt::skip]
pub const CAPABILITY_NAMES: [&str; 41] = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container keeps unless told otherwise: docker's fourteen without MKNOD, NET_RAW and AUDIT_WRITE.
pub const DEFAULT_CAPABILITIES: CapabilitySet = CapabilitySet::EMPTY
    .with(0) // CHOWN
    .with(1) // DAC_OVERRIDE
    .with(3) // FOWNER
    .with(4) // FSETID
    .with(5) // KILL
    .with(6) // SETGID
    .with(7) // SETUID
    .with(8) // SETPCAP
    .with(10) // NET_BIND_SERVICE
    .with(18) // SYS_CHROOT
    .with(31); // SETFCAP

/// The five sets of a process, and what they mean to it. Inheritable is empty unless an OCI configuration insists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// Upper bound of what an exec can give.
    pub bounding: CapabilitySet,
    /// In force.
    pub effective: CapabilitySet,
    /// May be put in force.
    pub permitted: CapabilitySet,
    /// Kept across exec of a file with inheritable capabilities.
    pub inheritable: CapabilitySet,
    /// Kept across exec of a plain file by a user who is not root.
    pub ambient: CapabilitySet,
    /// Its securebits (capabilities(7)): none means that root gets capabilities at exec, as everywhere.
    pub secure_bits: u32,
}

impl Capabilities {
    /// `set` as bounding, effective and permitted set, nothing inheritable or ambient.
    #[must_use]
    pub const fn plain(set: CapabilitySet) -> Self {
        let none = CapabilitySet::EMPTY;
        Self {
            bounding: set,
            effective: set,
            permitted: set,
            inheritable: none,
            ambient: none,
            secure_bits: 0,
        }
    }
}

/// A resource that setrlimit(2) bounds; the value is the kernel's `RLIMIT_*` number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum RlimitKind {
    Cpu = 0,
    Fsize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Rss = 5,
    Nproc = 6,
    Nofile = 7,
    Memlock = 8,
    As = 9,
    Locks = 10,
    Sigpending = 11,
    Msgqueue = 12,
    Nice = 13,
    Rtprio = 14,
    Rttime = 15,
}

impl RlimitKind {
    /// Every kind with docker's name for it.
    pub const ALL: [(&'static str, Self); 16] = [
        ("cpu", Self::Cpu),
        ("fsize", Self::Fsize),
        ("data", Self::Data),
        ("stack", Self::Stack),
        ("core", Self::Core),
        ("rss", Self::Rss),
        ("nproc", Self::Nproc),
        ("nofile", Self::Nofile),
        ("memlock", Self::Memlock),
        ("as", Self::As),
        ("locks", Self::Locks),
        ("sigpending", Self::Sigpending),
        ("msgqueue", Self::Msgqueue),
        ("nice", Self::Nice),
        ("rtprio", Self::Rtprio),
        ("rttime", Self::Rttime),
    ];

    /// Docker's name, `nofile`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// One limit of setrlimit(2); `None` is unlimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rlimit {
    /// Of what.
    pub kind: RlimitKind,
    /// The limit in force.
    pub soft: Option<u64>,
    /// The bound up to which the process may raise it.
    pub hard: Option<u64>,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// A finished seccomp program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filter<'a> {
    /// Instructions, each the eight bytes of a `struct sock_filter`.
    pub program: &'a [u64],
    /// Where it comes from, for showing: `"the default policy"` or a file.
    pub origin: &'a str,
    /// Whether what it refuses goes to the audit log.
    pub log: bool,
    /// Whether the process keeps its speculation settings, which installing a filter changes on kernels before 5.16.
    pub allow_speculation: bool,
    /// Whether it asks a listener about calls; the descriptor for that goes to the host.
    pub asks: bool,
}

/// The container's main process.
#[derive(Clone, Copy)]
pub struct Process<'a> {
    /// The command and its arguments; never empty.
    pub args: Strings<'a>,
    /// The environment, whole: nothing of the host's is added.
    pub env: Strings<'a>,
    /// Directories in which a command without `/` is sought: the value of `PATH` in `env`.
    pub path: &'a [u8],
    /// A slot that `env.array` points to, for `HOME=…` from the image's passwd file, or `None` when `env` has one.
    pub home: Option<&'a StrSlot<256>>,
    /// Working directory inside; made when it does not exist.
    pub cwd: &'a CStr,
    /// Who it runs as.
    pub user: User<'a>,
    /// File mode creation mask.
    pub umask: u32,
    /// Capabilities.
    pub capabilities: Capabilities,
    /// Whether exec can never raise privileges (prctl(2) `PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: bool,
    /// The seccomp filter; `None` only when it was asked to have none.
    pub filter: Option<Filter<'a>>,
    /// Limits of setrlimit(2).
    pub rlimits: &'a [Rlimit],
    /// `oom_score_adj`, -1000 to 1000; `None` leaves the inherited one.
    pub oom_score_adj: Option<i16>,
    /// A pseudo-terminal of this first size as controlling terminal and standard streams.
    pub terminal: Option<WindowSize>,
    /// Whether standard input is Pipkin's own; otherwise it is `/dev/null`.
    pub stdin: bool,
    /// What few ask for.
    pub tuning: Tuning<'a>,
    /// What security modules hold it to.
    pub confinement: Confinement<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_names_have_the_kernels_numbers() {
        assert_eq!(CapabilitySet::number(b"CAP_CHOWN"), Some(0));
        assert_eq!(CapabilitySet::number(b"net_raw"), Some(13));
        assert_eq!(CapabilitySet::number(b"SYS_ADMIN"), Some(21));
        assert_eq!(CapabilitySet::number(b"cap_checkpoint_restore"), Some(40));
        assert_eq!(CapabilitySet::number(b"CAP_"), None);
        assert_eq!(CapabilitySet::number(b"NET_RAWX"), None);
        assert_eq!(CapabilitySet::ALL.0, 0x1ff_ffff_ffff);
    }

    #[test]
    fn the_default_set_is_eleven() {
        assert!(DEFAULT_CAPABILITIES.names().eq([
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "FSETID",
            "KILL",
            "SETGID",
            "SETUID",
            "SETPCAP",
            "NET_BIND_SERVICE",
            "SYS_CHROOT",
            "SETFCAP",
        ]));
    }
}
