//! cgroup v2 by directory descriptor: create, limit, read, freeze, kill, wait until empty.
//!
//! Duty: find the v2 hierarchy and work on its directories. It knows nothing of containers, does not choose limits
//! or their texts, never mounts, and never touches a v1 hierarchy. Source: Documentation/admin-guide/cgroup-v2.rst.
//!
//! | module | duty |
//! |---|---|
//! | [`controller`] | the controllers by name, and sets of them |
//! | [`hierarchy`] | where the v2 hierarchy is mounted and where in it we are |
//! | [`group`] | one group: create, open, enable controllers, write, enter |
//! | [`read`] | the value formats of the group's files |
//! | [`watch`] | the event files, which can be polled |
//! | [`end`] | freeze, kill, wait until empty, remove |
//! | [`obstacle`] | why a controller cannot be had |
//! | [`deadline`] | the end of every wait |
//!
//! Dangers: a process id read from `cgroup.procs` may belong to another process by the time it is used; writing one
//! there costs an RCU grace period (about 10 ms), so let processes be born in their group (`CLONE_INTO_CGROUP`).
//! A name or file name from outside is one path component or it is refused, and nothing is ever opened through a
//! symbolic link or above the group.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod controller;
pub mod deadline;
pub mod end;
pub mod group;
pub mod hierarchy;
pub(crate) mod line;
mod mountinfo;
pub mod obstacle;
pub mod read;
mod resolve;
#[cfg(test)]
mod tests;
pub mod watch;

pub use controller::{Controller, Controllers};
pub use deadline::Deadline;
pub use group::Group;
pub use hierarchy::{Found, Hierarchy};
