//! Where a regular file's bytes are.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::beneath::Root;
use crate::name::Name;

/// Where a regular file's bytes are, and how many.
#[derive(Clone, Debug)]
pub enum Content {
    /// Here.
    Bytes(Arc<[u8]>),
    /// In a file on this machine, its size as seen when it was added.
    Host {
        /// Where.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
    /// In a directory whose inside is not trusted, its size as seen when it was added.
    Beneath {
        /// The directory.
        root: Arc<Root>,
        /// The file's name in it.
        name: Name,
        /// Bytes.
        size: u64,
    },
    /// In a temporary file that the tree owns.
    Spooled(Spooled),
}

impl Content {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Host { size, .. } | Content::Beneath { size, .. } => *size,
            Content::Spooled(spooled) => spooled.size,
        }
    }

    /// Opens the bytes. Reading fails when they turn out to be more or fewer than [`Content::size`], as of a file
    /// that was changed meanwhile: a sink has written the size already.
    pub fn open(&self) -> io::Result<impl Read + '_> {
        let data: Box<dyn Read + '_> = match self {
            Content::Bytes(bytes) => Box::new(&bytes[..]),
            Content::Host { path, .. } => Box::new(File::open(path)?),
            Content::Beneath { root, name, .. } => Box::new(root.open_file(name)?),
            Content::Spooled(spooled) => Box::new(spooled.clone()),
        };
        Ok(Exactly { data, left: self.size() })
    }
}

struct Exactly<R> {
    data: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.data.read(buffer)?;
        self.left = match self.left.checked_sub(count as u64) {
            Some(left) if count > 0 || left == 0 || buffer.is_empty() => left,
            _ => return Err(io::Error::other("its size changed while it was read")),
        };
        Ok(count)
    }
}

/// An unnamed temporary file that takes what streams yield.
#[derive(Debug)]
pub(super) struct Spool(File);

/// A part of a spool, and how far it was read.
#[derive(Clone, Debug)]
pub struct Spooled {
    spool: Arc<Spool>,
    offset: u64,
    size: u64,
}

impl Spool {
    pub(super) fn new() -> io::Result<Spool> {
        Ok(Spool(tempfile::tempfile()?))
    }

    pub(super) fn add(self: Arc<Self>, data: &mut dyn Read) -> io::Result<Content> {
        let mut file = &self.0;
        let offset = file.seek(SeekFrom::End(0))?;
        let size = io::copy(data, &mut file)?;
        Ok(Content::Spooled(Spooled { spool: self, offset, size }))
    }
}

impl Read for Spooled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = buffer.len().min(usize::try_from(self.size).unwrap_or(usize::MAX));
        let count = self.spool.0.read_at(buffer.get_mut(..end).unwrap_or_default(), self.offset)?;
        self.offset += count as u64;
        self.size -= count as u64;
        Ok(count)
    }
}
