//! Resource limits, from options to cgroup v2's own terms.

use super::device::{self, Bound};
use super::quantity::{Why, count, cpus, list, period, quota, shares, size, weight};
use super::{Checked, given, keep, refuse};
use crate::cli::argv::Sorted;
use crate::cli::message::Failure;
use pipkin::spec::{CpuMax, DeviceLimit, Limit, Resources};
use std::path::Path;

/// All limits.
pub(super) fn resources<'a>(typed: &Sorted<'a>) -> Checked<Resources<'a>> {
    let memory = given(typed, "--memory", size)?;
    let memory_low = given(typed, "--memory-reservation", size)?;
    if let (Some(low), Some(most)) = (memory_low, memory)
        && low > most
    {
        return Err(Failure::usage("run", "--memory-reservation must not be more than --memory"));
    }
    let swap = match (typed.last("--memory-swap"), memory) {
        (Some(total), _) => Some(swap(memory, total).map_err(|why| refuse("--memory-swap", total, why))?),
        // The file is there when the kernel can swap, and then the group has a limit of swap.
        (None, Some(memory)) if Path::new("/proc/swaps").exists() => Some(Limit::At(memory)),
        (None, _) => None,
    };
    Ok(Resources {
        memory_max: memory.map(Limit::At),
        swap_max: swap,
        memory_low,
        oom_group: typed.has("--oom-group").then_some(true),
        cpu_max: cpu_max(typed)?,
        cpu_weight: one_of(
            typed,
            "--cpu-shares",
            given(typed, "--cpu-weight", weight)?,
            given(typed, "--cpu-shares", shares)?,
        )?,
        cpuset_cpus: given(typed, "--cpuset-cpus", list)?,
        cpuset_mems: given(typed, "--cpuset-mems", list)?,
        pids_max: given(typed, "--pids-limit", count)?,
        io_weight: given(typed, "--io-weight", weight)?,
        devices: keep::list(devices(typed)?),
        unified: &[],
        access: &[],
    })
}

/// What was said in either of two ways, the second of them by option `name`.
fn one_of<T>(typed: &Sorted<'_>, name: &str, one: Option<T>, other: Option<T>) -> Checked<Option<T>> {
    if one.is_some() && other.is_some() {
        let text = typed.last(name).unwrap_or_default();
        return Err(refuse(name, text, "this was said in another way already: leave out one of the two"));
    }
    Ok(one.or(other))
}

/// CPU time by `--cpus`, or by quota and period; the one that is not given is the usual one.
fn cpu_max(typed: &Sorted<'_>) -> Checked<Option<CpuMax>> {
    let (quota, period) = (given(typed, "--cpu-quota", quota)?, given(typed, "--cpu-period", period)?);
    let parts = (quota.is_some() || period.is_some()).then(|| CpuMax {
        quota: quota.unwrap_or(Limit::Max),
        period_us: period.unwrap_or(CpuMax::PERIOD_US),
    });
    let name = if quota.is_some() { "--cpu-quota" } else { "--cpu-period" };
    one_of(typed, name, given(typed, "--cpus", cpus)?, parts)
}

/// `--memory-swap` counts memory and swap together, cgroup v2 swap alone. Memory without it gets as much swap
/// again: docker's rule.
fn swap(memory: Option<u64>, text: &str) -> Result<Limit, Why> {
    let memory = memory.ok_or("it counts memory and swap together, so give --memory too")?;
    if text == "-1" {
        return Ok(Limit::Max);
    }
    let total = size(text)?;
    let swap = total.checked_sub(memory);
    swap.map(Limit::At).ok_or("it counts memory and swap together, so it must not be less than --memory")
}

fn devices(typed: &Sorted<'_>) -> Checked<Vec<DeviceLimit>> {
    let mut limits = Vec::new();
    for (name, bound) in [
        ("--device-read-bps", Bound::ReadBps),
        ("--device-write-bps", Bound::WriteBps),
        ("--device-read-iops", Bound::ReadIops),
        ("--device-write-iops", Bound::WriteIops),
    ] {
        for text in typed.all(name) {
            device::limit(name, text, bound, &mut limits)?;
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sorted, words};
    use super::*;

    #[test]
    fn swap_is_the_total_less_memory() {
        let memory = Some(64 << 20);
        assert_eq!(swap(memory, "64m"), Ok(Limit::At(0)));
        assert_eq!(swap(memory, "128m"), Ok(Limit::At(64 << 20)));
        assert_eq!(swap(memory, "-1"), Ok(Limit::Max));
        for text in ["63m", "0", "-2", "", "x"] {
            assert!(swap(memory, text).is_err(), "{text}");
        }
        assert!(swap(None, "64m").is_err());
        assert!(swap(None, "-1").is_err());
    }

    #[test]
    fn limits_come_in_the_groups_terms() {
        let args = words(
            "--memory 1m -m 64m --swap=64m --cpu 0.25 --pids 5 --cpuset-cpus 0-1 --oom-group --io-weight 7 -c 2048",
        );
        let limits = resources(&sorted(&args)).unwrap();
        assert_eq!((limits.memory_max, limits.swap_max), (Some(Limit::At(64 << 20)), Some(Limit::At(0))));
        assert_eq!(limits.cpu_max.unwrap().quota, Limit::At(25_000));
        assert_eq!((limits.pids_max, limits.cpuset_cpus), (Some(Limit::At(5)), Some("0-1")));
        assert_eq!((limits.oom_group, limits.io_weight), (Some(true), Some(7)));
        assert_eq!(limits.cpu_weight, Some(173));
        for (text, quota, period_us) in [
            ("--cpu-quota 50000", Limit::At(50_000), 100_000),
            ("--cpu-quota 50000 --cpu-period 200000", Limit::At(50_000), 200_000),
            ("--cpu-quota=-1", Limit::Max, 100_000),
            ("--cpu-period 5000", Limit::Max, 5_000),
        ] {
            let args = words(text);
            assert_eq!(
                resources(&sorted(&args)).unwrap().cpu_max,
                Some(CpuMax { quota, period_us }),
                "{text}"
            );
        }
        assert_eq!(resources(&sorted(&[])).unwrap(), Resources::default());
    }

    #[test]
    fn contradictions_are_told() {
        for text in [
            "--memory 1m --memory-reservation 2m",
            "--memory 2m --memory-swap 1m",
            "--memory-swap 1m",
            "--device-read-bps /dev/null:1m",
            "--cpus 0",
            "--cpus 1 --cpu-quota 5000",
            "--cpus 1 --cpu-period 5000",
            "--cpu-quota 999",
            "--cpu-quota 0",
            "--cpu-period 999",
            "--cpu-period 1000001",
            "--cpu-shares 1",
            "--cpu-shares 262145",
            "--cpu-shares 1024 --cpu-weight 100",
        ] {
            assert!(resources(&sorted(&words(text))).is_err(), "{text}");
        }
    }
}
