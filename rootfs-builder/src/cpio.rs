//! Writes an initramfs: a cpio archive in the `newc` format, as the kernel unpacks it
//! (Documentation/driver-api/early-userspace/buffer-format.rst; `init/initramfs.c`).
//!
//! The same tree and time give the same bytes: names are in order, inode numbers count from 1, device numbers are
//! 0, every time is the one given. Hard links share an inode number and the bytes stand with the last name, as
//! readers expect. Extended attributes have no place in this format. Compression is the caller's: wrap the `Write`.

use std::collections::HashMap;
use std::io::{self, Write};

use rustix::fs::FileType;

use crate::error::{Doing, Error, Result};
use crate::meta::{Device, Special};
use crate::name::Name;
use crate::tree::{Content, Kind, Node, NodeId, Tree};

const MAGIC: &[u8; 6] = b"070701";
/// The name that ends an archive; no file at the top may be called so.
const TRAILER: &[u8] = b"TRAILER!!!";
/// The archive is filled with zeros to a multiple of this, as other writers do.
const BLOCK_SIZE: u64 = 512;

const WRITE: &str = "write to the initramfs";

/// Time for every entry, in seconds since 1970: `SOURCE_DATE_EPOCH`, or 0 when it is not set.
pub fn source_date_epoch() -> Result<u32> {
    Ok(crate::meta::source_date_epoch()?.unwrap_or(0))
}

/// Writes the whole tree, trailer included, and returns the archive's size in bytes.
///
/// Fails when a file's bytes cannot be read or are no longer as many as when it was added, and for what the format
/// cannot hold: a file of 4 GiB or more, a file at the top called `TRAILER!!!`.
pub fn write(tree: &Tree, mtime: u32, out: impl Write) -> Result<u64> {
    let mut names_left: HashMap<NodeId, u32> = HashMap::new();
    for (_, id, _) in tree.iter() {
        *names_left.entry(id).or_default() += 1;
    }
    let link_counts = names_left.clone();
    let mut inodes: HashMap<NodeId, u32> = HashMap::new();
    let mut archive = Archive { out, offset: 0 };
    for (name, id, node) in tree.iter() {
        if name.as_bytes() == TRAILER {
            return Err(Error::refused(WRITE, name, "the format ends at this name"));
        }
        let next = u32::try_from(inodes.len() + 1)
            .map_err(|_| Error::refused(WRITE, name, "more files than the format can number"))?;
        let inode = *inodes.entry(id).or_insert(next);
        let left = names_left.entry(id).and_modify(|left| *left -= 1).or_default();
        let links = link_counts.get(&id).copied().unwrap_or(1);
        let mut header = header_of(node, inode, mtime, links);
        match &node.kind {
            Kind::File(content) if *left == 0 => archive.file(&mut header, name, content)?,
            Kind::Symlink(target) => archive.symlink(&mut header, name, target)?,
            _ => archive.header(&header, name.as_relative()).doing(WRITE, || name)?,
        }
    }
    archive.finish().doing(WRITE, || "its end")
}

/// The numbers of an entry, in the order the format has them.
#[derive(Default)]
struct Header {
    inode: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    mtime: u32,
    size: u32,
    device: Option<Device>,
}

fn header_of(node: &Node, inode: u32, mtime: u32, links: u32) -> Header {
    let file_type = match &node.kind {
        Kind::Directory => FileType::Directory,
        Kind::File(_) => FileType::RegularFile,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::Special(Special::CharDevice(_)) => FileType::CharacterDevice,
        Kind::Special(Special::BlockDevice(_)) => FileType::BlockDevice,
        Kind::Special(Special::Fifo) => FileType::Fifo,
        Kind::Special(Special::Socket) => FileType::Socket,
    };
    let device = match &node.kind {
        Kind::Special(special) => special.device(),
        _ => None,
    };
    let meta = node.attributes.meta;
    let mode = file_type.as_raw_mode() | (meta.mode & 0o7777);
    // A directory's link count is 2 by custom; readers do not use it.
    let links = if matches!(node.kind, Kind::Directory) { 2 } else { links };
    Header { inode, mode, uid: meta.uid, gid: meta.gid, links, mtime, size: 0, device }
}

struct Archive<W> {
    out: W,
    offset: u64,
}

impl<W: Write> Archive<W> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn pad_to(&mut self, multiple: u64) -> io::Result<()> {
        const ZEROS: [u8; BLOCK_SIZE as usize] = [0; BLOCK_SIZE as usize];
        let missing = self.offset.next_multiple_of(multiple) - self.offset;
        self.bytes(&ZEROS[..missing as usize])
    }

    /// Thirteen fields of eight hexadecimal digits, the name with its NUL, zeros to a multiple of four.
    fn header(&mut self, header: &Header, name: &[u8]) -> io::Result<()> {
        let device = header.device.unwrap_or(Device { major: 0, minor: 0 });
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        let fields = [
            header.inode,
            header.mode,
            header.uid,
            header.gid,
            header.links,
            header.mtime,
            header.size,
            0, // major and minor of the device the file was on
            0,
            device.major,
            device.minor,
            name_size,
            0, // checksum, of the "070702" variant only
        ];
        self.bytes(MAGIC)?;
        for field in fields {
            self.bytes(format!("{field:08x}").as_bytes())?;
        }
        self.bytes(name)?;
        self.bytes(&[0])?;
        self.pad_to(4)
    }

    fn file(&mut self, header: &mut Header, name: &Name, content: &Content) -> Result<()> {
        header.size = u32::try_from(content.size())
            .map_err(|_| Error::refused(WRITE, name, "the format cannot hold a file of 4 GiB or more"))?;
        let mut data = content.open().doing(WRITE, || name)?;
        self.header(header, name.as_relative()).doing(WRITE, || name)?;
        self.offset += io::copy(&mut data, &mut self.out).doing(WRITE, || name)?;
        self.pad_to(4).doing(WRITE, || name)
    }

    fn symlink(&mut self, header: &mut Header, name: &Name, target: &[u8]) -> Result<()> {
        header.size = u32::try_from(target.len()).map_err(io::Error::other).doing(WRITE, || name)?;
        self.header(header, name.as_relative()).doing(WRITE, || name)?;
        self.bytes(target).doing(WRITE, || name)?;
        self.pad_to(4).doing(WRITE, || name)
    }

    fn finish(mut self) -> io::Result<u64> {
        self.header(&Header { links: 1, ..Header::default() }, TRAILER)?;
        self.pad_to(BLOCK_SIZE)?;
        self.out.flush()?;
        Ok(self.offset)
    }
}
