//! What engines give to an OCI runtime, made into what Pipkin works with.

mod caller;
#[allow(dead_code, reason = "verbs that come next use the rest")]
pub(crate) mod config;
pub(crate) mod json;
pub(crate) mod keep;
pub(crate) mod seccomp;
pub(crate) mod state;
pub(crate) mod systemd;
