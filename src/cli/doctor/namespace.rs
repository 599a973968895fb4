//! Which namespaces can be made.

use super::super::{kernel, message};
use super::{Check, trial};
use crate::store::allotment::Allotment;
use linux_raw_sys::general as raw;
use rustix::io::Errno;

/// A kind of namespace: its name, its `CLONE_NEW*` flag, its limit under `/proc/sys/user`, and whether every container
/// has one.
const KINDS: [(&str, u32, &str, bool); 7] = [
    ("mount namespace", raw::CLONE_NEWNS, "mnt", true),
    ("pid namespace", raw::CLONE_NEWPID, "pid", true),
    ("network namespace", raw::CLONE_NEWNET, "net", true),
    ("ipc namespace", raw::CLONE_NEWIPC, "ipc", true),
    ("uts namespace", raw::CLONE_NEWUTS, "uts", true),
    ("cgroup namespace", raw::CLONE_NEWCGROUP, "cgroup", true),
    ("time namespace", raw::CLONE_NEWTIME, "time", false),
];

/// One check for each kind. Without root everything else needs a user namespace around it.
pub(super) fn checks(root: bool) -> Vec<Check> {
    let around = if root { 0 } else { raw::CLONE_NEWUSER };
    let user = user(root);
    let kinds = KINDS.into_iter().map(|(name, flag, limit, required)| {
        let check = match trial::attempt(flag | around, || Ok(())) {
            Ok(()) => Check::good(name, "can be made"),
            Err(errno) => refused(name, errno, limit),
        };
        if required { check.required() } else { check }
    });
    [user].into_iter().chain(kinds).collect()
}

/// Makes a user namespace and does in it what needs its capabilities: some systems allow the first and not the second.
fn user(root: bool) -> Check {
    let name = "user namespace";
    // What needs a right and no filter forbids.
    let give_up =
        || rustix::thread::remove_capability_from_bounding_set(rustix::thread::CapabilitySet::CHOWN);
    let check = match trial::attempt(raw::CLONE_NEWUSER, || Ok(())) {
        Ok(()) => match trial::attempt(raw::CLONE_NEWUSER, give_up) {
            Ok(()) => Check::good(name, "can be made"),
            Err(_) => Check::missing(
                name,
                "a security module takes away the rights inside (AppArmor's user namespace restriction)",
                &kernel::user_namespace_remedy().unwrap_or("let that module allow them to pipkin".to_owned()),
            ),
        },
        Err(errno) => match kernel::read("/proc/sys/kernel/unprivileged_userns_clone") {
            Some(value) if value == b"0" => Check::missing(
                name,
                "the system forbids it to users",
                "sysctl -w kernel.unprivileged_userns_clone=1",
            ),
            _ => refused(name, errno, "user"),
        },
    };
    if root { check } else { check.required() }
}

/// Whether a container of a user's can have a network.
pub(super) fn pasta() -> Check {
    let name = "pasta";
    let tun = rustix::fs::access(c"/dev/net/tun", rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK);
    match (pipkin::host::network::pasta(), tun) {
        (None, _) => Check::limited(
            name,
            "not there, so that a container has the host's network or none",
            "install it (package passt)",
        ),
        (_, Err(_)) => {
            Check::limited(name, "/dev/net/tun is not open to you", "as root: chmod 666 /dev/net/tun")
        }
        (Some(_), Ok(())) => Check::good(name, "there, for --net pasta"),
    }
}

/// Whether a user has more ids than one to give to a container.
pub(super) fn ranges() -> Check {
    let name = "id ranges";
    let allotment = Allotment::read();
    let caller = allotment.caller();
    let allotted = allotment.texts().iter().all(|text| !caller.ranges(text).is_empty());
    match (allotted, pipkin::host::maps_ranges()) {
        (true, true) => Check::good(name, "allotted"),
        (false, _) => {
            let who = if caller.name.is_empty() { "USER" } else { caller.name };
            let remedy =
                ["as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ", who].concat();
            Check::limited(name, "none, so that a container has root only", &remedy)
        }
        (true, false) => Check::limited(name, "newuidmap is not there", "install it (package uidmap)"),
    }
}

fn refused(name: &'static str, errno: Errno, limit: &str) -> Check {
    match errno {
        Errno::NOSPC | Errno::USERS => {
            let key = ["user.max_", limit, "_namespaces"].concat();
            let file = ["/proc/sys/user/max_", limit, "_namespaces"].concat();
            let value = kernel::read_text(&file).unwrap_or_default();
            let remedy = ["raise it: sysctl -w ", &key, "=10000"].concat();
            Check::missing(name, &[&key, " is ", &value].concat(), &remedy)
        }
        Errno::INVAL => Check::missing(name, "the kernel was built without it", "use a kernel that has it"),
        Errno::PERM | Errno::ACCESS => Check::missing(
            name,
            "not permitted: root may, and a filter of a surrounding container may forbid it",
            "run as root, start the surrounding container with --security-opt seccomp=unconfined, or allow user namespaces",
        ),
        Errno::NOSYS => Check::missing(
            name,
            "a filter hides clone3, as docker's does",
            "start the surrounding container with --security-opt seccomp=unconfined",
        ),
        other => Check::missing(name, &message::reason(other), "see clone(2)"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_refusal_names_its_cause() {
        let check = refused("net namespace", Errno::NOSPC, "net");
        assert_eq!(check.state, State::Missing);
        assert!(check.detail.starts_with("user.max_net_namespaces is "), "{check:?}");
        assert!(refused("x", Errno::INVAL, "x").detail.contains("built without"));
        assert!(refused("x", Errno::PERM, "x").remedy.contains("root"));
    }
}
