//! What the plan must know of this machine.

use crate::cgroup::controller::Controller;
use crate::cgroup::hierarchy;
use crate::cgroup::obstacle::{Facts, Obstacle};
use crate::error::Result;
use crate::plan::{Availability, Controllers, HostFacts};

/// Gathers the facts.
///
/// # Errors
/// Those of reading `/proc` and the cgroup hierarchy.
pub fn probe() -> Result<HostFacts> {
    let found = hierarchy::find()?;
    let place = found.hierarchy().map(|hierarchy| (hierarchy, hierarchy.root()));
    let facts = Facts::gather(place)?;
    let state = |controller| match facts.obstacle(controller) {
        None => Availability::Ready,
        Some(Obstacle::NoHierarchy) => Availability::NoHierarchy,
        Some(Obstacle::HeldByV1(_)) => Availability::HeldByV1,
        Some(Obstacle::DisabledAtBoot | Obstacle::NotBuilt) => Availability::Absent,
        Some(Obstacle::NotDelegated) => Availability::NotDelegated,
    };
    let root = rustix::process::geteuid().is_root();
    let writable = |hierarchy: &hierarchy::Hierarchy| hierarchy.root().is_writable();
    Ok(HostFacts {
        root,
        cgroup: found.hierarchy().is_some_and(writable),
        controllers: Controllers {
            memory: state(Controller::Memory),
            cpu: state(Controller::Cpu),
            cpuset: state(Controller::Cpuset),
            io: state(Controller::Io),
            pids: state(Controller::Pids),
        },
    })
}
