//! Sink: a root file system being built as a directory of this machine.
//!
//! Every entry is made relative to an open descriptor of its parent, which [`beneath`](crate::beneath) opened
//! without following a link: what a hostile archive puts into the tree can therefore never lead out of it. The
//! directory must belong to this build alone until [`Directory::finish`]; directories get their modes and times
//! only there, so that a read-only one can be filled.
//!
//! As root, owners, modes, times and extended attributes are kept. Otherwise files are the caller's own, without the
//! set-user-id and set-group-id bits that would lend the caller's rights to others, and only `user.`
//! attributes are kept.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::beneath::Root;
use crate::error::{Doing, Error, Reason, Result};
use crate::meta::{Attributes, Device, Timestamp};
use crate::name::{Name, PATH_MAX};

const MAKE: &str = "make";

/// Something that is neither a directory nor a regular file nor a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
}

/// A directory being filled.
#[derive(Debug)]
pub struct Directory {
    root: Root,
    /// Attributes that directories get at the end.
    directories: BTreeMap<Name, Attributes>,
    privileged: bool,
    dropped_xattrs: u64,
}

impl Directory {
    /// Fills the existing directory `path`.
    pub fn open(path: &Path) -> Result<Directory> {
        let root = Root::open(path).doing(MAKE, || path.display())?;
        refuse_case_folding(&root, path)?;
        let directories = BTreeMap::from([(Name::ROOT, Attributes::DIRECTORY)]);
        let privileged = rustix::process::geteuid().is_root();
        Ok(Directory { root, directories, privileged, dropped_xattrs: 0 })
    }

    /// Whether owners and devices can be made.
    pub fn is_privileged(&self) -> bool {
        self.privileged
    }

    /// Makes a directory, or gives the one that is there these attributes. One made for the sake of what is in it
    /// is root's, 0755.
    pub fn directory(&mut self, name: &Name, attributes: &Attributes) -> Result<()> {
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

    /// Makes a regular file of everything `data` yields and returns its size.
    pub fn file(&mut self, name: &Name, attributes: &Attributes, mut data: impl Read) -> Result<u64> {
        let (parent, last) = self.place(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(
            rustix::fs::openat(&parent, OsStr::from_bytes(last), flags, Mode::RUSR | Mode::WUSR)
                .doing(MAKE, || name)?,
        );
        let size = io::copy(&mut data, &mut file).doing(MAKE, || name)?;
        self.apply(file.as_fd(), attributes).doing(MAKE, || name)?;
        Ok(size)
    }

    /// Makes a symbolic link. Its target is not looked at.
    pub fn symlink(&mut self, name: &Name, attributes: &Attributes, target: &[u8]) -> Result<()> {
        if target.is_empty() || target.len() > PATH_MAX || target.contains(&0) {
            return Err(Error::refused(MAKE, name, "a link target that is empty, too long or holds NUL"));
        }
        let (parent, last) = self.place(name)?;
        rustix::fs::symlinkat(OsStr::from_bytes(target), &parent, OsStr::from_bytes(last))
            .doing(MAKE, || name)?;
        self.apply_at(&parent, last, attributes).doing(MAKE, || name)
    }

    /// Makes a further name for `existing`, which must be in this tree already and no directory.
    pub fn hard_link(&mut self, name: &Name, existing: &Name) -> Result<()> {
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

    /// Makes a device node or named pipe.
    pub fn special(&mut self, name: &Name, attributes: &Attributes, special: Special) -> Result<()> {
        let (file_type, device) = match special {
            Special::CharDevice(device) => (FileType::CharacterDevice, device),
            Special::BlockDevice(device) => (FileType::BlockDevice, device),
            Special::Fifo => (FileType::Fifo, Device { major: 0, minor: 0 }),
        };
        let (parent, last) = self.place(name)?;
        let number = rustix::fs::makedev(device.major, device.minor);
        rustix::fs::mknodat(&parent, OsStr::from_bytes(last), file_type, Mode::RUSR, number)
            .doing(MAKE, || name)?;
        self.apply_at(&parent, last, attributes).doing(MAKE, || name)
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
                self.directory(&directory, &Attributes::DIRECTORY)?;
            }
        }
        let fd = self.open_parent(&parent).map_err(|errno| Error::new(MAKE, name, on_the_way(errno)))?;
        Ok(Some((fd, last)))
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

    fn apply(&mut self, fd: impl AsFd, attributes: &Attributes) -> io::Result<()> {
        self.dropped_xattrs += self.set(fd, attributes)?;
        Ok(())
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
    fn apply_at(&mut self, parent: &OwnedFd, last: &[u8], attributes: &Attributes) -> io::Result<()> {
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

    /// Which attributes travel with a file. Labels of another machine's security modules and `trusted.` data mean
    /// nothing here; overlayfs's own would steer a mount of this tree, so they are refused.
    fn keeps(&self, name: &[u8]) -> io::Result<bool> {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            let name = crate::name::printable(name);
            return Err(io::Error::other(format!("sets {name}, which would steer an overlay mount")));
        }
        let privileged =
            matches!(name, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default");
        Ok(name.starts_with(b"user.") || (privileged && self.privileged))
    }
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
        Errno::LOOP | Errno::NOTDIR => {
            Reason::Refused("its path leads through a symbolic link or a file".into())
        }
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
