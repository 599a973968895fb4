//! `pipkin pause` and `resume`: a container stands still, and goes on.

use super::argv::Sorted;
use super::message::Failure;
use super::{ExitCode, Outcome, open_store, running};
use pipkin::host::{freeze_group, open_group};
use rustix::io::Errno;

/// Help of `pause`.
pub(super) const PAUSE: &str = "\
Usage: pipkin pause CONTAINER ...

Makes every process of running containers stand still, until resume.

Options:
      --help  show this help";

/// Help of `resume`.
pub(super) const RESUME: &str = "\
Usage: pipkin resume CONTAINER ...

Lets paused containers go on.

Options:
      --help  show this help";

/// `pause`.
pub(super) fn pause(typed: &Sorted<'_>) -> Outcome {
    freeze(typed, "pause", true)
}

/// `resume`.
pub(super) fn resume(typed: &Sorted<'_>) -> Outcome {
    freeze(typed, "resume", false)
}

fn freeze(typed: &Sorted<'_>, verb: &'static str, on: bool) -> Outcome {
    if typed.operands.is_empty() {
        return Err(Failure::usage(verb, "the name or id of a container is needed"));
    }
    let store = open_store()?;
    for name in &typed.operands {
        let told = name.as_encoded_bytes();
        let (id, record) = running::find(&store, verb, name)?;
        if !record.status.is_alive() {
            return Err(running::not_running(verb, name));
        }
        if open_group(&id, None)?.is_none() {
            let failure = Failure::new(verb, told, b"it has no cgroup of its own");
            return Err(failure.remedy("a cgroup v2 hierarchy is needed: see 'pipkin doctor'"));
        }
        freeze_group(&id, None, on).map_err(|error| match error.errno {
            Errno::NOENT | Errno::NODEV => running::not_running(verb, name),
            _ => Failure::from(error),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}
