//! The limits this process lives under.

use crate::cli::kernel;
use crate::cli::report::Report;
use pipkin::spec::RlimitKind;
use rustix::process::{Resource, getrlimit};

/// cgroup v2 files that tell about limits.
const FILES: [&str; 13] = [
    "memory.max",
    "memory.swap.max",
    "memory.low",
    "memory.oom.group",
    "memory.current",
    "cpu.max",
    "cpu.weight",
    "cpuset.cpus.effective",
    "cpuset.mems.effective",
    "pids.max",
    "pids.current",
    "io.weight",
    "io.max",
];

/// What setrlimit(2) bounds, in the order of [`RlimitKind::ALL`].
const RESOURCES: [Resource; 16] = [
    Resource::Cpu,
    Resource::Fsize,
    Resource::Data,
    Resource::Stack,
    Resource::Core,
    Resource::Rss,
    Resource::Nproc,
    Resource::Nofile,
    Resource::Memlock,
    Resource::As,
    Resource::Locks,
    Resource::Sigpending,
    Resource::Msgqueue,
    Resource::Nice,
    Resource::Rtprio,
    Resource::Rttime,
];

pub(super) fn tell(report: &mut Report) {
    // The limits of our own group, as far as /sys/fs/cgroup shows it.
    let groups = kernel::read_text("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    report.open("cgroup");
    for file in FILES {
        let path = ["/sys/fs/cgroup", own.trim_end_matches('/'), "/", file].concat();
        if let Some(value) = kernel::read(&path) {
            report.text(file.as_bytes(), &value);
        }
    }
    report.close();
    report.open("rlimits");
    for ((name, _), resource) in RlimitKind::ALL.into_iter().zip(RESOURCES) {
        report.text(name.as_bytes(), rlimit(resource).as_bytes());
    }
    report.close();
}

/// Soft and hard limit.
fn rlimit(resource: Resource) -> String {
    let limit = getrlimit(resource);
    let value = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    [value(limit.current), value(limit.maximum)].join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_resources_stand_in_the_same_order() {
        let table = std::fs::read_to_string("/proc/self/limits").unwrap();
        for (title, name) in [
            ("Max cpu time", "cpu"),
            ("Max stack size", "stack"),
            ("Max open files", "nofile"),
            ("Max locked memory", "memlock"),
            ("Max msgqueue size", "msgqueue"),
            ("Max realtime timeout", "rttime"),
        ] {
            let line = table.lines().find_map(|line| line.strip_prefix(title)).unwrap();
            let values: Vec<&str> = line.split_whitespace().take(2).collect();
            let place = RlimitKind::ALL.iter().position(|(known, _)| *known == name).unwrap();
            assert_eq!(rlimit(RESOURCES[place]), values.join(" "), "{name}");
        }
    }
}
