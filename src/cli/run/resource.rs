//! Resource limits, from options to cgroup v2's own terms.

use super::device::{self, Bound};
use super::keep;
use super::options::Options;
use super::quantity::{Why, count, cpus, list, size, weight};
use super::{Checked, given, refuse};
use pipkin::spec::{Limit, Resources};
use std::path::Path;

/// All limits.
pub(super) fn resources(options: &Options) -> Checked<Resources<'static>> {
    let memory = given("--memory", &options.memory, size)?;
    let memory_low = given("--memory-reservation", &options.memory_reservation, size)?;
    if let (Some(low), Some(text), Some(most)) = (memory_low, options.memory_reservation.last(), memory)
        && low > most
    {
        return Err(refuse("--memory-reservation", text, "it must not be more than --memory"));
    }
    // The file is there when the kernel can swap, and then the group has a limit of swap.
    let kernel_swaps = || Path::new("/proc/swaps").exists();
    let swap = given("--memory-swap", &options.memory_swap, |text| swap(memory, text))?;
    let list = |name, values: &[String]| given(name, values, |text| list(text).map(|_| keep::word(text)));
    Ok(Resources {
        memory_max: memory.map(Limit::At),
        swap_max: swap.or_else(|| memory.filter(|_| kernel_swaps()).map(Limit::At)),
        memory_low,
        oom_group: options.oom_group.then_some(true),
        cpu_max: given("--cpus", &options.cpus, cpus)?,
        cpu_weight: given("--cpu-weight", &options.cpu_weight, weight)?,
        cpuset_cpus: list("--cpuset-cpus", &options.cpuset_cpus)?,
        cpuset_mems: list("--cpuset-mems", &options.cpuset_mems)?,
        pids_max: given("--pids-limit", &options.pids_limit, count)?,
        io_weight: given("--io-weight", &options.io_weight, weight)?,
        devices: keep::list(devices(options)?),
    })
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

fn devices(options: &Options) -> Checked<Vec<pipkin::spec::DeviceLimit>> {
    let mut limits = Vec::new();
    for (name, texts, bound) in [
        ("--device-read-bps", &options.device_read_bps, Bound::ReadBps),
        ("--device-write-bps", &options.device_write_bps, Bound::WriteBps),
        ("--device-read-iops", &options.device_read_iops, Bound::ReadIops),
        ("--device-write-iops", &options.device_write_iops, Bound::WriteIops),
    ] {
        for text in texts {
            device::limit(text, bound, &mut limits).map_err(|why| refuse(name, text, &why))?;
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
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

    fn typed(words: &[(&'static str, &'static str)]) -> Options {
        let words: Vec<_> = words.iter().map(|(name, value)| (*name, Some(*value))).collect();
        Options::new(&words).unwrap()
    }

    #[test]
    fn limits_come_in_the_groups_terms() {
        let limits = resources(&typed(&[
            ("--memory", "1m"),
            ("--memory", "64m"),
            ("--memory-swap", "64m"),
            ("--cpus", "0.25"),
            ("--pids-limit", "5"),
            ("--cpuset-cpus", "0-1"),
        ]))
        .unwrap();
        assert_eq!((limits.memory_max, limits.swap_max), (Some(Limit::At(64 << 20)), Some(Limit::At(0))));
        assert_eq!(limits.cpu_max.unwrap().quota, Limit::At(25_000));
        assert_eq!((limits.pids_max, limits.cpuset_cpus), (Some(Limit::At(5)), Some("0-1")));
        assert_eq!(resources(&typed(&[])).unwrap(), Resources::default());
    }

    #[test]
    fn contradictions_are_told() {
        for words in [
            &[("--memory", "1m"), ("--memory-reservation", "2m")][..],
            &[("--memory", "2m"), ("--memory-swap", "1m")],
            &[("--memory-swap", "1m")],
            &[("--device-read-bps", "/dev/null:1m")],
            &[("--cpus", "0")],
        ] {
            assert!(resources(&typed(words)).is_err(), "{words:?}");
        }
    }
}
