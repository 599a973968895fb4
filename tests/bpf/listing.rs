//! The default policy as text, for review.

use crate::parse;
use pipkin::bpf::default::{AARCH64, X86_64};
use pipkin::bpf::policy::{Action, Arch, Condition, Operator, Rule};
use pipkin::bpf::syscall::Syscall;
use std::fmt::Write;

/// What a person reviews: every call of each architecture with its rules in order.
#[test]
fn listing() {
    for (name, arch, default) in [("x86_64", Arch::X86_64, &X86_64), ("aarch64", Arch::Aarch64, &AARCH64)] {
        let mut listing = String::new();
        let mut calls: Vec<_> =
            Syscall::all().filter_map(|call| Some((call.number(arch)?, call.name()))).collect();
        calls.sort_unstable();
        for (number, call) in calls {
            let [section] = default.policy.sections else { panic!("one section") };
            for rule in section.rules(number) {
                writeln!(listing, "{number:3} {call:24} {}", describe(rule)).unwrap();
            }
        }
        insta::assert_snapshot!(name, listing);
    }
}

fn describe(rule: &Rule<'_>) -> String {
    let mut line: String = match rule.action {
        Action::Errno(_) => {
            let known = parse::VERDICTS.iter().find(|(_, action)| *action == rule.action);
            known.expect("an errno with a name").0.into()
        }
        action => format!("{action:?}").to_lowercase(),
    };
    let needs = (0..41).filter(|bit| rule.needs >> bit & 1 == 1);
    needs.for_each(|bit| write!(line, " with {}", parse::CAPABILITIES[bit]).unwrap());
    for (index, Condition { argument, operator, mask, value }) in rule.conditions.iter().enumerate() {
        let joint = if index == 0 { "when" } else { "and" };
        let operator = match operator {
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        };
        write!(line, " {joint} arg{argument} & {mask:#x} {operator} {value:#x}").unwrap();
    }
    line
}
