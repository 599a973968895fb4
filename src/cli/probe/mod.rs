//! `pipkin probe`: what the process that runs it can see and do. Meant for the inside of a container.
//!
//! Works from system calls where those tell it, so that it says something even where `/proc` is missing; what is
//! known from files only is then left out. Changes nothing.

mod limit;
mod mount;
mod network;

use super::argv::Sorted;
use super::message::Failure;
use super::report::{self, Fact, Map};
use super::{Outcome, kernel};
use pipkin::spec::{CAPABILITY_NAMES, CapabilitySet};
use rustix::process;
use rustix::thread::{self, SecureComputingMode};
use std::io::IsTerminal;

/// The verb.
pub(crate) fn run(typed: &Sorted<'_>) -> Outcome {
    if let Some(operand) = typed.operands.first() {
        let line = ["it takes no operand, but got ", &operand.to_string_lossy()].concat();
        return Err(Failure::usage("probe", &line));
    }
    report::print(&Fact::Map(facts()), typed.options.iter().any(|(name, _)| *name == "--json"))
}

fn facts() -> Map {
    let mut map = Map::new();
    let mut add = |name: &str, fact: Fact| map.push((name.as_bytes().to_vec(), fact));
    identity(&mut add);
    add("namespaces", Fact::Map(namespaces()));
    add("capabilities", Fact::Map(capabilities()));
    if let Ok(set) = thread::no_new_privs() {
        add("no_new_privileges", Fact::Yes(set));
    }
    add("seccomp", Fact::text(seccomp()));
    mount::facts(&mut add);
    limit::facts(&mut add);
    network::facts(&mut add);
    add("terminal", Fact::Map(terminal()));
    map
}

/// Takes one fact under its name.
type Add<'a> = dyn FnMut(&str, Fact) + 'a;

fn identity(add: &mut Add<'_>) {
    add("pid", Fact::Number(process::getpid().as_raw_nonzero().get().into()));
    add("uid", Fact::Number(process::getuid().as_raw().into()));
    add("gid", Fact::Number(process::getgid().as_raw().into()));
    let status = kernel::read_text("/proc/self/status").unwrap_or_default();
    if let Some(groups) = status.lines().find_map(|line| line.strip_prefix("Groups:")) {
        add("groups", Fact::List(groups.split_whitespace().map(|group| group.as_bytes().to_vec()).collect()));
    }
    let names = rustix::system::uname();
    add("hostname", Fact::text(names.nodename().to_bytes()));
    add("domainname", Fact::text(names.domainname().to_bytes()));
    add("kernel", Fact::text([names.release().to_bytes(), names.machine().to_bytes()].join(&b' ')));
    if let Some(score) = kernel::read("/proc/self/oom_score_adj") {
        add("oom_score_adj", Fact::text(score));
    }
}

/// The number of each namespace, by which two processes can be compared.
fn namespaces() -> Map {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    let found = kinds.into_iter().filter_map(|kind| {
        let link = std::fs::read_link(["/proc/self/ns/", kind].concat()).ok()?;
        let number: i64 = link.to_str()?.split(['[', ']']).nth(1)?.parse().ok()?;
        Some((kind.as_bytes().to_vec(), Fact::Number(number)))
    });
    found.collect()
}

fn capabilities() -> Map {
    let held = |ask: fn(thread::CapabilitySet) -> rustix::io::Result<bool>| {
        let numbers = (0..CAPABILITY_NAMES.len() as u32)
            .filter(|number| ask(thread::CapabilitySet::from_bits_retain(1 << number)).unwrap_or(false));
        numbers.fold(CapabilitySet::EMPTY, CapabilitySet::with)
    };
    let mut sets = Vec::new();
    if let Ok(own) = thread::capabilities(None) {
        sets.push(("effective", CapabilitySet(own.effective.bits())));
        sets.push(("permitted", CapabilitySet(own.permitted.bits())));
        sets.push(("inheritable", CapabilitySet(own.inheritable.bits())));
    }
    sets.push(("bounding", held(thread::capability_is_in_bounding_set)));
    sets.push(("ambient", held(thread::capability_is_in_ambient_set)));
    let fact = |set: CapabilitySet| Fact::List(set.names().map(|name| name.as_bytes().to_vec()).collect());
    sets.into_iter().map(|(name, set)| (name.as_bytes().to_vec(), fact(set))).collect()
}

fn seccomp() -> &'static str {
    match thread::secure_computing_mode() {
        Ok(SecureComputingMode::Disabled) => "none",
        Ok(SecureComputingMode::Filter) => "filter",
        Ok(_) => "strict",
        Err(_) => "unknown",
    }
}

/// Which standard streams are a terminal.
fn terminal() -> Map {
    vec![
        (b"stdin".to_vec(), Fact::Yes(std::io::stdin().is_terminal())),
        (b"stdout".to_vec(), Fact::Yes(std::io::stdout().is_terminal())),
        (b"stderr".to_vec(), Fact::Yes(std::io::stderr().is_terminal())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact<'a>(map: &'a Map, name: &str) -> &'a Fact {
        &map.iter().find(|(key, _)| key == name.as_bytes()).unwrap().1
    }

    #[test]
    fn it_agrees_with_what_the_kernel_says_elsewhere() {
        let facts = facts();
        assert_eq!(fact(&facts, "pid"), &Fact::Number(std::process::id().into()));
        let Fact::Map(namespaces) = fact(&facts, "namespaces") else { panic!() };
        let link = std::fs::read_link("/proc/self/ns/net").unwrap();
        let Fact::Number(number) = fact(namespaces, "net") else { panic!() };
        assert_eq!(link.to_str().unwrap(), format!("net:[{number}]"));
    }

    #[test]
    fn capabilities_are_those_of_the_status_file() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let sets = capabilities();
        for (line, name) in [
            ("CapEff", "effective"),
            ("CapPrm", "permitted"),
            ("CapInh", "inheritable"),
            ("CapBnd", "bounding"),
            ("CapAmb", "ambient"),
        ] {
            let hex = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(":\t")).unwrap();
            let set = CapabilitySet(u64::from_str_radix(hex, 16).unwrap());
            let expected = Fact::List(set.names().map(|name| name.as_bytes().to_vec()).collect());
            assert_eq!(fact(&sets, name), &expected, "{name}");
        }
    }
}
