//! `pipkin pause` and `resume`: a container stands still, and goes on.

use super::argv::Sorted;
use super::detach::control::{Request, ask};
use super::operand::each;
use super::{Outcome, report};
use pipkin::host::freeze_group;
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
    each(typed, verb, verb, &mut |found| {
        found.group()?;
        if found.record.detached {
            let request = if on { Request::Pause } else { Request::Resume };
            let answer = ask(found.store, &found.id, request).map_err(|errno| found.errno(errno))?;
            if answer != 0 {
                return Err(found.errno(Errno::from_raw_os_error(answer)));
            }
        } else {
            freeze_group(&found.id, None, on)?;
        }
        report::write(found.id.as_str().as_bytes()).map(drop)
    })
}
