//! What this machine can do with cgroup v2.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the v2 hierarchy is mounted on a machine without the old ones.
pub(crate) const UNIFIED: &str = "/sys/fs/cgroup";

/// Where the v2 hierarchy is mounted; usually once, beside the old hierarchies or instead of them, or nowhere.
///
/// # Errors
/// An unreadable `/proc/mounts`.
pub(crate) fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/mounts").context("reading /proc/mounts")?;
    Ok(cgroup2_mounts(&mounts).map(PathBuf::from).collect())
}

/// Whether the v2 hierarchy is where every program looks for it, with none of the old ones around it.
///
/// # Errors
/// As [`hierarchies`].
pub(crate) fn is_unified() -> Result<bool> {
    Ok(hierarchies()?.iter().any(|hierarchy| hierarchy == Path::new(UNIFIED)))
}

/// Whether the hierarchy can limit memory. One that cannot be read cannot.
pub(crate) fn has_memory(hierarchy: &Path) -> bool {
    let controllers = fs::read_to_string(hierarchy.join("cgroup.controllers"));
    controllers.is_ok_and(|list| list.split_whitespace().any(|name| name == "memory"))
}

fn cgroup2_mounts(mounts: &str) -> impl Iterator<Item = &str> {
    mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(point)
    })
}

#[cfg(test)]
mod tests {
    use super::cgroup2_mounts;

    #[test]
    fn the_unified_hierarchy_is_found_beside_the_old_one() {
        let mounts = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(cgroup2_mounts(mounts).collect::<Vec<_>>(), ["/sys/fs/cgroup/unified"]);
    }
}
