//! Which kernel parameters belong to a container (namespaces(7), Documentation/admin-guide/sysctl).

use super::conflict::Conflict;
use crate::spec::{Join, Namespaces, Sysctl};

/// Parameters of the IPC namespace under `kernel.`.
const IPC: [&[u8]; 8] = [
    b"kernel.msgmax",
    b"kernel.msgmnb",
    b"kernel.msgmni",
    b"kernel.sem",
    b"kernel.shmall",
    b"kernel.shmmax",
    b"kernel.shmmni",
    b"kernel.shm_rmid_forced",
];

/// Checks that `parameter` is one of a namespace that is the container's own, and that its text can neither leave
/// `/proc/sys` nor write a second line.
///
/// # Errors
/// A [`Conflict`] naming the parameter.
pub(super) fn check(parameter: &Sysctl<'_>, namespaces: &Namespaces<'_>) -> Result<(), Conflict> {
    let name = parameter.name.to_bytes();
    let refuse = |why, remedy| Err(Conflict::new("set the kernel parameter", why, remedy).about(name));
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let dotted = name.split(|byte| *byte == b'.').all(|part| !part.is_empty());
    if !name.iter().all(plain) || !dotted {
        return refuse("this is not a name of one", "give a dotted name such as net.core.somaxconn");
    }
    if parameter.value.to_bytes().iter().any(|byte| *byte == b'\n' || *byte == b'\r') {
        return refuse("its value has more than one line", "give one line");
    }
    let (owner, kind) = if name.starts_with(b"net.") {
        (namespaces.network, "it is the host's, since the container shares the host's network namespace")
    } else if IPC.contains(&name) || name.starts_with(b"fs.mqueue.") {
        (namespaces.ipc, "it is the host's, since the container shares the host's IPC namespace")
    } else {
        return refuse("it belongs to the whole machine", "set it on the host, or leave it out");
    };
    if owner == Join::Host { refuse(kind, "give the container a namespace of its own") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(name: &core::ffi::CStr, value: &core::ffi::CStr) -> bool {
        check(&Sysctl { name, value }, &Namespaces::DEFAULT).is_ok()
    }

    #[test]
    fn only_parameters_of_own_namespaces_pass() {
        assert!(verdict(c"net.ipv4.ip_forward", c"1"));
        assert!(verdict(c"kernel.shmmax", c"65536"));
        assert!(verdict(c"fs.mqueue.msg_max", c"10"));
        for name in [
            c"kernel.core_pattern",
            c"kernel.hostname",
            c"vm.swappiness",
            c"net/ipv4/ip_forward",
            c"net..x",
            c"net.",
            c"net.ipv4.ip_forward+kernel.core_pattern",
            c"../kernel.core_pattern",
            c"",
            c"fs.file-max",
        ] {
            assert!(!verdict(name, c"1"), "{name:?}");
        }
        assert!(!verdict(c"net.core.somaxconn", c"1\n2"));
    }

    #[test]
    fn the_hosts_namespaces_are_left_alone() {
        let shared = Namespaces { network: Join::Host, ipc: Join::Host, ..Namespaces::DEFAULT };
        for name in [c"net.core.somaxconn", c"kernel.sem", c"fs.mqueue.msg_max"] {
            assert!(check(&Sysctl { name, value: c"1" }, &shared).is_err());
        }
    }
}
