//! The assembler of filters: a program is the policy that it was made of, and what verifies runs to its end.

use arbitrary::{Result, Unstructured};
use pipkin::bpf::compile::{Fault, compile};
use pipkin::bpf::instruction::MAX_INSTRUCTIONS;
use pipkin::bpf::policy::{Action, Arch, Call, Condition, Operator, Policy, Rule, Section, Span, X32_BIT};
use pipkin::bpf::simulator::{run as simulate, verify};

/// Calls that are tried beside those that the policy names.
const MORE_CALLS: usize = 8;

/// A policy and calls; or, with an odd first byte, instructions.
pub(super) fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    if first & 1 == 1 {
        return program(rest);
    }
    // A shortage of bytes is no finding.
    policy(&mut Unstructured::new(rest)).unwrap_or(());
}

/// Whatever a verified program is, it comes to an end.
fn program(bytes: &[u8]) {
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8"))).collect();
    let verified = verify(&words);
    for number in [0, 59, X32_BIT, u32::MAX] {
        let arguments = [0, 1, u64::MAX, 1 << 32, 0x7fff_ffff, 2];
        let run = simulate(&words, &Call { number, arch: Arch::NATIVE.audit(), arguments });
        assert!(verified.is_err() || run.is_ok_and(|run| run.steps <= words.len()), "{words:x?}");
    }
}

struct OwnedRule {
    action: Action,
    needs: u64,
    conditions: Vec<Condition>,
}

fn policy(bytes: &mut Unstructured<'_>) -> Result<()> {
    let count = bytes.int_in_range(1..=12)?;
    let owned = (0..count).map(|_| verdict(bytes)).collect::<Result<Vec<_>>>()?;
    let borrow = |rule: &OwnedRule| (rule.action, rule.needs, rule.conditions.clone());
    let kept: Vec<Vec<_>> = owned.iter().map(|rules| rules.iter().map(borrow).collect()).collect();
    let rules: Vec<Vec<Rule<'_>>> = kept
        .iter()
        .map(|rules| {
            rules.iter().map(|(action, needs, list)| Rule {
                action: *action,
                needs: *needs,
                conditions: list,
            })
        })
        .map(Iterator::collect)
        .collect();
    let verdicts: Vec<&[Rule<'_>]> = rules.iter().map(Vec::as_slice).collect();
    let spans = [spans(bytes, verdicts.len())?, spans(bytes, verdicts.len())?];
    let other = if bytes.arbitrary()? { Arch::X86 } else { Arch::Aarch64 };
    let both = [
        Section { arch: Arch::X86_64, spans: &spans[0], verdicts: &verdicts },
        Section { arch: other, spans: &spans[1], verdicts: &verdicts },
    ];
    let policy =
        Policy { sections: if bytes.arbitrary()? { &both } else { &both[..1] }, foreign: action(bytes)? };
    let capabilities = u64::from(bytes.arbitrary::<u8>()? & 3);
    let mut buffer = [0; MAX_INSTRUCTIONS];
    let program = match compile(&policy, capabilities, &mut buffer) {
        Ok(program) => program,
        Err(Fault::TooLong) => return Ok(()),
        Err(fault) => panic!("a sound policy is refused: {fault:?}"),
    };
    assert_eq!(verify(program), Ok(()));
    for section in policy.sections {
        for span in section.spans {
            for number in [span.first.wrapping_sub(1), span.first] {
                ask(&policy, capabilities, program, section.arch, number, bytes)?;
            }
        }
    }
    for _ in 0..MORE_CALLS {
        let arch = *bytes.choose(&Arch::ALL)?;
        let number = bytes.arbitrary()?;
        ask(&policy, capabilities, program, arch, number, bytes)?;
    }
    Ok(())
}

/// Asks both readings about one call, with arguments at and around the values that its rules name.
fn ask(
    policy: &Policy<'_>,
    capabilities: u64,
    program: &[u64],
    arch: Arch,
    number: u32,
    bytes: &mut Unstructured<'_>,
) -> Result<()> {
    let section = policy.sections.iter().find(|section| section.arch == arch);
    let rules = section.map_or(&[][..], |section| section.rules(number));
    let conditions: Vec<&Condition> = rules.iter().flat_map(|rule| rule.conditions).collect();
    let mut tried = vec![[0; 6], [u64::MAX; 6]];
    for condition in &conditions {
        let mut arguments = tried[0];
        for other in &conditions {
            arguments[usize::from(other.argument)] = other.value;
        }
        let Condition { mask, value, .. } = **condition;
        for near in
            [value.wrapping_sub(1), value, value.wrapping_add(1), value | !mask, value ^ (1 << 32), !value]
        {
            arguments[usize::from(condition.argument)] = near;
            tried.push(arguments);
        }
    }
    tried.push(bytes.arbitrary()?);
    for arguments in tried {
        let call = Call { number, arch: arch.audit(), arguments };
        let run = simulate(program, &call).expect("a verified program");
        assert_eq!(run.value, policy.decide(capabilities, &call).value(), "{call:x?}");
    }
    Ok(())
}

fn spans(bytes: &mut Unstructured<'_>, verdicts: usize) -> Result<Vec<Span>> {
    let mut spans = vec![Span { first: 0, verdict: index(bytes, verdicts)? }];
    for _ in 0..bytes.int_in_range(0..=40)? {
        let first = match bytes.int_in_range(0..=5)? {
            0 => bytes.arbitrary()?,
            1 => X32_BIT,
            2 => u32::MAX,
            _ => bytes.int_in_range(1..=600)?,
        };
        spans.push(Span { first, verdict: index(bytes, verdicts)? });
    }
    spans.sort_by_key(|span| span.first);
    spans.dedup_by_key(|span| span.first);
    Ok(spans)
}

fn index(bytes: &mut Unstructured<'_>, verdicts: usize) -> Result<u16> {
    bytes.int_in_range(0..=u16::try_from(verdicts - 1).expect("few"))
}

/// Random rules, and one behind them that always applies.
fn verdict(bytes: &mut Unstructured<'_>) -> Result<Vec<OwnedRule>> {
    let mut rules = Vec::new();
    for _ in 0..bytes.int_in_range(0..=4)? {
        let conditions = (0..bytes.int_in_range(0..=3)?).map(|_| condition(bytes)).collect::<Result<_>>()?;
        let needs = u64::from(bytes.arbitrary::<u8>()? & 3);
        rules.push(OwnedRule { action: action(bytes)?, needs, conditions });
    }
    rules.push(OwnedRule { action: action(bytes)?, needs: 0, conditions: Vec::new() });
    Ok(rules)
}

fn condition(bytes: &mut Unstructured<'_>) -> Result<Condition> {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    // Few arguments, so that neighbouring rules look at the same word and share loads.
    let argument = *bytes.choose(&[0, 0, 1, 5])?;
    let operator = *bytes.choose(&[Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual])?;
    let mask = if bytes.arbitrary()? { *bytes.choose(&[u64::MAX, 0xffff_ffff])? } else { value(bytes)? };
    Ok(Condition { argument, operator, mask, value: value(bytes)? })
}

fn value(bytes: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match bytes.int_in_range(0..=3)? {
        0 => bytes.arbitrary()?,
        1 => u64::from(bytes.arbitrary::<u8>()?),
        2 => u64::from(bytes.arbitrary::<u32>()?),
        _ => 1 << bytes.int_in_range(0..=63)?,
    })
}

fn action(bytes: &mut Unstructured<'_>) -> Result<Action> {
    Ok(match bytes.int_in_range(0..=7)? {
        0 => Action::KillProcess,
        1 => Action::KillThread,
        2 => Action::Trap(bytes.arbitrary()?),
        3 => Action::Errno(bytes.int_in_range(0..=4095)?),
        4 => Action::Notify,
        5 => Action::Trace(bytes.arbitrary()?),
        6 => Action::Log,
        _ => Action::Allow,
    })
}
