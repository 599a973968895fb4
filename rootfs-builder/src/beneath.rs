//! Opens paths below a directory so that no symbolic link is ever followed and nothing outside is reached.
//!
//! The kernel does the work (`openat2(2)` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`). Where a filter or an old
//! kernel refuses that call, a walk of one `O_NOFOLLOW` open per component gives the same answer.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::name::Name;

/// A directory, held open, whose inside is not trusted.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    by_kernel: bool,
}

impl Root {
    /// Opens the directory `path`; links in `path` itself are followed, for the user wrote it.
    pub fn open(path: &Path) -> Result<Root, Errno> {
        Root::from_fd(rustix::fs::openat(
            CWD,
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// Takes an open directory.
    pub fn from_fd(fd: OwnedFd) -> Result<Root, Errno> {
        let probe =
            rustix::fs::openat2(&fd, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), Root::RESOLVE);
        let by_kernel = match probe {
            Ok(_) => true,
            Err(Errno::NOSYS | Errno::PERM) => false,
            Err(errno) => return Err(errno),
        };
        Ok(Root { fd, by_kernel })
    }

    const RESOLVE: ResolveFlags =
        ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

    /// Opens `name`. A symbolic link anywhere in it, the last component included, fails with `ELOOP` (or, in the
    /// fallback, `ENOTDIR` for one on the way).
    pub fn open_at(&self, name: &Name, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if self.by_kernel {
            return rustix::fs::openat2(
                &self.fd,
                OsStr::from_bytes(name.as_relative()),
                flags,
                mode,
                Root::RESOLVE,
            );
        }
        self.walk(name, flags, mode)
    }

    fn walk(&self, name: &Name, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let Some((parent, last)) = name.split() else {
            return rustix::fs::openat(&self.fd, ".", flags, mode);
        };
        let mut directory: Option<OwnedFd> = None;
        for part in parent.components() {
            let from = directory.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
            directory = Some(rustix::fs::openat(
                from,
                OsStr::from_bytes(part),
                OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?);
        }
        let from = directory.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
        rustix::fs::openat(from, OsStr::from_bytes(last), flags, mode)
    }

    /// Opens the directory `name` for reading its entries and as a base for `*at` calls.
    pub fn open_directory(&self, name: &Name) -> Result<OwnedFd, Errno> {
        self.open_at(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// Opens the regular file `name` for reading; anything else is `EINVAL`, and no device is ever opened in a way
    /// that waits.
    pub fn open_file(&self, name: &Name) -> Result<File, Errno> {
        let fd = self.open_at(name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(Errno::INVAL);
        }
        Ok(File::from(fd))
    }

    /// Target of the symbolic link `name`.
    pub fn read_link(&self, name: &Name) -> Result<Vec<u8>, Errno> {
        let link = self.open_at(name, OFlags::PATH, Mode::empty())?;
        Ok(rustix::fs::readlinkat(link, "", Vec::new())?.into_bytes())
    }

    /// Metadata of `name` itself, of the link if it is one.
    pub fn stat(&self, name: &Name) -> Result<rustix::fs::Stat, Errno> {
        match name.split() {
            None => rustix::fs::fstat(&self.fd),
            Some((parent, last)) => {
                let directory = self.open_at(&parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
                rustix::fs::statat(directory, OsStr::from_bytes(last), AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn name(path: &str) -> Name {
        Name::parse(path.as_bytes()).unwrap()
    }

    #[test]
    fn links_are_not_followed_by_kernel_nor_by_walk() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/sub")).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::fs::write(dir.path().join("root/sub/file"), "f").unwrap();
        symlink("../..", dir.path().join("root/sub/out")).unwrap();
        symlink("sub", dir.path().join("root/inside")).unwrap();
        let mut root = Root::open(&dir.path().join("root")).unwrap();
        for by_kernel in [root.by_kernel, false] {
            root.by_kernel = by_kernel;
            assert!(root.open_file(&name("sub/file")).is_ok());
            for hostile in ["sub/out/secret", "inside/file", "inside"] {
                let errno = root.open_file(&name(hostile)).unwrap_err();
                assert!(matches!(errno, Errno::LOOP | Errno::NOTDIR), "{hostile}: {errno:?}");
            }
            assert_eq!(root.open_file(&name("sub")).unwrap_err(), Errno::INVAL);
            assert!(root.open_directory(&Name::ROOT).is_ok());
        }
    }
}
