//! Why a controller cannot be had. Facts are gathered once; the verdict is pure.

use super::controller::{Controller, Controllers};
use super::group::Group;
use super::hierarchy::{Hierarchy, open_proc};
use super::line;
use super::read::number;
use crate::error::{Error, Result};
use rustix::io::Errno;

/// What stands between a group and a controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// No cgroup v2 hierarchy is mounted.
    NoHierarchy,
    /// A v1 hierarchy of this number (of `/proc/cgroups`) holds it.
    HeldByV1(u32),
    /// The kernel was started with `cgroup_disable=` and its name.
    DisabledAtBoot,
    /// The kernel was built without it.
    NotBuilt,
    /// A group above ours, which we may or may not see, does not hand it down (`cgroup.subtree_control`).
    NotDelegated,
}

/// Why the kernel refused to enable a controller in a group, from the errno of [`Group::enable`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The group holds processes itself: only leaves and the root may (`EBUSY`).
    InternalProcesses,
    /// The controller is not in the group's `cgroup.controllers` (`ENOENT`).
    NotAvailable,
    /// The kernel does not know it, or was started without it (`EINVAL`).
    Unknown,
    /// The group is threaded (`EOPNOTSUPP`).
    Threaded,
    /// The hierarchy is mounted read-only (`EROFS`).
    ReadOnly,
    /// The group is not ours to change (`EACCES`, `EPERM`).
    NotPermitted,
    /// The group was removed (`ENODEV`).
    Gone,
}

impl Refusal {
    /// The meaning of `errno`; `None` for errors that have nothing to do with cgroups.
    #[must_use]
    pub const fn of(errno: Errno) -> Option<Self> {
        Some(match errno {
            Errno::BUSY => Self::InternalProcesses,
            Errno::NOENT => Self::NotAvailable,
            Errno::INVAL => Self::Unknown,
            Errno::OPNOTSUPP => Self::Threaded,
            Errno::ROFS => Self::ReadOnly,
            Errno::ACCESS | Errno::PERM => Self::NotPermitted,
            Errno::NODEV => Self::Gone,
            _ => return None,
        })
    }
}

/// A line of `/proc/cgroups`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Subsystem {
    hierarchy: u32,
    enabled: bool,
}

/// What decides whether a controller can be had in a group.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// `cgroup.controllers` of the mount's root; `None` without a v2 hierarchy.
    root: Option<Controllers>,
    /// Whether that root is the true one, where every v2 controller shows.
    true_root: bool,
    /// `cgroup.controllers` of the group.
    group: Controllers,
    /// `/proc/cgroups`, by [`Controller`]. Since Linux 6.13 it lists controllers built for v1 only, so a line missing
    /// says nothing.
    subsystems: [Option<Subsystem>; Controller::ALL.len()],
}

impl Facts {
    /// Looks at the hierarchy, at the `group` of it that is to hand controllers down, and at `/proc/cgroups`.
    ///
    /// # Errors
    /// Of reading those files; `/proc/cgroups` may be missing.
    pub fn gather(place: Option<(&Hierarchy, &Group)>) -> Result<Self> {
        let mut facts = Self {
            root: None,
            true_root: false,
            group: Controllers::NONE,
            subsystems: [None; Controller::ALL.len()],
        };
        if let Some((hierarchy, group)) = place {
            facts.root = Some(hierarchy.root().controllers()?);
            facts.true_root = hierarchy.root().is_root();
            facts.group = group.controllers()?;
        }
        // With every controller in hand nothing is asked for which the table would be needed.
        let missing = Controller::ALL.into_iter().any(|controller| !facts.group.contains(controller));
        if missing {
            facts.read_subsystems()?;
        }
        Ok(facts)
    }

    fn read_subsystems(&mut self) -> Result<()> {
        let failed = |errno| Error::named("read the list of controllers", "/proc/cgroups", errno);
        let file = match open_proc(c"/proc/cgroups") {
            Err(Errno::NOENT) => return Ok(()),
            other => other.map_err(failed)?,
        };
        let mut lines = line::of_file::<_, 256>(file);
        while let Some(line) = lines.next().map_err(failed)? {
            self.take_subsystem(line.text);
        }
        Ok(())
    }

    /// Reads `name hierarchy num_cgroups enabled`, separated by tabs; other lines are left out.
    fn take_subsystem(&mut self, line: &[u8]) {
        let mut words = line.split(|byte| *byte == b'\t');
        let name = words.next().unwrap_or_default();
        let mut next = || words.next().and_then(number).and_then(|number| u32::try_from(number).ok());
        let (Some(hierarchy), Some(_), Some(enabled)) = (next(), next(), next()) else { return };
        for (controller, slot) in Controller::ALL.into_iter().zip(&mut self.subsystems) {
            if controller.legacy_name().as_bytes() == name {
                *slot = Some(Subsystem { hierarchy, enabled: enabled != 0 });
            }
        }
    }

    /// Why the group cannot hand `controller` down; `None` when it can.
    #[must_use]
    pub fn obstacle(&self, controller: Controller) -> Option<Obstacle> {
        if self.group.contains(controller) {
            return None;
        }
        match self.subsystems.get(controller as usize).copied().flatten() {
            Some(Subsystem { hierarchy: number @ 1.., .. }) => return Some(Obstacle::HeldByV1(number)),
            Some(Subsystem { enabled: false, .. }) => return Some(Obstacle::DisabledAtBoot),
            _ => {}
        }
        Some(match self.root {
            None => Obstacle::NoHierarchy,
            Some(root) if self.true_root && !root.contains(controller) => Obstacle::NotBuilt,
            Some(_) => Obstacle::NotDelegated,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Controller::{Cpu, Io, Memory, Pids};

    fn facts(root: Option<&str>, true_root: bool, group: &str, table: &str) -> Facts {
        let mut facts = Facts {
            root: root.map(|names| Controllers::parse(names.as_bytes())),
            true_root,
            group: Controllers::parse(group.as_bytes()),
            subsystems: [None; 9],
        };
        table.lines().for_each(|line| facts.take_subsystem(line.as_bytes()));
        facts
    }

    const HYBRID: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n\
        cpuset\t3\t1\t1\ncpu\t1\t1\t1\nblkio\t7\t1\t1\nmemory\t0\t23\t0\npids\t0\t1\t1\n";

    #[test]
    fn each_obstacle_is_told_apart() {
        let hybrid = facts(Some(""), true, "", HYBRID);
        assert_eq!(hybrid.obstacle(Cpu), Some(Obstacle::HeldByV1(1)));
        assert_eq!(hybrid.obstacle(Io), Some(Obstacle::HeldByV1(7)));
        assert_eq!(hybrid.obstacle(Memory), Some(Obstacle::DisabledAtBoot));
        assert_eq!(hybrid.obstacle(Controller::Dmem), Some(Obstacle::NotBuilt));
        let no_v2 = facts(None, false, "", HYBRID);
        assert_eq!(no_v2.obstacle(Pids), Some(Obstacle::NoHierarchy));
        assert_eq!(no_v2.obstacle(Cpu), Some(Obstacle::HeldByV1(1)));
    }

    #[test]
    fn a_table_without_the_line_says_nothing() {
        let service = facts(Some("cpu memory pids"), true, "memory", "");
        assert_eq!(service.obstacle(Memory), None);
        assert_eq!(service.obstacle(Cpu), Some(Obstacle::NotDelegated));
        let container = facts(Some("memory"), false, "memory", "");
        assert_eq!(container.obstacle(Pids), Some(Obstacle::NotDelegated));
    }

    #[test]
    fn malformed_lines_are_left_out() {
        for line in [
            "",
            "cpu",
            "cpu\t1",
            "cpu\t1\t1",
            "cpu 1 1 1",
            "cpu\t-1\t1\t1",
            "cpu\t99999999999\t1\t1",
            "\t\t\t",
        ] {
            let facts = facts(Some(""), true, "", line);
            assert_eq!(facts.obstacle(Cpu), Some(Obstacle::NotBuilt), "{line}");
        }
    }

    #[test]
    fn refusals_have_meanings() {
        assert_eq!(Refusal::of(Errno::BUSY), Some(Refusal::InternalProcesses));
        assert_eq!(Refusal::of(Errno::NOENT), Some(Refusal::NotAvailable));
        assert_eq!(Refusal::of(Errno::MFILE), None);
    }
}
