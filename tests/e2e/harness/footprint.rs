//! Everything a run of Pipkin could leave behind, before and after.
//!
//! Links go with their namespace, and a bridge with the process that removes it, a moment after the program has
//! ended; so whoever compares waits for that.

use super::enclosure::cgroup_root;
use pipkin::netlink::nftables::fold_tables;
use pipkin::netlink::socket::{Protocol, Socket};
use pipkin::netlink::wire::nftables::Family;
use rustix::process::{WaitOptions, wait};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long what goes by itself may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Directories that stay once they were made, as places for others.
const PLACES: [&str; 14] = [
    "/run/pipkin",
    "/run/pipkin/recovered",
    "/var/lib/pipkin/boot",
    "/run/pipkin/networks",
    "/run/pipkin/networks/lock",
    "/run/pipkin/events",
    "/run/pipkin/events.1",
    "/run/pipkin/oci",
    "/run/pipkin/containers",
    "/run/pipkin/names",
    "/run/pipkin/users",
    "/var/lib/pipkin/containers",
    "/var/lib/pipkin/images",
    "/var/lib/pipkin/volumes",
];

/// What there is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footprint(BTreeSet<String>);

impl Footprint {
    /// Looks.
    pub(crate) fn take() -> Self {
        let mut seen = BTreeSet::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the list of mounts");
        seen.extend(mounts.lines().map(|line| format!("mount {}", without_peers(line))));
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
        seen.extend(network());
        seen.extend(children().into_iter().map(|(pid, line)| format!("process {pid} {line}")));
        Self(seen)
    }

    /// Looks again, until nothing is left of what goes by itself.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Self::take();
            let left: Vec<_> = now.0.difference(&self.0).collect();
            // What was on its way out when we first looked may be gone by now.
            let stays = |line: &&String| !line.starts_with("process ") && !line.starts_with("link ");
            let gone: Vec<_> = self.0.difference(&now.0).filter(stays).collect();
            if left.is_empty() && gone.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {left:#?}, taken away: {gone:#?}");
            std::thread::sleep(Duration::from_millis(5));
            reap_orphans();
        }
    }
}

/// Links, nftables tables, and whether packets are forwarded.
fn network() -> Vec<String> {
    let links = fs::read_to_string("/proc/thread-self/net/dev").expect("the links");
    let mut seen: Vec<String> =
        links.lines().filter_map(|line| Some(format!("link {}", line.split_once(':')?.0.trim()))).collect();
    let tables = Socket::open(Protocol::Netfilter).and_then(|mut socket| {
        fold_tables(&mut socket, Family::ANY, &Vec::new(), |names: &mut Vec<String>, table| {
            names.push(format!("table {}", String::from_utf8_lossy(table.name)));
        })
    });
    // A kernel without nf_tables has none.
    seen.extend(tables.unwrap_or_default());
    for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        let value = fs::read_to_string(Path::new("/proc/sys/net").join(file)).unwrap_or_default();
        seen.push(format!("{file} {}", value.trim()));
    }
    seen
}

/// A line of mountinfo without the number of the mount's peer group, which the kernel gives away anew whenever a mount
/// becomes shared.
fn without_peers(line: &str) -> String {
    let words = line.split(' ').map(|word| if word.starts_with("shared:") { "shared" } else { word });
    words.collect::<Vec<_>>().join(" ")
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
