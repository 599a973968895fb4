//! The default policy.

use super::super::compile::compile;
use super::super::default::{AARCH64, CAPABILITIES, FILTER_CAPACITY, GATES, NATIVE, X86_64, filter};
use super::compare;

/// The default set, none, all, and the default set with each single capability that the policy asks about turned.
fn capability_sets() -> impl Iterator<Item = u64> {
    let single = (0..64).map(|bit| 1 << bit).filter(|bit| GATES & bit != 0);
    [CAPABILITIES, 0, u64::MAX].into_iter().chain(single.map(|bit| CAPABILITIES ^ bit))
}

#[test]
fn the_program_is_the_policy() {
    let mut buffer = [0; FILTER_CAPACITY];
    for default in [&X86_64, &AARCH64] {
        for capabilities in capability_sets() {
            let program = compile(&default.policy, capabilities, &mut buffer).unwrap();
            let stride = if capabilities == CAPABILITIES { 1 } else { 11 };
            compare(&default.policy, capabilities, program, stride);
        }
    }
}

#[test]
fn the_constant_is_what_would_be_compiled() {
    let mut buffer = [0; FILTER_CAPACITY];
    for default in [&X86_64, &AARCH64] {
        assert_eq!(default.program, compile(&default.policy, CAPABILITIES, &mut buffer).unwrap());
    }
    let mut none = [];
    assert_eq!(filter(CAPABILITIES, &mut none), Ok(NATIVE.program));
    // NET_BIND_SERVICE opens no call, so the constant still serves.
    assert_eq!(filter(CAPABILITIES ^ 1 << 10, &mut none), Ok(NATIVE.program));
    assert!(filter(0, &mut none).is_err());
}
