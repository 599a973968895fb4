//! Writes a program from its last instruction to its first.
//!
//! Classic BPF jumps only forward, so written backwards every target is already placed when a jump to it is written:
//! no patching, no second pass, no allocation. A target beyond the 255 instructions a conditional jump can skip is
//! reached over an unconditional [`Instruction::Skip`], whose distance has 32 bits.

use super::compile::Fault;
use super::instruction::{Instruction, MAX_INSTRUCTIONS, Test};

/// Furthest a branch may jump: one short of what its byte holds, as the skip written for its other side comes between.
const REACH: usize = 254;
/// How many return instructions are remembered for sharing; more distinct actions than this only cost repeats.
const RETURNS: usize = 8;

/// A placed instruction: how many instructions there are from it to the end, itself included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label(usize);

/// The tail of a program, growing towards its front.
pub(super) struct Writer<'b> {
    buffer: &'b mut [u64],
    len: usize,
    returns: [Option<(u32, Label)>; RETURNS],
    oldest: usize,
}

impl<'b> Writer<'b> {
    /// An empty program that will end where `buffer` ends.
    pub(super) fn new(buffer: &'b mut [u64]) -> Self {
        Self { buffer, len: 0, returns: [None; RETURNS], oldest: 0 }
    }

    /// Puts `instruction` in front, followed by `next`.
    pub(super) fn before(&mut self, next: Label, instruction: Instruction) -> Result<Label, Fault> {
        let distance = self.distance(next);
        if distance > 0 {
            self.push(Instruction::Skip(u32::try_from(distance).map_err(|_| Fault::TooLong)?))?;
        }
        self.push(instruction)
    }

    fn push(&mut self, instruction: Instruction) -> Result<Label, Fault> {
        let len = self.len.saturating_add(1);
        let index = self.buffer.len().checked_sub(len).ok_or(Fault::TooLong)?;
        if len > MAX_INSTRUCTIONS {
            return Err(Fault::TooLong);
        }
        *self.buffer.get_mut(index).ok_or(Fault::TooLong)? = instruction.encode();
        self.len = len;
        Ok(Label(len))
    }

    /// Puts a jump to `yes` or `no` in front, or nothing when they are the same place. What it gives back need not be
    /// the front of the program: go there by [`Writer::before`] or another branch.
    pub(super) fn branch(&mut self, test: Test, k: u32, yes: Label, no: Label) -> Result<Label, Fault> {
        if yes == no {
            return Ok(yes);
        }
        let yes = self.within_reach(yes)?;
        let no = self.within_reach(no)?;
        let (yes, no) = (self.byte_distance(yes)?, self.byte_distance(no)?);
        self.push(Instruction::Branch { test, k, yes, no })
    }

    /// A return of `value` within reach: a former one where there is one, a new one in front otherwise.
    pub(super) fn returning(&mut self, value: u32) -> Result<Label, Fault> {
        let reachable = |&&(known, label): &&(u32, Label)| known == value && self.distance(label) <= REACH;
        if let Some((_, label)) = self.returns.iter().flatten().find(reachable) {
            return Ok(*label);
        }
        let label = self.push(Instruction::Return(value))?;
        let stale = self.returns.iter().position(|known| known.is_some_and(|(old, _)| old == value));
        if let Some(slot) = self.returns.get_mut(stale.unwrap_or(self.oldest)) {
            *slot = Some((value, label));
        }
        if stale.is_none() {
            self.oldest = self.oldest.wrapping_add(1) % RETURNS;
        }
        Ok(label)
    }

    /// The finished program.
    pub(super) fn finish(self) -> &'b [u64] {
        let start = self.buffer.len().saturating_sub(self.len);
        self.buffer.get(start..).unwrap_or_default()
    }

    /// Instructions between the front of the program and `label`.
    fn distance(&self, label: Label) -> usize {
        self.len.saturating_sub(label.0)
    }

    fn byte_distance(&self, label: Label) -> Result<u8, Fault> {
        u8::try_from(self.distance(label)).map_err(|_| Fault::TooLong)
    }

    fn within_reach(&mut self, label: Label) -> Result<Label, Fault> {
        let distance = self.distance(label);
        if distance <= REACH {
            return Ok(label);
        }
        self.push(Instruction::Skip(u32::try_from(distance).map_err(|_| Fault::TooLong)?))
    }
}
