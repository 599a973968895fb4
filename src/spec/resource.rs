//! Resource limits, in cgroup v2's own units (Documentation/admin-guide/cgroup-v2.rst).

/// A number, or no limit at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// At most so many.
    At(u64),
    /// Explicitly without limit, `max`.
    Max,
}

/// Share of CPU time: `quota` microseconds of every `period_us`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuMax {
    /// Microseconds of CPU time per period, at least 1 000.
    pub quota: Limit,
    /// Length of a period in microseconds, 1 000 to 1 000 000.
    pub period_us: u32,
}

impl CpuMax {
    /// The kernel's usual period.
    pub const PERIOD_US: u32 = 100_000;
}

/// `cpu.weight` for 2 to the power of 1, 2, … 18 shares: 10 to the power of (x² + 125 x) / 612 - 7 / 34, by which the
/// least, the usual 1024 and the most are 1, 100 and 10 000.
const WEIGHTS: [u64; 18] = [1, 2, 3, 4, 7, 12, 20, 34, 58, 100, 173, 302, 531, 942, 1681, 3023, 5477, 10_000];

/// `cpu.weight` for the CPU shares of cgroup v1, 2 to 262 144, by which docker and OCI count; what lies between the
/// powers of two is interpolated, what lies outside is the nearest.
#[must_use]
pub fn weight_of_shares(shares: u64) -> u16 {
    let shares = shares.clamp(2, 1 << 18);
    let power = shares.ilog2() as usize;
    let below = WEIGHTS.get(power - 1).copied().unwrap_or(1);
    let above = WEIGHTS.get(power).copied().unwrap_or(below);
    let start = 1_u64 << power;
    (below + (above - below) * (shares - start) / start) as u16
}

/// Bounds on one block device; `None` leaves that bound alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceLimit {
    /// Device number, major.
    pub major: u32,
    /// Device number, minor.
    pub minor: u32,
    /// Bytes read per second.
    pub read_bps: Option<u64>,
    /// Bytes written per second.
    pub write_bps: Option<u64>,
    /// Read operations per second.
    pub read_iops: Option<u64>,
    /// Write operations per second.
    pub write_iops: Option<u64>,
}

/// All limits of a container; what is `None` or empty is left to the kernel's default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resources<'a> {
    /// `memory.max` in bytes.
    pub memory_max: Option<Limit>,
    /// `memory.swap.max` in bytes: swap alone, not memory and swap together.
    pub swap_max: Option<Limit>,
    /// `memory.low` in bytes: the reservation that reclaim spares.
    pub memory_low: Option<u64>,
    /// `memory.oom.group`: whether an out-of-memory kill takes the whole container.
    pub oom_group: Option<bool>,
    /// `cpu.max`.
    pub cpu_max: Option<CpuMax>,
    /// `cpu.weight`, 1 to 10 000.
    pub cpu_weight: Option<u16>,
    /// `cpuset.cpus`, a list such as `0-3,8`.
    pub cpuset_cpus: Option<&'a str>,
    /// `cpuset.mems`, a list of memory nodes.
    pub cpuset_mems: Option<&'a str>,
    /// `pids.max`.
    pub pids_max: Option<Limit>,
    /// `io.weight`, 1 to 10 000.
    pub io_weight: Option<u16>,
    /// `io.max`, one entry per device.
    pub devices: &'a [DeviceLimit],
    /// Further files of the cgroup and what to write to them, in order.
    pub unified: &'a [(&'a str, &'a str)],
    /// Which devices may be used, later rules counting more; empty is all.
    pub access: &'a [DeviceRule],
}

/// A rule on the use of devices (cgroup v2, device controller).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceRule {
    /// Whether it allows.
    pub allow: bool,
    /// Block devices, or character devices; `None` is both.
    pub block: Option<bool>,
    /// Major number; `None` is any.
    pub major: Option<u32>,
    /// Minor number; `None` is any.
    pub minor: Option<u32>,
    /// Of what: bit 0 make, bit 1 read, bit 2 write.
    pub access: u8,
}
