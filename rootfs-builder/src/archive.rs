//! Reads a tar archive entry by entry: POSIX ustar and pax, and GNU's long names (POSIX.1-2017 pax(1), tar(5)).
//!
//! Stricter than most readers, because readers that disagree about one archive are how contents get past a check: a
//! bad checksum, a size on something that has no bytes, a second long name, a global pax header that changes
//! names are refused. Sparse files are refused rather than unpacked as something else. What a name may be is
//! not decided here.

mod pax;

use std::io::{self, Read};

use tar::{EntryType, Header};

use crate::error::{Doing, Error, Result};
use crate::meta::{Attributes, Device, Meta, Special, Timestamp};
use crate::name::printable;
use pax::Pax;

const BLOCK_SIZE: u64 = 512;
/// A long name is at most `PATH_MAX`, and Linux holds at most 64 KiB of extended attributes for most files.
const EXTENSION_SIZE_MAX: u64 = 1 << 20;

pub(crate) const READ: &str = "read the archive at";

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file; its bytes are next in the archive.
    File,
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A further name for an earlier entry: this one.
    HardLink(Vec<u8>),
    /// A device or a named pipe.
    Special(Special),
}

/// One entry, as the archive alleges it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its path, unchecked, never empty.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Owner, mode, time and extended attributes.
    pub attributes: Attributes,
    /// Bytes of a regular file, else 0.
    pub size: u64,
}

/// An archive being read.
#[derive(Debug)]
pub struct Archive<R> {
    input: R,
    /// Bytes of the current entry that nobody has read yet, and the padding after them.
    data_left: u64,
    padding: u64,
    ended: bool,
}

/// Long name, long link and pax records collected for the next entry.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

impl<R: Read> Archive<R> {
    /// Reads from `input`, which is no longer compressed.
    pub fn new(input: R) -> Archive<R> {
        Archive { input, data_left: 0, padding: 0, ended: false }
    }

    /// The next entry, or `None` after the last. Bytes of the entry before that were not read are skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let path = header.path_bytes().into_owned();
            let size = header.entry_size().doing(READ, || printable(&path))?;
            let kind = header.entry_type();
            let refused = |why: &str| Err(Error::refused(READ, printable(&path), why));
            match kind {
                EntryType::GNULongName if extensions.path.is_some() => return refused("a second long name"),
                EntryType::GNULongName => extensions.path = Some(self.text(&path, size)?),
                EntryType::GNULongLink if extensions.link.is_some() => return refused("a second long link"),
                EntryType::GNULongLink => extensions.link = Some(self.text(&path, size)?),
                EntryType::XHeader if extensions.pax.is_some() => return refused("a second pax header"),
                EntryType::XHeader => {
                    let records = self.extension(&path, size)?;
                    extensions.pax = Some(Pax::parse(&records).doing(READ, || printable(&path))?);
                }
                EntryType::XGlobalHeader => {
                    let records = self.extension(&path, size)?;
                    Pax::parse_global(&records).doing(READ, || printable(&path))?;
                }
                _ => return self.entry(&header, path, size, extensions).map(Some),
            }
        }
    }

    /// The bytes of the current entry.
    pub fn data(&mut self) -> impl Read + '_ {
        Data { archive: self }
    }

    /// Reads on to the end of the input, behind the archive's own end, so that the decoder below sees the whole
    /// stream and can tell that it was truncated or damaged.
    pub fn drain(mut self) -> io::Result<R> {
        io::copy(&mut self.input, &mut io::sink())?;
        Ok(self.input)
    }

    /// The next header; `None` at the archive's end marker.
    fn header(&mut self) -> Result<Option<Header>> {
        if self.ended {
            return Ok(None);
        }
        let skip = self.data_left + self.padding;
        let skipped = io::copy(&mut (&mut self.input).take(skip), &mut io::sink());
        if skipped.doing(READ, || "an entry's data")? != skip {
            return Err(Error::refused(READ, "an entry's data", "the archive is truncated"));
        }
        (self.data_left, self.padding) = (0, 0);
        let mut header = Header::new_old();
        self.input.read_exact(header.as_mut_bytes()).map_err(truncated).doing(READ, || "a header")?;
        if header.as_bytes().iter().all(|&byte| byte == 0) {
            self.ended = true;
            return Ok(None);
        }
        let path = printable(&header.path_bytes());
        if header.cksum().ok() != Some(checksum(&header)) {
            return Err(Error::refused(
                READ,
                path,
                "the header's checksum is wrong: damaged, or no tar archive",
            ));
        }
        Ok(Some(header))
    }

    fn extension(&mut self, path: &[u8], size: u64) -> Result<Vec<u8>> {
        if size > EXTENSION_SIZE_MAX {
            return Err(Error::refused(READ, printable(path), format!("an extension of {size} bytes")));
        }
        self.expect_data(size);
        let mut bytes = Vec::new();
        self.data().read_to_end(&mut bytes).doing(READ, || printable(path))?;
        Ok(bytes)
    }

    /// GNU's long name or link: ends at the first NUL.
    fn text(&mut self, path: &[u8], size: u64) -> Result<Vec<u8>> {
        let mut bytes = self.extension(path, size)?;
        if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
            bytes.truncate(end);
        }
        Ok(bytes)
    }

    fn expect_data(&mut self, size: u64) {
        self.data_left = size;
        self.padding = size.wrapping_neg() % BLOCK_SIZE;
    }

    fn entry(&mut self, header: &Header, path: Vec<u8>, size: u64, extensions: Extensions) -> Result<Entry> {
        let pax = extensions.pax.unwrap_or_default();
        let path = pax.path.or(extensions.path).unwrap_or(path);
        let subject = printable(&path);
        let refused = |why: String| Err(Error::refused(READ, &subject, why));
        let link = || -> Vec<u8> {
            let short = || header.link_name_bytes().unwrap_or_default().into_owned();
            pax.link.clone().or_else(|| extensions.link.clone()).unwrap_or_else(short)
        };
        if path.is_empty() {
            return refused("an entry without a name".into());
        }
        let size = pax.size.unwrap_or(size);
        let slash = path.ends_with(b"/");
        let kind = match header.entry_type() {
            EntryType::Directory => EntryKind::Directory,
            // Before ustar a directory was a regular file whose name ends with a slash.
            EntryType::Regular if header.as_bytes().get(156) == Some(&0) && slash => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous if slash => {
                return refused("a regular file whose name ends with a slash".into());
            }
            EntryType::Regular | EntryType::Continuous => EntryKind::File,
            EntryType::Symlink => EntryKind::Symlink(link()),
            EntryType::Link => EntryKind::HardLink(link()),
            EntryType::Char => {
                EntryKind::Special(Special::CharDevice(device(header).doing(READ, || &subject)?))
            }
            EntryType::Block => {
                EntryKind::Special(Special::BlockDevice(device(header).doing(READ, || &subject)?))
            }
            EntryType::Fifo => EntryKind::Special(Special::Fifo),
            EntryType::GNUSparse => return refused("sparse files are not supported".into()),
            other => {
                let letter = printable(&[other.as_byte()]);
                return refused(format!("entries of type '{letter}' are not supported"));
            }
        };
        if size != 0 && kind != EntryKind::File {
            return refused(format!("{size} bytes of data for what is no regular file"));
        }
        self.expect_data(size);
        let meta = Meta {
            mode: header.mode().doing(READ, || &subject)? & 0o7777,
            uid: owner(pax.uid, header.uid()).doing(READ, || &subject)?,
            gid: owner(pax.gid, header.gid()).doing(READ, || &subject)?,
        };
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => Timestamp::from_seconds(header.mtime().doing(READ, || &subject)?.cast_signed()),
        };
        Ok(Entry { path, kind, attributes: Attributes { meta, mtime, xattrs: pax.xattrs }, size })
    }
}

fn owner(pax: Option<u32>, header: io::Result<u64>) -> io::Result<u32> {
    match pax {
        Some(id) => Ok(id),
        None => id(header?),
    }
}

/// A user or group number; the last one means "leave it" to chown(2).
fn id(number: u64) -> io::Result<u32> {
    u32::try_from(number)
        .ok()
        .filter(|&id| id != u32::MAX)
        .ok_or_else(|| io::Error::other(format!("{number} is no user or group number")))
}

fn device(header: &Header) -> io::Result<Device> {
    // The kernel's dev_t: twelve bits and twenty (include/linux/kdev_t.h).
    let bad = || io::Error::other("no device numbers that the kernel knows");
    Ok(Device {
        major: header.device_major()?.filter(|&major| major < 1 << 12).ok_or_else(bad)?,
        minor: header.device_minor()?.filter(|&minor| minor < 1 << 20).ok_or_else(bad)?,
    })
}

/// The sum of the header's bytes with the checksum's own eight taken as spaces.
fn checksum(header: &Header) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let (before, rest) = header.as_bytes().split_at(148);
    let after = rest.get(8..).unwrap_or_default();
    sum(before) + 8 * u32::from(b' ') + sum(after)
}

fn truncated(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof && error.get_ref().is_none() {
        return io::Error::other("ends without its end marker: truncated?");
    }
    error
}

struct Data<'a, R> {
    archive: &'a mut Archive<R>,
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.archive.data_left).unwrap_or(usize::MAX);
        let end = buffer.len().min(left);
        let Some(part) = buffer.get_mut(..end).filter(|part| !part.is_empty()) else {
            return Ok(0);
        };
        let count = self.archive.input.read(part)?;
        if count == 0 {
            return Err(io::Error::other("the archive is truncated"));
        }
        self.archive.data_left -= count as u64;
        Ok(count)
    }
}
