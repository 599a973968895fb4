//! The default policy.

use super::super::compile::compile;
use super::super::default::{CAPABILITIES, FILTER_CAPACITY, GATES, compiled, filter, policy};
use super::super::policy::Arch;
use super::compare;

const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

/// The default set, none, all, and the default set with each single capability that the policy asks about turned.
fn capability_sets() -> impl Iterator<Item = u64> {
    let single = (0..64).map(|bit| 1 << bit).filter(|bit| GATES & bit != 0);
    [CAPABILITIES, 0, u64::MAX].into_iter().chain(single.map(|bit| CAPABILITIES ^ bit))
}

#[test]
fn the_program_is_the_policy() {
    let mut buffer = [0; FILTER_CAPACITY];
    for arch in ARCHES {
        for capabilities in capability_sets() {
            let program = compile(&policy(arch), capabilities, &mut buffer).unwrap();
            let stride = if capabilities == CAPABILITIES { 1 } else { 11 };
            compare(&policy(arch), capabilities, program, stride);
        }
    }
}

#[test]
fn the_constant_is_what_would_be_compiled() {
    let mut buffer = [0; FILTER_CAPACITY];
    for arch in ARCHES {
        assert_eq!(compiled(arch), compile(&policy(arch), CAPABILITIES, &mut buffer).unwrap());
    }
    let mut none = [];
    assert_eq!(filter(CAPABILITIES, &mut none), Ok(compiled(Arch::NATIVE)));
    // NET_BIND_SERVICE opens no call, so the constant still serves.
    assert_eq!(filter(CAPABILITIES ^ 1 << 10, &mut none), Ok(compiled(Arch::NATIVE)));
    assert!(filter(0, &mut none).is_err());
}
