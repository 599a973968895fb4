//! Ways out of a container that were found in others, tried on this one.
//!
//! Where a defence can be taken away ([`Run::without`](crate::harness::Run::without)) a case first shows that its attack
//! gets through then, so that it is known to be one. Each case names the rows of advisories it stands for.

mod attempt;
mod descriptor;
mod fallback;
mod identity;
mod neighbour;
mod path;
mod proc;
mod program;
pub(crate) mod race;

use crate::harness::{Case, Folder};

pub(crate) fn cases() -> Vec<Case> {
    [
        path::cases(),
        race::cases(),
        program::cases(),
        descriptor::cases(),
        proc::cases(),
        identity::cases(),
        neighbour::cases(),
        attempt::cases(),
        fallback::cases(),
    ]
    .concat()
}

/// Whether nothing was made in a folder.
fn is_empty(folder: &Folder) -> bool {
    std::fs::read_dir(folder.path()).expect("a folder").next().is_none()
}
