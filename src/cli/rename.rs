//! `pipkin rename`: another name for a container, whether it runs or not.

use super::argv::Sorted;
use super::detach::control::{Request, ask_with};
use super::launch::errno_of;
use super::message::Failure;
use super::operand::Found;
use super::run::container_name;
use super::{ExitCode, Outcome, open_store};
use rustix::io::Errno;

/// `rename CONTAINER NAME`.
///
/// # Errors
/// The name is taken, or the container runs in the foreground, whose process alone may write its record.
pub(super) fn run(sorted: &Sorted<'_>) -> Outcome {
    let [container, name] = sorted.operands.as_slice() else {
        return Err(Failure::usage("rename", "a container and its new name are needed"));
    };
    let name = name.to_str().unwrap_or_default();
    let name = container_name(name).map_err(|why| Failure::usage("rename", &[name, ": ", why].concat()))?;
    let store = open_store()?;
    let found = Found::find(&store, "rename the container", container)?;
    let renamed = match store.adopt(&found.id).map_err(|error| found.errno(errno_of(&error)))? {
        Some(mut container) => container.rename(name).map_err(|error| errno_of(&error)),
        None if found.record.detached => {
            let asked = ask_with(&store, &found.id, Request::Rename, name.as_bytes());
            asked.and_then(|errno| if errno == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(errno)) })
        }
        None => return Err(found.fail("it runs in the foreground")),
    };
    match renamed {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Errno::EXIST) => Err(found.fail("this name is in use").remedy("see 'pipkin ps -a'")),
        Err(errno) => Err(found.errno(errno)),
    }
}
