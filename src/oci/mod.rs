//! What engines give to an OCI runtime, made into what Pipkin works with.

mod caller;
pub(crate) mod config;
pub(crate) mod json;
pub(crate) mod keep;
pub(crate) mod seccomp;
pub(crate) mod state;
pub(crate) mod systemd;
