//! Seccomp profiles: docker's and podman's files and the `linux.seccomp` member of an OCI configuration, made into a
//! program.
//!
//! The two forms differ little and are read as one. Engines resolve `includes` and `excludes` before they give a
//! profile to a runtime, so an OCI configuration has none.
//!
//! Where a profile says two things of one call: of rules without conditions the first counts, as libseccomp has it
//! (podman's own file relies on that for setns). A rule with conditions that is stricter counts as well, as with two
//! filters in the kernel; libseccomp drops it. A rule that compares one argument twice means "both" to some runtimes
//! and "either" to others: the stricter counts. So a filter refuses what others would refuse, and maybe more.
//! x32 stays refused even where a profile names it.

mod filter;
mod profile;
#[cfg(test)]
mod tests;

use super::json::{self, Fault};
use pipkin::bpf::policy::Arch;
use pipkin::sys::seccomp::Flags;

/// What a profile is read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Context {
    /// The architecture that the program is to run on; one of 64 bits.
    pub(crate) arch: Arch,
    /// The process's bounding set; bit n is capability number n.
    pub(crate) capabilities: u64,
    /// The running kernel's version, as `(6, 18)`.
    pub(crate) kernel: (u32, u32),
    /// What happens to names that are no known system call's.
    pub(crate) unknown: Unknown,
}

/// What happens to names that are no known system call's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unknown {
    /// They are a fault.
    Refuse,
    /// They are passed over where that makes the filter stricter, and a fault where it would allow what the profile
    /// refuses. For profiles that no person wrote for this version of Pipkin.
    Skip,
}

/// A compiled profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Compiled {
    /// The program, as `pipkin::sys::seccomp::install` takes it.
    pub(crate) program: Vec<u64>,
    /// How it is to be installed.
    pub(crate) flags: Flags,
    /// Who answers the calls that the profile wants to be asked about; `None` when there are none.
    pub(crate) listener: Option<Listener>,
}

/// Where the notification descriptor goes (`listenerPath` and `listenerMetadata` of the OCI specification).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listener {
    /// A Unix socket's path.
    pub(crate) path: String,
    /// What is sent along.
    pub(crate) metadata: String,
}

/// Compiles the profile file `text`.
///
/// # Errors
/// What is wrong with it and where: JSON, a word that means nothing, or more instructions than the kernel takes.
pub(crate) fn compile(text: &[u8], context: Context) -> Result<Compiled, Fault> {
    compile_value(&json::parse(text)?, context)
}

/// Compiles the profile in `value`.
///
/// # Errors
/// As with [`compile`].
pub(crate) fn compile_value(value: &json::Value<'_>, context: Context) -> Result<Compiled, Fault> {
    let profile = profile::read(value, context)?;
    let program = filter::compile(&profile).map_err(|what| value.fault(what))?;
    Ok(Compiled { program, flags: profile.flags, listener: profile.listener })
}
