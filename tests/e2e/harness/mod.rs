//! What every case stands on: where it runs, how it starts programs, and what it may not leave behind.

mod case;
mod detached;
mod elsewhere;
mod enclosure;
mod folder;
mod footprint;
mod outcome;
mod run;
mod running;
mod terminal;

pub(crate) use case::{Case, Needs, cases, undo};
pub(crate) use detached::{Detached, WAITS, detached, detached_sh, eventually, sockets, try_detached};
pub(crate) use elsewhere::{CABLE_MTU, Elsewhere, HERE, THERE, ip, name};
pub(crate) use enclosure::{Enclosure, alpine, cgroup_root};
pub(crate) use folder::Folder;
pub(crate) use footprint::{Footprint, has_children, reap_orphans};
pub(crate) use outcome::Outcome;
pub(crate) use run::{Run, pipkin, run};
pub(crate) use running::{PATIENCE, Running};
pub(crate) use terminal::Terminal;
