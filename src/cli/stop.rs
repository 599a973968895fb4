//! `pipkin stop`, `kill` and `wait`: the end of a container, seen from outside.
//!
//! They work without the supervisor too: signals go to the container's first process by pidfd, and the supervisor, where
//! there is one, is only told not to start it again.

use super::argv::Sorted;
use super::detach::STOP_TIMEOUT_MS;
use super::detach::control::{Request, ask};
use super::launch::{end, errno_of};
use super::message::Failure;
use super::operand::{Found, each};
use super::pause::freeze;
use super::{Outcome, report, signal};
use crate::store::{Status, process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// How long the supervisor may take to clear up.
const PATIENCE_MS: u64 = 20_000;
/// How often one that is just beginning is told.
const PAUSE_MS: u64 = 5;
const SIGKILL: i32 = 9;

/// `stop [-t SECONDS] [-f]`.
pub(super) fn stop(sorted: &Sorted<'_>) -> Outcome {
    let given_ms = grace_ms(sorted, "stop")?;
    let given_ms = if sorted.has("--force") { Some(0) } else { given_ms };
    each(sorted, "stop", "stop the container", &mut |found| {
        bring_to_end(&found, given_ms)?;
        told(&found)
    })
}

/// How long containers may take to end, when that was typed.
///
/// # Errors
/// It is no number of seconds.
pub(super) fn grace_ms(sorted: &Sorted<'_>, verb: &str) -> Result<Option<u64>, Failure> {
    let seconds = sorted.last("--time").map(|text| {
        let seconds = match text {
            "-1" => Some(u64::MAX),
            _ => text.parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1000)),
        };
        seconds.ok_or_else(|| {
            Failure::usage(verb, &["--time ", text, ": give seconds, or -1 to wait for ever"].concat())
        })
    });
    seconds.transpose()
}

/// Prints the container as done with.
fn told(found: &Found<'_>) -> Result<(), Failure> {
    report::write(found.id.as_str().as_bytes()).map(drop)
}

/// Makes a container end, by its stop signal and by KILL after `given_ms`, or as long as it is to have, and not start
/// again. One that has ended is left as it is.
///
/// # Errors
/// It does not die, or may not be signalled.
pub(super) fn bring_to_end(found: &Found<'_>, given_ms: Option<u64>) -> Result<(), Failure> {
    let record = &found.record;
    let grace_ms = given_ms.or(record.stop_timeout_ms).unwrap_or(STOP_TIMEOUT_MS);
    if record.status == Status::Exited {
        return Ok(());
    }
    if record.detached {
        tell_supervisor(found);
    }
    // As it was when it was told to the supervisor: until then it may have been started.
    let now = found.store.read(&found.id).map_err(|error| found.errno(errno_of(&error)))?;
    let now = now.as_ref().unwrap_or(record);
    if let Some(pidfd) = process::open(now.pid, now.pid_start) {
        if grace_ms > 0 {
            send(found, &pidfd, record.stop_signal())?;
            if now.status == Status::Paused || record.status == Status::Paused {
                // Standing still it would not even see the signal. Best effort: it may be gone by now, or is killed.
                freeze(found, false).unwrap_or(());
            }
        }
        if grace_ms == 0 || !ended_within(&pidfd, grace_ms).map_err(|errno| found.errno(errno))? {
            send(found, &pidfd, SIGKILL)?;
        }
    }
    settle(found)
}

/// Tells the supervisor that it is not to be started again. Without one there is nobody who would do it; one that is just
/// beginning does not hear yet, and is told again.
fn tell_supervisor(found: &Found<'_>) {
    let record = &found.record;
    let Some(supervisor) = process::open(record.supervisor, record.supervisor_start) else { return };
    for _ in 0..PATIENCE_MS / PAUSE_MS {
        let told = ask(found.store, &found.id, Request::Stop);
        let deaf = matches!(told, Err(Errno::NOENT | Errno::CONNREFUSED)) && !record.status.is_alive();
        if !deaf || ended_within(&supervisor, PAUSE_MS).unwrap_or(true) {
            return;
        }
    }
}

/// Waits until nothing of it runs, and its supervisor has cleared up or, without one, clears up.
fn settle(found: &Found<'_>) -> Result<(), Failure> {
    let record = &found.record;
    for (pid, start) in [(record.pid, record.pid_start), (record.supervisor, record.supervisor_start)] {
        if let Some(pidfd) = process::open(pid, start)
            && !ended_within(&pidfd, PATIENCE_MS).map_err(|errno| found.errno(errno))?
        {
            return Err(found.errno(Errno::TIMEDOUT));
        }
    }
    found.store.reclaim_one(&found.id, end).map_err(|error| found.errno(errno_of(&error)))
}

fn send(found: &Found<'_>, pidfd: &OwnedFd, signal: i32) -> Result<(), Failure> {
    match pipkin::sys::signal::send(pidfd, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(found.errno(errno)),
    }
}

/// Waits for the end of a process; false when it did not come in time.
fn ended_within(pidfd: &OwnedFd, ms: u64) -> rustix::io::Result<bool> {
    let timeout =
        Timespec { tv_sec: (ms / 1000).cast_signed(), tv_nsec: (ms % 1000).cast_signed() * 1_000_000 };
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut polled, Some(&timeout)))? > 0)
}

/// `kill [-s SIGNAL]`.
pub(super) fn kill(sorted: &Sorted<'_>) -> Outcome {
    let text = sorted.last("--signal").unwrap_or("KILL");
    let number = signal::number(text).map(i32::from);
    let number = number.ok_or_else(|| {
        Failure::usage("kill", &["--signal ", text, ": give a signal, as TERM or 15"].concat())
    })?;
    each(sorted, "kill", "kill the container", &mut |found| {
        let record = &found.record;
        let running = record.status.is_alive().then(|| process::open(record.pid, record.pid_start)).flatten();
        let pidfd = running.ok_or_else(|| found.fail("it does not run"))?;
        if record.detached && (number == SIGKILL || number == record.stop_signal()) {
            ask(found.store, &found.id, Request::Stop).map(drop).unwrap_or(());
        }
        send(&found, &pidfd, number)?;
        told(&found)
    })
}

/// `wait`: prints how each ended.
pub(super) fn wait(sorted: &Sorted<'_>) -> Outcome {
    each(sorted, "wait", "wait for the container", &mut |found| {
        let exit = match found.record.status {
            Status::Exited => found.record.exit.map(i32::from),
            _ => wait_for(&found)?,
        };
        let exit = exit.ok_or_else(|| found.fail("nobody saw how it ended"))?;
        report::write(exit.to_string().as_bytes()).map(drop)
    })
}

fn wait_for(found: &Found<'_>) -> Result<Option<i32>, Failure> {
    if found.record.detached
        && let Ok(status) = ask(found.store, &found.id, Request::Wait)
    {
        return Ok(Some(status));
    }
    for (pid, start) in
        [(found.record.supervisor, found.record.supervisor_start), (found.record.pid, found.record.pid_start)]
    {
        if let Some(pidfd) = process::open(pid, start) {
            rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None))
                .map_err(|errno| found.errno(errno))?;
        }
    }
    let record = found.store.read(&found.id).map_err(|error| found.errno(errno_of(&error)))?;
    Ok(record.and_then(|record| record.exit).map(i32::from))
}
