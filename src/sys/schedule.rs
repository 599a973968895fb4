//! How the kernel treats a process: scheduling, I/O priority, CPUs, execution domain.

use super::arch::syscall;
use core::mem::size_of;
use linux_raw_sys::general as raw;
use rustix::io::Result;

/// What sched_setattr(2) takes, by its own names' meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attributes {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value.
    pub nice: i32,
    /// Static priority.
    pub priority: u32,
    /// Nanoseconds of each period.
    pub runtime_ns: u64,
    /// Nanoseconds in which they are given.
    pub deadline_ns: u64,
    /// Nanoseconds of a period.
    pub period_ns: u64,
}

/// The first version of the kernel's `struct sched_attr`.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets how the calling thread is scheduled.
///
/// # Errors
/// `EINVAL` for an unknown policy or numbers out of its range, `EPERM` without CAP_SYS_NICE, `EBUSY` when a deadline
/// cannot be promised.
pub fn set_scheduler(attributes: &Attributes) -> Result<()> {
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: attributes.policy,
        flags: attributes.flags,
        nice: attributes.nice,
        priority: attributes.priority,
        runtime: attributes.runtime_ns,
        deadline: attributes.deadline_ns,
        period: attributes.period_ns,
    };
    // SAFETY: `attr` is a whole structure of the size it tells, read during the call.
    unsafe { syscall(raw::__NR_sched_setattr, [0, &raw const attr as usize, 0, 0, 0, 0]) }?;
    Ok(())
}

/// Sets class and level of the calling thread's I/O (ioprio_set(2)).
///
/// # Errors
/// `EINVAL` for what is no class, `EPERM` for the real-time class without privilege.
pub fn set_io_priority(priority: u16) -> Result<()> {
    const WHO_PROCESS: usize = 1;
    // SAFETY: the call takes numbers only.
    unsafe { syscall(raw::__NR_ioprio_set, [WHO_PROCESS, 0, priority.into(), 0, 0, 0]) }?;
    Ok(())
}

/// Lets the calling thread run on the CPUs whose bits are set in `mask` only (sched_setaffinity(2)).
///
/// # Errors
/// `EINVAL` when none of them is one that it may use.
pub fn set_affinity(mask: &[u64]) -> Result<()> {
    let args = [0, size_of_val(mask), mask.as_ptr() as usize, 0, 0, 0];
    // SAFETY: the kernel reads as many bytes as the slice has.
    unsafe { syscall(raw::__NR_sched_setaffinity, args) }?;
    Ok(())
}

/// Has the calling thread take its memory by policy `mode` from the nodes whose bits are set (set_mempolicy(2)).
///
/// # Errors
/// `EINVAL` for a mode that the kernel does not know, or nodes that do not go with it; `ENOSYS` on a kernel that knows
/// no nodes.
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> Result<()> {
    let address = if nodes.is_empty() { 0 } else { nodes.as_ptr() as usize };
    // The kernel takes one bit less than it is told of.
    let bits = if nodes.is_empty() { 0 } else { size_of_val(nodes) * 8 + 1 };
    // SAFETY: the kernel reads as many bits as the slice has; none without nodes.
    unsafe { syscall(raw::__NR_set_mempolicy, [mode as usize, address, bits, 0, 0, 0]) }?;
    Ok(())
}

/// Sets the execution domain of the calling process (personality(2)).
///
/// # Errors
/// `EINVAL` when the kernel cannot.
pub fn set_personality(domain: u32) -> Result<()> {
    // SAFETY: the call takes a number.
    unsafe { syscall(raw::__NR_personality, [domain as usize, 0, 0, 0, 0, 0]) }?;
    Ok(())
}
