//! The side that stays: learns about the machine, makes the child, does the host's part of the plan, waits for the
//! end and takes away what was made.
//!
//! Duty: carry out the host list of a plan and its reverse. It knows nothing of what the child does beyond the
//! records of [`crate::plan::Report`]; the child's entry point is handed to it.
//!
//! Dangers: from the clone on, every way out must end the child first. [`Host`] does so when it is dropped.

mod attendant;
mod create;
mod enter;
mod group;
mod hook;
mod id_map;
pub mod lease;
pub mod network;
mod placeholder;
mod probe;
mod remove;
mod report;
mod signal;
mod source;
mod spawn;
mod supervise;
mod terminal;

pub use attendant::{ATTENDED, Attendant, Reach, Sources};
pub use create::{Asked, Entered, Moment, start_waiting};
pub use enter::{Target, pid_of};
pub use group::{freeze_group, open_group, remove_group, update_group};
pub use hook::{Program, run_hook};
pub use id_map::{Lines, maps_of, maps_ranges, namespace, parse_map};
pub use placeholder::Placeholder;
pub use probe::{is_nested, is_privileged, known_capabilities, own_capabilities, probe};
pub use remove::remove_tree;
pub use signal::{is_forwarded, received};
pub use source::show_for;
pub use spawn::{Entry, Host, Started};
pub use supervise::{Company, Ended, Failure};
pub use terminal::Raw;
