//! `pipkin prune`: takes away every container that has ended.

use super::argv::Sorted;
use super::launch::{end, errno_of};
use super::message::Failure;
use super::remove::remove;
use super::{ExitCode, Outcome, open_store, report};
use crate::store::Status;

/// Takes them away and prints their ids.
///
/// # Errors
/// The last container that could not be taken away; the others are gone all the same.
pub(super) fn run(sorted: &Sorted<'_>) -> Outcome {
    if !sorted.operands.is_empty() {
        return Err(Failure::usage("prune", "it takes no operand: see 'pipkin rm'"));
    }
    let store = open_store()?;
    let fail = |error: std::io::Error| Failure::errno("remove ended containers", b"", errno_of(&error));
    let mut last = Ok(ExitCode::SUCCESS);
    for (id, record) in store.survey(end).map_err(fail)? {
        if record.status != Status::Exited {
            continue;
        }
        match remove(&store, id.as_str().as_ref(), false) {
            Ok(()) => drop(report::write(id.as_str().as_bytes())?),
            // Somebody else was faster.
            Err(_) if store.read(&id).is_ok_and(|record| record.is_none()) => {}
            Err(failure) => last = Err(failure),
        }
    }
    last
}
