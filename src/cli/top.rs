//! `pipkin top`: the processes of a container.

use super::argv::Sorted;
use super::message::{Failure, escape};
use super::operand::Found;
use super::stats::aligned;
use super::{Outcome, open_store, report};
use pipkin::host::open_group;
use rustix::io::Errno;
use std::path::Path;

/// Its help.
pub(super) const HELP: &str = "\
Usage: pipkin top CONTAINER

Lists the processes of a running container: ids on the host and inside, user on
the host, CPU time, command. Nothing in the container is executed.

Options:
      --help  show this help";

/// The verb.
pub(super) fn run(typed: &Sorted<'_>) -> Outcome {
    let [name] = typed.operands.as_slice() else {
        return Err(Failure::usage("top", "one CONTAINER is needed"));
    };
    let store = open_store()?;
    let found = Found::find(&store, "list the processes of", name)?;
    found.runs()?;
    let mut pids = Vec::new();
    match open_group(&found.id, None)? {
        Some(group) => group.visit(&mut |group| {
            let hidden = group.processes(&mut |pid| {
                pids.push(pid.as_raw_nonzero().get());
                Ok(())
            });
            match hidden {
                // It has ended since, and nothing is in it.
                Err(error) if matches!(error.errno, Errno::NODEV | Errno::NOENT) => Ok(()),
                listed => listed.map(drop),
            }
        })?,
        None => pids = neighbours(found.record.pid),
    }
    pids.sort_unstable();
    pids.dedup();
    let titles = ["PID", "INSIDE", "PARENT", "USER", "TIME", "COMMAND"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(pids.into_iter().filter_map(row));
    report::write_list(&aligned(&rows))
}

/// Those in the pid namespace of process `pid`, where no cgroup lists them.
fn neighbours(pid: i32) -> Vec<i32> {
    let namespace = |pid: i32| std::fs::read_link(["/proc/", &pid.to_string(), "/ns/pid"].concat()).ok();
    let theirs = namespace(pid);
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| theirs.is_some() && namespace(*pid) == theirs).collect()
}

/// What the kernel says of a process; `None` for one that has ended.
fn row(pid: i32) -> Option<Vec<String>> {
    let folder = ["/proc/", &pid.to_string(), "/"].concat();
    let read = |file: &str| std::fs::read(Path::new(&folder).join(file)).ok();
    let status = String::from_utf8_lossy(&read("status")?).into_owned();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    let stat = String::from_utf8_lossy(&read("stat")?).into_owned();
    let numbers: Vec<u64> =
        stat.rsplit_once(')')?.1.split_ascii_whitespace().map(|number| number.parse().unwrap_or(0)).collect();
    // Fields 14 and 15 of proc_pid_stat(5), counted from the third, in ticks of 10 ms.
    let seconds = (numbers.get(11)? + numbers.get(12)?) / 100;
    let two = |number: u64| [if number < 10 { "0" } else { "" }, &number.to_string()].concat();
    let mut command = read("cmdline")?.trim_ascii_end().to_vec();
    command.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
    let mut shown = Vec::new();
    match command.trim_ascii_end() {
        b"" => shown = [b"[", field("Name:")?.join(" ").as_bytes(), b"]"].concat(),
        command => escape(command, &mut shown),
    }
    Some(vec![
        pid.to_string(),
        field("NSpid:")?.pop()?,
        field("PPid:")?.pop()?,
        field("Uid:")?.first()?.clone(),
        [&(seconds / 60).to_string(), ":", &two(seconds % 60)].concat(),
        String::from_utf8_lossy(&shown).into_owned(),
    ])
}
