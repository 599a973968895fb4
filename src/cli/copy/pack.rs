//! From files to an archive.

use super::member::{BLOCK, Member, kind, padding};
use super::place::Entry;
use super::tree::{Attribute, Copier, Direction, MOST_DEEP, Stop, names, read_link};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, Result, read, retry_on_intr, write};
use rustix::pipe::PIPE_BUF;

/// Bytes that are written at a time.
const CHUNK: usize = 256 << 10;

/// An archive being written.
pub(super) struct Packer<'a> {
    copier: &'a mut Copier,
    output: BorrowedFd<'a>,
    pending: Vec<u8>,
    /// Files of several names, and the one that each is in the archive by.
    linked: Vec<((u64, u64), Vec<u8>)>,
}

type Done = std::result::Result<(), Stop>;

impl<'a> Packer<'a> {
    /// One that goes to `output`.
    pub(super) fn new(copier: &'a mut Copier, output: BorrowedFd<'a>) -> Self {
        Self { copier, output, pending: Vec::new(), linked: Vec::new() }
    }

    /// Adds `source` and all below it as `path`.
    ///
    /// # Errors
    /// The first entry that could not be read, and `EPIPE` and the like of the output.
    pub(super) fn entry(&mut self, source: &Entry, path: Vec<u8>, depth: usize) -> Done {
        let stop = |errno| Stop { path: path.clone(), errno };
        self.copier.watch().map_err(stop)?;
        match source.kind() {
            FileType::Directory => {
                let slashed = [path.as_slice(), b"/"].concat();
                let from = source.open(OFlags::DIRECTORY).map_err(stop)?;
                let attributes = self.attributes(from.as_fd()).map_err(stop)?;
                let member = self.member(source, slashed.clone(), kind::DIRECTORY);
                self.put(&Member { attributes, ..member }).map_err(stop)?;
                self.contents(source, &slashed, depth)
            }
            FileType::RegularFile => self.file(source, &path).map_err(stop),
            FileType::Symlink => {
                let link = read_link(source).map_err(stop)?;
                self.put(&Member { link, ..self.member(source, path.clone(), kind::LINK) }).map_err(stop)
            }
            FileType::Fifo => self.put(&self.member(source, path.clone(), kind::PIPE)).map_err(stop),
            _ => {
                self.copier.left_out.push(path);
                Ok(())
            }
        }
    }

    /// Adds what is in the directory `source`, each name behind `above`, which is empty or ends in a slash.
    ///
    /// # Errors
    /// As [`Packer::entry`].
    pub(super) fn contents(&mut self, source: &Entry, above: &[u8], depth: usize) -> Done {
        let stop = |errno| Stop { path: above.to_vec(), errno };
        if depth > MOST_DEEP {
            return Err(stop(Errno::LOOP));
        }
        let from = source.open(OFlags::DIRECTORY).map_err(stop)?;
        for name in names(&from).map_err(stop)? {
            let path = [above, name.to_bytes()].concat();
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&from, name.as_c_str(), flags, Mode::empty()).and_then(Entry::new) {
                // It went since the directory was read.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(Stop { path, errno }),
                Ok(child) => self.entry(&child, path, depth + 1)?,
            }
        }
        Ok(())
    }

    fn member(&self, source: &Entry, path: Vec<u8>, kind: u8) -> Member {
        let (uid, gid) = self.copier.owner(source);
        let rights = self.copier.direction == Direction::Out && kind != kind::DIRECTORY;
        Member {
            path,
            kind,
            mode: source.stat.st_mode & if rights { 0o1777 } else { 0o7777 },
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            time: u64::try_from(source.stat.st_mtime).unwrap_or(0),
            ..Member::default()
        }
    }

    /// What an archive can say of the extended attributes of an open file: access lists have ids in them, which it cannot.
    fn attributes(&self, from: BorrowedFd<'_>) -> Result<Vec<Attribute>> {
        let mut attributes = self.copier.attributes(from)?;
        attributes.retain(|(name, _)| !name.to_bytes().starts_with(b"system."));
        // The first of these ends a name there.
        let unspeakable = attributes.iter().any(|(name, _)| name.to_bytes().contains(&b'='));
        if unspeakable { Err(Errno::INVAL) } else { Ok(attributes) }
    }

    fn file(&mut self, source: &Entry, path: &[u8]) -> Result<()> {
        let own = (source.stat.st_dev, source.stat.st_ino);
        let mut member = self.member(source, path.to_vec(), kind::FILE);
        if source.stat.st_nlink > 1 {
            if let Some((_, first)) = self.linked.iter().find(|(inode, _)| *inode == own) {
                (member.kind, member.link) = (kind::HARD_LINK, first.clone());
                return self.put(&member);
            }
            self.linked.push((own, path.to_vec()));
        }
        let from = source.open(OFlags::empty())?;
        member.size = fstat(&from)?.st_size.cast_unsigned();
        member.attributes = self.attributes(from.as_fd())?;
        self.put(&member)?;
        // As many bytes as were announced, whatever becomes of the file meanwhile.
        let mut left = member.size;
        let mut buffer = vec![0; CHUNK];
        while left > 0 {
            self.copier.watch()?;
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let room = buffer.get_mut(..most).unwrap_or_default();
            let length = match retry_on_intr(|| read(from.as_fd(), &mut *room))? {
                0 => {
                    room.fill(0);
                    room.len()
                }
                length => length,
            };
            self.add(room.get(..length).unwrap_or_default())?;
            left -= length as u64;
        }
        self.add(&vec![0; padding(member.size)])
    }

    fn put(&mut self, member: &Member) -> Result<()> {
        self.add(&member.encode())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() < CHUNK { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        let mut rest = self.pending.as_slice();
        while !rest.is_empty() {
            // So much never waits in a pipe that is ready, and a signal is heard in between.
            self.copier.await_stream(self.output, PollFlags::OUT)?;
            let some = rest.get(..PIPE_BUF).unwrap_or(rest);
            let written = retry_on_intr(|| write(self.output, some))?;
            rest = rest.get(written..).unwrap_or_default();
        }
        self.pending.clear();
        Ok(())
    }

    /// Writes the end of the archive: two empty blocks.
    ///
    /// # Errors
    /// Those of the output.
    pub(super) fn finish(mut self) -> Done {
        let ended = self.add(&[0; 2 * BLOCK]).and_then(|()| self.flush());
        ended.map_err(|errno| Stop { path: b"the archive".to_vec(), errno })
    }
}
