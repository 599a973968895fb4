//! Everything a run of Pipkin could leave behind, before and after.

use super::enclosure::cgroup_root;
use rustix::process::{WaitOptions, wait};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Directories that stay once they were made, as places for others.
const PLACES: [&str; 7] = [
    "/run/pipkin",
    "/run/pipkin/events",
    "/run/pipkin/oci",
    "/run/pipkin/containers",
    "/run/pipkin/names",
    "/var/lib/pipkin/containers",
    "/var/lib/pipkin/images",
];

/// What there is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footprint(BTreeSet<String>);

impl Footprint {
    /// Looks.
    pub(crate) fn take() -> Self {
        let mut seen = BTreeSet::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the list of mounts");
        seen.extend(mounts.lines().map(|line| format!("mount {line}")));
        if let Some(root) = cgroup_root() {
            let groups = ["pipkin", "pipkin-self"].map(|name| root.join(name));
            walk(root, &mut |path, directory| {
                if directory && !groups.iter().any(|group| group == path) {
                    seen.insert(format!("cgroup {}", path.display()));
                }
            });
        }
        for top in ["/run", "/var/lib/pipkin"] {
            walk(Path::new(top), &mut |path, _| {
                if !PLACES.iter().any(|place| Path::new(place) == path) {
                    seen.insert(format!("file {}", path.display()));
                }
            });
        }
        seen.extend(children().into_iter().map(|(pid, line)| format!("process {pid} {line}")));
        Self(seen)
    }

    /// Looks again.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self) {
        let now = Self::take();
        let left: Vec<_> = now.0.difference(&self.0).collect();
        // A process that was on its way out when we first looked may be gone by now.
        let stays = |line: &&String| !line.starts_with("process ");
        let gone: Vec<_> = self.0.difference(&now.0).filter(stays).collect();
        assert!(left.is_empty() && gone.is_empty(), "left behind: {left:#?}, taken away: {gone:#?}");
    }
}

fn walk(folder: &Path, found: &mut dyn FnMut(&Path, bool)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        found(&entry.path(), directory);
        if directory {
            walk(&entry.path(), found);
        }
    }
}

/// Our children, living or dead, with what the kernel says of them.
fn children() -> Vec<(u32, String)> {
    let own = std::process::id();
    let pids = fs::read_dir("/proc").expect("the processes").flatten();
    pids.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        let name = stat.rsplit_once(')')?.0.to_owned();
        (parent == own).then_some((pid, name))
    })
    .collect()
}

/// Whether there are any.
pub(crate) fn has_children() -> bool {
    !children().is_empty()
}

/// Reaps what a killed Pipkin left to us. No process that a case has started itself may be unwaited-for.
pub(crate) fn reap_orphans() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}
