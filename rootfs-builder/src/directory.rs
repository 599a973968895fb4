//! Sink: a root file system being built as a directory of this machine.
//!
//! Every entry is made relative to an open descriptor of its parent, which [`beneath`](crate::beneath) opened
//! without following a link: what a hostile archive puts into the tree can therefore never lead out of it. The
//! directory must belong to this build alone until [`Directory::finish`]; directories get their modes and times
//! only there, so that a read-only one can be filled.
//!
//! Deletions by a layer are carried out ([`Directory::open`]) or, where layers are kept apart, written down in
//! overlayfs's own way ([`Directory::open_layer`]; Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
//! directories"): as root with `trusted.` attributes, otherwise with `user.` ones, which need the mount option
//! `userxattr`.
//!
//! As root, owners, modes, times and extended attributes are kept. Otherwise files are the caller's own, without the
//! set-user-id and set-group-id bits that would lend the caller's rights to others, and only `user.`
//! attributes are kept.

mod lower;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::beneath::Root;
use crate::error::{Doing, Error, Reason, Result};
use crate::meta::{Attributes, Device, Meta, Special, Timestamp, Travel, travel};
use crate::name::{Name, check_link_target};
use crate::remove::remove_below;
use crate::sink::Sink;

use lower::{Lower, Shown};

const MAKE: &str = "make";
const EMPTY: &str = "delete what is in";

/// A directory being filled.
#[derive(Debug)]
pub struct Directory {
    root: Root,
    /// Attributes that directories get at the end.
    directories: BTreeMap<Name, Attributes>,
    /// If this is one layer of several that are kept apart: those below it.
    lower: Option<Lower>,
    privileged: bool,
    dropped_xattrs: u64,
}

impl Directory {
    /// Fills the existing directory `path`, into which several layers may be merged.
    pub fn open(path: &Path) -> Result<Directory> {
        Directory::with(path, None)
    }

    /// Fills the existing directory `path` with one layer of an overlay mount that has the directories `lower` below
    /// it, lowest first. A directory that the layer does not describe is like the one below.
    pub fn open_layer(path: &Path, lower: &[PathBuf]) -> Result<Directory> {
        let open = |lower: &PathBuf| Root::open(lower).doing("open", || lower.display());
        Directory::with(path, Some(Lower(lower.iter().map(open).collect::<Result<_>>()?)))
    }

    fn with(path: &Path, lower: Option<Lower>) -> Result<Directory> {
        let root = Root::open(path).doing(MAKE, || path.display())?;
        refuse_case_folding(&root, path)?;
        let privileged = rustix::process::geteuid().is_root();
        let directories = BTreeMap::new();
        let mut directory = Directory { root, directories, lower, privileged, dropped_xattrs: 0 };
        directory.directories.insert(Name::ROOT, directory.undescribed(&Name::ROOT)?);
        Ok(directory)
    }

    /// Gives the directories their attributes, innermost first, and tells how many extended attributes were not
    /// kept.
    pub fn finish(self) -> Result<u64> {
        let mut dropped = self.dropped_xattrs;
        for (name, attributes) in self.directories.iter().rev() {
            let fd = self.root.open_directory(name).doing("set the attributes of", || name)?;
            dropped += self.set(fd.as_fd(), attributes).doing("set the attributes of", || name)?;
        }
        Ok(dropped)
    }

    /// Opens the parent of `name`, made if it is missing. `None` for the root itself.
    fn parent<'n>(&mut self, name: &'n Name) -> Result<Option<(OwnedFd, &'n [u8])>> {
        let Some((parent, last)) = name.split() else { return Ok(None) };
        match self.open_parent(&parent) {
            Ok(fd) => return Ok(Some((fd, last))),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::new(MAKE, name, on_the_way(errno))),
        }
        for directory in parent.ancestors().chain([parent.clone()]) {
            if !self.directories.contains_key(&directory) {
                let attributes = self.undescribed(&directory)?;
                self.directory(&directory, &attributes)?;
            }
        }
        let fd = self.open_parent(&parent).map_err(|errno| Error::new(MAKE, name, on_the_way(errno)))?;
        Ok(Some((fd, last)))
    }

    /// Attributes for a directory that was not described: those it has below this layer, if it is there.
    fn undescribed(&self, name: &Name) -> Result<Attributes> {
        match self.shown_below(name)? {
            Shown::Stat(stat) if is_directory(&stat) => {
                let meta = Meta { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
                let mtime = Timestamp::from_seconds(stat.st_mtime);
                Ok(Attributes { mtime, ..Attributes::new(meta) })
            }
            Shown::Stat(_) => Err(Error::new(MAKE, name, Reason::on_the_way())),
            // It is in the way of nothing if this layer has a directory in its place.
            Shown::Blocked(ancestor) if !self.directories.contains_key(&ancestor) => {
                Err(Error::new(MAKE, name, Reason::on_the_way()))
            }
            Shown::Blocked(_) | Shown::Nothing => Ok(Attributes::DIRECTORY),
        }
    }

    /// What the layers below have at `name`.
    fn shown_below(&self, name: &Name) -> Result<Shown> {
        match &self.lower {
            Some(lower) => lower.look_up(name, self.opaque_xattr()).doing(MAKE, || name),
            None => Ok(Shown::Nothing),
        }
    }

    fn opaque_xattr(&self) -> &'static str {
        if self.privileged { "trusted.overlay.opaque" } else { "user.overlay.opaque" }
    }

    fn open_parent(&self, name: &Name) -> rustix::io::Result<OwnedFd> {
        self.root.open_at(name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
    }

    /// Like `parent`, for what is no directory: what stands at the name is removed.
    fn place<'n>(&mut self, name: &'n Name) -> Result<(OwnedFd, &'n [u8])> {
        let Some((parent, last)) = self.parent(name)? else {
            return clash(name, "the root can only be a directory");
        };
        match rustix::fs::unlinkat(&parent, OsStr::from_bytes(last), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((parent, last)),
            Err(Errno::ISDIR | Errno::PERM) if self.is_directory(name)? => {
                clash(name, "a directory cannot be replaced by another kind")
            }
            Err(errno) => Err(Error::new(MAKE, name, errno)),
        }
    }

    fn is_directory(&self, name: &Name) -> Result<bool> {
        let stat = self.root.stat(name).doing(MAKE, || name)?;
        Ok(FileType::from_raw_mode(stat.st_mode).is_dir())
    }

    /// Owner first, because a change of owner clears the set-id bits and file capabilities; time last.
    fn set(&self, fd: impl AsFd, attributes: &Attributes) -> io::Result<u64> {
        let fd = fd.as_fd();
        let Attributes { meta, mtime, xattrs } = attributes;
        let mut mode = meta.mode;
        if self.privileged {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            rustix::fs::fchown(fd, Some(uid), Some(gid))?;
        } else {
            mode &= 0o1777;
        }
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))?;
        let mut dropped = 0;
        for (name, value) in xattrs {
            if self.keeps(name)? {
                rustix::fs::fsetxattr(fd, OsStr::from_bytes(name), value, XattrFlags::empty())
                    .map_err(|errno| unkept(name, errno))?;
            } else {
                dropped += 1;
            }
        }
        rustix::fs::futimens(fd, &timestamps(*mtime))?;
        Ok(dropped)
    }

    /// The same for what cannot be opened: a symbolic link, a device, a pipe.
    fn set_at(&mut self, parent: &OwnedFd, last: &[u8], attributes: &Attributes) -> io::Result<()> {
        let Attributes { meta, mtime, xattrs } = attributes;
        let last = OsStr::from_bytes(last);
        let stat = rustix::fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW)?;
        let mut mode = meta.mode;
        if self.privileged {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            rustix::fs::chownat(parent, last, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        } else {
            mode &= 0o1777;
        }
        // chmod follows links, and a link has no mode; what was just made here is not one in the other cases.
        if !FileType::from_raw_mode(stat.st_mode).is_symlink() {
            rustix::fs::chmodat(parent, last, Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        for (name, value) in xattrs {
            if !self.keeps(name)? {
                self.dropped_xattrs += 1;
                continue;
            }
            // There is no call that takes a directory descriptor; the last component is not followed.
            let path = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(last);
            rustix::fs::lsetxattr(path, OsStr::from_bytes(name), value, XattrFlags::empty())
                .map_err(|errno| unkept(name, errno))?;
        }
        rustix::fs::utimensat(parent, last, &timestamps(*mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn keeps(&self, xattr: &[u8]) -> io::Result<bool> {
        match travel(xattr) {
            Travel::Kept => Ok(true),
            Travel::KeptByRoot => Ok(self.privileged),
            Travel::Dropped => Ok(false),
            Travel::Refused => {
                let xattr = crate::name::printable(xattr);
                Err(io::Error::other(format!("sets {xattr}, which would steer an overlay mount")))
            }
        }
    }

    fn remove(&mut self, name: &Name) -> Result<()> {
        remove_below(&self.root, name)?;
        self.directories.retain(|directory, _| directory != name && !directory.is_below(name));
        Ok(())
    }

    /// Writes down that nothing below this layer shows in the directory `name`.
    fn write_opaque(&mut self, name: &Name, written: &BTreeSet<Name>, lower: Vec<Name>) -> Result<()> {
        if name.is_root() {
            // Overlayfs merges the roots of layers whatever they say.
            for name in lower.iter().filter(|name| !written.contains(name)) {
                self.whiteout(name)?;
            }
            return Ok(());
        }
        if !self.directories.contains_key(name) {
            match self.root.stat(name) {
                Ok(_) | Err(Errno::LOOP | Errno::NOTDIR) => return Ok(()),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::new(EMPTY, name, errno)),
            }
            match self.shown_below(name)? {
                Shown::Stat(stat) if is_directory(&stat) => {}
                _ => return Ok(()),
            }
            self.directory(name, &self.undescribed(name)?)?;
        }
        let xattr = self.opaque_xattr();
        let fd = self.root.open_directory(name).doing(EMPTY, || name)?;
        rustix::fs::fsetxattr(fd, xattr, b"y", XattrFlags::empty()).doing(EMPTY, || name)
    }
}

fn names_in(root: &Root, directory: &Name) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in Dir::new(root.open_directory(directory)?)? {
        let entry = entry?;
        let last = entry.file_name().to_bytes();
        if last != b"." && last != b".." {
            names.push(directory.join(last).map_err(io::Error::other)?);
        }
    }
    Ok(names)
}

impl Sink for Directory {
    fn directory(&mut self, name: &Name, attributes: &Attributes) -> Result<()> {
        if let Some((parent, last)) = self.parent(name)? {
            match rustix::fs::mkdirat(&parent, OsStr::from_bytes(last), Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) if self.is_directory(name)? => {}
                Err(Errno::EXIST) => return clash(name, "a directory cannot replace another kind"),
                Err(errno) => return Err(Error::new(MAKE, name, errno)),
            }
        }
        self.directories.insert(name.clone(), attributes.clone());
        Ok(())
    }

    fn file(&mut self, name: &Name, attributes: &Attributes, data: &mut dyn Read) -> Result<u64> {
        let (parent, last) = self.place(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(
            rustix::fs::openat(&parent, OsStr::from_bytes(last), flags, Mode::RUSR | Mode::WUSR)
                .doing(MAKE, || name)?,
        );
        let size = io::copy(data, &mut file).doing(MAKE, || name)?;
        self.dropped_xattrs += self.set(file.as_fd(), attributes).doing(MAKE, || name)?;
        Ok(size)
    }

    fn symlink(&mut self, name: &Name, attributes: &Attributes, target: &[u8]) -> Result<()> {
        check_link_target(target).map_err(|why| Error::refused(MAKE, name, why))?;
        let (parent, last) = self.place(name)?;
        rustix::fs::symlinkat(OsStr::from_bytes(target), &parent, OsStr::from_bytes(last))
            .doing(MAKE, || name)?;
        self.set_at(&parent, last, attributes).doing(MAKE, || name)
    }

    fn hard_link(&mut self, name: &Name, existing: &Name) -> Result<()> {
        let refused = |why: String| Err(Error::refused(MAKE, name, why));
        if name == existing {
            return refused("a hard link to itself".into());
        }
        let Some((directory, original)) = existing.split() else {
            return refused("a hard link to the root".into());
        };
        match self.root.stat(existing) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {
                return refused(format!("a hard link to {existing}, which is a directory"));
            }
            Ok(_) => {}
            Err(Errno::NOENT) => return refused(format!("a hard link to {existing}, which is not there")),
            Err(errno) => return Err(Error::new(MAKE, name, on_the_way(errno))),
        }
        let directory =
            self.open_parent(&directory).map_err(|errno| Error::new(MAKE, name, on_the_way(errno)))?;
        let (parent, last) = self.place(name)?;
        rustix::fs::linkat(
            directory,
            OsStr::from_bytes(original),
            parent,
            OsStr::from_bytes(last),
            AtFlags::empty(),
        )
        .doing(MAKE, || name)
    }

    fn special(&mut self, name: &Name, attributes: &Attributes, special: Special) -> Result<()> {
        let file_type = match special {
            Special::CharDevice(_) => FileType::CharacterDevice,
            Special::BlockDevice(_) => FileType::BlockDevice,
            Special::Fifo => FileType::Fifo,
            Special::Socket => FileType::Socket,
        };
        let Device { major, minor } = special.device().unwrap_or(Device { major: 0, minor: 0 });
        let (parent, last) = self.place(name)?;
        let number = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(&parent, OsStr::from_bytes(last), file_type, Mode::RUSR, number)
            .doing(MAKE, || name)?;
        self.set_at(&parent, last, attributes).doing(MAKE, || name)
    }

    fn takes_devices(&self) -> bool {
        self.privileged
    }

    fn make_way(&mut self, name: &Name, for_directory: bool) -> Result<()> {
        match self.root.stat(name) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() != for_directory => self.remove(name),
            // What else is wrong with the name shows when the entry is made.
            _ => Ok(()),
        }
    }

    fn whiteout(&mut self, name: &Name) -> Result<()> {
        if self.lower.is_none() {
            return self.remove(name);
        }
        // Where there is nothing to delete, overlayfs would show the whiteout itself.
        let blocked = matches!(self.root.stat(name), Err(Errno::LOOP | Errno::NOTDIR));
        if blocked || !matches!(self.shown_below(name)?, Shown::Stat(_)) {
            return Ok(());
        }
        let (parent, last) = self.place(name)?;
        rustix::fs::mknodat(&parent, OsStr::from_bytes(last), FileType::CharacterDevice, Mode::empty(), 0)
            .doing("write down the deletion of", || name)
    }

    fn opaque(&mut self, name: &Name, written: &BTreeSet<Name>) -> Result<()> {
        if let Some(layers) = &self.lower {
            let mut lower = Vec::new();
            if name.is_root() {
                for layer in &layers.0 {
                    lower.extend(names_in(layer, name).doing(EMPTY, || name)?);
                }
            }
            return self.write_opaque(name, written, lower);
        }
        let mut pending = match self.root.stat(name) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => vec![name.clone()],
            Ok(_) | Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(Error::new(EMPTY, name, errno)),
        };
        while let Some(directory) = pending.pop() {
            for inner in names_in(&self.root, &directory).doing(EMPTY, || &directory)? {
                if !written.contains(&inner) {
                    self.remove(&inner)?;
                } else if self.is_directory(&inner)? {
                    pending.push(inner);
                }
            }
        }
        Ok(())
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}

fn unkept(name: &[u8], errno: Errno) -> io::Error {
    let reason = io::Error::from(errno);
    io::Error::new(reason.kind(), format!("set its attribute {}: {reason}", crate::name::printable(name)))
}

fn clash<T>(name: &Name, why: &str) -> Result<T> {
    Err(Error::refused(MAKE, name, why))
}

/// What a failure to open a parent means.
fn on_the_way(errno: Errno) -> Reason {
    match errno {
        Errno::LOOP | Errno::NOTDIR => Reason::on_the_way(),
        errno => errno.into(),
    }
}

fn timestamps(mtime: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// In a directory that folds case, `Init` and `init` would be one file.
fn refuse_case_folding(root: &Root, path: &Path) -> Result<()> {
    // FS_CASEFOLD_FL (linux/fs.h). A file system without flags does not fold.
    const CASEFOLD: u32 = 0x4000_0000;
    match rustix::fs::ioctl_getflags(root) {
        Ok(flags) if flags.bits() & CASEFOLD != 0 => Err(Error::refused(
            MAKE,
            path.display(),
            "names that differ only in case would become one here (the directory has the casefold flag)",
        )),
        _ => Ok(()),
    }
}
