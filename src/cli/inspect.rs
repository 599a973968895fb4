//! `pipkin inspect`: all that is known of containers, as JSON.

use super::argv::Sorted;
use super::json::{Json, pretty};
use super::list::{exit_code, labels, span, uptime_ns};
use super::operand::{Found, each};
use super::{Outcome, report};
use crate::store::{Record, time};
use pipkin::spec::{CapabilitySet, DEFAULT_CAPABILITIES};

/// One object for one container, an array of them for several.
///
/// # Errors
/// A container that does not exist; the others are told all the same.
pub(super) fn run(sorted: &Sorted<'_>) -> Outcome {
    let several = sorted.operands.len() > 1;
    let mut json = Json::default();
    if several {
        json.open(b'[');
    }
    let mut any = false;
    let outcome = each(sorted, "inspect", "inspect the container", &mut |found| {
        any = true;
        object(&mut json, &found);
        Ok(())
    });
    if several {
        json.close(b']');
    }
    let text = json.into_text();
    let text = if sorted.off.contains(&"--pretty") { text } else { pretty(&text) };
    if any || several {
        report::write_list(&text)?;
    }
    outcome
}

fn object(json: &mut Json, found: &Found<'_>) {
    let record = &found.record;
    json.open(b'{').key(b"ID").string(found.id.as_str().as_bytes());
    let alive = record.status.is_alive();
    for (key, text) in [
        ("Name", record.name.as_bytes()),
        ("Image", record.image.as_encoded_bytes()),
        ("Command", record.command.as_encoded_bytes()),
        ("Hostname", record.hostname.as_bytes()),
        ("User", record.get("exec.user").unwrap_or(b"0")),
        ("WorkingDir", record.get("exec.cwd").unwrap_or(b"/")),
        ("State", record.status.as_str().as_bytes()),
        ("Health", record.health.as_bytes()),
        ("Error", record.error.as_bytes()),
        ("Reboot", record.get("reboot").unwrap_or_default()),
        ("RestartPolicy", if record.restart.is_empty() { b"no" } else { record.restart.as_bytes() }),
        ("Uptime", span(uptime_ns(record)).as_bytes()),
    ] {
        json.key(key.as_bytes()).string(text);
    }
    for (key, ns) in [
        ("CreatedAt", record.created_ns),
        ("StartedAt", record.started_ns),
        ("FinishedAt", if alive { 0 } else { record.finished_ns }),
    ] {
        let stamp = time::stamp(ns);
        json.key(key.as_bytes()).string(if ns == 0 { b"" } else { &stamp });
    }
    json.key(b"ExitCode");
    exit_code(json, record);
    for (key, number) in [
        ("PID", if alive { record.pid.unsigned_abs().into() } else { 0 }),
        ("Supervisor", if record.supervisor_runs() { record.supervisor.unsigned_abs().into() } else { 0 }),
        ("Signal", record.signal.unsigned_abs().into()),
        ("OOMKills", record.oom_kills),
        ("RestartCount", record.restarts),
        ("StopSignal", record.stop_signal().unsigned_abs().into()),
        ("LostLogBytes", record.lost_bytes),
    ] {
        json.key(key.as_bytes()).literal(&u64::to_string(&number));
    }
    json.key(b"OOMKilled").boolean(record.oom_kills > 0);
    json.key(b"Detached").boolean(record.detached);
    json.key(b"AutoRemove").boolean(record.remove);
    json.key(b"Durable").boolean(record.get("durable").is_some());
    labels(json, record);
    json.key(b"Capabilities").open(b'[');
    for name in bounding(record).names() {
        json.string(&["CAP_", name].concat().into_bytes());
    }
    json.close(b']');
    for (key, name) in [
        ("Mounts", "mount"),
        ("Ports", "network.port"),
        ("Env", "exec.env"),
        // As they were typed, or stood in the image.
        ("Options", "run.option"),
    ] {
        json.key(key.as_bytes()).open(b'[');
        record.all(name).for_each(|value| {
            json.string(value);
        });
        json.close(b']');
    }
    resources(json, found);
    network(json, record);
    paths(json, found);
    json.close(b'}');
}

/// What its processes can have at most: the first of the sets in the record, or the usual one.
fn bounding(record: &Record) -> CapabilitySet {
    let sets = record.get("exec.capabilities").and_then(|sets| std::str::from_utf8(sets).ok());
    let first = sets.and_then(|sets| u64::from_str_radix(sets.split(' ').next()?, 16).ok());
    first.map_or(DEFAULT_CAPABILITIES, CapabilitySet)
}

/// The limits by their names here, then every cgroup file that was written: as they are, or as they were at its end.
fn resources(json: &mut Json, found: &Found<'_>) {
    let record = &found.record;
    let group = found.group().ok();
    let now = |json: &mut Json, file: &str, written: &[u8]| {
        let mut buffer = [0; 512];
        let read = group.as_ref().and_then(|group| group.read(file, &mut buffer).ok());
        json.string(read.map_or(written, <[u8]>::trim_ascii_end));
    };
    json.key(b"Resources").open(b'{');
    for (key, file) in
        [("Memory", "memory.max"), ("Swap", "memory.swap.max"), ("CPU", "cpu.max"), ("PIDs", "pids.max")]
    {
        let written = record.get(&["limit.", file].concat()).unwrap_or(b"max");
        now(json.key(key.as_bytes()), file, written);
    }
    json.key(b"CgroupPath").string(&[b"/pipkin/", found.id.as_str().as_bytes()].concat());
    json.key(b"Files").open(b'{');
    for (key, value) in record.others.iter() {
        if let Some(file) = key.strip_prefix("limit.") {
            now(json.key(file.as_bytes()), file, value);
        }
    }
    json.close(b'}').close(b'}');
}

/// What the container has on the network, some of it under the names that `docker` has made usual.
fn network(json: &mut Json, record: &Record) {
    json.key(b"Network").open(b'{');
    for (key, value) in record.others.iter() {
        let Some(name) = key.strip_prefix("network.").filter(|name| *name != "port") else { continue };
        let name = match name {
            "ip" => "IP",
            "gateway" => "Gateway",
            "bridge" => "Bridge",
            name => name,
        };
        json.key(name.as_bytes()).string(value);
    }
    json.close(b'}');
}

fn paths(json: &mut Json, found: &Found<'_>) {
    let layer = found.store.layer(&found.id);
    let log = layer.join(crate::store::log::CURRENT);
    let log = if found.record.detached { log.as_os_str().as_encoded_bytes() } else { b"" };
    json.key(b"Paths").open(b'{');
    for (key, path) in [
        ("RootFS", layer.as_os_str().as_encoded_bytes()),
        ("StateDir", found.store.state_directory().as_os_str().as_encoded_bytes()),
        ("StdoutLog", log),
        ("StderrLog", log),
    ] {
        json.key(key.as_bytes()).string(path);
    }
    json.close(b'}');
}
