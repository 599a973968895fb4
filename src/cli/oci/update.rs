//! `update`: other limits for a container, from options or as `resources` of the specification has them.

use super::super::json::Json;
use super::super::message::Failure;
use super::super::run::size;
use super::super::{ExitCode, Outcome, input};
use super::{Global, Sorted, lock, scope};
use crate::oci::config;
use crate::oci::json::Value;
use crate::oci::state::Status;
use pipkin::cgroup::group::Group;
use pipkin::plan::{Plan, update as plan_update};
use pipkin::spec::{Limit, Resources};

/// Options, and the property that each stands for.
const OPTIONS: [(&str, &str, &str); 15] = [
    ("--memory", "memory", "limit"),
    ("--memory-reservation", "memory", "reservation"),
    ("--memory-swap", "memory", "swap"),
    ("--kernel-memory", "memory", "kernel"),
    ("--cpu-period", "cpu", "period"),
    ("--cpu-quota", "cpu", "quota"),
    ("--cpu-burst", "cpu", "burst"),
    ("--cpu-share", "cpu", "shares"),
    ("--cpu-idle", "cpu", "idle"),
    ("--cpu-rt-period", "cpu", "realtimePeriod"),
    ("--cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("--cpuset-cpus", "cpu", "cpus"),
    ("--cpuset-mems", "cpu", "mems"),
    ("--blkio-weight", "blockIO", "weight"),
    ("--pids-limit", "pids", "limit"),
];

const WHAT: &str = "change the limits of";

/// `update [--resources FILE] ID`.
pub(super) fn update(global: &Global, typed: &Sorted<'_>) -> Outcome {
    let (container, record) = lock(global, typed)?;
    let name = container.id.as_str().as_bytes();
    let cannot = |why: &[u8]| Failure::new(WHAT, name, why);
    if !matches!(container.status(&record), Status::Running | Status::Created) {
        return Err(cannot(b"container not running"));
    }
    let text = match typed.last("--resources") {
        Some(path) => read(path)?,
        None => of_options(typed)?,
    };
    let faulty = |why: &str| Failure::new("use the resources", b"", why.as_bytes());
    let value = config::read_resources(&text).map_err(|why| faulty(&why))?;
    let mut resources =
        config::resources(Some(&value)).map_err(|fault| faulty(&config::sentence(&fault, &value, &text)))?;
    if resources == Resources::default() {
        return Ok(ExitCode::SUCCESS);
    }
    let path = record.cgroup();
    let group = pipkin::host::open_group(&container.id, path)?.ok_or_else(|| cannot(b"it has no cgroup"))?;
    keep_other_half(&value, &group, &mut resources);
    if let (true, Some(Limit::At(limit))) = (value.is_true("memory.checkBeforeUpdate"), resources.memory_max)
    {
        let used = group.read_number("memory.current")?;
        if used > limit {
            let why = ["it uses ", &used.to_string(), " bytes of memory, more than the new limit"].concat();
            return Err(cannot(why.as_bytes()));
        }
    }
    let mut plan = Box::<Plan>::default();
    plan_update(&resources, &pipkin::host::probe()?, &mut plan)?;
    pipkin::host::update_group(&container.id, path, &plan)?;
    scope::update(&record, &plan)?;
    Ok(ExitCode::SUCCESS)
}

/// The file, or standard input for `-`.
fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let read = if path == "-" { input::all(std::io::stdin().lock()) } else { input::file(path) };
    read.map_err(|error| Failure::io("read the resources from", path.as_bytes(), &error))
}

/// The same document, from options.
fn of_options(typed: &Sorted<'_>) -> Result<Vec<u8>, Failure> {
    let mut json = Json::default();
    json.open(b'{');
    let mut section = "";
    for (option, object, property) in OPTIONS {
        let Some(given) = typed.last(option) else { continue };
        if section != object {
            if !section.is_empty() {
                json.close(b'}');
            }
            section = object;
            json.key(object.as_bytes()).open(b'{');
        }
        json.key(property.as_bytes());
        let sized = given.parse::<i64>().map_or_else(|_| size(given).ok(), |_| None);
        match sized {
            _ if matches!(property, "cpus" | "mems") => json.string(given.as_bytes()),
            Some(bytes) if object == "memory" => json.literal(&bytes.to_string()),
            _ if given.parse::<i64>().is_err() => {
                let why = [option, " ", given, ": give a number"].concat();
                return Err(Failure::usage("update", &why));
            }
            _ => json.literal(given),
        };
    }
    if !section.is_empty() {
        json.close(b'}');
    }
    json.close(b'}');
    Ok(json.into_text())
}

/// Quota and period of CPU time stand in one file: who gives one of them means the other to stay.
fn keep_other_half(value: &Value<'_>, group: &Group, resources: &mut Resources<'_>) {
    let mut buffer = [0; 64];
    let Some(cpu) = &mut resources.cpu_max else { return };
    let Ok(Ok(text)) = group.read("cpu.max", &mut buffer).map(str::from_utf8) else { return };
    let Some((quota, period)) = text.split_once(' ') else { return };
    if value.signed_at("cpu.quota").unwrap_or(0) == 0 {
        cpu.quota = quota.parse().map_or(Limit::Max, Limit::At);
    }
    if value.number_at("cpu.period").unwrap_or(0) == 0 {
        cpu.period_us = period.parse().unwrap_or(cpu.period_us);
    }
}
