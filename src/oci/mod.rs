//! What engines give to an OCI runtime, made into what Pipkin works with.

pub(crate) mod json;
pub(crate) mod seccomp;
