//! Classic BPF for seccomp: assembler, policy, simulator.
//!
//! Duty: decide calls by plain data ([`policy`]), turn that data into a program ([`compile`]), and have the default
//! policy ready as one ([`default`]). It installs nothing: that is [`crate::sys::seccomp`]. It knows no JSON.
//!
//! Dangers: a program that is not the policy is a hole that looks like a wall. So there are two independent readings
//! of a policy, [`policy::Policy::decide`] and the compiled program under [`simulator::run`], and tests compare them
//! on every call and around every value that a rule names. Pointers cannot be filtered: what they point to changes
//! after the filter has looked.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod argument;
pub mod compile;
pub mod default;
pub mod device;
pub mod instruction;
pub mod policy;
mod program;
pub mod simulator;
pub mod syscall;
#[cfg(test)]
mod tests;
