//! Pipkin's library: what a container is, what to do to make one, and the hands that do it.
//!
//! No allocator and no `std`: every capacity is a named constant and running over it is an error.
//!
//! | room | duty |
//! |---|---|
//! | [`error`] | what was being done, to what, and the kernel's answer |
//! | [`sys`] | the raw system calls that rustix lacks; the only room with `unsafe` |
//! | [`netlink`] | netlink packets and attributes, and links, addresses, routes and nftables on top |
//! | [`bpf`] | seccomp programs: assembler, policy, simulator |
//! | [`cgroup`] | cgroup v2 by directory descriptor |
//! | [`init`] | the loop and the boot of PID 1 |
//! | [`spec`] | what a container is: plain data |
//! | [`plan`] | from a Spec and the facts of the host to an exact list of steps |
#![no_std]
#![deny(unsafe_code)]

pub mod bpf;
pub mod cgroup;
pub mod child;
pub mod error;
pub mod host;
pub mod init;
pub mod netlink;
pub mod plan;
pub mod spec;
pub mod sys;
