//! `pipkin update`: other limits for running containers.

use super::resource::resources;
use crate::cli::argv::Sorted;
use crate::cli::operand::each;
use crate::cli::{Outcome, report};
use pipkin::host::{probe, update_group};
use pipkin::plan::{Plan, update};

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
    let resources = resources(typed)?;
    let mut plan = Plan::default();
    update(&resources, &probe()?, &mut plan)?;
    each(typed, "update", "change the limits of", &mut |found| {
        found.group()?;
        update_group(&found.id, None, &plan)?;
        report::write(found.id.as_str().as_bytes()).map(drop)
    })
}
