//! An archive becomes a directory: all of it, or nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::archive::{Archive, Entry, EntryKind};
use crate::compress::{Decoder, Limits};
use crate::directory::Directory;
use crate::error::{Doing, Error, Result};
use crate::meta::{Device, Special};
use crate::name::{Name, printable};
use crate::partial::Partial;
use crate::sink::Sink;

const UNPACK: &str = "unpack";

/// What to do with device nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// Make them as root; otherwise refuse the archive.
    #[default]
    Make,
    /// Leave them out and count them.
    Skip,
}

/// How to unpack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How much the archive may become.
    pub limits: Limits,
    /// What to do with device nodes.
    pub devices: Devices,
}

/// What was unpacked and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes in regular files.
    pub bytes: u64,
    /// Device nodes left out because of [`Devices::Skip`].
    pub skipped_devices: u64,
    /// Extended attributes left out; see [`Travel`](crate::meta::Travel).
    pub dropped_xattrs: u64,
}

/// Unpacks the tarball `tarball` as the directory `target`; see [`unpack`].
pub fn unpack_file(tarball: &Path, target: &Path, options: &Options) -> Result<Summary> {
    unpack(File::open(tarball).doing("open", || tarball.display())?, target, options)
}

/// Unpacks a tar archive, compressed in a way that [`Decoder`] knows or not at all, as the directory `target`, which
/// must not be there yet or be empty.
///
/// The archive is unpacked beside `target` and renamed at the end, so that there is a whole tree or none. Refused,
/// with the entry's name: absolute paths, `..`, paths through a link, hard links to what is not in the tree, an entry
/// that would turn a directory into something else or the reverse, devices without privilege, what
/// [`archive`](crate::archive) refuses, more than the limits allow.
pub fn unpack(input: impl Read, target: &Path, options: &Options) -> Result<Summary> {
    let partial = Partial::beside(target)?;
    let mut directory = Directory::open(partial.path())?;
    let mut summary = apply(input, &mut directory, options)?;
    summary.dropped_xattrs = directory.finish()?;
    partial.rename_to(target)?;
    Ok(summary)
}

/// Writes one archive, compressed or not, to a sink.
pub fn apply(input: impl Read, sink: &mut dyn Sink, options: &Options) -> Result<Summary> {
    let decoder = Decoder::new(input, options.limits).doing(UNPACK, || "the archive")?;
    apply_decoded(decoder, sink, options.devices)
}

/// Writes one archive that is no longer compressed to a sink, and reads `input` to its end.
pub fn apply_decoded(input: impl Read, sink: &mut dyn Sink, devices: Devices) -> Result<Summary> {
    let mut archive = Archive::new(input);
    let mut summary = Summary::default();
    let mut skipped = BTreeSet::new();
    while let Some(entry) = archive.next_entry()? {
        summary.entries += 1;
        let name = checked(&entry.path, &entry.path)?;
        let Entry { kind, attributes, .. } = &entry;
        match kind {
            EntryKind::Directory => sink.directory(&name, attributes)?,
            EntryKind::File => summary.bytes += sink.file(&name, attributes, &mut archive.data())?,
            EntryKind::Symlink(target) => sink.symlink(&name, attributes, target)?,
            EntryKind::HardLink(existing) => {
                let existing = checked(existing, &entry.path)?;
                if skipped.contains(&existing) {
                    skipped.insert(name);
                } else {
                    sink.hard_link(&name, &existing)?;
                }
            }
            EntryKind::Special(special) if special.device().is_some() && devices == Devices::Skip => {
                summary.skipped_devices += 1;
                skipped.insert(name);
            }
            EntryKind::Special(special) => {
                check_device(sink, &name, *special)?;
                sink.special(&name, attributes, *special)?;
            }
        }
    }
    archive.drain().doing(UNPACK, || "the archive")?;
    Ok(summary)
}

fn checked(path: &[u8], entry: &[u8]) -> Result<Name> {
    Name::parse(path).map_err(|bad| {
        let why = if path == entry { bad.to_string() } else { format!("link to {}: {bad}", printable(path)) };
        Error::refused(UNPACK, printable(entry), why)
    })
}

fn check_device(sink: &dyn Sink, name: &Name, special: Special) -> Result<()> {
    if special.device() == Some(Device { major: 0, minor: 0 }) {
        return Err(Error::refused(
            UNPACK,
            name,
            "device 0:0, which overlay file systems read as a deletion",
        ));
    }
    if special.device().is_some() && !sink.takes_devices() {
        return Err(Error::refused(UNPACK, name, "a device node needs root (--skip-devices leaves it out)"));
    }
    Ok(())
}
