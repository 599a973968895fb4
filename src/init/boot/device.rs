//! Which device a name on the kernel command line means: a path, or `LABEL=`, `UUID=`, `PARTLABEL=`, `PARTUUID=`.
//!
//! The first two are looked for in the super blocks of ext2 to ext4, XFS, Btrfs and EROFS, the others in what the kernel
//! tells of its partitions or, for `PARTUUID`, in their table. The first device that answers is taken.

use super::{file, partition};
use crate::sys::clock::{monotonic_ms as now_ms, pause_ms};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use heapless::Vec;
use rustix::fd::OwnedFd;
use rustix::fs::{Access, Mode, OFlags, RawDir, access, open};
use rustix::io::{Errno, pread};

/// How long a device may take to appear: drivers look for theirs in the background.
const DEVICE_MS: u64 = 10_000;
/// Between two looks.
const LOOK_MS: u64 = 20;
/// Longest path of a device.
pub(super) const CAPACITY: usize = 300;
const BLOCK: &CStr = c"/sys/class/block";

/// Where a file system says which it is: numbers are offsets in bytes.
struct SuperBlock {
    magic_at: u64,
    magic: &'static [u8],
    uuid_at: u64,
    label_at: u64,
    label_length: usize,
}

/// struct ext4_super_block, xfs_dsb, btrfs_super_block and erofs_super_block.
const SUPER_BLOCKS: [SuperBlock; 4] = [
    SuperBlock { magic_at: 0x438, magic: b"\x53\xef", uuid_at: 0x468, label_at: 0x478, label_length: 16 },
    SuperBlock { magic_at: 0, magic: b"XFSB", uuid_at: 32, label_at: 108, label_length: 12 },
    SuperBlock {
        magic_at: 0x1_0040,
        magic: b"_BHRfS_M",
        uuid_at: 0x1_0020,
        label_at: 0x1_012b,
        label_length: LONGEST,
    },
    SuperBlock {
        magic_at: 0x400,
        magic: b"\xe2\xe1\xf5\xe0",
        uuid_at: 0x430,
        label_at: 0x440,
        label_length: 16,
    },
];
const PARTUUID: &[u8] = b"PARTUUID=";
/// The longest label.
const LONGEST: usize = 256;

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted<'a> {
    Label(&'a [u8]),
    Uuid([u8; 16]),
    /// A line that begins so in what the kernel tells, and the rest of it.
    Partition(&'static [u8], &'a [u8]),
}

/// Waits for the device that `name` means and answers its path, which is `name` itself unless it is one of those above:
/// another name may be that of a share of the host.
///
/// # Errors
/// `ENOENT` or `ENODEV` when there is none in time, `EINVAL` for a UUID that is none.
pub(super) fn wait_for<'p>(name: &'p [u8], path: &'p mut Vec<u8, CAPACITY>) -> rustix::io::Result<&'p [u8]> {
    let deadline_ms = now_ms().saturating_add(DEVICE_MS);
    while let Err(errno) = find(name, path) {
        if !matches!(errno, Errno::NOENT | Errno::NODEV) || now_ms() >= deadline_ms {
            return Err(errno);
        }
        pause_ms(LOOK_MS);
    }
    find(name, path)
}

fn find<'p>(name: &'p [u8], path: &'p mut Vec<u8, CAPACITY>) -> rustix::io::Result<&'p [u8]> {
    let Some(wanted) = wanted(name)? else {
        if name.starts_with(b"/") {
            access(name, Access::EXISTS)?;
        }
        return Ok(name);
    };
    let directory = open(BLOCK, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let block = entry.file_name().to_bytes();
        if !block.starts_with(b".") && is(&wanted, block, path) {
            return file::join(path, &[b"/dev/", block]).map(CStr::to_bytes).ok_or(Errno::NAMETOOLONG);
        }
    }
    Err(Errno::NODEV)
}

fn wanted(name: &[u8]) -> rustix::io::Result<Option<Wanted<'_>>> {
    let Some(equals) = name.iter().position(|byte| *byte == b'=') else { return Ok(None) };
    let (key, value) = (name.get(..equals), name.get(equals.saturating_add(1)..).unwrap_or_default());
    Ok(Some(match key {
        Some(b"LABEL") => Wanted::Label(value),
        Some(b"UUID") => Wanted::Uuid(uuid(value).ok_or(Errno::INVAL)?),
        Some(b"PARTLABEL") => Wanted::Partition(b"PARTNAME=", value),
        Some(b"PARTUUID") => Wanted::Partition(PARTUUID, value),
        _ => return Ok(None),
    }))
}

/// Sixteen bytes in hexadecimal, with or without dashes.
pub(super) fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut bytes = [0_u8; 16];
    let mut digits = text.iter().filter(|byte| **byte != b'-').map(|byte| (*byte as char).to_digit(16));
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

fn is(wanted: &Wanted<'_>, block: &[u8], path: &mut Vec<u8, CAPACITY>) -> bool {
    if let Wanted::Partition(head, value) = wanted {
        let mut text = [0; 1024];
        let told = file::join(path, &[BLOCK.to_bytes(), b"/", block, b"/uevent"])
            .and_then(|path| file::read_whole(path, &mut text).ok())
            .and_then(|length| text.get(..length));
        let told = file::lines(told.unwrap_or_default())
            .filter_map(|line| line.strip_prefix(*head))
            .any(|told| told.eq_ignore_ascii_case(value));
        return told || *head == PARTUUID && partition::is(block, value, path);
    }
    let opened = file::join(path, &[b"/dev/", block]).and_then(|path| file::open_to_read(path).ok());
    opened.is_some_and(|device| SUPER_BLOCKS.iter().any(|kind| kind.says(&device, wanted)))
}

impl SuperBlock {
    /// Whether there is one of this kind on `device`, and it says what is wanted.
    fn says(&self, device: &OwnedFd, wanted: &Wanted<'_>) -> bool {
        let mut text = [0; LONGEST];
        if read_at(device, self.magic_at, self.magic.len(), &mut text) != self.magic {
            return false;
        }
        match wanted {
            Wanted::Uuid(uuid) => read_at(device, self.uuid_at, uuid.len(), &mut text) == uuid,
            Wanted::Label(label) => {
                let text = read_at(device, self.label_at, self.label_length, &mut text);
                !label.is_empty() && text.split(|byte| *byte == 0).next() == Some(label)
            }
            Wanted::Partition(..) => false,
        }
    }
}

/// As many bytes from there on; fewer where there are no more.
pub(super) fn read_at<'t>(device: &OwnedFd, offset: u64, length: usize, text: &'t mut [u8]) -> &'t [u8] {
    let part = text.get_mut(..length).unwrap_or_default();
    let read = pread(device, &mut *part, offset).unwrap_or(0);
    part.get(..read).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        assert_eq!(wanted(b"/dev/vda"), Ok(None));
        assert_eq!(wanted(b"share"), Ok(None));
        assert_eq!(wanted(b"LABEL=a=b"), Ok(Some(Wanted::Label(b"a=b"))));
        assert_eq!(wanted(b"PARTUUID=ab-01"), Ok(Some(Wanted::Partition(b"PARTUUID=", b"ab-01"))));
        let bytes = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
        let expected = Ok(Some(Wanted::Uuid(bytes)));
        assert_eq!(wanted(b"UUID=00112233-4455-6677-8899-AABBCCDDEEFF"), expected);
        for text in
            ["", "0011", "00112233-4455-6677-8899-aabbccddeeff0", "00112233-4455-6677-8899-aabbccddeefg"]
        {
            assert_eq!(wanted(["UUID=", text].concat().as_bytes()), Err(Errno::INVAL), "{text}");
        }
    }

    #[test]
    fn a_path_must_be_there_and_a_share_is_the_hosts_business() {
        let mut path = Vec::new();
        assert_eq!(find(b"/dev/null", &mut path), Ok(&b"/dev/null"[..]));
        assert_eq!(find(b"/no/such", &mut path), Err(Errno::NOENT));
        assert_eq!(find(b"share", &mut path), Ok(&b"share"[..]));
        assert_eq!(find(b"UUID=", &mut path), Err(Errno::INVAL));
        assert!(find(b"LABEL=no such label anywhere", &mut path).is_err());
    }
}
