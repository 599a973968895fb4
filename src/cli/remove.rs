//! `pipkin rm`: takes containers away, whatever state they are in.

use super::argv::Sorted;
use super::detach::control::{Request, ask};
use super::launch::{end, errno_of};
use super::message::Failure;
use super::operand::{all, named};
use super::{Outcome, open_store};
use crate::store::{Record, Status, Store, process};
use pipkin::spec::Id;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::time::{Duration, Instant};

/// How long a killed container may take until its supervisor has let go of it, and after that until the kernel has let
/// go of a supervisor that is killed for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often that is looked at: of whoever cannot be waited for, and of others.
const PAUSE: Duration = Duration::from_millis(5);
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Takes away the containers named by the operands; with `--force` also running ones.
///
/// # Errors
/// Those that could not be; the others are taken away all the same.
pub(super) fn run(sorted: &Sorted<'_>) -> Outcome {
    let names = named(sorted, "rm")?;
    let force = sorted.has("--force");
    let store = open_store()?;
    // What dead supervisors left is gone through first, so that it can be named, or is gone already. Best effort: on a
    // full disk nothing could be written down, and removing makes room.
    store.reclaim(end).unwrap_or(());
    if force && names.len() > 1 {
        names.iter().for_each(|name| begin(&store, name));
    }
    all(names, &mut |name| remove(&store, name, force))
}

/// Kills one of several before any is waited for: the kernel takes its time over each. One that would be started again
/// is left to its turn, and what goes wrong here goes wrong once more then.
fn begin(store: &Store, name: &OsStr) {
    let found = store.find(name.to_str().unwrap_or_default());
    if let Ok(id) = found
        && let Ok(Some(record)) = store.read(&id)
        && ["", "no"].contains(&record.restart.as_str())
    {
        kill_process(&id, &record).unwrap_or(());
    }
}

/// Takes one away.
///
/// # Errors
/// It runs and is not to be killed by `force`, or the file system refuses.
pub(super) fn remove(store: &Store, name: &OsStr, force: bool) -> Result<(), Failure> {
    let told = name.as_encoded_bytes();
    let fail = |error: &std::io::Error| Failure::errno("remove the container", told, errno_of(error));
    let text = name.to_str().unwrap_or_default();
    let id = match store.find(text) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            return Err(
                Failure::new("remove the container", told, b"several ids begin so").remedy("give more of it")
            );
        }
        Err(_) => {
            return if force {
                Ok(())
            } else {
                Err(Failure::new("remove the container", told, b"there is none"))
            };
        }
        Ok(id) => id,
    };
    let (mut deadline, mut last) = (Instant::now() + PATIENCE, false);
    loop {
        let record = store.read(&id).map_err(|error| fail(&error))?;
        if !force && record.as_ref().is_some_and(|record| record.status != Status::Exited) {
            let why: &[u8] = match record.map(|record| record.status) {
                Some(Status::Restarting) => b"it is being started again",
                _ => b"it is running",
            };
            let failure = Failure::new("remove the container", told, why);
            return Err(failure.remedy("give --force to kill it first"));
        }
        if let Some(container) = store.adopt(&id).map_err(|error| fail(&error))? {
            end(&id, &container.record).map_err(|error| fail(&error))?;
            return container.remove().map_err(|error| fail(&error));
        }
        let Some(record) = record else { return Ok(()) };
        kill(store, &id, &record)?;
        if Instant::now() > deadline {
            if std::mem::replace(&mut last, true) {
                return Err(Failure::errno("remove the container", told, Errno::TIMEDOUT));
            }
            // Stopped, or held up by whoever should read what it shows. What it leaves is ours to take away.
            end_process(&id, record.supervisor, record.supervisor_start)?;
            deadline = Instant::now() + PATIENCE;
        }
        await_supervisor(&record);
    }
}

/// Waits for the end of whoever sees to a container, for a while.
fn await_supervisor(record: &Record) {
    let Some(pidfd) = process::open(record.supervisor, record.supervisor_start) else {
        // It is only just beginning, or ending.
        return std::thread::sleep(PAUSE);
    };
    // Its end and a signal of ours alike lead to another look.
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&LOOK)).unwrap_or(0);
}

/// Kills a container that runs, for good: its first process and with that, or with its supervisor's help, the rest.
fn kill(store: &Store, id: &Id, record: &Record) -> Result<(), Failure> {
    if record.detached && record.pid != 0 {
        // Without a supervisor there is nobody who would start it again.
        ask(store, id, Request::Stop).map(drop).unwrap_or(());
    }
    kill_process(id, record)
}

/// The same where nobody starts it again.
fn kill_process(id: &Id, record: &Record) -> Result<(), Failure> {
    let (pid, start) = match record.pid {
        // Half-made: with whoever makes it goes the rest.
        0 => (record.supervisor, record.supervisor_start),
        pid => (pid, record.pid_start),
    };
    end_process(id, pid, start)
}

/// Kills one process of a container, if it is there still.
fn end_process(id: &Id, pid: i32, start: u64) -> Result<(), Failure> {
    let Some(pidfd) = process::open(pid, start) else { return Ok(()) };
    match pipkin::sys::signal::send(&pidfd, 9) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(Failure::errno("kill the container", id.as_str().as_bytes(), errno)),
    }
}
