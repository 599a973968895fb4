//! `pipkin pause` and `resume`: a container stands still, and goes on.

use super::argv::Sorted;
use super::detach::control::Request;
use super::message::Failure;
use super::operand::{Found, each};
use super::{Outcome, report};
use pipkin::host::freeze_group;

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
    change(typed, "pause", true)
}

/// `resume`.
pub(super) fn resume(typed: &Sorted<'_>) -> Outcome {
    change(typed, "resume", false)
}

fn change(typed: &Sorted<'_>, verb: &'static str, on: bool) -> Outcome {
    each(typed, verb, verb, &mut |found| {
        found.group()?;
        freeze(&found, on)?;
        report::write(found.id.as_str().as_bytes()).map(drop)
    })
}

/// Makes a container stand still or go on; its supervisor does it, where it has one, and writes it down.
///
/// # Errors
/// It has no cgroup, or the kernel takes longer than ten seconds.
pub(super) fn freeze(found: &Found<'_>, on: bool) -> Result<(), Failure> {
    if !found.record.detached {
        return Ok(freeze_group(&found.id, None, on)?);
    }
    found.ask(if on { Request::Pause } else { Request::Resume }, b"")
}
