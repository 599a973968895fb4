//! What the plan must know of the host, gathered once by `host::probe`.

use crate::spec::CapabilitySet;

/// Whether one cgroup v2 controller can be used, and if not, why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Availability {
    /// It can be enabled for our groups.
    Ready,
    /// No cgroup v2 hierarchy is mounted.
    NoHierarchy,
    /// A cgroup v1 hierarchy holds it.
    HeldByV1,
    /// The kernel was built or booted without it.
    Absent,
    /// The cgroup that Pipkin may use was not given it.
    NotDelegated,
}

/// The controllers that limits need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Controllers {
    /// `memory`
    pub memory: Availability,
    /// `cpu`
    pub cpu: Availability,
    /// `cpuset`
    pub cpuset: Availability,
    /// `io`
    pub io: Availability,
    /// `pids`
    pub pids: Availability,
}

impl Controllers {
    /// Every controller in the same state.
    #[must_use]
    pub const fn all(state: Availability) -> Self {
        Self { memory: state, cpu: state, cpuset: state, io: state, pids: state }
    }
}

/// The host as far as plans depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostFacts {
    /// Whether we have the privileges of root here: effective uid 0 and `CAP_SYS_ADMIN`.
    pub root: bool,
    /// Whether our user namespace is another than the machine's first one, in which an engine may have put us.
    pub nested: bool,
    /// Whether supplementary groups cannot be changed in it (`/proc/PID/setgroups` in user_namespaces(7)).
    pub fixed_groups: bool,
    /// Whether group 5, of terminals, has a place in it.
    pub terminal_group: bool,
    /// The capabilities that we have.
    pub capabilities: CapabilitySet,
    /// Our effective user id.
    pub uid: u32,
    /// Our effective group id.
    pub gid: u32,
    /// Version of Landlock; 0 without.
    pub landlock: u32,
    /// Whether AppArmor is in force.
    pub apparmor: bool,
    /// Whether SELinux is.
    pub selinux: bool,
    /// Whether a cgroup v2 hierarchy is mounted in which a group can be made.
    pub cgroup: bool,
    /// State of each controller.
    pub controllers: Controllers,
}

impl HostFacts {
    /// Root on a machine where everything works; the ground of golden tests.
    pub const IDEAL: Self = Self {
        root: true,
        nested: false,
        fixed_groups: false,
        terminal_group: true,
        capabilities: CapabilitySet::ALL,
        uid: 0,
        gid: 0,
        landlock: 7,
        apparmor: true,
        selinux: true,
        cgroup: true,
        controllers: Controllers::all(Availability::Ready),
    };
}
