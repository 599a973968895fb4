//! The controllers of cgroup v2 by name, and sets of them.
//!
//! `perf_event`, `freezer` and `devices` are missing on purpose: in v2 they are always on or are no controllers.

/// A resource controller of cgroup v2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Controller {
    /// CPUs and memory nodes.
    Cpuset,
    /// CPU time.
    Cpu,
    /// Block I/O.
    Io,
    /// Memory and swap.
    Memory,
    /// Huge pages.
    Hugetlb,
    /// Number of processes.
    Pids,
    /// RDMA handles.
    Rdma,
    /// Scalar resources of the platform.
    Misc,
    /// Device memory (Linux 6.14).
    Dmem,
}

impl Controller {
    /// Every controller, in the order of `cgroup.controllers`.
    pub const ALL: [Self; 9] = [
        Self::Cpuset,
        Self::Cpu,
        Self::Io,
        Self::Memory,
        Self::Hugetlb,
        Self::Pids,
        Self::Rdma,
        Self::Misc,
        Self::Dmem,
    ];

    /// The name in `cgroup.controllers`, and the part of its file names before the first dot.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpuset => "cpuset",
            Self::Cpu => "cpu",
            Self::Io => "io",
            Self::Memory => "memory",
            Self::Hugetlb => "hugetlb",
            Self::Pids => "pids",
            Self::Rdma => "rdma",
            Self::Misc => "misc",
            Self::Dmem => "dmem",
        }
    }

    /// The name in `/proc/cgroups`, which still uses those of v1.
    pub(super) const fn legacy_name(self) -> &'static str {
        match self {
            Self::Io => "blkio",
            other => other.name(),
        }
    }

    /// The text that enables it when written to `cgroup.subtree_control`.
    pub(super) const fn enabling(self) -> &'static str {
        match self {
            Self::Cpuset => "+cpuset",
            Self::Cpu => "+cpu",
            Self::Io => "+io",
            Self::Memory => "+memory",
            Self::Hugetlb => "+hugetlb",
            Self::Pids => "+pids",
            Self::Rdma => "+rdma",
            Self::Misc => "+misc",
            Self::Dmem => "+dmem",
        }
    }

    /// The controller of that name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| controller.name().as_bytes() == name)
    }

    /// The controller that owns the file of that name: `memory` for `memory.max`. `None` for `cgroup.*` and for
    /// files of controllers not known here.
    #[must_use]
    pub fn of_file(file: &[u8]) -> Option<Self> {
        let dot = file.iter().position(|byte| *byte == b'.')?;
        Self::from_name(file.get(..dot)?)
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// A set of controllers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Controllers(u16);

impl Controllers {
    /// The set without members.
    pub const NONE: Self = Self(0);
    /// Those that the kernel lets a group hand to its children while it holds processes itself, at the price of
    /// turning it into the root of a threaded subtree.
    pub(super) const THREADED: Self =
        Self::NONE.with(Controller::Cpuset).with(Controller::Cpu).with(Controller::Pids);

    /// Reads names separated by white space, as in `cgroup.controllers`; names not known here are left out.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        text.split(u8::is_ascii_whitespace).filter_map(Controller::from_name).collect()
    }

    /// This set and `controller`.
    #[must_use]
    pub const fn with(self, controller: Controller) -> Self {
        Self(self.0 | controller.bit())
    }

    /// The members of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `controller` is a member.
    #[must_use]
    pub const fn contains(self, controller: Controller) -> bool {
        self.0 & controller.bit() != 0
    }

    /// Whether it has no members.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in the order of [`Controller::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Controller> {
        Controller::ALL.into_iter().filter(move |controller| self.contains(*controller))
    }
}

impl FromIterator<Controller> for Controllers {
    fn from_iter<I: IntoIterator<Item = Controller>>(members: I) -> Self {
        members.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for controller in Controller::ALL {
            assert_eq!(Controller::from_name(controller.name().as_bytes()), Some(controller));
            assert_eq!(controller.enabling().strip_prefix('+'), Some(controller.name()));
        }
    }

    #[test]
    fn the_kernels_list_is_read() {
        let set = Controllers::parse(b"cpuset cpu io memory hugetlb pids rdma misc dmem\n");
        assert!(set.iter().eq(Controller::ALL));
        assert_eq!(Controllers::parse(b"\n"), Controllers::NONE);
        assert_eq!(Controllers::parse(b"memoryy mem perf_event  \0 MEMORY"), Controllers::NONE);
        assert!(Controllers::parse(b"pids").iter().eq([Controller::Pids]));
    }

    #[test]
    fn files_belong_to_controllers() {
        assert_eq!(Controller::of_file(b"memory.oom.group"), Some(Controller::Memory));
        assert_eq!(Controller::of_file(b"hugetlb.2MB.max"), Some(Controller::Hugetlb));
        assert_eq!(Controller::of_file(b"cgroup.procs"), None);
        assert_eq!(Controller::of_file(b"memory"), None);
        assert_eq!(Controller::of_file(b".."), None);
    }
}
