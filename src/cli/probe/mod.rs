//! `pipkin probe`: what the process that runs it can see and do. Meant for the inside of a container.
//!
//! Works from system calls where those tell it, so that it says something even where `/proc` is missing; what is
//! known from files only is then left out. Changes nothing.

mod attempt;
mod limit;
mod mount;
mod network;

use super::argv::Sorted;
use super::message::Failure;
use super::report::Report;
use super::{Outcome, kernel};
use pipkin::spec::{CAPABILITY_NAMES, CapabilitySet};
use rustix::process;
use rustix::thread::{self, SecureComputingMode};
use std::io::IsTerminal;

/// The verb.
pub(super) fn run(typed: &Sorted<'_>) -> Outcome {
    if let Some(operand) = typed.operands.first() {
        let line = ["it takes no operand, but got ", &operand.to_string_lossy()].concat();
        return Err(Failure::usage("probe", &line));
    }
    let mut report = Report::new(typed.has("--json"));
    if typed.has("--attempt") {
        return attempt::run(report);
    }
    tell(&mut report);
    report.print()
}

fn tell(report: &mut Report) {
    identity(report);
    namespaces(report);
    capabilities(report);
    if let Ok(set) = thread::no_new_privs() {
        report.yes("no_new_privileges", set);
    }
    report.text(b"seccomp", seccomp());
    mount::tell(report);
    limit::tell(report);
    network::tell(report);
    report.open("terminal");
    report.yes("stdin", std::io::stdin().is_terminal());
    report.yes("stdout", std::io::stdout().is_terminal());
    report.yes("stderr", std::io::stderr().is_terminal());
    report.close();
}

fn identity(report: &mut Report) {
    report.number("pid", u64::from(process::getpid().as_raw_nonzero().get().unsigned_abs()));
    report.number("uid", process::getuid().as_raw().into());
    report.number("gid", process::getgid().as_raw().into());
    let status = kernel::read_text("/proc/self/status").unwrap_or_default();
    if let Some(groups) = status.lines().find_map(|line| line.strip_prefix("Groups:")) {
        let groups: Vec<&[u8]> = groups.split_ascii_whitespace().map(str::as_bytes).collect();
        report.list("groups", &groups);
    }
    let names = rustix::system::uname();
    report.text(b"hostname", names.nodename().to_bytes());
    report.text(b"domainname", names.domainname().to_bytes());
    report.text(b"kernel", names.release().to_bytes());
    report.text(b"machine", names.machine().to_bytes());
    if let Some(score) = kernel::read("/proc/self/oom_score_adj") {
        report.text(b"oom_score_adj", &score);
    }
}

/// The number of each namespace, by which two processes can be compared.
fn namespaces(report: &mut Report) {
    report.open("namespaces");
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let Ok(link) = std::fs::read_link(["/proc/self/ns/", kind].concat()) else { continue };
        let number = link.to_str().and_then(|link| link.split(['[', ']']).nth(1)?.parse().ok());
        if let Some(number) = number {
            report.number(kind, number);
        }
    }
    report.close();
}

fn capabilities(report: &mut Report) {
    report.open("capabilities");
    for (name, set) in capability_sets() {
        let names: Vec<&[u8]> = set.names().map(str::as_bytes).collect();
        report.list(name, &names);
    }
    report.close();
}

fn capability_sets() -> [(&'static str, CapabilitySet); 5] {
    let held = |ask: fn(thread::CapabilitySet) -> rustix::io::Result<bool>| {
        let numbers = (0..CAPABILITY_NAMES.len() as u32)
            .filter(|number| ask(thread::CapabilitySet::from_bits_retain(1 << number)).unwrap_or(false));
        numbers.fold(CapabilitySet::EMPTY, CapabilitySet::with)
    };
    // A filter that forbids to ask leaves nothing to be held either way.
    let own = thread::capabilities(None);
    let own = |of: fn(thread::CapabilitySets) -> thread::CapabilitySet| {
        CapabilitySet(own.map_or(0, |sets| of(sets).bits()))
    };
    [
        ("effective", own(|sets| sets.effective)),
        ("permitted", own(|sets| sets.permitted)),
        ("inheritable", own(|sets| sets.inheritable)),
        ("bounding", held(thread::capability_is_in_bounding_set)),
        ("ambient", held(thread::capability_is_in_ambient_set)),
    ]
}

fn seccomp() -> &'static [u8] {
    match thread::secure_computing_mode() {
        Ok(SecureComputingMode::Disabled) => b"none",
        Ok(SecureComputingMode::Filter) => b"filter",
        Ok(_) => b"strict",
        Err(_) => b"unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_what_the_kernel_says_elsewhere() {
        let mut report = Report::new(true);
        tell(&mut report);
        let facts: serde_json::Value = serde_json::from_slice(&report.into_text()).unwrap();
        assert_eq!(facts["pid"], std::process::id());
        let link = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert_eq!(link.to_str().unwrap(), format!("net:[{}]", facts["namespaces"]["net"]));
        let score = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
        assert_eq!(facts["oom_score_adj"], score.trim());
        assert_eq!(facts["mounts"]["/proc"].as_str().unwrap().split(' ').next(), Some("proc"));
    }

    #[test]
    fn capabilities_are_those_of_the_status_file() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let lines = ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"];
        for (line, (name, set)) in lines.into_iter().zip(capability_sets()) {
            let hex = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(":\t")).unwrap();
            assert_eq!(CapabilitySet(u64::from_str_radix(hex, 16).unwrap()), set, "{name}");
        }
    }
}
