//! Sink: a tar archive (POSIX ustar, with pax records where that is too small).
//!
//! The same tree gives the same bytes: names are in order, nothing but what the tree holds gets in. Times are the
//! files' own, in whole seconds from 1970 on and not later than `SOURCE_DATE_EPOCH` where that is set.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use tar::{Builder, EntryType, Header};

use crate::error::{Doing, Error, Result};
use crate::meta::{Attributes, Device, Special};
use crate::name::{Name, printable};
use crate::tree::{Kind, Node, NodeId, Tree};

const WRITE: &str = "write to the archive";

/// Writes the whole tree. No time is later than `latest`, in seconds since 1970.
///
/// Fails for what the format cannot hold: a socket, an extended attribute whose name is not UTF-8.
pub fn write(tree: &Tree, latest: Option<u32>, out: impl Write) -> Result<()> {
    let mut writer = Writer { archive: Builder::new(out), latest };
    let mut first_names: HashMap<NodeId, &Name> = HashMap::new();
    for (name, id, Node { attributes, kind }) in tree.iter() {
        let entry = match first_names.get(&id) {
            Some(first) => Entry { link: first.as_bytes(), ..Entry::of(EntryType::Link) },
            None => entry_of(name, kind)?,
        };
        let is_first = first_names.insert(id, name).is_none();
        match kind {
            Kind::File(content) if is_first => {
                let mut data = content.open().doing(WRITE, || name)?;
                writer.append(name, attributes, &entry, &mut data)?;
            }
            _ => writer.append(name, attributes, &entry, &mut io::empty())?,
        }
    }
    let mut out = writer.archive.into_inner().doing(WRITE, || "its end")?;
    out.flush().doing(WRITE, || "its end")
}

/// What a header says beside name and attributes.
struct Entry<'e> {
    kind: EntryType,
    link: &'e [u8],
    size: u64,
    device: Option<Device>,
}

impl Entry<'_> {
    fn of(kind: EntryType) -> Entry<'static> {
        Entry { kind, link: b"", size: 0, device: None }
    }
}

fn entry_of<'e>(name: &Name, kind: &'e Kind) -> Result<Entry<'e>> {
    Ok(match kind {
        Kind::Directory => Entry::of(EntryType::Directory),
        Kind::File(content) => Entry { size: content.size(), ..Entry::of(EntryType::Regular) },
        Kind::Symlink(target) => Entry { link: target, ..Entry::of(EntryType::Symlink) },
        Kind::Special(special) => {
            let kind = match special {
                Special::CharDevice(_) => EntryType::Char,
                Special::BlockDevice(_) => EntryType::Block,
                Special::Fifo => EntryType::Fifo,
                Special::Socket => {
                    return Err(Error::refused(WRITE, name, "the format cannot hold a socket"));
                }
            };
            Entry { device: special.device(), ..Entry::of(kind) }
        }
    })
}

struct Writer<W: Write> {
    archive: Builder<W>,
    latest: Option<u32>,
}

impl<W: Write> Writer<W> {
    fn append(
        &mut self,
        name: &Name,
        attributes: &Attributes,
        entry: &Entry<'_>,
        data: &mut dyn Read,
    ) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(entry.kind);
        header.set_mode(attributes.meta.mode);
        header.set_uid(attributes.meta.uid.into());
        header.set_gid(attributes.meta.gid.into());
        header.set_size(entry.size);
        let seconds = u64::try_from(attributes.mtime.seconds).unwrap_or(0);
        header.set_mtime(self.latest.map_or(seconds, |latest| seconds.min(latest.into())));
        if let Some(device) = entry.device {
            header.set_device_major(device.major).doing(WRITE, || name)?;
            header.set_device_minor(device.minor).doing(WRITE, || name)?;
        }
        let mut path = name.as_relative().to_vec();
        if entry.kind == EntryType::Directory {
            path.push(b'/');
        }
        let mut records: Vec<(String, &[u8])> = Vec::new();
        let fields = header.as_old_mut();
        for (key, field, bytes) in
            [("path", &mut fields.name, &path[..]), ("linkpath", &mut fields.linkname, entry.link)]
        {
            for (slot, &byte) in field.iter_mut().zip(bytes) {
                *slot = byte;
            }
            if bytes.len() > field.len() {
                records.push((key.to_owned(), bytes));
            }
        }
        // Another name for a file says nothing of it that the first did not.
        let xattrs: &[_] = if entry.kind == EntryType::Link { &[] } else { &attributes.xattrs };
        for (xattr, value) in xattrs {
            let Ok(key) = std::str::from_utf8(xattr) else {
                let why = format!("the format cannot hold its attribute {}", printable(xattr));
                return Err(Error::refused(WRITE, name, why));
            };
            records.push((format!("SCHILY.xattr.{key}"), value));
        }
        header.set_cksum();
        let records = records.iter().map(|(key, value)| (key.as_str(), *value));
        self.archive.append_pax_extensions(records).doing(WRITE, || name)?;
        self.archive.append(&header, data).doing(WRITE, || name)
    }
}
