//! Comparisons, long jumps and limits.

use super::super::compile::{Fault, compile};
use super::super::instruction::{Instruction, MAX_INSTRUCTIONS, Test};
use super::super::policy::{Action, Arch, Call, Condition, Operator, Policy, Rule, Section, Span};
use super::super::simulator::{self, Invalid};
use super::std::vec::Vec;
use super::{compare, compare_number};

pub(super) const OPERATORS: [Operator; 6] = [
    Operator::Equal,
    Operator::NotEqual,
    Operator::Less,
    Operator::LessOrEqual,
    Operator::Greater,
    Operator::GreaterOrEqual,
];

const ALLOW: Rule<'static> = Rule { action: Action::Allow, needs: 0, conditions: &[] };
const REFUSE: Rule<'static> = Rule { action: Action::Errno(1), needs: 0, conditions: &[] };

fn policy_with<'a>(sections: &'a [Section<'a>]) -> Policy<'a> {
    Policy { sections, foreign: Action::KillProcess }
}

fn section<'a>(spans: &'a [Span], verdicts: &'a [&'a [Rule<'a>]]) -> Section<'a> {
    Section { arch: Arch::NATIVE, spans, verdicts }
}

/// Comparisons of 64 bits that came out as others: CVE-2019-9893, GHSA-4q85-33p6-j5g6.
#[test]
fn every_comparison_holds_on_both_words() {
    let values =
        [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 0x8000_0000_0000_0000, u64::MAX - 1, u64::MAX];
    let masks = [u64::MAX, 0xffff_ffff, 0xffff_ffff << 32, 0x7e02_0000, 1 << 63 | 1, 0];
    let mut buffer = [0; 64];
    for (operator, argument) in OPERATORS.into_iter().zip(0..6) {
        for (value, mask) in values.iter().flat_map(|value| masks.map(|mask| (*value, mask))) {
            let conditions = [Condition { argument, operator, mask, value }];
            let rules = [Rule { action: Action::Allow, needs: 0, conditions: &conditions }, REFUSE];
            let verdicts: [&[Rule<'_>]; 1] = [&rules];
            let sections = [section(&[Span { first: 0, verdict: 0 }], &verdicts)];
            let policy = policy_with(&sections);
            let program = compile(&policy, 0, &mut buffer).unwrap();
            compare_number(&policy, &sections[0], 0, program, 5, 1);
        }
    }
}

/// CVE-2017-18367: conditions that were ORed.
#[test]
fn conditions_are_anded_and_rules_are_ored() {
    let equal = |argument, value| Condition { argument, operator: Operator::Equal, mask: u64::MAX, value };
    let (both, other) = ([equal(0, 1), equal(1, 2)], [equal(0, 3)]);
    let rules = [
        Rule { action: Action::Allow, needs: 0, conditions: &both },
        Rule { action: Action::Allow, needs: 0, conditions: &other },
        REFUSE,
    ];
    let verdicts: [&[Rule<'_>]; 1] = [&rules];
    let sections = [section(&[Span { first: 0, verdict: 0 }], &verdicts)];
    let mut buffer = [0; 64];
    let program = compile(&policy_with(&sections), 0, &mut buffer).unwrap();
    let value = |first, second| {
        let call = Call { number: 5, arch: Arch::NATIVE.audit(), arguments: [first, second, 0, 0, 0, 0] };
        simulator::run(program, &call).unwrap().value
    };
    let (allow, refuse) = (Action::Allow.value(), Action::Errno(1).value());
    assert_eq!([value(1, 2), value(3, 0), value(3, 2)], [allow; 3]);
    assert_eq!([value(1, 0), value(0, 2), value(1 << 32 | 1, 2), value(1, 1 << 32 | 2)], [refuse; 4]);
}

#[test]
fn targets_beyond_a_byte_are_reached() {
    // Every number has rules of its own, so the tree's upper branches jump over hundreds of instructions.
    let conditions: Vec<[Condition; 1]> = (0..300)
        .map(|value| {
            [Condition { argument: 0, operator: Operator::Greater, mask: u64::MAX, value: value << 20 }]
        })
        .collect();
    let rules: Vec<[Rule<'_>; 2]> = conditions
        .iter()
        .zip(0..)
        .map(|(conditions, errno)| [Rule { action: Action::Errno(errno), needs: 0, conditions }, ALLOW])
        .collect();
    let verdicts: Vec<&[Rule<'_>]> = rules.iter().map(<[Rule<'_>; 2]>::as_slice).collect();
    let spans: Vec<Span> = (0..300).map(|verdict| Span { first: u32::from(verdict) * 2, verdict }).collect();
    let sections = [section(&spans, &verdicts)];
    let mut buffer = [0; MAX_INSTRUCTIONS];
    let program = compile(&policy_with(&sections), 0, &mut buffer).unwrap();
    assert!(program.iter().any(|word| matches!(Instruction::decode(*word), Some(Instruction::Skip(_)))));
    compare(&policy_with(&sections), 0, program, 1);
}

#[test]
fn two_architectures_share_a_program() {
    let (allow, refuse): ([Rule<'_>; 1], [Rule<'_>; 1]) = ([ALLOW], [REFUSE]);
    let verdicts: [&[Rule<'_>]; 2] = [&allow, &refuse];
    let spans: Vec<Span> =
        (0..700).map(|number| Span { first: number, verdict: (number % 2) as u16 }).collect();
    let odd = [Span { first: 0, verdict: 1 }, Span { first: 7, verdict: 0 }, Span { first: 8, verdict: 1 }];
    let sections = [
        Section { arch: Arch::X86_64, spans: &spans, verdicts: &verdicts },
        Section { arch: Arch::Aarch64, spans: &odd, verdicts: &verdicts },
    ];
    let mut buffer = [0; MAX_INSTRUCTIONS];
    let program = compile(&policy_with(&sections), 0, &mut buffer).unwrap();
    compare(&policy_with(&sections), 0, program, 1);
}

/// GHSA-46fr-jh49-xvhx and GHSA-2hqh-5c36-grrm: memory spoilt by what was too long.
#[test]
fn too_long_a_program_is_an_error() {
    let conditions: Vec<[Condition; 1]> = (0..2000)
        .map(|value| {
            [Condition { argument: 0, operator: Operator::Equal, mask: u64::MAX, value: value << 32 }]
        })
        .collect();
    let rules: Vec<Rule<'_>> = conditions
        .iter()
        .map(|conditions| Rule { action: Action::Allow, needs: 0, conditions })
        .chain([REFUSE])
        .collect();
    let verdicts: [&[Rule<'_>]; 1] = [&rules];
    let sections = [section(&[Span { first: 0, verdict: 0 }], &verdicts)];
    assert_eq!(compile(&policy_with(&sections), 0, &mut [0; 2 * MAX_INSTRUCTIONS]), Err(Fault::TooLong));
    let shorter: [&[Rule<'_>]; 1] = [&rules[1500..]];
    let sections = [section(&[Span { first: 0, verdict: 0 }], &shorter)];
    assert!(compile(&policy_with(&sections), 0, &mut [0; MAX_INSTRUCTIONS]).is_ok());
    assert_eq!(compile(&policy_with(&sections), 0, &mut [0; 100]), Err(Fault::TooLong));
}

#[test]
fn broken_policies_are_refused() {
    let allow = [ALLOW];
    let verdicts: [&[Rule<'_>]; 1] = [&allow];
    let fault = |spans: &[Span], verdicts: &[&[Rule<'_>]]| {
        compile(&policy_with(&[section(spans, verdicts)]), 0, &mut [0; 64]).unwrap_err()
    };
    let span = |first, verdict| Span { first, verdict };
    assert_eq!(fault(&[], &verdicts), Fault::Spans);
    assert_eq!(fault(&[span(1, 0)], &verdicts), Fault::Spans);
    assert_eq!(fault(&[span(0, 0), span(3, 0), span(3, 0)], &verdicts), Fault::Spans);
    assert_eq!(fault(&[span(0, 1)], &verdicts), Fault::Spans);
    assert_eq!(fault(&[span(0, 0)], &[&[]]), Fault::OpenEnd);
    let gated = [Rule { needs: 1, ..ALLOW }];
    assert_eq!(fault(&[span(0, 0)], &[&gated]), Fault::OpenEnd);
    let conditions = [Condition { argument: 6, operator: Operator::Equal, mask: u64::MAX, value: 0 }];
    let rules = [Rule { conditions: &conditions, ..ALLOW }, REFUSE];
    assert_eq!(fault(&[span(0, 0)], &[&rules]), Fault::Argument(6));
    let rules =
        [Rule { conditions: &conditions[..0], needs: 2, ..ALLOW }, Rule { conditions: &conditions, ..ALLOW }];
    assert_eq!(fault(&[span(0, 0)], &[&rules]), Fault::OpenEnd);
}

#[test]
fn the_simulator_refuses_what_the_kernel_would() {
    let program =
        |instructions: &[Instruction]| instructions.iter().map(|i| i.encode()).collect::<Vec<u64>>();
    let stop = Instruction::Return(0);
    let branch = |yes, no| Instruction::Branch { test: Test::Equal, k: 0, yes, no };
    let verify = |instructions: &[Instruction]| simulator::verify(&program(instructions));
    assert_eq!(verify(&[]), Err(Invalid::Length(0)));
    assert_eq!(verify(&[stop; 4097]), Err(Invalid::Length(4097)));
    assert_eq!(verify(&[stop; 4096]), Ok(()));
    assert_eq!(verify(&[Instruction::Load(0)]), Err(Invalid::NoReturn));
    assert_eq!(verify(&[Instruction::Load(2), stop]), Err(Invalid::Offset(0)));
    assert_eq!(verify(&[Instruction::Load(64), stop]), Err(Invalid::Offset(0)));
    assert_eq!(verify(&[Instruction::Load(60), stop]), Ok(()));
    assert_eq!(verify(&[branch(0, 1), stop, stop]), Ok(()));
    assert_eq!(verify(&[branch(0, 2), stop, stop]), Err(Invalid::Jump(0)));
    assert_eq!(verify(&[stop, Instruction::Skip(1), stop]), Err(Invalid::Jump(1)));
    assert_eq!(simulator::verify(&[0x0000_0000_0000_0087]), Err(Invalid::Instruction(0)));
}

#[test]
fn instructions_survive_encoding() {
    for test in [Test::Equal, Test::Greater, Test::GreaterOrEqual, Test::AnyBit] {
        let branch = Instruction::Branch { test, k: 0x8123_4567, yes: 255, no: 1 };
        assert_eq!(Instruction::decode(branch.encode()), Some(branch));
    }
    // BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), byte by byte as the kernel lays it out.
    assert_eq!(Instruction::Return(0x7fff_0000).encode().to_le_bytes(), [6, 0, 0, 0, 0, 0, 0xff, 0x7f]);
    // BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xc000003e, 1, 2).
    let jump = Instruction::Branch { test: Test::Equal, k: 0xc000_003e, yes: 1, no: 2 };
    assert_eq!(jump.encode().to_le_bytes(), [0x15, 0, 1, 2, 0x3e, 0, 0, 0xc0]);
}
