//! How the kernel treats the process: what few ask for, all of it from OCI's config.md.

/// How the process is scheduled (sched_setattr(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value of the ordinary policies.
    pub nice: i32,
    /// Static priority of the real-time ones.
    pub priority: u32,
    /// Nanoseconds of CPU time in each period, for the deadline policy.
    pub runtime_ns: u64,
    /// Nanoseconds from a period's begin in which they are given.
    pub deadline_ns: u64,
    /// Nanoseconds of a period.
    pub period_ns: u64,
}

/// The distance of one clock of a time namespace from the host's (time_namespaces(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockOffset {
    /// `monotonic` or `boottime`.
    pub clock: &'static str,
    /// Whole seconds, which may be below zero.
    pub seconds: i64,
    /// Nanoseconds on top, below 1 000 000 000.
    pub nanoseconds: u32,
}

/// Of which memory nodes the process takes its memory (set_mempolicy(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryPolicy<'a> {
    /// `MPOL_*`, with its flags.
    pub mode: u32,
    /// Bit n of word n / 64 for node n; empty is none.
    pub nodes: &'a [u64],
}

/// What of it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuning<'a> {
    /// Execution domain, `PER_*` (personality(2)).
    pub personality: Option<u32>,
    /// Scheduling.
    pub scheduler: Option<Scheduler>,
    /// Class and level of I/O as ioprio_set(2) takes them.
    pub io_priority: Option<u16>,
    /// CPUs it may run on, bit n of word n / 64 for CPU n; empty is all that it has.
    pub cpus: &'a [u64],
    /// Memory nodes.
    pub memory: Option<MemoryPolicy<'a>>,
    /// How many descriptors from 3 on the process gets from whoever started us.
    pub preserved: u32,
    /// Whether it keeps the session keyring of whoever started us.
    pub keeps_keyring: bool,
}

impl Tuning<'_> {
    /// Nothing.
    pub const PLAIN: Tuning<'static> = Tuning {
        personality: None,
        scheduler: None,
        io_priority: None,
        cpus: &[],
        memory: None,
        preserved: 0,
        keeps_keyring: false,
    };
}
