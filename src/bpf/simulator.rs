//! Runs a program on a call as the kernel would, for tests and for showing what a filter does.

use super::instruction::{ARCH, ARGUMENTS, DATA_BYTES, Instruction, MAX_INSTRUCTIONS, NUMBER};
use super::policy::Call;

/// Why the kernel would not take, or could not finish, a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// No instruction, or more than 4096.
    Length(usize),
    /// Not an instruction that [`Instruction`] knows, at this index.
    Instruction(usize),
    /// A load outside `struct seccomp_data` or not at a multiple of four, at this index.
    Offset(usize),
    /// A jump beyond the end, at this index.
    Jump(usize),
    /// The last instruction is not a return.
    NoReturn,
}

/// What a run came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The `SECCOMP_RET_*` value.
    pub value: u32,
    /// Instructions executed.
    pub steps: usize,
    /// Whether an argument was looked at, so that the kernel cannot remember the outcome by number.
    pub by_argument: bool,
}

/// Checks every instruction of `program` as the kernel does when it is installed.
///
/// # Errors
/// What the kernel would answer with `EINVAL`.
pub fn verify(program: &[u64]) -> Result<(), Invalid> {
    if program.is_empty() || program.len() > MAX_INSTRUCTIONS {
        return Err(Invalid::Length(program.len()));
    }
    for (index, word) in program.iter().enumerate() {
        let after = program.len().saturating_sub(index).saturating_sub(1);
        let furthest = match Instruction::decode(*word).ok_or(Invalid::Instruction(index))? {
            Instruction::Load(offset) if offset % 4 != 0 || offset >= DATA_BYTES => {
                return Err(Invalid::Offset(index));
            }
            Instruction::Skip(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Instruction::Branch { yes, no, .. } => usize::from(yes.max(no)),
            Instruction::Return(_) if after == 0 => return Ok(()),
            _ => 0,
        };
        if after > 0 && furthest >= after {
            return Err(Invalid::Jump(index));
        }
    }
    Err(Invalid::NoReturn)
}

/// Runs `program` on `call`.
///
/// # Errors
/// What makes the program impossible to finish.
pub fn run(program: &[u64], call: &Call) -> Result<Run, Invalid> {
    let (mut index, mut accumulator) = (0_usize, 0_u32);
    let mut by_argument = false;
    // Jumps go forward only, so a program ends after at most as many steps as it has instructions.
    for steps in 1..=program.len() {
        let word = program.get(index).ok_or(Invalid::NoReturn)?;
        let mut skipped = 0;
        match Instruction::decode(*word).ok_or(Invalid::Instruction(index))? {
            Instruction::Load(offset) => {
                accumulator = load(call, offset).ok_or(Invalid::Offset(index))?;
                by_argument |= offset >= ARGUMENTS;
            }
            Instruction::And(mask) => accumulator &= mask,
            Instruction::Skip(count) => skipped = usize::try_from(count).unwrap_or(usize::MAX),
            Instruction::Branch { test, k, yes, no } => {
                skipped = usize::from(if test.holds(accumulator, k) { yes } else { no });
            }
            Instruction::Return(value) => return Ok(Run { value, steps, by_argument }),
        }
        index = index.saturating_add(1).saturating_add(skipped);
    }
    Err(Invalid::NoReturn)
}

/// The word at `offset` of the call's `struct seccomp_data`; the instruction pointer reads as 0.
fn load(call: &Call, offset: u32) -> Option<u32> {
    match offset {
        NUMBER => Some(call.number),
        ARCH => Some(call.arch),
        _ if !offset.is_multiple_of(4) => None,
        _ if offset < ARGUMENTS => Some(0),
        _ => {
            let index = usize::try_from(offset.checked_sub(ARGUMENTS)? / 8).ok()?;
            let argument = *call.arguments.get(index)?;
            Some(if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 })
        }
    }
}
