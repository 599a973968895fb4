//! Volumes: directories with a name of their own that outlast the containers that they are shown in. Layout:
//! `volumes/NAME` below the data directory.
//!
//! Whoever runs a container with a volume holds a shared lock of its directory (flock(2)), so that it is not removed
//! meanwhile; containers that have ended name theirs in their records.

use super::container::from_errno;
use super::{Record, Store, layer};
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, stat};
use rustix::io::Errno;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The key of a volume's name in the record of a container that has it.
pub(crate) const VOLUME: &str = "volume";

/// A directory with a lock of this kind, if nobody's else stands against it.
///
/// # Errors
/// `NOENT` when there is none, `WOULDBLOCK` when it is locked, `STALE` when it was removed or replaced between opening
/// and locking.
pub(crate) fn lock(path: &Path, kind: FlockOperation) -> rustix::io::Result<OwnedFd> {
    let path = path.as_os_str().as_bytes();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = open(path, flags, Mode::empty())?;
    flock(&held, kind)?;
    let (own, named) = (fstat(&held)?, stat(path));
    let same = named.is_ok_and(|named| (own.st_dev, own.st_ino) == (named.st_dev, named.st_ino));
    if same { Ok(held) } else { Err(Errno::STALE) }
}

impl Store {
    /// Where volumes are.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// The names of all volumes.
    ///
    /// # Errors
    /// Those of reading the directory.
    pub(crate) fn volume_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        match fs::read_dir(self.volumes()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            entries => {
                for entry in entries? {
                    names.extend(entry?.file_name().into_string());
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Makes a volume unless it is there, and keeps it from being removed as long as the answer is open.
    ///
    /// # Errors
    /// `WOULDBLOCK` when it is being removed, and those of making it.
    pub(crate) fn hold_volume(&self, name: &str) -> io::Result<OwnedFd> {
        let path = self.volumes().join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(self.volumes())?;
        match DirBuilder::new().mode(0o755).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made?,
        }
        lock(&path, FlockOperation::NonBlockingLockShared).map_err(from_errno)
    }

    /// Removes a volume with all in it.
    ///
    /// # Errors
    /// `NOENT` when there is none, `WOULDBLOCK` when a container runs with it, and those of removing.
    pub(crate) fn remove_volume(&self, name: &str) -> io::Result<()> {
        let path = self.volumes().join(name);
        let _held = lock(&path, FlockOperation::NonBlockingLockExclusive).map_err(from_errno)?;
        layer::remove(&path)
    }
}

impl Record {
    /// Whether the container has this volume.
    pub(crate) fn has_volume(&self, name: &str) -> bool {
        self.all(VOLUME).any(|value| value == name.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_held_stays() {
        let folder = std::env::temp_dir().join(["pipkin-volume-", &std::process::id().to_string()].concat());
        let store = Store::below(&folder);
        assert_eq!(store.volume_names().unwrap(), [""; 0]);
        let held = ["b", "a"].map(|name| store.hold_volume(name).unwrap());
        let again = store.hold_volume("a").unwrap();
        assert_eq!(store.volume_names().unwrap(), ["a", "b"]);
        let kind = |done: io::Result<()>| done.unwrap_err().kind();
        assert_eq!(kind(store.remove_volume("a")), ErrorKind::WouldBlock);
        drop(held);
        assert_eq!(kind(store.remove_volume("a")), ErrorKind::WouldBlock);
        drop(again);
        fs::write(store.volumes().join("a/file"), "x").unwrap();
        store.remove_volume("a").unwrap();
        assert_eq!(kind(store.remove_volume("a")), ErrorKind::NotFound);
        assert_eq!(store.volume_names().unwrap(), ["b"]);
        fs::remove_dir_all(folder).unwrap();
    }
}
