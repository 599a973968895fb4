//! Seccomp as a whole: the policy's text, its golden listing, and filters installed in the kernel.

/// What the reader of the policy's text finds here in build.rs.
mod bpf {
    pub(crate) use pipkin::bpf::policy;
}
mod listing;
#[path = "../../src/bpf/data/parse.rs"]
#[allow(dead_code)]
mod parse;
mod text;
