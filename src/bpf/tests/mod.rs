//! Two readings of a policy, the data itself and the compiled program, must never differ.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

extern crate std;

mod attack;
mod default;
mod edge;
mod kernel;
mod random;
mod table;

use super::policy::{Call, Condition, Policy, Rule, Section};
use super::simulator::{self, Run};
use std::vec::Vec;

/// Arguments at which a comparison with `condition` can change its answer, and some far from it.
fn boundaries(condition: &Condition) -> Vec<u64> {
    let Condition { mask, value, .. } = *condition;
    let near =
        [value.wrapping_sub(1), value, value.wrapping_add(1), mask, !mask, value | !mask, value ^ mask];
    let high = near.iter().flat_map(|v| [v ^ 1 << 32, v ^ 1 << 63]);
    let bits = (0..64).filter(|bit| mask.count_ones() < 32 && mask >> bit & 1 == 1).map(|bit| 1 << bit);
    let mut all: Vec<u64> = near.into_iter().chain(high).chain(bits).chain([0, 1, u64::MAX]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The boundary values of one argument over all of `rules`; none when they do not look at it.
fn values(rules: &[Rule<'_>], argument: u8) -> Vec<u64> {
    let conditions = rules.iter().flat_map(|rule| rule.conditions).filter(|c| c.argument == argument);
    let mut values: Vec<u64> = conditions.flat_map(boundaries).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// Every combination of boundary values of the arguments that `rules` look at; the others are 0.
fn argument_sets(rules: &[Rule<'_>]) -> Vec<[u64; 6]> {
    let mut sets: Vec<[u64; 6]> = [[0; 6]].into();
    for argument in 0..6_u8 {
        let values = values(rules, argument);
        if values.is_empty() {
            continue;
        }
        let with = |set: &[u64; 6], value: u64| {
            let mut set = *set;
            set[usize::from(argument)] = value;
            set
        };
        sets = sets.iter().flat_map(|set| values.iter().map(|v| with(set, *v)).collect::<Vec<_>>()).collect();
    }
    sets
}

/// Numbers worth asking: all up to 600, x32's, and the ends of the range.
fn numbers() -> impl Iterator<Item = u32> {
    let x32 = (0..600).step_by(7).map(|number| 0x4000_0000 | number);
    let ends = [0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0xbfff_ffff, 0xffff_fffe, u32::MAX];
    (0..=600).chain(x32).chain(ends)
}

/// Compares both readings of `policy` on every number and around every value that its rules name, of whose
/// combinations every `stride`-th is tried.
fn compare(policy: &Policy<'_>, capabilities: u64, program: &[u64], stride: usize) {
    simulator::verify(program).unwrap();
    for section in policy.sections {
        numbers().for_each(|number| compare_number(policy, section, capabilities, program, number, stride));
    }
    // i386, arm, and nothing at all.
    for arch in [0x4000_0003, 0x4000_0028, 0] {
        numbers().for_each(|number| {
            ask(policy, capabilities, program, &Call { number, arch, arguments: [0; 6] });
        });
    }
}

/// The part of [`compare`] about one number of one architecture.
fn compare_number(
    policy: &Policy<'_>,
    section: &Section<'_>,
    capabilities: u64,
    program: &[u64],
    number: u32,
    stride: usize,
) {
    let rules = section.rules(number);
    for arguments in argument_sets(rules).into_iter().step_by(stride) {
        let run = ask(policy, capabilities, program, &Call { number, arch: section.arch.audit(), arguments });
        let first = rules.iter().find(|rule| rule.is_open(capabilities)).unwrap();
        assert!(!(first.conditions.is_empty() && run.by_argument), "{number} is decided without arguments");
    }
}

/// Asks both readings about `call`; they must agree.
fn ask(policy: &Policy<'_>, capabilities: u64, program: &[u64], call: &Call) -> Run {
    let run = simulator::run(program, call).unwrap();
    let expected = policy.decide(capabilities, call);
    assert_eq!(run.value, expected.value(), "{call:x?}: the policy says {expected:?}");
    run
}
