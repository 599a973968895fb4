//! The targets. Each takes bytes and panics when what reads them broke a promise.

mod account;
mod argv;
mod bpf;
mod config;
mod json;
mod layer;
mod mountinfo;
mod netlink;
mod profile;

/// One target.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// What it is called on the command line, and the folder of its seeds.
    pub(crate) name: &'static str,
    /// Tries it on these bytes.
    pub(crate) run: fn(&[u8]),
}

/// All of them.
pub(crate) static ALL: [Target; 9] = [
    Target { name: "account", run: account::run },
    Target { name: "argv", run: argv::run },
    Target { name: "bpf", run: bpf::run },
    Target { name: "config", run: config::run },
    Target { name: "json", run: json::run },
    Target { name: "layer", run: layer::run },
    Target { name: "mountinfo", run: mountinfo::run },
    Target { name: "netlink", run: netlink::run },
    Target { name: "profile", run: profile::run },
];

/// The target of this name.
pub(crate) fn named(name: &str) -> Option<Target> {
    ALL.iter().find(|target| target.name == name).copied()
}

/// All names, for a message.
pub(crate) fn names() -> String {
    ALL.map(|target| target.name).join(", ")
}
