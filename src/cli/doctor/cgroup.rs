//! Which resource limits can be set.

use super::{Check, message};
use pipkin::cgroup::controller::Controller;
use pipkin::cgroup::hierarchy::{self, Found, Hierarchy};
use pipkin::cgroup::obstacle::{Facts, Obstacle};

/// What to do where cgroup v1 is in the way.
const UNIFY: &str = "boot with cgroup_no_v1=all (systemd: systemd.unified_cgroup_hierarchy=1)";

/// A check for the hierarchy and one for each controller that limits need.
pub(super) fn checks() -> Vec<Check> {
    let name = "cgroup v2";
    let unreadable = |error: pipkin::error::Error| {
        vec![Check::missing(name, &message::reason(error.errno), "mount /proc and /sys/fs/cgroup")]
    };
    let found = match hierarchy::find() {
        Ok(found) => found,
        Err(error) => return unreadable(error),
    };
    let place = found.hierarchy().map(|hierarchy| (hierarchy, hierarchy.root()));
    let facts = match Facts::gather(place) {
        Ok(facts) => facts,
        Err(error) => return unreadable(error),
    };
    let controllers = [
        ("memory limit", Controller::Memory),
        ("cpu limit", Controller::Cpu),
        ("cpuset", Controller::Cpuset),
        ("io limit", Controller::Io),
        ("pids limit", Controller::Pids),
    ];
    let limits = controllers.map(|(name, controller)| limit(name, facts.obstacle(controller)));
    [tree(name, &found)].into_iter().chain(limits).collect()
}

fn tree(name: &'static str, found: &Found) -> Check {
    let unwritable = |hierarchy: &Hierarchy| !hierarchy.root().is_writable();
    match found {
        Found::Unified(hierarchy) | Found::Hybrid(hierarchy) if unwritable(hierarchy) => Check::limited(
            name,
            "mounted, but no group can be made in it: no limits",
            "run as root, or have a group delegated (systemd: Delegate=yes)",
        ),
        Found::Unified(_) => Check::good(name, "mounted, and groups can be made"),
        Found::Hybrid(_) => Check::limited(name, "mounted beside cgroup v1", UNIFY),
        Found::Legacy => Check::limited(name, "not mounted, only cgroup v1: no limits", UNIFY),
        Found::Absent => {
            Check::limited(name, "not mounted: no limits", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")
        }
    }
}

fn limit(name: &'static str, obstacle: Option<Obstacle>) -> Check {
    let (detail, remedy) = match obstacle {
        None => return Check::good(name, "can be set"),
        Some(Obstacle::NoHierarchy) => ("there is no cgroup v2", "see there"),
        Some(Obstacle::HeldByV1(_)) => ("cgroup v1 holds the controller", UNIFY),
        Some(Obstacle::DisabledAtBoot) => {
            ("the controller was switched off at boot", "boot without cgroup_disable=")
        }
        Some(Obstacle::NotBuilt) => ("the kernel was built without it", "use a kernel that has it"),
        Some(Obstacle::NotDelegated) => (
            "the controller was not delegated to us",
            "enable it in cgroup.subtree_control of the group above (systemd: Delegate=yes)",
        ),
    };
    Check::missing(name, detail, remedy)
}
