//! Writing a log.

use super::{CURRENT, numbers, rotated};
use crate::store::time::{now_ns, stamp};
use rustix::fd::OwnedFd;
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fstat, ftruncate, open};
use rustix::io::Errno;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most output that is taken in before entries are written.
const CHUNK: usize = 256 << 10;
/// Room for entries not yet written: at a line's beginning there is always enough for the rest of a chunk.
const ROOM: usize = 512 << 10;
/// What stands before the content of an entry: the time, a space, the stream's name of six letters, and ` F `.
const HEAD: usize = 40;
/// Where in it the tag is.
const TAG: usize = 38;

/// When a log is rotated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// Size of one file, in bytes; one entry may stand over.
    pub(crate) size: u64,
    /// How many files are kept, the present one among them.
    pub(crate) files: u64,
}

impl Limits {
    /// 10 MiB, three times.
    pub(crate) const DEFAULT: Self = Self { size: 10 << 20, files: 3 };
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Writer {
    directory: PathBuf,
    limits: Limits,
    /// The present file; `None` while none could be made.
    file: Option<OwnedFd>,
    size: u64,
    /// The number that the present file gets.
    number: u64,
    /// Entries not yet written: room for them while there is something to write, how much is taken, and how many bytes
    /// of output are in it.
    pending: Vec<u8>,
    taken: usize,
    payload: u64,
    /// Bytes of output that could not be written.
    pub(crate) lost: u64,
}

impl Writer {
    /// Opens the log in `directory`, and goes on with one that is there.
    ///
    /// # Errors
    /// Those of opening the file.
    pub(crate) fn open(directory: &Path, limits: Limits) -> io::Result<Self> {
        let number = numbers(directory)?.last().map_or(1, |last| last + 1);
        let mut writer = Self {
            directory: directory.to_owned(),
            limits,
            file: None,
            size: 0,
            number,
            pending: Vec::new(),
            taken: 0,
            payload: 0,
            lost: 0,
        };
        writer.open_file()?;
        Ok(writer)
    }

    fn open_file(&mut self) -> io::Result<()> {
        let path = self.directory.join(CURRENT);
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let told = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        let file = open(path.as_os_str().as_bytes(), flags, Mode::RUSR | Mode::WUSR).map_err(told)?;
        self.size = fstat(&file).map_err(told)?.st_size.cast_unsigned();
        self.file = Some(file);
        Ok(())
    }

    /// Adds what `stream`, a name of six letters, said just now; it may take until [`Self::flush`] to be written.
    pub(crate) fn append(&mut self, stream: &str, output: &[u8]) {
        let mut head = [b' '; HEAD];
        let text = [&stamp(now_ns()), &b" "[..], stream.as_bytes(), b" F "];
        head.iter_mut().zip(text.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        if self.pending.is_empty() {
            // New memory is zero: none of it is touched, and so taken, before it is needed.
            self.pending = vec![0; ROOM];
        }
        for mut rest in output.chunks(CHUNK) {
            while !rest.is_empty() {
                let full = self.taken > 0 && self.size + self.taken as u64 >= self.limits.size;
                if full || self.taken + HEAD + rest.len() >= ROOM {
                    self.flush();
                }
                let taken = self.append_line(&head, rest);
                rest = rest.get(taken..).unwrap_or_default();
            }
        }
    }

    /// Adds the first line of `output`, as far as it is there: how long it is.
    fn append_line(&mut self, head: &[u8; HEAD], output: &[u8]) -> usize {
        let entry = self.pending.get_mut(self.taken..).unwrap_or_default();
        // There was room made for it.
        let Some((begin, content)) = entry.split_first_chunk_mut::<HEAD>() else { return output.len() };
        *begin = *head;
        let (length, ended) = copy_line(output, content);
        self.taken += HEAD + length;
        self.payload += length as u64;
        if !ended {
            begin[TAG] = b'P';
            content.iter_mut().skip(length).take(1).for_each(|byte| *byte = b'\n');
            self.taken += 1;
        }
        length
    }

    /// Writes what was added. What cannot be written is counted in [`Self::lost`].
    pub(crate) fn flush(&mut self) {
        let (taken, payload) = (std::mem::take(&mut self.taken), std::mem::take(&mut self.payload));
        let length = taken as u64;
        if length == 0 {
            return;
        }
        if self.size >= self.limits.size {
            self.rotate();
        }
        if self.file.is_none() {
            // Tried again each time: the disk may have room again.
            self.open_file().unwrap_or(());
        }
        let entries = self.pending.get(..taken).unwrap_or_default();
        if self.file.as_ref().is_some_and(|file| write_all(file, entries)) {
            self.size += length;
        } else {
            self.lost += payload;
            self.give_up();
        }
    }

    /// Takes back what was written of entries that did not all fit, so that no entry stands there by half.
    fn give_up(&mut self) {
        if self.file.as_ref().is_some_and(|file| ftruncate(file, self.size).is_err()) {
            self.file = None;
        }
    }

    /// Renames the present file and begins another one. When that cannot be done now, the present one grows.
    fn rotate(&mut self) {
        let current = self.directory.join(CURRENT);
        match fs::rename(&current, rotated(&self.directory, self.number)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => return,
        }
        self.file = None;
        self.size = 0;
        if let Some(oldest) = (self.number + 1).checked_sub(self.limits.files) {
            // Best effort: one that somebody took away is away.
            fs::remove_file(rotated(&self.directory, oldest)).unwrap_or(());
        }
        self.number += 1;
        self.open_file().unwrap_or(());
        // A log that fills its files gets the next one's room at once, which makes writing faster. Best effort.
        if let Some(file) = &self.file {
            let room = self.limits.size.min(Limits::DEFAULT.size);
            fallocate(file, FallocateFlags::KEEP_SIZE, 0, room).unwrap_or(());
        }
    }

    /// Writes what was added, and gives back the memory that writing takes.
    pub(crate) fn rest(&mut self) {
        self.flush();
        self.pending = Vec::new();
    }
}

/// Whether all of it could be written.
fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(file, bytes)) {
            Ok(written) if written > 0 => bytes = bytes.get(written..).unwrap_or_default(),
            _ => return false,
        }
    }
    true
}

/// Copies the first line of `from`, its newline with it, to the beginning of `to`, which is longer: how long it is, and
/// whether it ended. What lies behind it in `to` may be overwritten.
///
/// By blocks: a container may write some ten million lines each second.
fn copy_line(from: &[u8], to: &mut [u8]) -> (usize, bool) {
    let mut at = 0;
    while let Some(block) = from.get(at..).and_then(<[u8]>::first_chunk)
        && let Some(target) = to.get_mut(at..).and_then(<[u8]>::first_chunk_mut)
    {
        *target = *block;
        if let Some(place) = newline(block) {
            return (at + place + 1, true);
        }
        at += BLOCK;
    }
    let left = from.get(at..).unwrap_or_default().iter().zip(to.get_mut(at..).unwrap_or_default());
    for (byte, target) in left {
        *target = *byte;
        at += 1;
        if *byte == b'\n' {
            return (at, true);
        }
    }
    (at, false)
}

const BLOCK: usize = 32;

/// Where the first newline of a block is.
fn newline(block: &[u8; BLOCK]) -> Option<usize> {
    let (words, _) = block.as_chunks::<8>();
    let &[a, b, c, d] = words else { return None };
    // Written out: an optimiser for size leaves a loop one.
    let found = [newlines(a), newlines(b), newlines(c), newlines(d)];
    if found[0] | found[1] | found[2] | found[3] == 0 {
        return None;
    }
    let index = found.iter().position(|found| *found != 0)?;
    Some(index * 8 + found.get(index)?.trailing_zeros() as usize / 8)
}

/// The lowest bit that is set belongs to the first newline; none is set when there is none.
fn newlines(word: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const NEWLINES: u64 = u64::from_ne_bytes([b'\n'; 8]);
    let zeroed = u64::from_le_bytes(word) ^ NEWLINES;
    zeroed.wrapping_sub(ONES) & !zeroed & HIGH
}

#[cfg(test)]
mod tests {
    use super::copy_line;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_line_is_copied(bytes in proptest::collection::vec(8..12_u8, 0..40), clean in 0..100_usize) {
            let from = [vec![b'x'; clean], bytes].concat();
            let end = from.iter().position(|byte| *byte == b'\n');
            let mut to = vec![0; from.len() + 1];
            let (length, ended) = copy_line(&from, &mut to);
            prop_assert_eq!((length, ended), (end.map_or(from.len(), |end| end + 1), end.is_some()));
            prop_assert_eq!(to.get(..length), from.get(..length));
        }
    }
}
