//! What a filter decides, as plain borrowed data, and the decision taken directly from that data.
//!
//! A [`Policy`] has one [`Section`] per architecture. A section is a step function: each [`Span`] names the verdict
//! that holds from its first number up to the next span's, so every one of the 2^32 numbers has exactly one verdict.
//! A verdict is a list of [`Rule`]s of which the first that applies decides: conditions inside a rule are ANDed,
//! rules are ORed by standing one after the other, and the last rule of a list always applies.
//!
//! [`Policy::decide`] is the reference that compiled programs are tested against.

/// An instruction set, as seccomp tells it apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arch {
    /// 64-bit x86. x32 shares its value and differs by bit 30 of the number ([`X32_BIT`]).
    X86_64,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit x86, which 32-bit programs use on x86_64.
    X86,
    /// 32-bit Arm (EABI), which 32-bit programs use on aarch64.
    Arm,
}

/// Set in the numbers of x32 calls, which arrive under x86_64's architecture value (`__X32_SYSCALL_BIT`).
pub const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::X86_64, Self::Aarch64, Self::X86, Self::Arm];

    /// The architecture Pipkin is compiled for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Self = Self::X86_64;
    /// The architecture Pipkin is compiled for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Self = Self::Aarch64;

    /// The `AUDIT_ARCH_*` value (include/uapi/linux/audit.h): ELF machine, 64-bit or not, little-endian.
    #[must_use]
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
            Self::X86 => 0x4000_0003,
            Self::Arm => 0x4000_0028,
        }
    }
}

/// What the kernel does with a call (seccomp(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Kills the whole process with SIGSYS.
    KillProcess,
    /// Kills the calling thread with SIGSYS.
    KillThread,
    /// Sends SIGSYS with this data in `si_errno`.
    Trap(u16),
    /// Fails with this errno, 0 to 4095; 0 makes the call succeed without doing anything.
    Errno(u16),
    /// Asks the process that holds the filter's listener.
    Notify,
    /// Tells the ptracer, with this data; `ENOSYS` when there is none.
    Trace(u16),
    /// Allows, with a line in the audit log.
    Log,
    /// Allows.
    Allow,
}

impl Action {
    /// The `SECCOMP_RET_*` value.
    #[must_use]
    pub const fn value(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap(data) => 0x0003_0000 | data as u32,
            Self::Errno(errno) => 0x0005_0000 | errno as u32,
            Self::Notify => 0x7fc0_0000,
            Self::Trace(data) => 0x7ff0_0000 | data as u32,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }
}

/// How an argument is compared with a value; both are unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
    /// Below.
    Less,
    /// At or below.
    LessOrEqual,
    /// Above.
    Greater,
    /// At or above.
    GreaterOrEqual,
}

/// Holds when `argument & mask OPERATOR value`, on 64 bits.
///
/// `mask` is all ones for a plain comparison, `0xffff_ffff` for a parameter that the kernel takes as a 32-bit
/// integer: it ignores the upper half of the register, so a filter that looked there could be fooled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// The comparison.
    pub operator: Operator,
    /// The bits that are compared.
    pub mask: u64,
    /// The right-hand side.
    pub value: u64,
}

impl Condition {
    /// Whether `call` meets the condition. An argument above 5 meets none.
    #[must_use]
    pub fn holds(&self, call: &Call) -> bool {
        let Some(argument) = call.arguments.get(usize::from(self.argument)) else {
            return false;
        };
        let found = argument & self.mask;
        match self.operator {
            Operator::Equal => found == self.value,
            Operator::NotEqual => found != self.value,
            Operator::Less => found < self.value,
            Operator::LessOrEqual => found <= self.value,
            Operator::Greater => found > self.value,
            Operator::GreaterOrEqual => found >= self.value,
        }
    }
}

/// An action and when it is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule<'a> {
    /// What happens.
    pub action: Action,
    /// The rule is there only for a process that has all these capabilities (bit n is capability number n).
    pub needs: u64,
    /// All must hold; none means always.
    pub conditions: &'a [Condition],
}

impl Rule<'_> {
    /// Whether the rule is part of the filter of a process with these capabilities.
    #[must_use]
    pub const fn is_open(&self, capabilities: u64) -> bool {
        self.needs & !capabilities == 0
    }
}

/// A run of call numbers, from `first` up to the next span, that share one verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The lowest number.
    pub first: u32,
    /// Index into [`Section::verdicts`].
    pub verdict: u16,
}

/// The calls of one architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Section<'a> {
    /// Whose numbers these are.
    pub arch: Arch,
    /// By ascending `first`; the first span starts at 0.
    pub spans: &'a [Span],
    /// The rule lists that spans refer to; in each, at least one rule has no needs and no conditions.
    pub verdicts: &'a [&'a [Rule<'a>]],
}

impl<'a> Section<'a> {
    /// The rules for call `number`; empty when the section breaks its invariants.
    #[must_use]
    pub fn rules(&self, number: u32) -> &'a [Rule<'a>] {
        let after = self.spans.partition_point(|span| span.first <= number);
        let span = after.checked_sub(1).and_then(|index| self.spans.get(index));
        span.and_then(|span| self.verdicts.get(usize::from(span.verdict))).copied().unwrap_or_default()
    }
}

/// A whole filter: what happens to each call of each architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy<'a> {
    /// At most one per architecture.
    pub sections: &'a [Section<'a>],
    /// What happens to calls of an architecture without a section.
    pub foreign: Action,
}

impl Policy<'_> {
    /// What the policy says of `call` for a process with these capabilities. `KillProcess` where the policy breaks
    /// its invariants and says nothing.
    #[must_use]
    pub fn decide(&self, capabilities: u64, call: &Call) -> Action {
        let Some(section) = self.sections.iter().find(|section| section.arch.audit() == call.arch) else {
            return self.foreign;
        };
        let applies =
            |rule: &&Rule<'_>| rule.is_open(capabilities) && rule.conditions.iter().all(|c| c.holds(call));
        section.rules(call.number).iter().find(applies).map_or(Action::KillProcess, |rule| rule.action)
    }
}

/// What a filter sees of a call (`struct seccomp_data`, without the instruction pointer).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// The call's number.
    pub number: u32,
    /// The `AUDIT_ARCH_*` value.
    pub arch: u32,
    /// The six argument registers.
    pub arguments: [u64; 6],
}
