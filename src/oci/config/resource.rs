//! Limits: from the specification's mixture of cgroup v1 and v2 to the kernel's own v2 units (config-linux.md, control
//! groups).

use super::device::device_rules;
use crate::oci::json::{Fault, Value};
use crate::oci::keep;
use pipkin::spec::{CpuMax, DeviceLimit, Limit, Resources, weight_of_shares};

/// What cgroup v2 does not have.
const GONE: [&str; 9] = [
    "memory.kernel",
    "memory.kernelTCP",
    "memory.swappiness",
    "cpu.realtimeRuntime",
    "cpu.realtimePeriod",
    "blockIO.leafWeight",
    "network.classID",
    "network.priorities",
    "memory.disableOOMKiller",
];

/// Why it is refused.
const OF_V1: &str = "this is of cgroup v1, which Pipkin does not use";

/// Files and what is written to them.
type Unified = Vec<(&'static str, &'static str)>;

/// Reads `resources`.
///
/// # Errors
/// The first value without meaning on cgroup v2.
pub(crate) fn resources(value: Option<&Value<'_>>) -> Result<Resources<'static>, Fault> {
    let Some(value) = value else { return Ok(Resources::default()) };
    for name in GONE {
        // Where 0 is what is usual, engines write it without asking for anything; a swappiness of 0 is a wish.
        let number = value.signed_at(name).filter(|number| *number != 0 || name == "memory.swappiness");
        let asked = value.is_true(name) || number.is_some();
        if let Some(given) = value.at(name).filter(|_| asked || !value.elements(name).is_empty()) {
            return Err(given.fault(OF_V1));
        }
    }
    // What is below always counts there.
    if let Some(given) = value.at("memory.useHierarchy").filter(|_| !value.is_true("memory.useHierarchy")) {
        return Err(given.fault(OF_V1));
    }
    let mut unified = Unified::new();
    let mut devices = Vec::new();
    let io_weight = block_io(value, &mut devices, &mut unified)?;
    further(value, &mut unified)?;
    Ok(Resources {
        memory_max: limit(value.signed_at("memory.limit")),
        swap_max: swap(value)?,
        memory_low: value.signed_at("memory.reservation").filter(|bytes| *bytes > 0).map(i64::cast_unsigned),
        oom_group: None,
        cpu_max: cpu_max(value)?,
        cpu_weight: value.number_at("cpu.shares").filter(|shares| *shares > 0).map(weight_of_shares),
        cpuset_cpus: list(value, "cpu.cpus"),
        cpuset_mems: list(value, "cpu.mems"),
        // No process could be born where none may be: 0 lets the first one in and no other.
        pids_max: value.signed_at("pids.limit").map(|count| match u64::try_from(count) {
            Ok(count) => Limit::At(count.max(1)),
            Err(_) => Limit::Max,
        }),
        io_weight,
        devices: keep::list(devices),
        unified: keep::list(unified),
        access: keep::list(device_rules(value)?),
    })
}

/// Below zero is no limit, 0 is not given.
fn limit(number: Option<i64>) -> Option<Limit> {
    match number? {
        0 => None,
        number => Some(u64::try_from(number).map_or(Limit::Max, Limit::At)),
    }
}

/// The specification counts memory and swap together, the kernel swap alone.
fn swap(value: &Value<'_>) -> Result<Option<Limit>, Fault> {
    let Some(given) = value.at("memory.swap") else { return Ok(None) };
    match (given.signed()?, value.signed_at("memory.limit").unwrap_or_default()) {
        (0, _) => Ok(None),
        (..0, _) => Ok(Some(Limit::Max)),
        (_, ..=0) => Err(given.fault("this needs memory.limit: it counts memory and swap together")),
        (both, memory) if both < memory => {
            Err(given.fault("this must not be below memory.limit, which it includes"))
        }
        (both, memory) => Ok(Some(Limit::At((both - memory).cast_unsigned()))),
    }
}

fn cpu_max(value: &Value<'_>) -> Result<Option<CpuMax>, Fault> {
    let period = match value.at("cpu.period") {
        Some(given) => given.whole(1_000_000)? as u32,
        None => 0,
    };
    let quota = limit(value.signed_at("cpu.quota"));
    if quota.is_none() && period == 0 {
        return Ok(None);
    }
    Ok(Some(CpuMax {
        quota: quota.unwrap_or(Limit::Max),
        period_us: if period == 0 { CpuMax::PERIOD_US } else { period },
    }))
}

fn list(value: &Value<'_>, name: &str) -> Option<&'static str> {
    value.text_at(name).filter(|text| !text.is_empty()).map(kept)
}

fn kept(text: &str) -> &'static str {
    Box::leak(Box::from(text))
}

/// What has no field of its own in [`Resources`].
fn further(value: &Value<'_>, unified: &mut Unified) -> Result<(), Fault> {
    let mut write = |file: &[&str], text: &[&str]| unified.push((kept(&file.concat()), kept(&text.concat())));
    if let Some(burst) = value.number_at("cpu.burst") {
        write(&["cpu.max.burst"], &[&burst.to_string()]);
    }
    if let Some(idle) = value.signed_at("cpu.idle") {
        write(&["cpu.idle"], &[&idle.to_string()]);
    }
    for page in value.elements("hugepageLimits") {
        let size = page.text_at("pageSize").unwrap_or_default();
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(page.fault("pageSize must be a number and KB, MB or GB"));
        }
        let most = page.number_at("limit").unwrap_or_default().to_string();
        write(&["hugetlb.", size, ".max"], &[&most]);
        write(&["hugetlb.", size, ".rsvd.max"], &[&most]);
    }
    for (device, bounds) in value.at("rdma").map(Value::members).unwrap_or_default() {
        let mut line = device.to_string();
        for (key, name) in [(" hca_handle=", "hcaHandles"), (" hca_object=", "hcaObjects")] {
            if let Some(number) = bounds.number_at(name) {
                line.extend([key, &number.to_string()]);
            }
        }
        write(&["rdma.max"], &[&line]);
    }
    for (file, text) in value.at("unified").map(Value::members).unwrap_or_default() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !file.bytes().all(plain) || !file.contains('.') || file.contains("..") {
            return Err(text.fault("its name must be that of a file of a cgroup, such as memory.high"));
        }
        write(&[file], &[text.text()?]);
    }
    Ok(())
}

fn block_io(
    value: &Value<'_>,
    devices: &mut Vec<DeviceLimit>,
    unified: &mut Unified,
) -> Result<Option<u16>, Fault> {
    let weight = |given: &Value<'_>, name: &str| match given.number_at(name).unwrap_or_default() {
        0 => Ok(None),
        // 10 to 1000 there are 1 to 10 000 here.
        weight @ 10..=1000 => Ok(Some((1 + (weight - 10) * 9999 / 990) as u16)),
        _ => Err(given.fault([name, " must be 10 to 1000"].concat())),
    };
    let number = |given: &Value<'_>, name| given.number_at(name).unwrap_or_default() as u32;
    for given in value.elements("blockIO.weightDevice") {
        if given.number_at("leafWeight").is_some_and(|weight| weight != 0) {
            return Err(given.fault(["leafWeight: ", OF_V1].concat()));
        }
        if let Some(weight) = weight(given, "weight")? {
            let (major, minor) = (number(given, "major").to_string(), number(given, "minor").to_string());
            let line = [&major, ":", &minor, " ", &weight.to_string()].concat();
            unified.push(("io.weight", kept(&line)));
        }
    }
    for (place, name) in ["ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS"].iter().enumerate() {
        for given in value.elements(&["blockIO.throttle", name, "Device"].concat()) {
            let bound = |wanted| given.number_at("rate").filter(|_| place == wanted);
            devices.push(DeviceLimit {
                major: number(given, "major"),
                minor: number(given, "minor"),
                read_bps: bound(0),
                write_bps: bound(1),
                read_iops: bound(2),
                write_iops: bound(3),
            });
        }
    }
    value.at("blockIO").map_or(Ok(None), |given| weight(given, "weight"))
}
