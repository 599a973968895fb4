//! `pipkin update`: other limits for running containers.

use super::resource::resources;
use crate::cli::argv::Sorted;
use crate::cli::message::Failure;
use crate::cli::{ExitCode, Outcome, open_store, running};
use pipkin::host::{probe, update_group};
use pipkin::plan::{Plan, update};
use rustix::io::Errno;

/// Its help, and the table of its options: those of `run`.
pub(in super::super) const HELP: &str = "\
Usage: pipkin update [OPTIONS] CONTAINER ...

Changes limits of running containers; those that are not given stay as they are.
When one cannot be set, none is changed.

Options; SIZE is in bytes or ends in k, m or g:
  -m, --memory SIZE                most memory
      --swap, --memory-swap SIZE   most memory and swap together; -1: any swap
      --memory-reservation SIZE    memory that is spared when others need some
      --oom-group                  out of memory kills the container as a whole
      --cpu, --cpus NUMBER         most CPU time, in CPUs: 0.5
      --cpu-weight NUMBER          share of contended CPU time, 1 to 10000
      --cpuset-cpus LIST           CPUs to run on: 0-3,8
      --cpuset-mems LIST           memory nodes to use
      --pids, --pids-limit NUMBER  most processes and threads; -1: any number
      --io-weight NUMBER           share of contended disk time, 1 to 10000
      --device-read-bps DEV:SIZE   most bytes read from a disk per second
      --device-write-bps DEV:SIZE  most bytes written
      --device-read-iops DEV:N     most reads per second
      --device-write-iops DEV:N    most writes
      --help                       show this help";

/// The verb.
pub(in super::super) fn run(typed: &Sorted<'_>) -> Outcome {
    change(typed).map_err(|failure| failure.of("update"))
}

fn change(typed: &Sorted<'_>) -> Outcome {
    const WHAT: &str = "change the limits of";
    if typed.operands.is_empty() {
        return Err(Failure::usage("update", "the name or id of a container is needed"));
    }
    let resources = resources(typed)?;
    let mut plan = Plan::default();
    update(&resources, &probe()?, &mut plan)?;
    let store = open_store()?;
    for name in &typed.operands {
        let (id, record) = running::find(&store, WHAT, name)?;
        if !record.status.is_alive() {
            return Err(running::not_running(WHAT, name));
        }
        update_group(&id, None, &plan).map_err(|error| match error.errno {
            Errno::NOENT => Failure::new(WHAT, name.as_encoded_bytes(), b"it has no cgroup of its own"),
            _ => Failure::from(error),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}
