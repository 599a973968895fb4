//! Which partition a `PARTUUID=` means, by the partition table itself: the kernel tells it only since Linux 6.2.
//!
//! Reads the tables of GPT (UEFI specification, 5.3) and of MBR, where the kernel's `PARTUUID` is the disk's signature
//! and the partition's number. It checks no checksum: a table that lies names one of the disk's own partitions, no more.

use super::device::{read_at, uuid};
use super::file;
use heapless::Vec;
use rustix::fd::OwnedFd;

/// Longest path in sysfs that is followed.
const CAPACITY: usize = super::device::CAPACITY;
/// Of a GPT header, up to the size of its entries.
const HEADER_BYTES: usize = 92;
/// Of the smallest entry of a GPT.
const ENTRY_BYTES: usize = 128;
/// Where a GPT identifier's bytes are, in the order in which its text has them.
const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/// Whether the block device called `block` in sysfs is the partition that `wanted` means: the text of a UUID, or the
/// eight digits, dash and two digits of an MBR's partition.
pub(super) fn is(block: &[u8], wanted: &[u8], path: &mut Vec<u8, CAPACITY>) -> bool {
    find(block, path).is_some_and(|partition| partition.is(wanted))
}

/// A partition of a disk.
struct Partition {
    disk: OwnedFd,
    /// From 1.
    number: u32,
    sector_bytes: u64,
}

/// The partition `block`, unless that is a whole disk.
fn find(block: &[u8], path: &mut Vec<u8, CAPACITY>) -> Option<Partition> {
    let root = b"/sys/class/block/";
    let number = decimal(file::join(path, &[root, block, b"/partition"])?)?;
    let sector_bytes = decimal(file::join(path, &[root, block, b"/../queue/logical_block_size"])?)?;
    let mut text = [0; 1024];
    let told = file::read_whole(file::join(path, &[root, block, b"/../uevent"])?, &mut text).ok()?;
    let name = file::lines(text.get(..told)?).find_map(|line| line.strip_prefix(b"DEVNAME="))?;
    let disk = file::open_to_read(file::join(path, &[b"/dev/", name])?).ok()?;
    Some(Partition { disk, number: u32::try_from(number).ok()?, sector_bytes })
}

impl Partition {
    fn is(&self, wanted: &[u8]) -> bool {
        match uuid(wanted) {
            Some(uuid) => {
                self.gpt().is_some_and(|own| ORDER.map(|at| own.get(at).copied()) == uuid.map(Some))
            }
            None => self.mbr().is_some_and(|own| own.eq_ignore_ascii_case(wanted)),
        }
    }

    /// The identifier of its entry in a GPT.
    fn gpt(&self) -> Option<[u8; 16]> {
        let mut header = [0; HEADER_BYTES];
        let header = read_at(&self.disk, self.sector_bytes, HEADER_BYTES, &mut header);
        if header.get(..8)? != b"EFI PART" {
            return None;
        }
        let first = u64::from_le_bytes(array(header, 72)?);
        let count = u32::from_le_bytes(array(header, 80)?);
        let entry_bytes = u64::from(u32::from_le_bytes(array(header, 84)?));
        let index = self.number.checked_sub(1).filter(|index| *index < count)?;
        let at = first.checked_mul(self.sector_bytes)?.checked_add(entry_bytes.checked_mul(index.into())?)?;
        let mut entry = [0; ENTRY_BYTES];
        array(read_at(&self.disk, at, ENTRY_BYTES, &mut entry), 16)
    }

    /// As the kernel spells it (block/partitions/msdos.c).
    fn mbr(&self) -> Option<[u8; 11]> {
        let mut sector = [0; 512];
        let sector = read_at(&self.disk, 0, 512, &mut sector);
        if sector.get(510..)? != b"\x55\xaa" {
            return None;
        }
        let signature = u32::from_le_bytes(array(sector, 440)?);
        let mut text = *b"00000000-00";
        for (place, digit) in text.iter_mut().take(8).enumerate() {
            *digit = hexadecimal(
                signature.rotate_left(u32::try_from(place).ok()?.checked_add(1)?.checked_mul(4)?),
            );
        }
        *text.get_mut(9)? = hexadecimal(self.number >> 4);
        *text.get_mut(10)? = hexadecimal(self.number);
        Some(text)
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The digit of the lowest four bits.
fn hexadecimal(value: u32) -> u8 {
    char::from_digit(value & 15, 16).map_or(b'0', |digit| digit as u8)
}

/// The number that a file holds.
fn decimal(path: &core::ffi::CStr) -> Option<u64> {
    let mut text = [0; 32];
    let length = file::read_whole(path, &mut text).ok()?;
    core::str::from_utf8(text.get(..length)?).ok()?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::io::pwrite;

    /// Partition `number` of a disk with `parts` written at these places.
    fn partition(number: u32, parts: &[(u64, &[u8])]) -> Partition {
        let disk = memfd_create(c"disk", MemfdFlags::CLOEXEC).unwrap();
        for (at, bytes) in parts {
            assert_eq!(pwrite(&disk, bytes, *at), Ok(bytes.len()));
        }
        Partition { disk, number, sector_bytes: 512 }
    }

    /// What `label: dos`, `label-id: 0x70697063` leaves.
    const MBR: [(u64, &[u8]); 2] = [(440, b"\x63\x70\x69\x70"), (510, b"\x55\xaa")];

    #[test]
    fn an_mbr_has_a_signature_and_numbers() {
        assert!(partition(1, &MBR).is(b"70697063-01"));
        assert!(partition(0x1f, &MBR).is(b"70697063-1F"));
        assert!(!partition(2, &MBR).is(b"70697063-01"));
        assert!(!partition(1, &MBR[..1]).is(b"70697063-01"), "without its magic");
        assert!(!partition(1, &[]).is(b"00000000-01"), "an empty disk");
    }

    #[test]
    fn a_gpt_has_an_identifier_for_each() {
        let count_and_size = [4_u32.to_le_bytes(), 128_u32.to_le_bytes()].concat();
        let identifier = *b"\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
        let text = b"00112233-4455-6677-8899-AABBCCDDEEFF";
        let parts: [(u64, &[u8]); 5] = [
            (512, b"EFI PART"),
            (512 + 72, &2_u64.to_le_bytes()),
            (512 + 80, &count_and_size),
            (1024 + 128 + 16, &identifier),
            (1024 + 512, &[0; 128]),
        ];
        assert!(partition(2, &parts).is(text));
        assert!(!partition(1, &parts).is(text));
        assert!(!partition(5, &parts).is(text), "beyond the table");
        assert!(!partition(0, &parts).is(text));
        assert!(!partition(2, &parts[1..]).is(text), "without its magic");
        let far = [parts[0], (512 + 72, &[0xff; 8]), parts[2]];
        assert!(!partition(2, &far).is(text), "a table beyond every disk");
    }

    #[test]
    fn what_is_no_partition_is_none() {
        assert!(!is(b"no such device", b"70697063-01", &mut Vec::new()));
    }
}
