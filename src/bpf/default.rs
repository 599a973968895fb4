//! The default policy: `data/default.policy`, made into data and a finished program by build.rs.
//!
//! 32-bit programs have no section in it: all their calls are foreign.

use super::compile::{Fault, compile};
use super::policy::{Action, Arch, Condition, Operator, Policy, Rule, Section, Span};

// X86_64_SECTION, X86_64_PROGRAM, AARCH64_SECTION, AARCH64_PROGRAM, FOREIGN, CAPABILITIES and GATES.
include!(concat!(env!("OUT_DIR"), "/default_policy.rs"));

/// Capacity that suffices for [`filter`] whatever the capabilities.
pub const FILTER_CAPACITY: usize = 512;

/// The default policy of one architecture.
#[derive(Clone, Copy, Debug)]
pub struct Default {
    /// The rules.
    pub policy: Policy<'static>,
    /// The filter for the default capabilities, compiled when Pipkin was.
    pub program: &'static [u64],
}

/// That of x86_64.
pub static X86_64: Default =
    Default { policy: Policy { sections: &[X86_64_SECTION], foreign: FOREIGN }, program: &X86_64_PROGRAM };
/// That of aarch64.
pub static AARCH64: Default =
    Default { policy: Policy { sections: &[AARCH64_SECTION], foreign: FOREIGN }, program: &AARCH64_PROGRAM };

/// That of the architecture Pipkin is compiled for.
#[cfg(target_arch = "x86_64")]
pub static NATIVE: &Default = &X86_64;
/// That of the architecture Pipkin is compiled for.
#[cfg(target_arch = "aarch64")]
pub static NATIVE: &Default = &AARCH64;

/// The default filter of the running architecture for a process with these capabilities (bit n is capability n).
///
/// A capability opens the calls that need it. Where none that the policy asks about differs from the default set, this
/// is the constant program; otherwise it is compiled into `buffer`.
///
/// # Errors
/// [`Fault::TooLong`] when `buffer` is too small; [`FILTER_CAPACITY`] is enough.
pub fn filter(capabilities: u64, buffer: &mut [u64]) -> Result<&[u64], Fault> {
    if (capabilities ^ CAPABILITIES) & GATES == 0 {
        return Ok(NATIVE.program);
    }
    compile(&NATIVE.policy, capabilities, buffer)
}
