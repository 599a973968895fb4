//! PID 1: the loop that forwards signals and reaps, for containers, for any other process, and for machines.
//!
//! Duty: [`contain`] makes this process the init of a payload it starts; [`boot`] makes it the init of a machine.
//! [`state`] decides, [`supervise`] acts, [`service`] keeps what runs beside the payload. It knows nothing of images, plans or the command line.
//!
//! Dangers: the payload is forked, so whatever runs between fork and exec must not allocate; with
//! [`option::Options::detach`] every descriptor from 3 on is closed in init.
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

pub mod boot;
pub mod console;
pub mod contain;
pub mod option;
pub mod payload;
pub mod service;
pub mod state;
pub mod supervise;
#[cfg(test)]
mod tests;

/// Lets a failure pass that PID 1 can do nothing about; `why` says why it is no matter.
fn best_effort<T, E>(result: core::result::Result<T, E>, why: &'static str) {
    // The reason is for the reader of the call.
    drop((result, why));
}
