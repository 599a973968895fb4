//! `pipkin rename`: another name for a container, whether it runs or not.

use super::argv::Sorted;
use super::detach::control::{Request, ask_with};
use super::launch::errno_of;
use super::message::Failure;
use super::operand::Found;
use super::run::container_name;
use super::{ExitCode, Outcome, open_store};
use rustix::io::Errno;
use std::time::Duration;

const WHAT: &str = "rename the container";
/// How often a supervisor that does not hear is asked again, and after which time.
const TRIES: usize = 2000;
const PAUSE: Duration = Duration::from_millis(5);

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
    let found = Found::find(&store, WHAT, container)?;
    for _ in 0..TRIES {
        let renamed = match store.adopt(&found.id).map_err(|error| found.errno(errno_of(&error)))? {
            Some(mut container) => container.rename(name).map_err(|error| errno_of(&error)),
            None if found.record.detached => {
                match ask_with(&store, &found.id, Request::Rename, name.as_bytes()) {
                    Ok(0) => Ok(()),
                    Ok(errno) => Err(Errno::from_raw_os_error(errno)),
                    // Its supervisor is just beginning or ending: it will answer, or let go of it.
                    Err(Errno::NOENT | Errno::CONNREFUSED | Errno::CONNRESET | Errno::PIPE) => {
                        std::thread::sleep(PAUSE);
                        Found::find(&store, WHAT, found.id.as_str().as_ref())?;
                        continue;
                    }
                    Err(errno) => Err(errno),
                }
            }
            None => return Err(found.fail("it runs in the foreground")),
        };
        return match renamed {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Errno::EXIST) => Err(found.fail("this name is in use").remedy("see 'pipkin ps -a'")),
            Err(errno) => Err(found.errno(errno)),
        };
    }
    Err(found.errno(Errno::TIMEDOUT))
}
