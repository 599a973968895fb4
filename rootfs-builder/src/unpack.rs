//! An archive becomes a directory: all of it, or nothing.

use std::fs::{File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::archive::{Archive, Entry, EntryKind};
use crate::compress::{Decoder, Limits};
use crate::directory::{Directory, Special};
use crate::error::{Doing, Error, Result};
use crate::meta::Device;
use crate::name::{Name, printable};
use crate::remove::remove_tree;

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
    /// Extended attributes left out; see [`directory`](crate::directory).
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

/// Applies one archive to a directory that may have contents already.
pub fn apply(input: impl Read, directory: &mut Directory, options: &Options) -> Result<Summary> {
    let decoder = Decoder::new(input, options.limits).doing(UNPACK, || "the archive")?;
    let mut archive = Archive::new(decoder);
    let mut summary = Summary::default();
    let mut skipped = std::collections::BTreeSet::new();
    while let Some(entry) = archive.next_entry()? {
        summary.entries += 1;
        let name = checked(&entry.path, &entry.path)?;
        let Entry { kind, attributes, .. } = &entry;
        match kind {
            EntryKind::Directory => directory.directory(&name, attributes)?,
            EntryKind::File => summary.bytes += directory.file(&name, attributes, archive.data())?,
            EntryKind::Symlink(target) => directory.symlink(&name, attributes, target)?,
            EntryKind::HardLink(existing) => {
                let existing = checked(existing, &entry.path)?;
                if skipped.contains(&existing) {
                    skipped.insert(name);
                } else {
                    directory.hard_link(&name, &existing)?;
                }
            }
            EntryKind::Fifo => directory.special(&name, attributes, Special::Fifo)?,
            EntryKind::CharDevice(_) | EntryKind::BlockDevice(_) if options.devices == Devices::Skip => {
                summary.skipped_devices += 1;
                skipped.insert(name);
            }
            EntryKind::CharDevice(device) => {
                check_device(directory, &name, *device)?;
                directory.special(&name, attributes, Special::CharDevice(*device))?;
            }
            EntryKind::BlockDevice(device) => {
                check_device(directory, &name, *device)?;
                directory.special(&name, attributes, Special::BlockDevice(*device))?;
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

fn check_device(directory: &Directory, name: &Name, device: Device) -> Result<()> {
    if device == (Device { major: 0, minor: 0 }) {
        return Err(Error::refused(
            UNPACK,
            name,
            "device 0:0, which overlay file systems read as a deletion",
        ));
    }
    if !directory.is_privileged() {
        return Err(Error::refused(UNPACK, name, "a device node needs root (--skip-devices leaves it out)"));
    }
    Ok(())
}

/// A directory under a temporary name beside its final one; removed when dropped before it was renamed.
#[derive(Debug)]
pub struct Partial(Option<PathBuf>);

impl Partial {
    /// Makes an empty one, 0700, for `target`, which must not be there yet or be an empty directory.
    pub fn beside(target: &Path) -> Result<Partial> {
        match std::fs::read_dir(target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Error::refused("make", target.display(), "it is there and not empty"));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::new("make", target.display(), error)),
        }
        let parent = match target.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(Error::refused("make", target.display(), "it has no parent directory")),
        };
        Partial::within(parent)
    }

    /// Makes an empty one, 0700, in the directory `parent`.
    pub fn within(parent: &Path) -> Result<Partial> {
        let private = Permissions::from_mode(0o700);
        let made = tempfile::Builder::new().prefix(Partial::PREFIX).permissions(private).tempdir_in(parent);
        Ok(Partial(Some(made.doing("make a directory in", || parent.display())?.keep())))
    }

    /// How temporary names begin.
    pub const PREFIX: &str = ".partial-";

    /// Where it is now.
    pub fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives it its final name.
    pub fn rename_to(mut self, target: &Path) -> Result<()> {
        std::fs::rename(self.path(), target).doing("make", || target.display())?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            remove_best_effort(&path);
        }
    }
}

/// Something failed already and that is what the caller hears of; what cannot be removed keeps a name by which it
/// is known to be a leftover.
fn remove_best_effort(path: &Path) {
    drop(remove_tree(path));
}
