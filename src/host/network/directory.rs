//! The directory of what containers share, and its lock.

use super::joined;
use crate::error::{Result, Stage};
use crate::host::lease;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, mkdirat, openat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

/// Longest name of a file: a bridge's, `.hosts.` and an id.
const NAME_CAPACITY: usize = 15 + 7 + 128;
type Name = heapless::Vec<u8, NAME_CAPACITY>;
/// Room for what one look at the directory gives.
const LISTING_CAPACITY: usize = 2048;

/// The directory, locked as long as this lives.
pub(super) struct Directory {
    fd: OwnedFd,
    lock: OwnedFd,
}

const STAGE: &str = "use the network directory";

impl Directory {
    /// Makes the directory at `path` unless it is there, and waits for its lock.
    pub(super) fn lock(path: &CStr) -> Result<Self> {
        match mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).stage_on(STAGE, path.to_bytes()),
        }
        Self::lock_existing(path)
    }

    /// Waits for the lock of the directory at `path`, which must be there.
    pub(super) fn lock_existing(path: &CStr) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).stage_on(STAGE, path.to_bytes())?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = openat(&fd, c"lock", flags, Mode::RUSR | Mode::WUSR).stage_on(STAGE, b"lock")?;
        lease::lock(&lock).stage_on("lock", path.to_bytes())?;
        Ok(Self { fd, lock })
    }

    /// Opens the file whose name is these parts, making it when it is missing.
    pub(super) fn open(&self, name: &[&[u8]]) -> Result<OwnedFd> {
        let name: Name = joined(name)?;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        openat(&self.fd, name.as_slice(), flags, mode).stage_on(STAGE, &name)
    }

    /// Opens the file whose name is these parts, if it is there.
    pub(super) fn open_existing(&self, name: &[&[u8]]) -> Result<Option<OwnedFd>> {
        let name: Name = joined(name)?;
        match openat(&self.fd, name.as_slice(), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            opened => opened.map(Some).stage_on(STAGE, &name),
        }
    }

    /// Makes a second name for the first one's file.
    pub(super) fn link(&self, old: &[&[u8]], new: &[&[u8]]) -> Result<()> {
        let (old, new): (Name, Name) = (joined(old)?, joined(new)?);
        let made = rustix::fs::linkat(&self.fd, old.as_slice(), &self.fd, new.as_slice(), AtFlags::empty());
        made.stage_on(STAGE, &new)
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn remove(&self, name: &[&[u8]]) -> Result<()> {
        let name: Name = joined(name)?;
        match unlinkat(&self.fd, name.as_slice(), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed.stage_on(STAGE, &name),
        }
    }

    /// Shows the name of every file. Files may come and go meanwhile.
    pub(super) fn each(&self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        // Descriptors of a directory remember where they are: a look needs one of its own.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        each_name(openat(&self.fd, c".", flags, Mode::empty()).stage(STAGE)?, see)
    }

    /// What is noted in the lock file: letters of [`super::forward`].
    pub(super) fn notes(&self, buffer: &mut [u8; 8]) -> Result<usize> {
        retry_on_intr(|| rustix::io::pread(&self.lock, &mut buffer[..], 0)).stage(STAGE)
    }

    /// Notes one letter more, at `place`.
    pub(super) fn note(&self, letter: u8, place: usize) -> Result<()> {
        retry_on_intr(|| rustix::io::pwrite(&self.lock, &[letter], place as u64)).stage(STAGE).map(drop)
    }

    /// Forgets what was noted.
    pub(super) fn forget(&self) -> Result<()> {
        rustix::fs::ftruncate(&self.lock, 0).stage(STAGE)
    }
}

/// Shows the name of everything in a directory just opened, `.` and `..` too.
pub(super) fn each_name(directory: OwnedFd, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = [MaybeUninit::uninit(); LISTING_CAPACITY];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.stage("look into a directory")?;
        see(entry.file_name().to_bytes())?;
    }
    Ok(())
}

impl Drop for Directory {
    fn drop(&mut self) {
        lease::unlock(&self.lock);
    }
}
