//! A directory under a temporary name until it is complete.

use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Doing, Error, Result};
use crate::remove::remove_tree;

const MAKE: &str = "make";

/// How temporary names begin.
const PREFIX: &str = ".partial-";

/// A directory beside its final place, 0700, removed when dropped before it was renamed. Its owner holds a lock on
/// it, by which a leftover of a killed process is told from one in use.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    _lock: OwnedFd,
    renamed: bool,
}

impl Partial {
    /// Makes one for `target`, which must not be there yet or be an empty directory.
    pub fn beside(target: &Path) -> Result<Partial> {
        match std::fs::read_dir(target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Error::refused(MAKE, target.display(), "it is there and not empty"));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::new(MAKE, target.display(), error)),
        }
        match target.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Partial::within(Path::new(".")),
            Some(parent) => Partial::within(parent),
            None => Err(Error::refused(MAKE, target.display(), "it has no parent directory")),
        }
    }

    /// Makes one in the directory `parent`.
    pub fn within(parent: &Path) -> Result<Partial> {
        let made = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .doing("make a directory in", || parent.display())?;
        let lock = lock(made.path()).doing("lock", || made.path().display())?;
        Ok(Partial { path: made.keep(), _lock: lock, renamed: false })
    }

    /// Where it is now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its final name.
    pub fn rename_to(mut self, target: &Path) -> Result<()> {
        std::fs::rename(&self.path, target).doing(MAKE, || target.display())?;
        self.renamed = true;
        Ok(())
    }

    /// Removes what killed processes left in `parent`. The caller sees to it that nobody makes one meanwhile.
    pub fn sweep(parent: &Path) -> Result<()> {
        for entry in std::fs::read_dir(parent).doing("clean", || parent.display())? {
            let entry = entry.doing("clean", || parent.display())?;
            if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                continue;
            }
            match lock(&entry.path()) {
                Ok(_lock) => remove_tree(&entry.path())?,
                Err(Errno::WOULDBLOCK | Errno::NOENT) => {}
                Err(errno) => return Err(Error::new("clean", entry.path().display(), errno)),
            }
        }
        Ok(())
    }
}

fn lock(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
    Ok(fd)
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.renamed {
            remove_best_effort(&self.path);
        }
    }
}

/// Something failed already and that is what the caller hears of; what cannot be removed keeps a name by which
/// [`Partial::sweep`] knows it.
fn remove_best_effort(path: &Path) {
    drop(remove_tree(path));
}
