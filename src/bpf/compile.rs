//! Turns a [`Policy`] into a program.
//!
//! The number is found by a binary tree over runs of calls with the same outcome. Since Linux 5.11 the kernel asks a
//! filter once, when it is installed, which numbers it allows whatever their arguments, and never runs it for those
//! again; so only calls with argument rules pay for their place in the tree. They weigh more and stand near the root,
//! and an unconditional outcome is reached without loading any argument, which is what makes it such a number.

use super::argument::{Entry, write_condition};
use super::instruction::{ARCH, Instruction, NUMBER, Test};
use super::policy::{Action, Policy, Rule, Section, Span};
use super::program::{Label, Writer};

/// Weight in the tree of a run of calls with argument rules; a run with a fixed outcome weighs 1.
const RULES_WEIGHT: usize = 16;

/// Why a policy cannot be compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// More instructions than the kernel or the buffer takes.
    TooLong,
    /// A section's spans are not ascending from 0, or name a verdict it does not have.
    Spans,
    /// A verdict that does not end in a rule that always applies.
    OpenEnd,
    /// A condition on an argument above 5.
    Argument(u8),
}

/// Compiles `policy` for a process with these capabilities (bit n is capability number n) into the end of `buffer`.
///
/// # Errors
/// A [`Fault`]; [`Fault::TooLong`] when `buffer` or 4096 instructions do not suffice.
pub fn compile<'b>(
    policy: &Policy<'_>,
    capabilities: u64,
    buffer: &'b mut [u64],
) -> Result<&'b [u64], Fault> {
    let mut writer = Writer::new(buffer);
    let mut otherwise = writer.returning(policy.foreign.value())?;
    for section in policy.sections.iter().rev() {
        check_order(section.spans)?;
        let mut tree = Tree { section, capabilities, writer: &mut writer };
        let numbers = tree.spans(section.spans)?;
        let body = writer.before(numbers, Instruction::Load(NUMBER))?;
        otherwise = writer.branch(Test::Equal, section.arch.audit(), body, otherwise)?;
    }
    writer.before(otherwise, Instruction::Load(ARCH))?;
    Ok(writer.finish())
}

/// The tree relies on spans that start at 0 and ascend.
fn check_order(spans: &[Span]) -> Result<(), Fault> {
    let from_zero = spans.first().is_some_and(|span| span.first == 0);
    let ascending = spans.iter().zip(spans.iter().skip(1)).all(|(a, b)| a.first < b.first);
    if from_zero && ascending { Ok(()) } else { Err(Fault::Spans) }
}

/// What the calls of a verdict come to once the capabilities are known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Fixed(Action),
    /// By argument: the rules of this verdict.
    Rules(u16),
}

impl Outcome {
    const fn weight(self) -> usize {
        match self {
            Self::Fixed(_) => 1,
            Self::Rules(_) => RULES_WEIGHT,
        }
    }
}

/// Writes the dispatch of one section.
struct Tree<'p, 'w, 'b> {
    section: &'p Section<'p>,
    capabilities: u64,
    writer: &'w mut Writer<'b>,
}

impl<'p> Tree<'p, '_, '_> {
    /// Writes the decision among `spans`. On entry the accumulator holds the number.
    ///
    /// The weights keep the recursion to some 2 log2(weight of all spans) levels.
    fn spans(&mut self, spans: &'p [Span]) -> Result<Label, Fault> {
        let Some(middle) = self.middle(spans)? else {
            let first = spans.first().ok_or(Fault::Spans)?;
            return match self.outcome(first.verdict)? {
                Outcome::Fixed(action) => self.writer.returning(action.value()),
                Outcome::Rules(verdict) => self.rules(self.verdict(verdict)?),
            };
        };
        let (below, above) = spans.split_at_checked(middle).ok_or(Fault::Spans)?;
        let border = above.first().ok_or(Fault::Spans)?.first;
        let yes = self.spans(above)?;
        let no = self.spans(below)?;
        self.writer.branch(Test::GreaterOrEqual, border, yes, no)
    }

    /// Where to part `spans` so that both sides weigh about the same; `None` when all have one outcome.
    fn middle(&self, spans: &[Span]) -> Result<Option<usize>, Fault> {
        let mut total = 0_usize;
        self.for_each_run(spans, |_, weight| total = total.saturating_add(weight))?;
        let (mut below, mut best) = (0_usize, None);
        self.for_each_run(spans, |index, weight| {
            let imbalance = below.saturating_mul(2).abs_diff(total);
            if index > 0 && best.is_none_or(|(least, _)| imbalance < least) {
                best = Some((imbalance, index));
            }
            below = below.saturating_add(weight);
        })?;
        Ok(best.map(|(_, index)| index))
    }

    /// Calls `visit` with the index of the first span and the weight of each run of spans of one outcome.
    fn for_each_run(&self, spans: &[Span], mut visit: impl FnMut(usize, usize)) -> Result<(), Fault> {
        let mut former = None;
        for (index, span) in spans.iter().enumerate() {
            let outcome = self.outcome(span.verdict)?;
            if former != Some(outcome) {
                visit(index, outcome.weight());
            }
            former = Some(outcome);
        }
        Ok(())
    }

    fn verdict(&self, verdict: u16) -> Result<&'p [Rule<'p>], Fault> {
        self.section.verdicts.get(usize::from(verdict)).copied().ok_or(Fault::Spans)
    }

    fn outcome(&self, verdict: u16) -> Result<Outcome, Fault> {
        let mut action = None;
        for rule in self.verdict(verdict)?.iter().filter(|rule| rule.is_open(self.capabilities)) {
            let by_argument = action.is_some_and(|former| former != rule.action);
            if by_argument {
                return Ok(Outcome::Rules(verdict));
            }
            if rule.conditions.is_empty() {
                return Ok(Outcome::Fixed(rule.action));
            }
            action = Some(rule.action);
        }
        Err(Fault::OpenEnd)
    }

    /// Writes the open rules up to the first without conditions.
    fn rules(&mut self, rules: &[Rule<'_>]) -> Result<Label, Fault> {
        let always = |rule: &Rule<'_>| rule.is_open(self.capabilities) && rule.conditions.is_empty();
        let last = rules.iter().position(always).ok_or(Fault::OpenEnd)?;
        let (conditional, end) = rules.split_at_checked(last).ok_or(Fault::OpenEnd)?;
        let end = end.first().ok_or(Fault::OpenEnd)?;
        let mut next = Entry::at(self.writer.returning(end.action.value())?);
        for rule in conditional.iter().rev().filter(|rule| rule.is_open(self.capabilities)) {
            let mut yes = Entry::at(self.writer.returning(rule.action.value())?);
            for condition in rule.conditions.iter().rev() {
                yes = write_condition(self.writer, condition, yes, next)?;
            }
            next = yes;
        }
        Ok(next.reached_with(None))
    }
}
