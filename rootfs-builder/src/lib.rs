//! Makes root file systems: from where they come (sources), what they are (a tree), and what they become
//! (a directory, an initramfs).
//!
//! | room | duty |
//! |---|---|
//! | [`alpine`] | source: an Alpine minirootfs tarball, given, cached or downloaded |
//! | [`archive`] | source: a tar archive, read entry by entry |
//! | [`compress`] | gzip, zstd and xz, recognised by their first bytes and bounded |
//! | [`unpack`] | an archive becomes a directory, all of it or nothing |
//! | [`directory`] | sink: a directory of this machine, filled beneath its top |
//! | [`tree`] | a root file system in memory: names, metadata, where the bytes are |
//! | [`cpio`] | sink: an initramfs in the kernel's `newc` format |
//! | [`beneath`] | opens paths below a directory without ever following a symlink |
//! | [`remove`] | removes a tree, hostile or not |
//! | [`name`], [`meta`] | what a path may look like; what every file has beside its contents |
//!
//! Everything read here is written by others: a name, a link or a size in an archive is an allegation until the
//! room that reads it has checked it.

#![forbid(unsafe_code)]

pub mod alpine;
pub mod archive;
pub mod beneath;
pub mod compress;
pub mod cpio;
pub mod directory;
mod error;
pub mod meta;
pub mod name;
pub mod remove;
pub mod tree;
pub mod unpack;

pub use error::{Error, Reason, Result};
