//! Writing a log.

use super::{CURRENT, numbers, rotated};
use crate::store::time::{now_ns, stamp};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How much is collected before it is written.
const FLUSH: usize = 128 << 10;

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
    file: Option<File>,
    size: u64,
    /// The number that the present file gets.
    number: u64,
    /// Entries not yet written, and how many bytes of output are in them.
    pending: Vec<u8>,
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
            payload: 0,
            lost: 0,
        };
        writer.open_file()?;
        Ok(writer)
    }

    fn open_file(&mut self) -> io::Result<()> {
        let path = self.directory.join(CURRENT);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Adds what `stream` said just now, and writes it. What cannot be written is counted in [`Self::lost`].
    pub(crate) fn append(&mut self, stream: &str, output: &[u8]) {
        let time = stamp(now_ns());
        let mut rest = output;
        while !rest.is_empty() {
            let end = newline(rest);
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.pending.extend_from_slice(&time);
            self.pending.push(b' ');
            self.pending.extend_from_slice(stream.as_bytes());
            self.pending.extend_from_slice(if end.is_some() { b" F " } else { b" P " });
            self.pending.extend_from_slice(line);
            self.pending.push(b'\n');
            let taken = line.len() + usize::from(end.is_some());
            self.payload += taken as u64;
            rest = rest.get(taken..).unwrap_or_default();
            if self.pending.len() >= FLUSH {
                self.flush();
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        let length = self.pending.len() as u64;
        if self.size > 0 && self.size + length > self.limits.size {
            self.rotate();
        }
        if self.file.is_none() {
            // Tried again each time: the disk may have room again.
            self.open_file().unwrap_or(());
        }
        let written = self.file.as_mut().map(|file| file.write_all(&self.pending));
        match written {
            Some(Ok(())) => self.size += length,
            _ => self.give_up(),
        }
        self.pending.clear();
        self.payload = 0;
    }

    /// Takes back what was written of entries that did not all fit, so that no entry stands there by half.
    fn give_up(&mut self) {
        self.lost += self.payload;
        if self.file.as_ref().is_some_and(|file| file.set_len(self.size).is_err()) {
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
    }

    /// Gives back the memory that writing takes.
    pub(crate) fn rest(&mut self) {
        self.pending = Vec::new();
    }
}

/// Where the first newline is, looked for eight bytes at a time.
fn newline(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const NEWLINES: u64 = u64::from_ne_bytes([b'\n'; 8]);
    let mut clean = 0;
    for word in bytes.chunks_exact(8) {
        let Ok(word) = word.try_into() else { break };
        let zeroed = u64::from_ne_bytes(word) ^ NEWLINES;
        if zeroed.wrapping_sub(ONES) & !zeroed & HIGH != 0 {
            break;
        }
        clean += 8;
    }
    let rest = bytes.get(clean..).unwrap_or_default();
    rest.iter().position(|byte| *byte == b'\n').map(|place| clean + place)
}

#[cfg(test)]
mod tests {
    use super::newline;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_newline_is_found(bytes in proptest::collection::vec(8..12_u8, 0..40)) {
            prop_assert_eq!(newline(&bytes), bytes.iter().position(|byte| *byte == b'\n'));
        }
    }
}
