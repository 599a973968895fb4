//! The default policy: `data/default.policy`, made into data and a finished program by build.rs.

use super::compile::{Fault, compile};
use super::policy::{Action, Arch, Condition, Operator, Policy, Rule, Section, Span};

// X86_64_SECTION, X86_64_PROGRAM, AARCH64_SECTION, AARCH64_PROGRAM, FOREIGN, CAPABILITIES and GATES.
include!(concat!(env!("OUT_DIR"), "/default_policy.rs"));

/// Capacity that suffices for [`filter`] whatever the capabilities.
pub const FILTER_CAPACITY: usize = 512;

/// The default policy of `arch`.
#[must_use]
pub const fn policy(arch: Arch) -> Policy<'static> {
    match arch {
        Arch::X86_64 => Policy { sections: &[X86_64_SECTION], foreign: FOREIGN },
        Arch::Aarch64 => Policy { sections: &[AARCH64_SECTION], foreign: FOREIGN },
    }
}

/// The default filter of `arch` for the default capabilities, compiled when Pipkin was.
#[must_use]
pub const fn compiled(arch: Arch) -> &'static [u64] {
    match arch {
        Arch::X86_64 => &X86_64_PROGRAM,
        Arch::Aarch64 => &AARCH64_PROGRAM,
    }
}

/// The default filter of the running architecture for a process with these capabilities (bit n is capability n).
///
/// A capability opens the calls that need it. Where none that the policy asks about differs from the default set, this
/// is the constant program; otherwise it is compiled into `buffer`.
///
/// # Errors
/// [`Fault::TooLong`] when `buffer` is too small; [`FILTER_CAPACITY`] is enough.
pub fn filter(capabilities: u64, buffer: &mut [u64]) -> Result<&[u64], Fault> {
    if (capabilities ^ CAPABILITIES) & GATES == 0 {
        return Ok(compiled(Arch::NATIVE));
    }
    compile(&policy(Arch::NATIVE), capabilities, buffer)
}
