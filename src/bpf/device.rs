//! The eBPF program that lets the processes of a cgroup use these devices and no others (Documentation/admin-guide/
//! cgroup-v2.rst, device controller; `struct bpf_cgroup_dev_ctx` of include/uapi/linux/bpf.h).
//!
//! The last rule that speaks of an access decides, so the program goes from the last to the first and takes out of
//! what was asked for what it has found allowed. What no rule speaks of is refused.

use super::instruction::MAX_INSTRUCTIONS;

/// Most instructions of a program.
const CAPACITY: usize = MAX_INSTRUCTIONS;

/// A finished program.
pub type DeviceProgram = heapless::Vec<u64, CAPACITY>;

/// One rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Whether it allows.
    pub allow: bool,
    /// Block devices, or character devices; `None` is both.
    pub block: Option<bool>,
    /// Major number; `None` is any.
    pub major: Option<u32>,
    /// Minor number; `None` is any.
    pub minor: Option<u32>,
    /// `BPF_DEVCG_ACC_*`: bit 0 make, bit 1 read, bit 2 write.
    pub access: u8,
}

/// Registers: what is asked for, and of which device.
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Operations, each the byte that begins an instruction (Documentation/bpf/standardization/instruction-set.rst).
const LOAD_32: u8 = 0x61;
const AND_32: u8 = 0x54;
const SHIFT_RIGHT_32: u8 = 0x74;
const COPY_32: u8 = 0xbc;
const SET_64: u8 = 0xb7;
const JUMP: u8 = 0x05;
const JUMP_UNEQUAL_32: u8 = 0x56;
const JUMP_SET_32: u8 = 0x46;
const EXIT: u8 = 0x95;

/// The eight bytes of a `struct bpf_insn`.
const fn instruction(operation: u8, to: u8, from: u8, offset: i16, value: u32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = value.to_le_bytes();
    u64::from_ne_bytes([operation, to | from << 4, low, high, a, b, c, d])
}

/// Assembles the program for `rules`, of which later ones count more. `None` when it gets too long.
#[must_use]
pub fn assemble(rules: &mut dyn DoubleEndedIterator<Item = Rule>) -> Option<DeviceProgram> {
    let mut program = DeviceProgram::new();
    let begin = [
        instruction(LOAD_32, KIND, CONTEXT, 0, 0),
        instruction(COPY_32, ACCESS, KIND, 0, 0),
        instruction(AND_32, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT_32, ACCESS, 0, 0, 16),
        instruction(LOAD_32, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_32, MINOR, CONTEXT, 8, 0),
    ];
    program.extend_from_slice(&begin).ok()?;
    for rule in rules.rev() {
        add(rule, &mut program)?;
    }
    program.extend_from_slice(&answer(false)).ok()?;
    Some(program)
}

const fn answer(allow: bool) -> [u64; 2] {
    [instruction(SET_64, 0, 0, 0, allow as u32), instruction(EXIT, 0, 0, 0, 0)]
}

fn add(rule: Rule, program: &mut DeviceProgram) -> Option<()> {
    // BPF_DEVCG_DEV_BLOCK and BPF_DEVCG_DEV_CHAR.
    let kind = rule.block.map(|block| if block { 1 } else { 2 });
    let wanted = [(KIND, kind), (MAJOR, rule.major), (MINOR, rule.minor)];
    let mut left = wanted.iter().filter(|(_, value)| value.is_some()).count() as i16;
    for (register, value) in wanted {
        if let Some(value) = value {
            // Over the comparisons that are left and the four instructions of the verdict.
            left = left.saturating_sub(1);
            program.push(instruction(JUMP_UNEQUAL_32, register, 0, left.saturating_add(4), value)).ok()?;
        }
    }
    let access = u32::from(rule.access);
    let verdict = if rule.allow {
        [instruction(AND_32, ACCESS, 0, 0, !access), instruction(JUMP_UNEQUAL_32, ACCESS, 0, 2, 0)]
    } else {
        [instruction(JUMP_SET_32, ACCESS, 0, 1, access), instruction(JUMP, 0, 0, 2, 0)]
    };
    program.extend_from_slice(&verdict).ok()?;
    program.extend_from_slice(&answer(rule.allow)).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would, on what `struct bpf_cgroup_dev_ctx` holds.
    fn run(program: &[u64], context: [u32; 3]) -> bool {
        let mut registers = [0_u64; 11];
        let mut at = 0;
        for _ in 0..10_000 {
            let [operation, places, low, high, a, b, c, d] = program[at].to_ne_bytes();
            let (to, from) = (usize::from(places & 15), usize::from(places >> 4));
            let (offset, value) = (i16::from_le_bytes([low, high]), u32::from_le_bytes([a, b, c, d]));
            let now = registers[to] as u32;
            let mut jump = false;
            match operation {
                LOAD_32 => registers[to] = context[offset as usize / 4].into(),
                AND_32 => registers[to] = (now & value).into(),
                SHIFT_RIGHT_32 => registers[to] = (now >> value).into(),
                COPY_32 => registers[to] = (registers[from] as u32).into(),
                SET_64 => registers[to] = value.into(),
                JUMP => jump = true,
                JUMP_UNEQUAL_32 => jump = now != value,
                JUMP_SET_32 => jump = now & value != 0,
                EXIT => return registers[0] != 0,
                other => panic!("no operation {other:#x}"),
            }
            at = at.strict_add(1).strict_add_signed(if jump { isize::from(offset) } else { 0 });
        }
        panic!("it does not end");
    }

    /// What the rules say: of each access that is asked for the last rule that speaks of it decides.
    fn judge(rules: &[Rule], block: bool, major: u32, minor: u32, access: u8) -> bool {
        let speaks = |rule: &Rule| {
            rule.block.is_none_or(|wanted| wanted == block)
                && rule.major.is_none_or(|wanted| wanted == major)
                && rule.minor.is_none_or(|wanted| wanted == minor)
        };
        (0..3).filter(|bit| access >> bit & 1 == 1).all(|bit| {
            let last = rules.iter().rev().find(|rule| rule.access >> bit & 1 == 1 && speaks(rule));
            last.is_some_and(|rule| rule.allow)
        })
    }

    #[test]
    fn the_program_says_what_the_rules_say() {
        let any = Rule { allow: false, block: None, major: None, minor: None, access: 7 };
        let null = Rule { allow: true, block: Some(false), major: Some(1), minor: Some(3), access: 6 };
        let disk = Rule { allow: true, block: Some(true), major: Some(8), minor: None, access: 2 };
        let make = Rule { allow: true, block: None, access: 1, ..any };
        let not_write = Rule { allow: false, access: 4, ..null };
        let all = [any, null, disk, make, not_write];
        for mask in 0_u32..32 {
            let mut rules: heapless::Vec<Rule, 5> = heapless::Vec::new();
            rules.extend(
                all.iter().enumerate().filter(|(place, _)| mask >> place & 1 == 1).map(|(_, rule)| *rule),
            );
            let program = assemble(&mut rules.iter().copied()).unwrap();
            for block in [false, true] {
                for (major, minor) in [(1, 3), (1, 5), (8, 0), (8, 3), (u32::MAX, 1 << 20)] {
                    for access in 1..8 {
                        let context = [u32::from(access) << 16 | if block { 1 } else { 2 }, major, minor];
                        let expected = judge(&rules, block, major, minor, access);
                        assert_eq!(run(&program, context), expected, "{rules:?} {context:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn too_many_rules_are_none() {
        let rule = Rule { allow: true, block: Some(true), major: Some(1), minor: Some(1), access: 1 };
        assert!(assemble(&mut core::iter::repeat_n(rule, 1000)).is_none());
    }
}
