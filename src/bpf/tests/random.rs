//! Random policies: assemble, simulate, compare.

use super::super::compile::{Fault, compile};
use super::super::instruction::MAX_INSTRUCTIONS;
use super::super::policy::{Action, Arch, Call, Condition, Policy, Rule, Section, Span};
use super::edge::OPERATORS;
use super::simulator;
use super::std::vec::Vec;
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct OwnedRule {
    action: Action,
    needs: u64,
    conditions: Vec<Condition>,
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..4_u64,
        any::<u32>().prop_map(u64::from),
        (0..64_u32).prop_map(|bit| 1 << bit)
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let mask = prop_oneof![Just(u64::MAX), Just(0xffff_ffff), value()];
    // Few arguments, so that neighbouring rules look at the same word and share loads.
    (0..2_u8, prop::sample::select(&OPERATORS), mask, value())
        .prop_map(|(argument, operator, mask, value)| Condition { argument, operator, mask, value })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::KillProcess),
        Just(Action::Log),
        (0..20_u16).prop_map(Action::Errno),
        any::<u16>().prop_map(Action::Trace)
    ]
}

fn borrow(rule: &OwnedRule) -> Rule<'_> {
    Rule { action: rule.action, needs: rule.needs, conditions: &rule.conditions }
}

/// A verdict: random rules, and one behind them that always applies.
fn verdict() -> impl Strategy<Value = Vec<OwnedRule>> {
    let rule = (action(), 0..4_u64, vec(condition(), 0..4));
    let rule = rule.prop_map(|(action, needs, conditions)| OwnedRule { action, needs, conditions });
    (vec(rule, 0..5), action()).prop_map(|(mut rules, action)| {
        rules.push(OwnedRule { action, needs: 0, conditions: Vec::new() });
        rules
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_program_is_the_policy(
        verdicts in vec(verdict(), 1..24),
        starts in vec((1..500_u32, any::<prop::sample::Index>()), 0..60),
        capabilities in 0..4_u64,
    ) {
        let rules: Vec<Vec<Rule<'_>>> = verdicts.iter().map(|v| v.iter().map(borrow).collect()).collect();
        let lists: Vec<&[Rule<'_>]> = rules.iter().map(Vec::as_slice).collect();
        let mut spans: Vec<Span> = starts
            .iter()
            .map(|(first, index)| Span { first: *first, verdict: index.index(lists.len()) as u16 })
            .chain([Span { first: 0, verdict: 0 }])
            .collect();
        spans.sort_by_key(|span| span.first);
        spans.dedup_by_key(|span| span.first);
        let sections = [Section { arch: Arch::NATIVE, spans: &spans, verdicts: &lists }];
        let policy = Policy { sections: &sections, foreign: Action::Trap(7) };
        let mut buffer = [0; MAX_INSTRUCTIONS];
        let program = match compile(&policy, capabilities, &mut buffer) {
            Err(Fault::TooLong) => return Ok(()),
            result => result.unwrap(),
        };
        prop_assert_eq!(simulator::verify(program), Ok(()));
        let values: Vec<_> = lists.iter().map(|rules| [0, 1].map(|argument| super::values(rules, argument))).collect();
        for span in &spans {
            let values = &values[usize::from(span.verdict)];
            for index in 0..40 {
                let pick = |values: &[u64], step: usize| values.get(index * step % values.len().max(1)).copied();
                let [first, second] = values;
                let (first, second) = (pick(first, 7).unwrap_or(0), pick(second, 11).unwrap_or(0));
                let arguments = [first, second, 0, 0, 0, 0];
                let call = Call { number: span.first, arch: Arch::NATIVE.audit(), arguments };
                let run = simulator::run(program, &call).unwrap();
                prop_assert_eq!(run.value, policy.decide(capabilities, &call).value(), "{:x?}", call);
            }
        }
    }
}
