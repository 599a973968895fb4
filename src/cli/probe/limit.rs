//! The limits this process lives under.

use super::Add;
use crate::cli::kernel;
use crate::cli::report::{Fact, Map};
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

pub(super) fn facts(add: &mut Add<'_>) {
    add("cgroup", Fact::Map(cgroup()));
    add("rlimits", Fact::Map(rlimits()));
}

/// The limits of our own group, as far as `/sys/fs/cgroup` shows it.
fn cgroup() -> Map {
    let groups = kernel::read_text("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let value = |file: &str| kernel::read(&["/sys/fs/cgroup", own.trim_end_matches('/'), "/", file].concat());
    let found =
        FILES.into_iter().filter_map(|file| Some((file.as_bytes().to_vec(), Fact::Text(value(file)?))));
    found.collect()
}

/// Soft and hard limits by docker's names.
fn rlimits() -> Map {
    let resources = [
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
    let value = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let pairs = RlimitKind::ALL.into_iter().zip(resources).map(|((name, _), resource)| {
        let limit = getrlimit(resource);
        (name.as_bytes().to_vec(), Fact::text([value(limit.current), value(limit.maximum)].join(" ")))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_resources_stand_in_the_same_order() {
        let table = std::fs::read_to_string("/proc/self/limits").unwrap();
        let rlimits = rlimits();
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
            let (_, fact) = rlimits.iter().find(|(found, _)| found == name.as_bytes()).unwrap();
            assert_eq!(fact, &Fact::text(values.join(" ")));
        }
    }
}
