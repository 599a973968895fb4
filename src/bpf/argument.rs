//! Compares arguments: 64 bits on a machine of 32, high words first and, where those are equal, low words.
//!
//! Rules of one call often look at the same word one after the other. [`Entry`] remembers which word a comparison
//! begins with, so that a jump made while the accumulator still holds it lands behind the load.

use super::compile::Fault;
use super::instruction::{ARGUMENTS, DATA_BYTES, Instruction, Test};
use super::policy::{Condition, Operator};
use super::program::{Label, Writer};

/// A place to go on at.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Where nothing is asked of the accumulator.
    cold: Label,
    /// Where it must hold the whole word at this offset.
    warm: Option<(u32, Label)>,
}

impl Entry {
    /// A place that does not begin with a load.
    pub(super) const fn at(label: Label) -> Self {
        Self { cold: label, warm: None }
    }

    /// Where to jump while the accumulator holds the whole word at offset `held`, or nothing known.
    pub(super) fn reached_with(self, held: Option<u32>) -> Label {
        match (self.warm, held) {
            (Some((offset, label)), Some(held)) if offset == held => label,
            _ => self.cold,
        }
    }
}

/// Writes a jump to `yes` when `condition` holds, to `no` otherwise.
pub(super) fn write_condition(
    writer: &mut Writer<'_>,
    condition: &Condition,
    yes: Entry,
    no: Entry,
) -> Result<Entry, Fault> {
    let (test, yes, no) = match condition.operator {
        Operator::Equal => (Test::Equal, yes, no),
        Operator::NotEqual => (Test::Equal, no, yes),
        Operator::Greater => (Test::Greater, yes, no),
        Operator::LessOrEqual => (Test::Greater, no, yes),
        Operator::GreaterOrEqual => (Test::GreaterOrEqual, yes, no),
        Operator::Less => (Test::GreaterOrEqual, no, yes),
    };
    let low = u32::from(condition.argument).saturating_mul(8).saturating_add(ARGUMENTS);
    let high = low.saturating_add(4);
    if high >= DATA_BYTES {
        return Err(Fault::Argument(condition.argument));
    }
    let word = Word { offset: low, mask: condition.mask as u32, value: condition.value as u32 };
    let on_low = word.write(writer, test, yes, no)?;
    let (mask, value) = ((condition.mask >> 32) as u32, (condition.value >> 32) as u32);
    if mask == 0 && value == 0 {
        return Ok(on_low);
    }
    Word { offset: high, mask, value }.write_high(writer, test, yes, no, on_low)
}

/// One half of an argument, the bits compared and what with.
#[derive(Clone, Copy)]
struct Word {
    offset: u32,
    mask: u32,
    value: u32,
}

impl Word {
    /// The last comparison of a condition, which decides.
    fn write(self, writer: &mut Writer<'_>, test: Test, yes: Entry, no: Entry) -> Result<Entry, Fault> {
        if test == Test::Equal && self.value == 0 && self.mask != u32::MAX {
            let held = Some(self.offset);
            let (any, none) = (no.reached_with(held), yes.reached_with(held));
            let tested = writer.branch(Test::AnyBit, self.mask, any, none)?;
            return self.load(writer, tested);
        }
        let held = self.held_after_mask();
        let tested = writer.branch(test, self.value, yes.reached_with(held), no.reached_with(held))?;
        self.mask_and_load(writer, tested)
    }

    /// The first comparison of two: `equal` decides where this word does not.
    fn write_high(
        self,
        writer: &mut Writer<'_>,
        test: Test,
        yes: Entry,
        no: Entry,
        equal: Entry,
    ) -> Result<Entry, Fault> {
        let held = self.held_after_mask();
        let (yes, no, equal) = (yes.reached_with(held), no.reached_with(held), equal.reached_with(held));
        let mut tested = writer.branch(Test::Equal, self.value, equal, no)?;
        if test != Test::Equal {
            tested = writer.branch(Test::Greater, self.value, yes, tested)?;
        }
        self.mask_and_load(writer, tested)
    }

    /// Which word the accumulator holds whole once the mask has been applied.
    fn held_after_mask(self) -> Option<u32> {
        (self.mask == u32::MAX).then_some(self.offset)
    }

    fn mask_and_load(self, writer: &mut Writer<'_>, tested: Label) -> Result<Entry, Fault> {
        let masked = match self.held_after_mask() {
            Some(_) => tested,
            None => writer.before(tested, Instruction::And(self.mask))?,
        };
        self.load(writer, masked)
    }

    fn load(self, writer: &mut Writer<'_>, next: Label) -> Result<Entry, Fault> {
        let cold = writer.before(next, Instruction::Load(self.offset))?;
        Ok(Entry { cold, warm: Some((self.offset, next)) })
    }
}
