//! Limits: from what was asked for to what is written into which cgroup file.

use super::conflict::Conflict;
use super::facts::{Availability, Controllers, HostFacts};
use super::step::{HostStep, LimitValue};
use crate::spec::{CpuMax, DeviceLimit, Limit, Resources};
use ufmt::uwrite;

/// One write into a cgroup file: the controller that owns it, the file, the value.
type Write = (&'static str, &'static str, LimitValue);

/// Controllers whose files can be named.
const CONTROLLERS: [&str; 8] = ["memory", "cpu", "cpuset", "io", "pids", "hugetlb", "rdma", "misc"];

/// Calls `push` with every host step that `resources` needs, each controller enabled before its first file.
///
/// # Errors
/// The [`Conflict`] of a controller that this host does not offer, of a number out of the kernel's range, or of
/// `push`.
pub(super) fn resolve<'a>(
    resources: &Resources<'a>,
    controllers: &Controllers,
    push: &mut dyn FnMut(HostStep<'a>) -> Result<(), Conflict>,
) -> Result<(), Conflict> {
    check_ranges(resources)?;
    let mut enabled: heapless::Vec<&'static str, 8> = heapless::Vec::new();
    let mut enable = |controller, push: &mut dyn FnMut(HostStep<'a>) -> Result<(), Conflict>| {
        if enabled.contains(&controller) {
            return Ok(());
        }
        require(controller, controllers)?;
        enabled.push(controller).map_err(|_| Conflict::full("enable controllers"))?;
        push(HostStep::EnableController(controller))
    };
    each_write(resources, &mut |(controller, file, value)| {
        enable(controller, push)?;
        push(HostStep::SetLimit { file, value })
    })?;
    for (file, value) in resources.unified {
        let owner = file.split_once('.').map_or(*file, |(owner, _)| owner);
        // Files of the core, such as cgroup.max.depth, are there without a controller.
        if let Some(controller) = CONTROLLERS.into_iter().find(|name| *name == owner) {
            enable(controller, push)?;
        }
        push(HostStep::SetUnified { file, value })?;
    }
    // Last: it is exchanged at once, and whoever changes limits then has nothing more that could fail.
    if !resources.access.is_empty() {
        push(HostStep::LimitDevices(resources.access))?;
    }
    Ok(())
}

/// Whether the kernel takes rules on devices from us (bpf(2)).
pub(super) fn check_rules(resources: &Resources<'_>, facts: &HostFacts) -> Result<(), Conflict> {
    if resources.access.is_empty() || facts.root && !facts.nested && facts.cgroup {
        return Ok(());
    }
    let why = "it takes root of the machine itself, and a cgroup v2 hierarchy in which a group can be made";
    let remedy = "run as root where cgroup2 is mounted, or leave rights and rules out";
    Err(Conflict::new("limit the use of devices", why, remedy))
}

/// Whether any limit is asked for.
pub(super) fn any(resources: &Resources<'_>) -> bool {
    *resources != Resources::default()
}

fn each_write(
    resources: &Resources<'_>,
    emit: &mut dyn FnMut(Write) -> Result<(), Conflict>,
) -> Result<(), Conflict> {
    // swap before memory: with the old swap allowance, a lower memory.max could first push pages out to swap.
    if let Some(limit) = resources.swap_max {
        emit(("memory", "memory.swap.max", limit_text(limit)))?;
    }
    if let Some(limit) = resources.memory_max {
        emit(("memory", "memory.max", limit_text(limit)))?;
    }
    if let Some(bytes) = resources.memory_low {
        emit(("memory", "memory.low", limit_text(Limit::At(bytes))))?;
    }
    if let Some(group) = resources.oom_group {
        emit(("memory", "memory.oom.group", limit_text(Limit::At(group.into()))))?;
    }
    if let Some(cpu) = resources.cpu_max {
        emit(("cpu", "cpu.max", cpu_text(cpu)))?;
    }
    if let Some(weight) = resources.cpu_weight {
        emit(("cpu", "cpu.weight", limit_text(Limit::At(weight.into()))))?;
    }
    if let Some(list) = resources.cpuset_cpus {
        emit(("cpuset", "cpuset.cpus", list_text(list, "bind to CPUs")?))?;
    }
    if let Some(list) = resources.cpuset_mems {
        emit(("cpuset", "cpuset.mems", list_text(list, "bind to memory nodes")?))?;
    }
    if let Some(limit) = resources.pids_max {
        emit(("pids", "pids.max", limit_text(limit)))?;
    }
    if let Some(weight) = resources.io_weight {
        emit(("io", "io.weight", limit_text(Limit::At(weight.into()))))?;
    }
    resources.devices.iter().try_for_each(|device| emit(("io", "io.max", device_text(device))))
}

fn check_ranges(resources: &Resources<'_>) -> Result<(), Conflict> {
    let weights = 1..=10_000;
    if resources.cpu_weight.is_some_and(|weight| !weights.contains(&weight)) {
        return Err(Conflict::new("weigh CPU time", "the weight is out of range", "give 1 to 10000"));
    }
    if resources.io_weight.is_some_and(|weight| !weights.contains(&weight)) {
        return Err(Conflict::new("weigh I/O", "the weight is out of range", "give 1 to 10000"));
    }
    let cpu = resources.cpu_max;
    if cpu.is_some_and(|cpu| cpu.quota_below(1_000) || !(1_000..=1_000_000).contains(&cpu.period_us)) {
        let why = "the kernel takes no quota below 1 ms and periods of 1 ms to 1 s only";
        return Err(Conflict::new("limit CPU time", why, "give at least 0.01"));
    }
    if resources.pids_max == Some(Limit::At(0)) {
        return Err(Conflict::new(
            "limit processes",
            "with 0 not even the command could start",
            "give 1 or more",
        ));
    }
    Ok(())
}

impl CpuMax {
    fn quota_below(&self, least: u64) -> bool {
        matches!(self.quota, Limit::At(quota) if quota < least)
    }
}

fn require(controller: &'static str, controllers: &Controllers) -> Result<(), Conflict> {
    let (what, state) = match controller {
        "memory" => ("limit memory by the cgroup controller", controllers.memory),
        "cpu" => ("limit CPU time by the cgroup controller", controllers.cpu),
        "cpuset" => ("bind to CPUs or memory nodes by the cgroup controller", controllers.cpuset),
        "pids" => ("limit processes by the cgroup controller", controllers.pids),
        // Nobody looked for these; the kernel answers when they are enabled.
        "hugetlb" | "rdma" | "misc" => return Ok(()),
        _ => ("limit I/O by the cgroup controller", controllers.io),
    };
    let (why, remedy) = match state {
        Availability::Ready => return Ok(()),
        Availability::NoHierarchy => (
            "no cgroup v2 hierarchy is mounted",
            "mount -t cgroup2 none /sys/fs/cgroup, or boot a host that does",
        ),
        Availability::HeldByV1 => (
            "a cgroup v1 hierarchy holds it",
            "boot with cgroup_no_v1=all (systemd: systemd.unified_cgroup_hierarchy=1)",
        ),
        Availability::Absent => ("the kernel does not have it", "boot without cgroup_disable="),
        Availability::NotDelegated => (
            "it was not delegated to us, in cgroup.subtree_control of the group above",
            "ask the system's manager to delegate it (systemd: Delegate=yes)",
        ),
    };
    Err(Conflict::new(what, why, remedy).about(controller.as_bytes()))
}

/// Writes into a fixed text whose capacity was chosen for the longest value, [`DeviceLimit`]'s.
macro_rules! text {
    ($($format:tt)*) => {{
        let mut text = LimitValue::new();
        // Infallible by LIMIT_CAPACITY; an incomplete value would be refused by the kernel, not obeyed.
        uwrite!(&mut text, $($format)*).unwrap_or_else(|_| text.clear());
        text
    }};
}

fn limit_text(limit: Limit) -> LimitValue {
    match limit {
        Limit::At(number) => text!("{}", number),
        Limit::Max => text!("max"),
    }
}

fn cpu_text(cpu: CpuMax) -> LimitValue {
    text!("{} {}", limit_text(cpu.quota).as_str(), cpu.period_us)
}

fn list_text(list: &str, what: &'static str) -> Result<LimitValue, Conflict> {
    let legal = !list.is_empty() && list.bytes().all(|byte| byte.is_ascii_digit() || b",-".contains(&byte));
    let copied = LimitValue::try_from(list).ok().filter(|_| legal);
    copied
        .ok_or_else(|| Conflict::new(what, "the list is malformed or too long", "give a list such as 0-3,8"))
}

fn device_text(device: &DeviceLimit) -> LimitValue {
    let mut text = text!("{}:{}", device.major, device.minor);
    let bounds = [
        ("rbps", device.read_bps),
        ("wbps", device.write_bps),
        ("riops", device.read_iops),
        ("wiops", device.write_iops),
    ];
    for (key, bound) in bounds {
        if let Some(bound) = bound {
            uwrite!(&mut text, " {}={}", key, bound).unwrap_or_else(|_| text.clear());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(resources: &Resources<'static>) -> heapless::Vec<HostStep<'static>, 32> {
        let mut steps = heapless::Vec::new();
        let ready = Controllers::all(Availability::Ready);
        resolve(resources, &ready, &mut |step| steps.push(step).map_err(|_| Conflict::full("test"))).unwrap();
        steps
    }

    #[test]
    fn a_controller_is_enabled_once_before_its_files() {
        let steps = writes(&Resources {
            memory_max: Some(Limit::At(10 << 20)),
            swap_max: Some(Limit::At(0)),
            ..Resources::default()
        });
        assert_eq!(steps.len(), 3);
        assert_eq!(steps[0], HostStep::EnableController("memory"));
        assert!(matches!(&steps[1], HostStep::SetLimit { file: "memory.swap.max", value } if value == "0"));
        assert!(matches!(&steps[2], HostStep::SetLimit { file: "memory.max", value } if value == "10485760"));
    }

    #[test]
    fn the_longest_device_line_fits() {
        let device = DeviceLimit {
            major: u32::MAX,
            minor: u32::MAX,
            read_bps: Some(u64::MAX),
            write_bps: Some(u64::MAX),
            read_iops: Some(u64::MAX),
            write_iops: Some(u64::MAX),
        };
        let text = device_text(&device);
        assert!(text.starts_with("4294967295:4294967295 rbps=18446744073709551615 wbps="));
        assert!(text.ends_with(" wiops=18446744073709551615"));
    }

    #[test]
    fn a_missing_controller_is_named_with_its_reason() {
        let mut controllers = Controllers::all(Availability::Ready);
        controllers.pids = Availability::HeldByV1;
        let resources = Resources { pids_max: Some(Limit::At(5)), ..Resources::default() };
        let conflict = resolve(&resources, &controllers, &mut |_| Ok(())).unwrap_err();
        assert!(conflict.what.starts_with("limit processes"));
        assert_eq!(conflict.subject.unwrap().as_bytes(), b"pids");
        assert!(conflict.why.contains("v1"));
    }
}
