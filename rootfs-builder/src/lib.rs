//! Makes root file systems: from where they come (sources), what they are (a tree), and what they become
//! (a directory, an initramfs).
//!
//! | room | duty |
//! |---|---|
//! | [`alpine`] | source: an Alpine minirootfs tarball, given, cached or downloaded |
//! | [`image`] | source: an OCI image layout or a `docker save` archive; sink: the former |
//! | [`registry`] | source: an image in a registry, as an image layout |
//! | [`account`] | users, added to a tree |
//! | [`archive`] | source: a tar archive, read entry by entry |
//! | [`compress`] | gzip, zstd and xz, recognised by their first bytes and bounded |
//! | [`unpack`] | archive to sink; an archive becomes a directory, all of it or nothing |
//! | [`layer`] | sink before a sink: a layer of an image, with its deletions |
//! | [`sink`] | what a root file system can be written to |
//! | [`tree`] | sink and source: a root file system in memory, or read from a directory of this machine |
//! | [`directory`] | sink: a directory of this machine, filled beneath its top |
//! | [`cpio`] | sink: an initramfs in the kernel's `newc` format |
//! | [`tarball`] | sink: a tar archive |
//! | [`filesystem`] | sink: a squashfs, erofs or ext4 image |
//! | [`store`] | named images on this machine |
//! | [`partial`] | a directory under a temporary name until it is complete |
//! | [`beneath`], [`remove`] | opens and removes without ever following a symlink |
//! | [`digest`] | SHA-256, computed while reading |
//! | [`name`], [`meta`] | what a path may look like; what every file has beside its contents |
//!
//! Everything read here is written by others: a name, a link or a size in an archive is an allegation until the
//! room that reads it has checked it.

#![forbid(unsafe_code)]

pub mod account;
pub mod alpine;
pub mod archive;
pub mod beneath;
pub mod compress;
pub mod cpio;
pub mod digest;
pub mod directory;
mod error;
pub mod filesystem;
pub mod image;
pub mod layer;
pub mod meta;
pub mod name;
pub mod partial;
pub mod registry;
pub mod remove;
pub mod sink;
pub mod store;
pub mod tarball;
pub mod tree;
pub mod unpack;

pub use error::{Error, Reason, Result};
