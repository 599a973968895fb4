//! `events`: what a container uses, and when the kernel killed for want of memory, in the shape that runc gives it.

use super::super::json::Json;
use super::super::message::Failure;
use super::super::{ExitCode, Outcome, report};
use super::{Global, Sorted, cannot_open, id};
use crate::oci::state::Status;
use pipkin::cgroup::group::Group;
use pipkin::cgroup::read::Stall;
use pipkin::cgroup::watch::{MemoryEvents, Watch};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;

/// `events [--stats] [--interval TIME] ID`.
pub(super) fn events(global: &Global, typed: &Sorted<'_>) -> Outcome {
    let id = id(typed)?;
    let interval = interval(typed.last("--interval").unwrap_or("5s"))?;
    let container = global.root.look(id).map_err(|error| cannot_open(&id, &error))?;
    let record = container.record();
    let name = id.as_str().as_bytes();
    let cannot = |why: &[u8]| Failure::new("tell the events of", name, why);
    let running = matches!(container.status(&record), Status::Running | Status::Created);
    let process = record.process().filter(|_| running).ok_or_else(|| cannot(b"container not running"))?;
    let group = pipkin::host::open_group(&id, record.cgroup())?;
    let group = group.ok_or_else(|| cannot(b"it has no cgroup"))?;
    if typed.has("--stats") {
        return report::write(&line(&group, name));
    }
    let memory = Watch::<MemoryEvents>::open(&group).ok();
    let kills = || memory.as_ref().and_then(|memory| memory.read().ok()).map_or(0, |now| now.oom_kill);
    let mut known = kills();
    loop {
        let mut both = [
            PollFd::new(&process, PollFlags::IN),
            PollFd::from_borrowed_fd(memory.as_ref().map_or(process.as_fd(), AsFd::as_fd), PollFlags::PRI),
        ];
        match poll(&mut both, Some(&interval)) {
            Ok(0) => drop(report::write(&line(&group, name))?),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::errno("wait for events of", name, errno)),
        }
        let now = kills();
        if now > known {
            let mut json = Json::default();
            json.open(b'{').key(b"type").string(b"oom").key(b"id").string(name).close(b'}');
            report::write(&json.into_text())?;
            known = now;
        }
        if !both[0].revents().is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// A time as Go programs write it: `5s`, `500ms`, `1m`.
fn interval(text: &str) -> Result<Timespec, Failure> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let factor = factor.iter().find(|(known, _)| *known == unit).map(|(_, ms)| *ms);
    let ms = factor.zip(digits.parse::<u32>().ok()).map(|(factor, number)| factor * u64::from(number));
    let ms = ms.filter(|ms| *ms > 0).ok_or_else(|| {
        Failure::usage("events", &["--interval ", text, ": give a time such as 5s or 500ms"].concat())
    })?;
    Ok(Timespec { tv_sec: (ms / 1000) as i64, tv_nsec: (ms % 1000 * 1_000_000) as i64 })
}

fn number(json: &mut Json, name: &str, number: u64) {
    json.key(name.as_bytes()).literal(&number.to_string());
}

/// What no file says is 0; what has no limit has the largest.
fn most(group: &Group, file: &str) -> u64 {
    group.read_limit(file).ok().flatten().unwrap_or(u64::MAX)
}

fn count(group: &Group, file: &str) -> u64 {
    group.read_number(file).unwrap_or_default()
}

/// One event of all that is counted. A file that is not there leaves out what it would say.
fn line(group: &Group, id: &[u8]) -> Vec<u8> {
    let mut json = Json::default();
    json.open(b'{').key(b"type").string(b"stats").key(b"id").string(id).key(b"data").open(b'{');
    cpu(group, &mut json);
    memory(group, &mut json);
    json.key(b"pids").open(b'{');
    number(&mut json, "current", count(group, "pids.current"));
    number(&mut json, "limit", group.read_limit("pids.max").ok().flatten().unwrap_or_default());
    json.close(b'}').key(b"blkio").open(b'{');
    block(group, "ioServiceBytesRecursive", [b"rbytes", b"wbytes", b"dbytes"], &mut json);
    block(group, "ioServicedRecursive", [b"rios", b"wios", b"dios"], &mut json);
    pressure(group, "io.pressure", &mut json);
    json.close(b'}').key(b"hugetlb").open(b'{');
    huge_pages(group, &mut json);
    json.close(b'}').close(b'}').close(b'}');
    json.into_text()
}

fn cpu(group: &Group, json: &mut Json) {
    const KEYS: [&[u8]; 6] =
        [b"usage_usec", b"system_usec", b"user_usec", b"nr_periods", b"nr_throttled", b"throttled_usec"];
    let mut found = [0_u64; KEYS.len()];
    let mut take = |key: &[u8], value| {
        if let Some(place) = KEYS.iter().position(|known| *known == key) {
            found[place] = value;
        }
    };
    // Without the file there is nothing to tell, and 0 is what runc tells.
    group.read_keyed("cpu.stat", &mut take).unwrap_or(());
    let [total, kernel, user, periods, throttled, throttled_us] = found;
    json.key(b"cpu").open(b'{').key(b"usage").open(b'{');
    for (name, us) in [("total", total), ("kernel", kernel), ("user", user)] {
        number(json, name, us.saturating_mul(1000));
    }
    json.close(b'}').key(b"throttling").open(b'{');
    number(json, "periods", periods);
    number(json, "throttledPeriods", throttled);
    number(json, "throttledTime", throttled_us.saturating_mul(1000));
    json.close(b'}');
    pressure(group, "cpu.pressure", json);
    json.close(b'}');
}

fn memory(group: &Group, json: &mut Json) {
    let (used, limit) = (count(group, "memory.current"), most(group, "memory.max"));
    let (swapped, swap) = (count(group, "memory.swap.current"), most(group, "memory.swap.max"));
    let met = Watch::<MemoryEvents>::open(group).and_then(|events| events.read()).map_or(0, |now| now.max);
    json.key(b"memory").open(b'{');
    // Swap is told together with memory, as engines know it from cgroup v1.
    for (name, used, limit) in
        [("usage", used, limit), ("swap", used.saturating_add(swapped), limit.saturating_add(swap))]
    {
        json.key(name.as_bytes()).open(b'{');
        number(json, "limit", limit);
        number(json, "usage", used);
        if name == "usage" {
            number(json, "max", count(group, "memory.peak"));
        }
        number(json, "failcnt", met);
        json.close(b'}');
    }
    let mut cache = 0;
    json.key(b"raw").open(b'{');
    let mut raw = |key: &[u8], value: u64| {
        cache = if key == b"file" { value } else { cache };
        json.key(key).literal(&value.to_string());
    };
    group.read_keyed("memory.stat", &mut raw).unwrap_or(());
    json.close(b'}');
    number(json, "cache", cache);
    pressure(group, "memory.pressure", json);
    json.close(b'}');
}

fn block(group: &Group, name: &str, keys: [&[u8]; 3], json: &mut Json) {
    json.key(name.as_bytes()).open(b'[');
    let mut entry = |nested: pipkin::cgroup::read::Nested<'_>| {
        let place = keys.iter().position(|key| *key == nested.key);
        let device = str::from_utf8(nested.entry).ok().and_then(|entry| entry.split_once(':'));
        if let (Some(place), Some((major, minor))) = (place, device) {
            json.open(b'{').key(b"major").literal(major).key(b"minor").literal(minor);
            json.key(b"op").string([&b"Read"[..], b"Write", b"Discard"][place]);
            json.key(b"value").literal(&nested.value.to_string()).close(b'}');
        }
    };
    group.read_nested("io.stat", &mut entry).unwrap_or(());
    json.close(b']');
}

fn pressure(group: &Group, file: &str, json: &mut Json) {
    let Ok(pressure) = group.read_pressure(file) else { return };
    json.key(b"psi").open(b'{');
    for (name, stall) in [("some", Some(pressure.some)), ("full", pressure.full)] {
        let Some(Stall { avg10, avg60, avg300, total_us }) = stall else { continue };
        json.key(name.as_bytes()).open(b'{');
        for (name, share) in [("avg10", avg10), ("avg60", avg60), ("avg300", avg300)] {
            json.key(name.as_bytes()).literal(&super::super::stats::hundredths(share.into()));
        }
        number(json, "total", total_us);
        json.close(b'}');
    }
    json.close(b'}');
}

/// By the sizes that this machine has.
fn huge_pages(group: &Group, json: &mut Json) {
    for entry in std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let kib = name.strip_prefix("hugepages-").and_then(|rest| rest.strip_suffix("kB"));
        let Some(kib) = kib.and_then(|kib| kib.parse::<u64>().ok()) else { continue };
        let units = [(20, "GB"), (10, "MB"), (0, "KB")];
        let Some((shift, unit)) = units.iter().find(|(shift, _)| kib >> shift > 0) else { continue };
        let size = [&(kib >> shift).to_string(), *unit].concat();
        let file = |end: &str| ["hugetlb.", &size, end].concat();
        if let Ok(used) = group.read_number(&file(".current")) {
            json.key(size.as_bytes()).open(b'{');
            number(json, "usage", used);
            let mut refused = 0;
            group.read_keyed(&file(".events"), &mut |_, count| refused = count).unwrap_or(());
            number(json, "failcnt", refused);
            json.close(b'}');
        }
    }
}
