//! `kill`, `pause` and `resume`.

use super::super::message::Failure;
use super::super::{ExitCode, Outcome, signal};
use super::{Global, Sorted, lock};
use crate::oci::state::{Container, Record, Status};
use pipkin::cgroup::deadline::Deadline;
use pipkin::cgroup::group::Group;
use rustix::io::Errno;

/// How long the kernel may take to stop or continue everything.
const PATIENCE_MS: u32 = 10_000;

/// The container's cgroup, if it has one.
fn group(container: &Container, record: &Record) -> Result<Option<Group>, Failure> {
    Ok(pipkin::host::open_group(&container.id, record.cgroup())?)
}

/// `kill [--all] ID [SIGNAL]`.
pub(super) fn kill(global: &Global, typed: &Sorted<'_>) -> Outcome {
    let word = typed.operands.get(1).map_or("TERM".into(), |word| word.to_string_lossy());
    // 0 asks whether there is somebody to be sent one (kill(2)).
    let Some(number) = signal::number(&word).or((word == "0").then_some(0)) else {
        return Err(Failure::new("send the signal", word.as_bytes(), b"give a name or a number, 1 to 64"));
    };
    let (container, record) = lock(global, typed)?;
    let cannot = |why: &[u8]| Failure::new("kill the container", container.id.as_str().as_bytes(), why);
    if typed.has("--all")
        && let Some(group) = group(&container, &record)?
    {
        return kill_all(&group, number);
    }
    let alive = !matches!(container.status(&record), Status::Stopped);
    let Some(process) = record.process().filter(|_| alive) else {
        // Engines ask for what is left after the end, and are content when that is nothing.
        return if typed.has("--all") {
            Ok(ExitCode::SUCCESS)
        } else {
            Err(cannot(b"container not running"))
        };
    };
    match pipkin::sys::signal::send(&process, number.into()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Errno::SRCH) => Err(cannot(b"container not running")),
        Err(errno) => Err(Failure::errno("kill the container", container.id.as_str().as_bytes(), errno)),
    }
}

fn kill_all(group: &Group, number: u8) -> Outcome {
    const KILL: u8 = 9;
    if number == KILL {
        group.kill(Deadline::after_ms(PATIENCE_MS))?;
        return Ok(ExitCode::SUCCESS);
    }
    group.visit(&mut |group| {
        group.processes(
            &mut |pid| match pipkin::sys::signal::kill(pid.as_raw_nonzero().get(), number.into()) {
                Ok(()) | Err(Errno::SRCH) => Ok(()),
                Err(errno) => Err(pipkin::error::Error::new("kill a process of the container", errno)),
            },
        )?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `pause ID`.
pub(super) fn pause(global: &Global, typed: &Sorted<'_>) -> Outcome {
    freeze(global, typed, true)
}

/// `resume ID`.
pub(super) fn resume(global: &Global, typed: &Sorted<'_>) -> Outcome {
    freeze(global, typed, false)
}

fn freeze(global: &Global, typed: &Sorted<'_>, on: bool) -> Outcome {
    let what = if on { "pause the container" } else { "resume the container" };
    let (container, record) = lock(global, typed)?;
    let cannot = |why: &[u8]| Failure::new(what, container.id.as_str().as_bytes(), why);
    if !matches!(container.status(&record), Status::Running | Status::Created) {
        return Err(cannot(b"container not running"));
    }
    let group = group(&container, &record)?.ok_or_else(|| cannot(b"it has no cgroup"))?;
    if !on && !group.occupancy()?.frozen {
        return Err(cannot(b"container not paused"));
    }
    let deadline = Deadline::after_ms(PATIENCE_MS);
    if on {
        group.freeze(deadline)?
    } else {
        group.thaw(deadline)?
    }
    Ok(ExitCode::SUCCESS)
}
