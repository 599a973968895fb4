//! Makes root file systems: from where they come (sources), what they are (a tree), and what they become
//! (a directory, an initramfs).
//!
//! | room | duty |
//! |---|---|
//! | [`alpine`] | source: an Alpine minirootfs tarball, given, cached or downloaded |
//! | [`tree`] | a root file system in memory: names, metadata, where the bytes are |
//! | [`cpio`] | sink: an initramfs in the kernel's `newc` format |
//! | [`beneath`] | opens paths below a directory without ever following a symlink |
//! | [`name`] | what a path inside a root file system may look like |
//!
//! Everything read here is written by others: a name, a link or a size in an archive is an allegation until the
//! room that reads it has checked it.

#![forbid(unsafe_code)]

pub mod alpine;
pub mod beneath;
pub mod cpio;
mod error;
pub mod name;
pub mod tree;

pub use error::{Error, Reason, Result};
