//! `delete`: takes a container away, in whatever state it is.

use super::super::message::Failure;
use super::super::{ExitCode, Outcome};
use super::state::View;
use super::{Global, Sorted, cannot_open, hook, id, scope, tell};
use crate::oci::config;
use crate::oci::state::{Container, Record, Status};
use pipkin::cgroup::deadline::Deadline;
use pipkin::host::{open_group, remove_group};
use pipkin::spec::Id;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, retry_on_intr};
use std::io::ErrorKind;

/// How long a killed process may take to die.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
const PATIENCE_MS: u32 = 10_000;

/// `delete [--force] ID`.
pub(super) fn delete(global: &Global, typed: &Sorted<'_>) -> Outcome {
    let (id, force) = (id(typed)?, typed.has("--force"));
    let container = match global.root.lock(id) {
        Err(error) if error.kind() == ErrorKind::NotFound && force => return Ok(ExitCode::SUCCESS),
        container => container.map_err(|error| cannot_open(&id, &error))?,
    };
    let record = container.record();
    if container.status(&record) == Status::Running && !force {
        let why = b"it is not stopped: running";
        return Err(Failure::new("delete the container", id.as_str().as_bytes(), why));
    }
    destroy(container, &record)?;
    Ok(ExitCode::SUCCESS)
}

/// Ends what is left of it, runs the poststop hooks and takes the rest away.
pub(super) fn destroy(container: Container, record: &Record) -> Result<(), Failure> {
    let id = container.id;
    let text = container.config().unwrap_or_default();
    let config = config::read(&text).ok();
    if let Some(process) = record.process() {
        match pipkin::sys::signal::send(&process, 9) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(Failure::errno("kill the container", id.as_str().as_bytes(), errno)),
        }
        // A frozen process dies only when its group is killed or thawed.
        end_group(&id, record)?;
        await_end(&process, &id)?;
    } else {
        end_group(&id, record)?;
    }
    if let Some(config) = &config {
        let view = View { id: &id, status: b"stopped", record, config: Some(config) };
        if let Err(failure) = hook::run(config, "poststop", &view, None) {
            // The container goes all the same: the engine hears of it and goes on.
            tell(&failure);
        }
    }
    container.remove().map_err(|error| Failure::io("take away the container", id.as_str().as_bytes(), &error))
}

/// Ends whatever is left in the container's cgroup and takes it away.
fn end_group(id: &Id, record: &Record) -> Result<(), Failure> {
    if record.unit.is_empty() {
        return Ok(remove_group(id, record.cgroup())?);
    }
    if let Some(path) = record.cgroup()
        && let Some(group) = open_group(id, Some(path))?
    {
        let deadline = Deadline::after_ms(PATIENCE_MS);
        group.kill(deadline)?;
        group.wait_empty(deadline)?;
    }
    scope::forget(record)
}

fn await_end(process: &OwnedFd, id: &Id) -> Result<(), Failure> {
    let mut ended = [PollFd::new(process, PollFlags::IN)];
    match retry_on_intr(|| poll(&mut ended, Some(&PATIENCE))) {
        Ok(0) => Err(Failure::errno("wait for the end of", id.as_str().as_bytes(), Errno::TIMEDOUT)),
        Ok(_) => Ok(()),
        Err(errno) => Err(Failure::errno("wait for the end of", id.as_str().as_bytes(), errno)),
    }
}
