//! Which namespaces a container has of its own, shares or joins (namespaces(7)).

use super::{ClockOffset, IdMap};
use core::ffi::CStr;

/// Where one namespace of the container comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Join<'a> {
    /// A new one.
    New,
    /// The one Pipkin was started in.
    Host,
    /// The one that this file, such as `/proc/PID/ns/net`, stands for.
    Path(&'a CStr),
}

/// A user namespace with its maps. Both must be present: without a map every id is `nobody`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserNamespace<'a> {
    /// The file of the one to enter, which has these maps; `None` for a new one.
    pub path: Option<&'a CStr>,
    /// Map of user ids.
    pub uids: &'a [IdMap],
    /// Map of group ids.
    pub gids: &'a [IdMap],
}

/// The container's namespaces. The mount namespace is always new: there is no root without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Namespaces<'a> {
    /// Process ids.
    pub pid: Join<'a>,
    /// Network; a new one has `lo` and it is up.
    pub network: Join<'a>,
    /// System V IPC and POSIX message queues.
    pub ipc: Join<'a>,
    /// Host and domain name.
    pub uts: Join<'a>,
    /// The root of the cgroup view.
    pub cgroup: Join<'a>,
    /// User and group ids; `None` is Pipkin's own.
    pub user: Option<UserNamespace<'a>>,
    /// Monotonic and boot-time clocks.
    pub time: Join<'a>,
    /// How far the clocks of a new time namespace are from the host's.
    pub clocks: &'a [ClockOffset],
}

impl Namespaces<'_> {
    /// What `run` gives when nothing else is asked: all but user and time.
    pub const DEFAULT: Namespaces<'static> = Namespaces {
        pid: Join::New,
        network: Join::New,
        ipc: Join::New,
        uts: Join::New,
        cgroup: Join::New,
        user: None,
        time: Join::Host,
        clocks: &[],
    };
}
