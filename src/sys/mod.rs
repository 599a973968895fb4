//! Raw system calls that rustix lacks, each behind a safe face. The only room with `unsafe`.
//!
//! Duty: one thin function per kernel call, arguments typed, result checked and turned into
//! [`rustix::io::Result`]. It knows nothing of containers, plans or flags of the command line.
//!
//! Dangers: after [`process::clone`] the child shares nothing with its parent but runs on a copy of its memory;
//! it must not allocate or take locks. Every `unsafe` block names the fact that makes it sound.
#![allow(unsafe_code)]

mod arch;
pub mod attempt;
pub mod auxv;
pub mod bpf;
pub mod clock;
pub mod defence;
pub mod entry;
pub mod exe;
pub mod image;
pub mod landlock;
pub mod memory;
pub mod mount;
pub mod netlink;
pub mod notification;
pub mod process;
pub mod random;
pub mod schedule;
pub mod seccomp;
pub mod signal;
pub mod spawn;
pub mod stdio;
pub mod vsock;
pub mod xtables;
