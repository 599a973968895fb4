//! What a container is: borrowed, plain data that both front ends (command line and OCI) produce.
//!
//! Duty: name everything a container can be asked to have, with types that cannot hold nonsense where that is
//! cheap. It decides nothing, touches nothing and knows no kernel: `plan` weighs a [`Spec`] against the host.
//!
//! Dangers: texts in here came from outside. Names and paths are C strings without NUL and otherwise unchecked;
//! [`Id`] is checked at construction because it becomes part of paths.

mod confinement;
mod filesystem;
mod id;
mod identity;
mod namespace;
mod network;
mod process;
mod resource;
mod start;
mod tuning;

pub use confinement::{Confinement, PathRule};
pub use filesystem::{
    Attributes, DEFAULT_DEVICES, DEFAULT_MASKED, DEFAULT_MOUNTS, DEFAULT_READONLY, Device, DeviceKind,
    Mapping, Mount, MountOption, Propagation, Root, RootSource, Source, THERMAL, Upper,
};
pub use id::Id;
pub use identity::{Account, IdMap, User};
pub use namespace::{Join, Namespaces, UserNamespace};
pub use network::{ATTACHMENTS_MAX, Attachment, Handover, Network, Publish, Subnet, Transport};
pub use process::{
    CAPABILITY_NAMES, Capabilities, CapabilitySet, DEFAULT_CAPABILITIES, Filter, Process, Rlimit, RlimitKind,
    Strings, WindowSize,
};
pub use resource::{CpuMax, DeviceLimit, DeviceRule, Limit, Resources, weight_of_shares};
pub use start::Start;
pub use tuning::{ClockOffset, MemoryPolicy, Scheduler, Tuning};

use core::ffi::CStr;

/// A kernel parameter to set inside the container's own namespaces.
#[derive(Clone, Copy, Debug)]
pub struct Sysctl<'a> {
    /// Dotted name, `net.ipv4.ip_forward`; checked against the list of namespaced parameters by the plan.
    pub name: &'a CStr,
    /// The value, one line.
    pub value: &'a CStr,
}

/// A whole container.
#[derive(Clone, Copy)]
pub struct Spec<'a> {
    /// The container's id, unique on this host.
    pub id: Id,
    /// Its root file system.
    pub root: Root<'a>,
    /// What runs in it.
    pub process: Process<'a>,
    /// Whether Pipkin stays as PID 1 in front of the process, reaping and forwarding signals.
    pub init: bool,
    /// Which namespaces are its own.
    pub namespaces: Namespaces<'a>,
    /// What it has on the network; needs a network namespace of its own.
    pub network: Network<'a>,
    /// Interfaces of the host that become its own; needs a network namespace other than the host's.
    pub handovers: &'a [Handover<'a>],
    /// Host name; needs a UTS namespace of its own.
    pub hostname: Option<&'a CStr>,
    /// NIS domain name; needs a UTS namespace of its own.
    pub domainname: Option<&'a CStr>,
    /// Every mount below the root, in order: [`DEFAULT_MOUNTS`] first when the front end wants them.
    pub mounts: &'a [Mount<'a>],
    /// Device nodes beside [`DEFAULT_DEVICES`].
    pub devices: &'a [Device<'a>],
    /// Kernel parameters.
    pub sysctls: &'a [Sysctl<'a>],
    /// Paths that read as empty; a path that does not exist is skipped, one that cannot be masked is an error.
    pub masked: &'a [&'a CStr],
    /// Paths that cannot be written.
    pub readonly: &'a [&'a CStr],
    /// Resource limits.
    pub resources: Resources<'a>,
    /// Where its cgroup is, below the root of the hierarchy; `pipkin/ID` when not given.
    pub cgroup: Option<&'a CStr>,
    /// Whether somebody else makes that cgroup before, and owns it.
    pub managed: bool,
    /// When its process starts.
    pub start: Start,
}
