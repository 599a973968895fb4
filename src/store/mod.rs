//! What Pipkin keeps on disk: who runs, under which name, with which data.
//!
//! Layout, under the run directory (`/run/pipkin`, or `$XDG_RUNTIME_DIR/pipkin` without root):
//!
//! | path | what |
//! |---|---|
//! | `containers/ID.lock` | exists as long as the container does; locked by its supervisor as long as that lives |
//! | `containers/ID` | the record, replaced whole by rename |
//! | `containers/ID.sock` | the control socket of a detached container's supervisor |
//! | `events`, `events.1` | what happened to containers, in JSON lines |
//! | `networks/` | what containers share of the network: see `host::network` of the library |
//! | `recovered` | not empty once that was brought back which was known before the machine went down |
//! | `names/NAME` | a link whose target is the ID |
//! | `users/uFIRST`, `users/gFIRST` | a link by which a container holds a range of ids |
//!
//! and under the data directory (`/var/lib/pipkin`, or `$XDG_DATA_HOME/pipkin`): `containers/ID/{upper,work}`, the
//! writable layer, `containers/ID/log…`, `containers/ID/record`, a copy of the record, `images/NAME` and `volumes/NAME`. What the machine
//! forgets when it goes down comes back from there: see `container::recover`.
//!
//! Duty: make, find, list and take away containers so that a crash at any point leaves nothing that the next
//! command cannot recognise. The lock comes first and goes last: whatever belongs to an id whose lock is free or
//! missing is garbage. Liveness is the lock itself, which the kernel releases with its holder; a pid is only shown.
//!
//! The lock is a record lock (fcntl_locking(2)): it belongs to one process, not to the descriptor, so that a child
//! that still has a copy of that does not keep a dead container looking alive.
//!
//! Dangers: a process gives up such a lock when it closes any descriptor of the file, and its own lock never stands
//! in its way. Whoever forks a supervisor takes the lock after the fork.
//!
//! It does not kill, and it knows nothing of cgroups: [`Store::reclaim`] is told how to take those away.

pub(crate) mod allotment;
mod claim;
mod container;
mod event;
mod layer;
pub(crate) mod log;
pub(crate) mod process;
mod record;
mod section;
pub(crate) mod time;
mod volume;

pub(crate) use claim::Claim;
pub(crate) use container::{Container, Store, USERS};
pub(crate) use record::{Record, Status};
pub(crate) use time::now_ns;
pub(crate) use volume::{VOLUME, lock};

use std::io::{Error, ErrorKind};

/// An error that is a text of ours. The standard library's own for texts also writes them as Rust would: 2 KB.
#[derive(Debug)]
struct Told(&'static str);

impl std::fmt::Display for Told {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0)
    }
}

impl std::error::Error for Told {}

/// An error of this kind that says `what`.
pub(crate) fn told(kind: ErrorKind, what: &'static str) -> Error {
    Error::new(kind, Told(what))
}
