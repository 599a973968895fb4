//! From an archive to files.
//!
//! Dangers: an archive is an allegation. Its paths are resolved beneath the directory that it is unpacked in, so that no
//! `..`, no absolute path and no link, whether it was there or came with the archive, leads out of that; devices are
//! refused. What is there and is no directory is removed and made anew, never written into.

use super::member::{BLOCK, MOST_EXTENDED, Member, kind, padding};
use super::place::look_up;
use super::tree::{Copier, Stop, Target, make, make_directory};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, chownat, fchmod, fchown,
    futimens, linkat, mkdirat, mknodat, openat, symlinkat, unlinkat, utimensat,
};
use rustix::io::{Errno, Result, read, retry_on_intr, write};
use std::ffi::CString;

const CHUNK: usize = 256 << 10;

/// Why an archive is not unpacked to its end.
pub(super) enum Fault {
    /// A member could not be made.
    Stop(Stop),
    /// It is not what it should be, at this member.
    Wrong(Vec<u8>, &'static str),
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

type Done<T = ()> = std::result::Result<T, Fault>;

/// An archive being read.
pub(super) struct Unpacker<'a> {
    copier: &'a mut Copier,
    input: BorrowedFd<'a>,
    buffer: Vec<u8>,
    /// What of it has been read and not yet used.
    at: usize,
    end: usize,
    into: &'a OwnedFd,
    /// Directories, and the times that they get when all is in them.
    directories: Vec<(Vec<u8>, u64)>,
}

impl<'a> Unpacker<'a> {
    /// One that comes from `input` and goes into the directory `into`.
    pub(super) fn new(copier: &'a mut Copier, input: BorrowedFd<'a>, into: &'a OwnedFd) -> Self {
        Self { copier, input, buffer: vec![0; CHUNK], at: 0, end: 0, into, directories: Vec::new() }
    }

    /// Unpacks all of it.
    ///
    /// # Errors
    /// The first member that is refused or cannot be made; those before it are there.
    pub(super) fn run(mut self) -> Done {
        while let Some(member) = self.next()? {
            let stop = |errno| Stop { path: member.path.clone(), errno };
            self.copier.watch().map_err(stop)?;
            let path = inside(&member.path)
                .ok_or_else(|| wrong(&member, "its path leads out of where it is unpacked"))?;
            self.make(&member, path)?;
        }
        // What follows the end belongs to it too: whoever writes it must not find a closed pipe.
        while self.more().map_err(reading)? > 0 {
            self.at = self.end;
        }
        for (path, time) in self.directories.iter().rev() {
            // Best effort: one that is gone by now needs none.
            let found = beneath(self.into, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW);
            found.and_then(|found| futimens(found, &times(*time))).unwrap_or(());
        }
        Ok(())
    }

    fn make(&mut self, member: &Member, path: Vec<u8>) -> Done {
        let stop = |errno| Fault::from(Stop { path: member.path.clone(), errno });
        let refused = |why| Err(wrong(member, why));
        let Some(name) = path.rsplit(|byte| *byte == b'/').next().filter(|name| !name.is_empty()) else {
            // The directory itself, which is there.
            return Ok(());
        };
        let above = path.get(..path.len() - name.len()).unwrap_or_default();
        let parent = match self.parent(above) {
            Err(Errno::XDEV | Errno::LOOP) => {
                return refused("a link on its way leads out of where it is unpacked");
            }
            parent => parent.map_err(stop)?,
        };
        let name = CString::new(name).map_err(|_| stop(Errno::INVAL))?;
        let target = Target { parent: parent.as_fd(), name, path: member.path.clone() };
        let done = match member.kind {
            kind::DIRECTORY => {
                let made = make_directory(&target).and_then(|made| self.dress(member, &made));
                self.directories.push((path, member.time));
                made
            }
            kind::FILE => return self.file(member, &target),
            kind::LINK => CString::new(member.link.as_slice()).map_err(|_| Errno::INVAL).and_then(|link| {
                make(&target, &mut || symlinkat(link.as_c_str(), target.parent, target.name.as_c_str()))?;
                dress_link(member, &target)?;
                let when = times(member.time);
                utimensat(target.parent, target.name.as_c_str(), &when, AtFlags::SYMLINK_NOFOLLOW)
            }),
            kind::PIPE => {
                let mode = Mode::from_raw_mode(member.mode & 0o777);
                let mut made = || mknodat(target.parent, target.name.as_c_str(), FileType::Fifo, mode, 0);
                make(&target, &mut made).and_then(|()| dress_link(member, &target))
            }
            kind::HARD_LINK => {
                let Some(link) = inside(&member.link) else {
                    return refused("it is a link to what is outside of where it is unpacked");
                };
                self.link_again(&link, &target)
            }
            b'3' | b'4' => return refused("it is a device"),
            _ => return refused("it is of an unknown kind"),
        };
        done.map_err(stop)?;
        self.pass(member.size.saturating_add(padding(member.size) as u64), &mut |_| Ok(()))
    }

    /// The directory at `above`, made where it is missing.
    fn parent(&self, above: &[u8]) -> Result<OwnedFd> {
        let open = |path: &[u8]| beneath(self.into, path, OFlags::PATH | OFlags::DIRECTORY);
        let found = open(above);
        if !matches!(found, Err(Errno::NOENT)) {
            return found;
        }
        let mut here = open(b"")?;
        let mut at = 0;
        for part in above.split_inclusive(|byte| *byte == b'/') {
            at += part.len();
            let name = part.strip_suffix(b"/").unwrap_or(part);
            match mkdirat(&here, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            here = open(above.get(..at).unwrap_or_default())?;
        }
        Ok(here)
    }

    fn file(&mut self, member: &Member, target: &Target<'_>) -> Done {
        let stop = |errno| Fault::from(Stop { path: member.path.clone(), errno });
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = make(target, &mut || {
            openat(target.parent, target.name.as_c_str(), flags, Mode::from_raw_mode(0o600))
        });
        let file = file.map_err(stop)?;
        let poured = self.pass(member.size, &mut |mut bytes| {
            while !bytes.is_empty() {
                let written = retry_on_intr(|| write(&file, bytes)).map_err(stop)?;
                bytes = bytes.get(written..).unwrap_or_default();
            }
            Ok(())
        });
        let dressed = poured.and_then(|()| {
            self.dress(member, &file).and_then(|()| futimens(&file, &times(member.time))).map_err(stop)
        });
        if dressed.is_err() {
            // Half a file is worse than none; the failure that is told is the one that led here.
            unlinkat(target.parent, target.name.as_c_str(), AtFlags::empty()).unwrap_or(());
            return dressed;
        }
        self.pass(padding(member.size) as u64, &mut |_| Ok(()))
    }

    /// Gives what was made its owner, mode and extended attributes, in this order: a change of owner takes set-user-id
    /// bits and file capabilities away. What has another owner than its archive says gets no such bits.
    fn dress(&self, member: &Member, made: &OwnedFd) -> Result<()> {
        let owned = own(member, &|uid, gid| fchown(made, uid, gid))?;
        let kept = if owned { 0o7777 } else { 0o1777 };
        fchmod(made, Mode::from_raw_mode(member.mode & kept))?;
        self.copier.set_attributes(&member.attributes, made.as_fd())
    }

    /// Gives what is at `path` another name.
    fn link_again(&self, path: &[u8], target: &Target<'_>) -> Result<()> {
        let name =
            path.rsplit(|byte| *byte == b'/').next().filter(|name| !name.is_empty()).ok_or(Errno::INVAL)?;
        let above = path.get(..path.len() - name.len()).unwrap_or_default();
        let directory = beneath(self.into, above, OFlags::PATH | OFlags::DIRECTORY)?;
        make(target, &mut || {
            linkat(&directory, name, target.parent, target.name.as_c_str(), AtFlags::empty())
        })
    }

    /// The next member, with what extended headers say of it; `None` at the end.
    fn next(&mut self) -> Done<Option<Member>> {
        let mut extended: Vec<(u8, Vec<u8>)> = Vec::new();
        loop {
            let mut header = [0; BLOCK];
            let Some(()) = self.take(&mut header)? else {
                return if extended.is_empty() { Ok(None) } else { Err(short(b"")) };
            };
            if header.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let damaged = |path: &[u8]| Fault::Wrong(path.to_vec(), "it is no tar archive, or damaged");
            let mut member = Member::decode(&header).ok_or_else(|| damaged(b"the archive"))?;
            if !matches!(member.kind, b'x' | b'g' | b'L' | b'K') {
                let told = extended.iter().try_for_each(|(kind, text)| member.extend(*kind, text));
                told.ok_or_else(|| damaged(&member.path))?;
                if member.kind == kind::DIRECTORY || !member.path.ends_with(b"/") {
                    return Ok(Some(member));
                }
                // As archives of old have a directory.
                return Ok(Some(Member { kind: kind::DIRECTORY, ..member }));
            }
            if member.size > MOST_EXTENDED {
                return Err(damaged(b"the archive"));
            }
            let mut text = Vec::new();
            self.pass(member.size, &mut |bytes| {
                text.extend_from_slice(bytes);
                Ok(())
            })?;
            self.pass(padding(member.size) as u64, &mut |_| Ok(()))?;
            // What is said of all members is nothing that we heed.
            if member.kind != b'g' {
                extended.push((member.kind, text));
            }
        }
    }

    /// Fills `block`; `None` when nothing more comes.
    fn take(&mut self, block: &mut [u8; BLOCK]) -> Done<Option<()>> {
        let mut filled = 0;
        if self.at == self.end && self.more().map_err(reading)? == 0 {
            return Ok(None);
        }
        self.pass(BLOCK as u64, &mut |bytes| {
            for (to, from) in block.iter_mut().skip(filled).zip(bytes) {
                *to = *from;
            }
            filled += bytes.len();
            Ok(())
        })?;
        Ok(Some(()))
    }

    /// Gives the next `length` bytes to `sink`.
    fn pass(&mut self, length: u64, sink: &mut dyn FnMut(&[u8]) -> Done) -> Done {
        let mut left = length;
        while left > 0 {
            if self.at == self.end && self.more().map_err(reading)? == 0 {
                return Err(short(b"the archive"));
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.end - self.at);
            sink(self.buffer.get(self.at..self.at + most).unwrap_or_default())?;
            self.at += most;
            left -= most as u64;
        }
        Ok(())
    }

    fn more(&mut self) -> Result<usize> {
        self.copier.await_stream(self.input, PollFlags::IN)?;
        self.at = 0;
        self.end = retry_on_intr(|| read(self.input, self.buffer.as_mut_slice()))?;
        Ok(self.end)
    }
}

fn reading(errno: Errno) -> Fault {
    Fault::Stop(Stop { path: b"the archive".to_vec(), errno })
}

fn short(path: &[u8]) -> Fault {
    Fault::Wrong(path.to_vec(), "it ends too early")
}

fn wrong(member: &Member, why: &'static str) -> Fault {
    Fault::Wrong(member.path.clone(), why)
}

/// A path of an archive without what means nothing; `None` when it leads upwards or begins at the root.
fn inside(path: &[u8]) -> Option<Vec<u8>> {
    let parts = || path.split(|byte| *byte == b'/');
    (!path.starts_with(b"/") && parts().all(|part| part != b"..")).then_some(())?;
    let parts: Vec<&[u8]> = parts().filter(|part| !part.is_empty() && *part != b".").collect();
    Some(parts.join(&b'/'))
}

/// Opens `path`, which no link may lead out of `directory`.
fn beneath(directory: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    look_up(directory, path, flags, inside)
}

fn dress_link(member: &Member, target: &Target<'_>) -> Result<()> {
    let (parent, name) = (target.parent, target.name.as_c_str());
    own(member, &|uid, gid| chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)).map(drop)
}

/// Gives user and group by `change`, and answers whether both were given: who may not give files away owns what it
/// makes, and an id without a place in the user namespace is its root instead.
fn own(member: &Member, change: &dyn Fn(Option<Uid>, Option<Gid>) -> Result<()>) -> Result<bool> {
    let (uid, gid) = (Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)));
    let given = |done| match done {
        Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
        done => done.map(|()| true),
    };
    if given(change(uid, gid))? {
        return Ok(true);
    }
    given(change(uid, None))?;
    given(change(None, gid))?;
    Ok(false)
}

fn times(seconds: u64) -> Timestamps {
    let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn no_path_leads_out() {
        assert_eq!(inside(b"./a//b/./c/"), Some(b"a/b/c".to_vec()));
        assert_eq!((inside(b"./"), inside(b"a..b")), (Some(Vec::new()), Some(b"a..b".to_vec())));
        for path in ["/a", "..", "a/..", "../a", "a/../b", "//"] {
            assert_eq!(inside(path.as_bytes()), None, "{path}");
        }
    }
}
