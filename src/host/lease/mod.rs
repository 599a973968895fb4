//! Addresses given away: one file per subnet, shared by every process, of which each address has an entry.
//!
//! Duty: give each address to one owner at a time, and take it back. It knows nothing of where the file lies and of
//! who is alive.
//!
//! The file is a header of 64 bytes and 16 bytes per address: the owner and a check of it, both zero while the
//! address is free. It is as long as the subnet is large and nearly all hole. An entry changes by one write of 16
//! aligned bytes, so a process that is killed leaves every entry whole; the header's place to go on at is a hint.
//!
//! Dangers: the lock is held as long as [`Leases`] lives. A child made meanwhile shares it, so none may be.

mod subnet;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result, Stage};
use crate::netlink::wire::ip::Cidr;
use core::net::IpAddr;
use core::num::NonZeroU64;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, SeekFrom};
use rustix::io::{Errno, retry_on_intr};
use rustix::thread::{NanosleepRelativeResult, Timespec};
use subnet::Subnet;

/// Bytes of the header.
const HEADER_LEN: usize = 64;
/// Bytes of an entry.
const ENTRY_LEN: usize = 16;
/// Entries read at once.
const BLOCK: usize = 256;
/// Where in the header the place to go on at stands.
const NEXT_OFFSET: usize = 40;
/// First bytes of the file; the last one is the version of its form.
const MAGIC: [u8; 8] = *b"PIPLEAS\x01";

/// How often the lock is tried. Holders need less than a millisecond.
const LOCK_ATTEMPTS: u32 = 4_000;
/// The pause after the first attempt; after the second one twice that, and so on.
const LOCK_PAUSE_NS: i64 = 100_000;
/// The longest pause: however many wait, the one that holds the lock has the time to go on.
const LOCK_PAUSE_MAX_NS: i64 = 8_000_000;

/// Who holds an address: a number made of a container's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Owner(NonZeroU64);

impl Owner {
    /// The owner called `id`: its 64-bit FNV-1a hash. Two of a million ids are the same by a chance of 1 to 37
    /// million.
    #[must_use]
    pub fn new(id: &[u8]) -> Self {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        let hash = id.iter().fold(0xcbf2_9ce4_8422_2325, mix);
        Self(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN))
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

/// The leases of one subnet, locked.
#[derive(Debug)]
pub struct Leases {
    file: OwnedFd,
    subnet: Subnet,
    /// Where to look for a free entry first. From a damaged file it is only a bad hint.
    next: u32,
}

impl Leases {
    /// Waits for the lock of `file`, opened for reading and writing, and makes an empty file one of the subnet of
    /// `gateway`: the address of the bridge with the subnet's prefix length. The gateway, the subnet's first
    /// address and an IPv4 subnet's last one are never given away; of a subnet beyond 16 777 216 addresses only
    /// so many.
    ///
    /// # Errors
    /// `ETIMEDOUT` after half a minute; `EUCLEAN` when the file is not one of this subnet and gateway or is damaged;
    /// `EINVAL` when the subnet has no address to give; those of flock(2), pread(2) and pwrite(2).
    pub fn open(file: OwnedFd, gateway: Cidr) -> Result<Self> {
        let subnet = Subnet::new(gateway).ok_or(Error::new("lease addresses of the subnet", Errno::INVAL))?;
        lock(&file).stage("lock the address leases")?;
        let mut leases = Self { file, subnet, next: 0 };
        leases.read_header()?;
        Ok(leases)
    }

    /// The same for a file as it is, whatever its subnet; `None` for one in which nothing was ever given away.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn reopen(file: OwnedFd) -> Result<Option<Self>> {
        let mut header = [0; NEXT_OFFSET];
        let read = retry_on_intr(|| rustix::io::pread(&file, &mut header, 0));
        if read.stage("read the address leases")? == 0 || header == [0; NEXT_OFFSET] {
            return Ok(None);
        }
        Self::open(file, subnet::gateway(&header).ok_or(DAMAGED)?).map(Some)
    }

    /// Gives `owner` the next free address after the one given last, so that an address rests before it is used
    /// again.
    ///
    /// # Errors
    /// `ENOSPC` when every address is taken; `EUCLEAN` when an entry is damaged.
    pub fn allocate(&mut self, owner: Owner) -> Result<IpAddr> {
        let stage = "lease an address of the subnet";
        let next = self.next.min(self.subnet.count());
        let free = match self.find_free(next, self.subnet.count())? {
            None => self.find_free(0, next)?,
            found => found,
        };
        let index = free.ok_or(Error::new(stage, Errno::NOSPC))?;
        self.write(entry_offset(index), &Entry::held(index, owner))?;
        self.next = index.saturating_add(1);
        self.write(NEXT_OFFSET as u64, &self.next.to_le_bytes())?;
        Ok(self.subnet.address(index))
    }

    /// Gives `owner` this address, or leaves it to it.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` when the subnet has it not to give; `EADDRINUSE` when another owner holds it; `EUCLEAN`
    /// when its entry is damaged.
    pub fn reserve(&mut self, address: IpAddr, owner: Owner) -> Result<()> {
        let stage = "lease the address";
        let index = self.subnet.index(address).ok_or(Error::new(stage, Errno::ADDRNOTAVAIL))?;
        match self.entry(index)? {
            None => self.write(entry_offset(index), &Entry::held(index, owner)),
            Some(holder) if holder == owner => Ok(()),
            Some(_) => Err(Error::new(stage, Errno::ADDRINUSE)),
        }
    }

    /// Takes this address back from `owner`; says whether it held it.
    ///
    /// # Errors
    /// `EUCLEAN` when its entry is damaged.
    pub fn release(&mut self, address: IpAddr, owner: Owner) -> Result<bool> {
        let Some(index) = self.subnet.index(address) else { return Ok(false) };
        if self.entry(index)? != Some(owner) {
            return Ok(false);
        }
        self.write(entry_offset(index), &Entry::FREE)?;
        Ok(true)
    }

    /// Who holds this address; nobody holds one that is not given away.
    ///
    /// # Errors
    /// `EUCLEAN` when its entry is damaged.
    pub fn owner(&self, address: IpAddr) -> Result<Option<Owner>> {
        self.subnet.index(address).map_or(Ok(None), |index| self.entry(index))
    }

    /// Takes every address back whose owner is not to `keep` it; says how many.
    ///
    /// # Errors
    /// `EUCLEAN` when an entry is damaged, after those before it were taken back.
    pub fn retain(&mut self, keep: &mut dyn FnMut(Owner) -> bool) -> Result<u32> {
        let mut released: u32 = 0;
        let mut first = 0;
        while let Some(start) = self.next_data(first)? {
            let mut block = [0; BLOCK * ENTRY_LEN];
            first = self.read_block(start, self.subnet.count(), &mut block)?;
            for (index, entry) in (start..first).zip(block.as_chunks().0) {
                if let Some(owner) = Entry::read(index, entry)?
                    && !keep(owner)
                {
                    self.write(entry_offset(index), &Entry::FREE)?;
                    released = released.saturating_add(1);
                }
            }
        }
        Ok(released)
    }

    /// The first free entry from `first` on and before `end`.
    fn find_free(&self, first: u32, end: u32) -> Result<Option<u32>> {
        // Nearly always it is the first: that is what the hint is for.
        if first < end && self.subnet.gives(first) && self.entry(first)?.is_none() {
            return Ok(Some(first));
        }
        let mut index = first;
        while index < end {
            let mut block = [0; BLOCK * ENTRY_LEN];
            let block_end = self.read_block(index, end, &mut block)?;
            for (index, entry) in (index..block_end).zip(block.as_chunks().0) {
                if Entry::read(index, entry)?.is_none() && self.subnet.gives(index) {
                    return Ok(Some(index));
                }
            }
            index = block_end;
        }
        Ok(None)
    }

    /// The first entry from `first` on that does not lie in a hole; `None` at the end of the file.
    fn next_data(&self, first: u32) -> Result<Option<u32>> {
        if first >= self.subnet.count() {
            return Ok(None);
        }
        let stage = "read the address leases";
        match rustix::fs::seek(&self.file, SeekFrom::Data(entry_offset(first))) {
            Ok(offset) => {
                let bytes = offset.saturating_sub(HEADER_LEN as u64);
                let index = u32::try_from(bytes / ENTRY_LEN as u64).unwrap_or(u32::MAX).max(first);
                Ok((index < self.subnet.count()).then_some(index))
            }
            Err(Errno::NXIO) => Ok(None),
            // A file system that does not know its holes has none.
            Err(Errno::INVAL) => Ok(Some(first)),
            Err(errno) => Err(Error::new(stage, errno)),
        }
    }

    /// Reads the entries from `first` on, at most [`BLOCK`] and none at `end` or after; gives where it stopped.
    fn read_block(&self, first: u32, end: u32, block: &mut [u8; BLOCK * ENTRY_LEN]) -> Result<u32> {
        let block_end = first.saturating_add(BLOCK as u32).min(end);
        let len = (block_end.saturating_sub(first) as usize).saturating_mul(ENTRY_LEN);
        self.read(entry_offset(first), block.get_mut(..len).unwrap_or_default())?;
        Ok(block_end)
    }

    fn entry(&self, index: u32) -> Result<Option<Owner>> {
        let mut entry = [0; ENTRY_LEN];
        self.read(entry_offset(index), &mut entry)?;
        Entry::read(index, &entry)
    }

    /// Checks the header, or writes it when there is none yet: a file is given its length first, so a header of
    /// zeros means that nothing was ever given away.
    fn read_header(&mut self) -> Result<()> {
        let expected = self.subnet.header();
        let mut bytes = [0; NEXT_OFFSET + size_of::<u32>()];
        let read = retry_on_intr(|| rustix::io::pread(&self.file, &mut bytes, 0));
        let read = read.stage("read the address leases")?;
        let (header, next) = bytes.split_at(NEXT_OFFSET);
        if header == [0; NEXT_OFFSET] {
            let len = entry_offset(self.subnet.count());
            rustix::fs::ftruncate(&self.file, len).stage("create the address leases")?;
            return self.write(0, &expected);
        }
        if header != expected || read < bytes.len() {
            return Err(DAMAGED);
        }
        self.next = next.first_chunk().copied().map_or(0, u32::from_le_bytes);
        Ok(())
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let wanted = bytes.len();
        let read = retry_on_intr(|| rustix::io::pread(&self.file, &mut *bytes, offset));
        // Shorter than it was when it was opened: cut by somebody who holds no lock.
        if read.stage("read the address leases")? == wanted { Ok(()) } else { Err(DAMAGED) }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let stage = "write the address leases";
        let written = retry_on_intr(|| rustix::io::pwrite(&self.file, bytes, offset)).stage(stage)?;
        if written == bytes.len() { Ok(()) } else { Err(Error::new(stage, Errno::NOSPC)) }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        unlock(&self.file);
    }
}

/// What does not add up: another subnet's file, another version's, or bytes that nobody wrote.
const DAMAGED: Error = Error::new("read the address leases", Errno::UCLEAN);

/// What an entry holds.
struct Entry;

impl Entry {
    const FREE: [u8; ENTRY_LEN] = [0; ENTRY_LEN];

    fn held(index: u32, owner: Owner) -> [u8; ENTRY_LEN] {
        let mut entry = Self::FREE;
        let (holder, check) = entry.split_at_mut(8);
        holder.copy_from_slice(&owner.0.get().to_le_bytes());
        check.copy_from_slice(&Self::check(index, owner).to_le_bytes());
        entry
    }

    fn read(index: u32, entry: &[u8; ENTRY_LEN]) -> Result<Option<Owner>> {
        if *entry == Self::FREE {
            return Ok(None);
        }
        let holder = entry.first_chunk().copied().map_or(0, u64::from_le_bytes);
        let owner = Owner(NonZeroU64::new(holder).ok_or(DAMAGED)?);
        if *entry == Self::held(index, owner) { Ok(Some(owner)) } else { Err(DAMAGED) }
    }

    /// Different for every owner of an index, so that no single wrong half goes unseen.
    fn check(index: u32, owner: Owner) -> u64 {
        let place = u64::from(index).wrapping_add(1).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (owner.0.get() ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xc4ce_b9fe_1a85_ec53).rotate_left(31) ^ place
    }
}

const fn entry_offset(index: u32) -> u64 {
    HEADER_LEN as u64 + index as u64 * ENTRY_LEN as u64
}

/// Waits for the lock of `file`.
///
/// # Errors
/// `ETIMEDOUT` after half a minute, and those of flock(2).
pub(super) fn lock(file: &OwnedFd) -> rustix::io::Result<()> {
    for attempt in 0..LOCK_ATTEMPTS {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK | Errno::INTR) => pause(i64::from(attempt).saturating_add(1)),
            result => return result,
        }
    }
    Err(Errno::TIMEDOUT)
}

/// Waits for a pause, longer from one attempt to the next, whatever signals come.
fn pause(attempt: i64) {
    let tv_nsec = attempt.saturating_mul(LOCK_PAUSE_NS).min(LOCK_PAUSE_MAX_NS);
    let mut rest = Timespec { tv_sec: 0, tv_nsec };
    while let NanosleepRelativeResult::Interrupted(remaining) = rustix::thread::nanosleep(&rest) {
        rest = remaining;
    }
}

/// Gives the lock back at once even when a child still has the descriptor. That it fails cannot be: the descriptor
/// is open, and closing it would do the same.
pub(super) fn unlock(file: &OwnedFd) {
    rustix::fs::flock(file, FlockOperation::Unlock).unwrap_or_default();
}
