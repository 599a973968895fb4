//! One instruction of classic BPF as seccomp accepts it (include/uapi/linux/filter.h, seccomp(2)).
//!
//! A program is a slice of `u64`, each the eight bytes of one `struct sock_filter` as the kernel reads them on the
//! little-endian machines Pipkin runs on: code in bits 0 to 15, `jt` 16 to 23, `jf` 24 to 31, `k` 32 to 63.

/// Most instructions the kernel takes in one program (`BPF_MAXINSNS`, include/uapi/linux/bpf_common.h).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Offset in `struct seccomp_data` of the call's number.
pub(crate) const NUMBER: u32 = 0;
/// Offset in `struct seccomp_data` of the `AUDIT_ARCH_*` value.
pub(crate) const ARCH: u32 = 4;
/// Offset in `struct seccomp_data` of the low word of the first argument; each argument takes eight bytes.
pub(crate) const ARGUMENTS: u32 = 16;
/// Size of `struct seccomp_data` in bytes.
pub(crate) const DATA_BYTES: u32 = 64;

/// How a jump compares the accumulator with `k`, both unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Test {
    /// Equal.
    Equal,
    /// Accumulator above `k`.
    Greater,
    /// Accumulator at or above `k`.
    GreaterOrEqual,
    /// Any common bit set.
    AnyBit,
}

/// The instructions this assembler writes: a load, a mask, two jumps and a return.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instruction {
    /// Puts the 32-bit word at this byte offset of `struct seccomp_data` into the accumulator.
    Load(u32),
    /// Keeps the bits of the accumulator that are set here.
    And(u32),
    /// Skips this many instructions.
    Skip(u32),
    /// Skips `yes` instructions when the test holds, `no` otherwise.
    Branch {
        /// The comparison.
        test: Test,
        /// The right-hand side.
        k: u32,
        /// Instructions to skip when the test holds.
        yes: u8,
        /// Instructions to skip when it does not.
        no: u8,
    },
    /// Ends the program with a `SECCOMP_RET_*` value.
    Return(u32),
}

// BPF_LD | BPF_W | BPF_ABS, BPF_ALU | BPF_AND | BPF_K, BPF_JMP | BPF_JA, BPF_JMP | BPF_J* | BPF_K, BPF_RET | BPF_K.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const SKIP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const GREATER: u16 = 0x25;
const GREATER_OR_EQUAL: u16 = 0x35;
const ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

impl Instruction {
    /// The instruction as the kernel reads it.
    #[must_use]
    pub const fn encode(self) -> u64 {
        let (code, yes, no, k) = match self {
            Self::Load(offset) => (LOAD, 0, 0, offset),
            Self::And(mask) => (AND, 0, 0, mask),
            Self::Skip(count) => (SKIP, 0, 0, count),
            Self::Branch { test, k, yes, no } => (test.code(), yes, no, k),
            Self::Return(value) => (RETURN, 0, 0, value),
        };
        code as u64 | (yes as u64) << 16 | (no as u64) << 24 | (k as u64) << 32
    }

    /// The instruction in `word`; `None` when it is not one this assembler writes.
    #[must_use]
    pub const fn decode(word: u64) -> Option<Self> {
        let k = (word >> 32) as u32;
        let test = match word as u16 {
            LOAD => return Some(Self::Load(k)),
            AND => return Some(Self::And(k)),
            SKIP => return Some(Self::Skip(k)),
            RETURN => return Some(Self::Return(k)),
            EQUAL => Test::Equal,
            GREATER => Test::Greater,
            GREATER_OR_EQUAL => Test::GreaterOrEqual,
            ANY_BIT => Test::AnyBit,
            _ => return None,
        };
        Some(Self::Branch { test, k, yes: (word >> 16) as u8, no: (word >> 24) as u8 })
    }
}

impl Test {
    const fn code(self) -> u16 {
        match self {
            Self::Equal => EQUAL,
            Self::Greater => GREATER,
            Self::GreaterOrEqual => GREATER_OR_EQUAL,
            Self::AnyBit => ANY_BIT,
        }
    }

    /// Whether the test holds for these two values.
    #[must_use]
    pub const fn holds(self, accumulator: u32, k: u32) -> bool {
        match self {
            Self::Equal => accumulator == k,
            Self::Greater => accumulator > k,
            Self::GreaterOrEqual => accumulator >= k,
            Self::AnyBit => accumulator & k != 0,
        }
    }
}
