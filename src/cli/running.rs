//! The running container that a verb is about.

use super::message::Failure;
use super::operand::Found;
use crate::store::process::start_of;
use crate::store::{Record, Status, Store};
use pipkin::host::Target;
use pipkin::spec::Id;
use std::ffi::OsStr;

/// The container that `name` means; `what` is to be done with it.
///
/// # Errors
/// There is none, or several ids begin so.
pub(super) fn find(store: &Store, what: &'static str, name: &OsStr) -> Result<(Id, Record), Failure> {
    Found::find(store, what, name).map(|found| (found.id, found.record))
}

/// Takes hold of the container's first process, having made sure that it is the one recorded.
///
/// # Errors
/// It does not run, or the process cannot be looked at.
pub(super) fn target(record: &Record, what: &str, name: &OsStr) -> Result<Target, Failure> {
    if record.status == Status::Paused {
        let failure = Failure::new(what, name.as_encoded_bytes(), b"it is paused");
        return Err(failure.remedy("let it go on first: pipkin resume"));
    }
    if record.status != Status::Running {
        return Err(not_running(what, name));
    }
    let target = match Target::open(record.pid) {
        Err(error) if error.errno == rustix::io::Errno::SRCH => return Err(not_running(what, name)),
        target => target?,
    };
    let same = start_of(record.pid) == Some(record.pid_start) && target.is_alive()?;
    if same { Ok(target) } else { Err(not_running(what, name)) }
}

/// It would have to run.
pub(super) fn not_running(what: &str, name: &OsStr) -> Failure {
    Failure::new(what, name.as_encoded_bytes(), b"it does not run")
}
