//! Where the bench runs: in a mount and a network namespace of its own, so that it meets no container of this machine
//! and this machine sees nothing of it.

use super::contender::Ground;
use crate::{cgroup, command};
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

/// Where Pipkin's containers have their writable layers, below the bench's folder.
pub(super) const LAYERS: &str = "data/containers";

/// Mounts Pipkin's two directories anew, the state on tmpfs as on a real machine; `$0` is a folder for the data, `$1`
/// says whether the unified cgroup hierarchy goes where every program looks for it, the rest is to be run.
const ENCLOSE: &str = "set -e
mkdir -p /run/pipkin /var/lib/pipkin
mount -t tmpfs -o mode=700 bench /run/pipkin
mount --bind \"$0\" /var/lib/pipkin
if [ \"$1\" = mount ]; then mount -t cgroup2 cgroup2 /sys/fs/cgroup; fi
shift
exec \"$@\"";

/// Starts this verb once more with `arguments`, enclosed.
///
/// On a machine with the old cgroup hierarchies crun refuses to work, and every program has other things to do: they
/// are covered by the unified one.
///
/// # Errors
/// A namespace or a mount that cannot be made, and that of the verb.
pub(super) fn enter(ground: &Ground, arguments: &[String]) -> Result<()> {
    let data = ground.folder.join("data");
    let layers = ground.folder.join(LAYERS);
    fs::create_dir_all(&layers).with_context(|| format!("making {}", layers.display()))?;
    let own = std::env::current_exe().context("finding this program")?;
    let hierarchy = if cgroup::is_unified()? { "keep" } else { "mount" };
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--net", "--propagation", "private", "sh", "-c", ENCLOSE]).arg(data);
    unshare.arg(hierarchy).arg(own).args(arguments);
    command::run(&mut unshare)
}
