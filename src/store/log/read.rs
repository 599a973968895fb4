//! Reading a log, while it is written and rotated.

use super::{CURRENT, numbers, rotated};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One entry. Its text ends in a newline when the line it is of ends here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry<'a> {
    /// When it was read from the container.
    pub(crate) time: &'a [u8],
    /// Whether it came from standard error.
    pub(crate) error: bool,
    /// Whether its line ends here.
    pub(crate) whole: bool,
    /// The bytes, without the newline.
    pub(crate) text: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Takes a line of the file apart, its newline cut off; `None` when it is no entry.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (time, stream, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Self { time, error: stream == b"stderr", whole: tag == b"F", text })
    }
}

/// One file, and the number it has or will have.
struct Part {
    number: u64,
    inode: u64,
    file: BufReader<File>,
}

/// A log being read. Its files are held open, so nothing that is there at the beginning can be rotated away.
pub(crate) struct Reader {
    directory: PathBuf,
    parts: Vec<Part>,
    /// The part being read.
    place: usize,
    /// Whether to go on to files that were begun after it was opened.
    pub(crate) follow: bool,
    /// Whether the last part has been renamed, so that nothing comes to it any more.
    closed: bool,
    line: Vec<u8>,
}

fn open(path: &Path, number: u64) -> io::Result<Option<Part>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let inode = file.metadata()?.ino();
    Ok(Some(Part { number, inode, file: BufReader::with_capacity(64 << 10, file) }))
}

impl Reader {
    /// Opens the log in `directory` from its beginning; one that is not there yet is empty.
    ///
    /// # Errors
    /// Those of opening the files.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let mut reader = Self {
            directory: directory.to_owned(),
            parts: Vec::new(),
            place: 0,
            follow: false,
            closed: false,
            line: Vec::new(),
        };
        while let Some(part) = reader.successor()? {
            reader.parts.push(part);
        }
        Ok(reader)
    }

    /// The file after the last one that is open. `None` when there is none, or it is just being renamed.
    fn successor(&self) -> io::Result<Option<Part>> {
        let last = self.parts.last();
        let after = last.map_or(0, |part| part.number);
        let later = |numbers: Vec<u64>| numbers.into_iter().find(|number| *number > after);
        loop {
            let found = match numbers(&self.directory) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                numbers => later(numbers?),
            };
            if let Some(number) = found {
                if let Some(part) = open(&rotated(&self.directory, number), number)? {
                    return Ok(Some(part));
                }
                // Rotated away between the two looks.
                continue;
            }
            let Some(mut part) = open(&self.directory.join(CURRENT), after + 1)? else { return Ok(None) };
            if last.is_some_and(|last| last.inode == part.inode) {
                return Ok(None);
            }
            // Renamed in between, it is found under its number.
            if later(numbers(&self.directory)?).is_none() {
                part.number = after + 1;
                return Ok(Some(part));
            }
        }
    }

    /// Goes back to the beginning of what was there when it was opened.
    ///
    /// # Errors
    /// Those of seeking.
    pub(crate) fn rewind(&mut self) -> io::Result<()> {
        (self.place, self.closed) = (0, false);
        self.line.clear();
        self.parts.iter_mut().try_for_each(|part| part.file.rewind())
    }

    /// The next entry; `None` when there is none now.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry<'_>>> {
        if self.line.ends_with(b"\n") {
            self.line.clear();
        }
        while !self.read_line()? {
            if !self.advance()? {
                return Ok(None);
            }
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        // A line that is no entry was not written by us: it is shown as it is.
        Ok(Entry::parse(line).or(Some(Entry { time: b"", error: false, whole: true, text: line })))
    }

    /// Reads to the end of a line; false when it does not end yet.
    fn read_line(&mut self) -> io::Result<bool> {
        let Some(part) = self.parts.get_mut(self.place) else { return Ok(false) };
        part.file.read_until(b'\n', &mut self.line)?;
        Ok(self.line.ends_with(b"\n"))
    }

    /// At the end of a file: whether there is more to read now, there or in the next one. A file that was renamed is
    /// read once more to its end before it is left.
    fn advance(&mut self) -> io::Result<bool> {
        if self.place + 1 < self.parts.len() {
            self.place += 1;
            return Ok(true);
        }
        if !self.follow {
            return Ok(false);
        }
        if !self.closed && !self.parts.is_empty() {
            let current = fs::metadata(self.directory.join(CURRENT));
            let inode = current.as_ref().map(MetadataExt::ino).ok();
            self.closed = self.parts.last().is_some_and(|part| Some(part.inode) != inode);
            return Ok(self.closed);
        }
        let Some(part) = self.successor()? else { return Ok(false) };
        // What was read is no longer needed; what is left of a line has no end any more.
        self.line.clear();
        self.parts = vec![part];
        (self.place, self.closed) = (0, false);
        Ok(true)
    }
}
