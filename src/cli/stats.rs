//! `pipkin stats`: what running containers use, once or again and again.
//!
//! One look goes over the records once and over each container's cgroup once; a cgroup stays open between two looks.
//! What the kernel does not count here, such as memory without its controller, is left open: `-`, in JSON `null`.

use super::argv::Sorted;
use super::json::Json;
use super::launch::errno_of;
use super::message::Failure;
use super::operand::Found;
use super::{ExitCode, Outcome, open_store, report};
use crate::store::{Record, Store};
use pipkin::cgroup::Group;
use pipkin::host::open_group;
use pipkin::spec::Id;
use pipkin::sys::stdio::Stream;
use std::time::{Duration, Instant};

/// Its help, and the table of its options.
pub(super) const HELP: &str = "\
Usage: pipkin stats [OPTIONS] [CONTAINER ...]

Shows what running containers use, and refreshes it until it is interrupted: CPU
time (100 is one CPU), memory and its limit, page cache apart, processes, network
and disk bytes, pressure (the share of the last ten seconds in which something
waited for CPU, memory, disk) and how often the kernel killed for want of memory.

Options:
  -a, --all            also those that do not run
      --no-stream      show it once
      --interval MS    refresh so often [1000]
      --format FORMAT  table, or json: an array per refresh, each on a line
      --help           show this help";

/// How long the first look at CPU time takes.
const FIRST: Duration = Duration::from_millis(100);
/// The shortest interval: below it, looking costs more than what is looked at.
const SHORTEST_MS: u64 = 10;

/// The verb.
pub(super) fn run(typed: &Sorted<'_>) -> Outcome {
    let usage = |line: &str| Failure::usage("stats", line);
    let interval = match typed.last("--interval").map(str::parse::<u64>) {
        None => Duration::from_secs(1),
        Some(Ok(ms)) if ms >= SHORTEST_MS => Duration::from_millis(ms),
        Some(_) => return Err(usage("--interval is in milliseconds, 10 or more")),
    };
    let json = match typed.last("--format") {
        None | Some("table") => false,
        Some("json") => true,
        Some(_) => return Err(usage("--format is table or json")),
    };
    let store = open_store()?;
    let mut looker = Looker { store: &store, typed, known: Vec::new() };
    looker.look()?;
    std::thread::sleep(FIRST);
    loop {
        looker.look()?;
        let text = if json { [looker.json(), b"\n".to_vec()].concat() } else { looker.table() };
        let refresh = !typed.has("--no-stream") && !json && rustix::termios::isatty(Stream::Output.fd());
        let clear: &[u8] = if refresh { b"\x1b[H\x1b[J" } else { b"" };
        if !report::write_on(&[clear, &text].concat())? {
            return Ok(ExitCode::SUCCESS);
        }
        if typed.has("--no-stream") {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(interval);
    }
}

/// Everything that is looked at.
struct Looker<'a> {
    store: &'a Store,
    typed: &'a Sorted<'a>,
    known: Vec<Known>,
}

/// One container.
struct Known {
    id: Id,
    record: Record,
    group: Option<Group>,
    /// The looks before and now.
    looks: [Look; 2],
}

/// What it has used up to one moment.
#[derive(Clone, Default)]
struct Look {
    at: Option<Instant>,
    cpu_us: Option<u64>,
    /// By the names they have in JSON.
    numbers: [Option<u64>; NUMBERS.len()],
}

/// What is counted, by its name in JSON.
const NUMBERS: [&str; 14] = [
    "memory_bytes",
    "memory_limit_bytes",
    "cache_bytes",
    "swap_bytes",
    "pids",
    "pids_limit",
    "network_received_bytes",
    "network_sent_bytes",
    "block_read_bytes",
    "block_written_bytes",
    "cpu_pressure_percent",
    "memory_pressure_percent",
    "io_pressure_percent",
    "oom_kills",
];
/// Those of [`NUMBERS`] that are in hundredths.
const PRESSURES: std::ops::Range<usize> = 10..13;

impl Looker<'_> {
    /// Looks at every container that is asked for.
    fn look(&mut self) -> Result<(), Failure> {
        let mut found = Vec::new();
        if self.typed.operands.is_empty() {
            let fail = |error: &std::io::Error| Failure::errno("list the containers", b"", errno_of(error));
            for id in self.store.ids().map_err(|error| fail(&error))? {
                found.extend(self.store.read(&id).map_err(|error| fail(&error))?.map(|record| (id, record)));
            }
            found.retain(|(_, record)| self.typed.has("--all") || record.status.is_alive());
        }
        for name in &self.typed.operands {
            let one = Found::find(self.store, "look at", name)?;
            found.push((one.id, one.record));
        }
        found.sort_by_key(|(_, record)| std::cmp::Reverse(record.created_ns));
        let mut former = std::mem::take(&mut self.known);
        for (id, record) in found {
            let place =
                former.iter().position(|known| known.id == id && known.record.pid_start == record.pid_start);
            let mut known = match place {
                Some(place) => former.swap_remove(place),
                None => Known {
                    id,
                    group: if record.status.is_alive() { open_group(&id, None)? } else { None },
                    record: record.clone(),
                    looks: Default::default(),
                },
            };
            known.record = record;
            known.looks.swap(0, 1);
            known.looks[1] = if known.record.status.is_alive() { known.look() } else { Look::default() };
            self.known.push(known);
        }
        Ok(())
    }

    fn table(&self) -> Vec<u8> {
        let titles = [
            "ID",
            "NAME",
            "CPU %",
            "MEMORY",
            "LIMIT",
            "MEM %",
            "CACHE",
            "PIDS",
            "NET I/O",
            "BLOCK I/O",
            "PRESSURE",
            "OOM",
        ];
        let mut rows = vec![titles.map(str::to_owned).to_vec()];
        rows.extend(self.known.iter().map(Known::row));
        aligned(&rows)
    }

    fn json(&self) -> Vec<u8> {
        let mut json = Json::default();
        json.open(b'[');
        for known in &self.known {
            json.open(b'{').key(b"id").string(known.id.as_str().as_bytes());
            json.key(b"name").string(known.record.name.as_bytes());
            json.key(b"status").string(known.record.status.as_str().as_bytes());
            let or_null = |number: Option<String>| number.unwrap_or_else(|| "null".to_owned());
            json.key(b"cpu_percent").literal(&or_null(known.cpu().map(hundredths)));
            for (place, (name, number)) in NUMBERS.iter().zip(known.looks[1].numbers).enumerate() {
                let shown =
                    number.map(|n| if PRESSURES.contains(&place) { hundredths(n) } else { n.to_string() });
                json.key(name.as_bytes()).literal(&or_null(shown));
            }
            json.close(b'}');
        }
        json.close(b']');
        json.into_text()
    }
}

impl Known {
    /// Looks at the cgroup and the network. Whatever is not to be had is left open.
    fn look(&self) -> Look {
        let mut look = Look { at: Some(Instant::now()), ..Look::default() };
        let Some(group) = &self.group else { return look };
        let keyed = |file: &str, wanted: &[u8]| {
            let mut found = None;
            let read = group.read_keyed(file, &mut |key, value| {
                if key == wanted {
                    found = Some(value);
                }
            });
            found.filter(|_| read.is_ok())
        };
        let (mut read, mut written, mut any) = (0_u64, 0_u64, false);
        let block = group.read_nested("io.stat", &mut |nested| {
            any = true;
            match nested.key {
                b"rbytes" => read = read.saturating_add(nested.value),
                b"wbytes" => written = written.saturating_add(nested.value),
                _ => {}
            }
        });
        let block = |bytes: u64| block.is_ok().then_some(bytes);
        let pressure = |file: &str| group.read_pressure(file).ok().map(|pressure| pressure.some.avg10.into());
        let (received, sent) = traffic(self.record.pid).unzip();
        look.cpu_us = keyed("cpu.stat", b"usage_usec");
        look.numbers = [
            group.read_number("memory.current").ok(),
            group.read_limit("memory.max").ok().flatten(),
            keyed("memory.stat", b"file"),
            group.read_number("memory.swap.current").ok(),
            group.read_number("pids.current").ok().or_else(|| processes(group)),
            group.read_limit("pids.max").ok().flatten(),
            received,
            sent,
            block(read),
            block(written),
            pressure("cpu.pressure"),
            pressure("memory.pressure"),
            pressure("io.pressure"),
            keyed("memory.events", b"oom_kill"),
        ];
        look
    }

    /// Share of one CPU between the two looks, in hundredths of a percent.
    fn cpu(&self) -> Option<u64> {
        let [before, now] = &self.looks;
        let used_us = now.cpu_us?.checked_sub(before.cpu_us?)?;
        let passed_us = now.at?.duration_since(before.at?).as_micros();
        u64::try_from(u128::from(used_us) * 10_000 / passed_us.max(1)).ok()
    }

    fn row(&self) -> Vec<String> {
        let [memory, limit, cache, _, pids, _, received, sent, read, written, cpu, mem, io, oom] =
            self.looks[1].numbers;
        let open = || "-".to_owned();
        let bytes = |bytes: Option<u64>| bytes.map_or_else(open, size);
        let percent = |share: Option<u64>| share.map_or_else(open, hundredths);
        let number = |number: Option<u64>| number.map_or_else(open, |number| number.to_string());
        let pair = |one, other, show: &dyn Fn(Option<u64>) -> String| [show(one), show(other)].join(" / ");
        let share = memory.zip(limit).map(|(used, most)| used.saturating_mul(10_000) / most.max(1));
        vec![
            self.id.as_str().to_owned(),
            if self.record.name.is_empty() { open() } else { self.record.name.clone() },
            percent(self.cpu()),
            bytes(memory),
            bytes(limit),
            percent(share),
            bytes(cache),
            number(pids),
            pair(received, sent, &bytes),
            pair(read, written, &bytes),
            [percent(cpu), percent(mem), percent(io)].join(" "),
            number(oom),
        ]
    }
}

/// How many processes are in a group and below it, where nobody counts them for us.
fn processes(group: &Group) -> Option<u64> {
    let mut count = 0;
    let visited = group.visit(&mut |group| {
        group.processes(&mut |_| {
            count += 1;
            Ok(())
        })?;
        Ok(())
    });
    visited.is_ok().then_some(count)
}

/// Bytes received and sent by the interfaces of a process's network namespace other than `lo` (proc_pid_net(5));
/// `None` when that namespace is ours too.
fn traffic(pid: i32) -> Option<(u64, u64)> {
    let process = ["/proc/", &pid.to_string()].concat();
    let namespace = |process: &str| std::fs::read_link([process, "/ns/net"].concat()).ok();
    if namespace(&process)? == namespace("/proc/self")? {
        return None;
    }
    let text = std::fs::read_to_string([&process, "/net/dev"].concat()).ok()?;
    let (mut received, mut sent) = (0, 0);
    for line in text.lines() {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        if name.trim() != "lo" {
            let mut numbers = numbers.split_ascii_whitespace().map(|number| number.parse().unwrap_or(0));
            received += numbers.next().unwrap_or(0_u64);
            sent += numbers.nth(7).unwrap_or(0_u64);
        }
    }
    Some((received, sent))
}

/// `1234` as `12.34`.
pub(super) fn hundredths(number: u64) -> String {
    let (tens, ones) = (number / 10 % 10, number % 10);
    [&(number / 100).to_string(), ".", &tens.to_string(), &ones.to_string()].concat()
}

/// Bytes in the largest unit that they fill, with one digit behind the point.
fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        None => [&bytes.to_string(), "B"].concat(),
        Some((shift, unit)) => {
            let tenths = (bytes >> (shift - 10)) * 10 / 1024;
            [&(tenths / 10).to_string(), ".", &(tenths % 10).to_string(), unit].concat()
        }
    }
}

/// Rows with every column as wide as its widest cell.
pub(super) fn aligned(rows: &[Vec<String>]) -> Vec<u8> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = Vec::new();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            out.extend_from_slice(cell.as_bytes());
            out.resize(out.len() + width - cell.chars().count() + 2, b' ');
        }
        out.truncate(out.trim_ascii_end().len());
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares_are_short() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (1536, "1.5KiB"),
            ((1 << 20) - 1, "1023.9KiB"),
            (5 << 30, "5.0GiB"),
            (u64::MAX, "16777215.9TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(
            (hundredths(0), hundredths(5), hundredths(1234)),
            ("0.00".into(), "0.05".into(), "12.34".into())
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest() {
        let rows = [vec!["A".to_owned(), "B".to_owned()], vec!["äöü".to_owned(), String::new()]];
        assert_eq!(String::from_utf8(aligned(&rows)).unwrap(), "A    B\näöü\n");
    }
}
