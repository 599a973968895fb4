//! Copying one entry and all below it, by descriptors on both sides.
//!
//! Dangers: either side may be hostile or change under way. Every name is one component below a directory that is
//! held; nothing is opened before it is known to be a regular file or a directory; nothing that is there is written
//! into: it is removed, and made anew.

use super::place::{Entry, link_to};
use pipkin::spec::IdMap;
use pipkin::sys::signal::receive;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fchown, fgetxattr, flistxattr, fsetxattr, futimens, linkat, mkdirat, mknodat, openat,
    readlinkat_raw, symlinkat, unlinkat, utimensat,
};
use rustix::io::{Errno, Result, read, retry_on_intr, write};
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;

/// Deepest tree: each level holds four descriptors.
pub(super) const MOST_DEEP: usize = 200;
/// How often something that others make again is removed.
const MOST_RETRIES: usize = 16;
/// Bytes copied between two looks at the signals.
const CHUNK: usize = 256 << 10;
/// Most files of several names that are kept open, so that their other names can be made; past that they are copied
/// once more.
const MOST_LINKED: usize = 400;
/// `PATH_MAX` of the kernel.
const PATH_CAPACITY: usize = 4096;
/// Longest list of names, and longest value, of extended attributes (xattr(7)).
const XATTR_SIZE: usize = 64 << 10;

/// Which way the copy goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    /// Out of a container: it is not to leave anything that gives rights on the host.
    Out,
    /// Into one.
    In,
}

/// Where a copy goes.
pub(super) struct Target<'a> {
    /// The directory it is made in.
    pub(super) parent: BorrowedFd<'a>,
    /// Its name there.
    pub(super) name: CString,
    /// Its path from where the copy begins, for telling.
    pub(super) path: Vec<u8>,
}

/// A copy that could not be made.
pub(super) struct Stop {
    pub(super) path: Vec<u8>,
    pub(super) errno: Errno,
}

/// An extended attribute: its name and its value.
pub(super) type Attribute = (CString, Vec<u8>);

type Done = std::result::Result<(), Stop>;

/// A file of several names, of which one is copied.
struct Linked {
    source: (u64, u64),
    /// How many of its names are still to come.
    left: u64,
    copy: OwnedFd,
}

/// A copy under way.
pub(super) struct Copier {
    pub(super) direction: Direction,
    maps: Option<[Vec<IdMap>; 2]>,
    /// Whether a copy gets the owner of what is copied.
    pub(super) gives_owners: bool,
    signals: OwnedFd,
    linked: Vec<Linked>,
    /// What is not copied: devices and sockets.
    pub(super) left_out: Vec<Vec<u8>>,
    /// The signal that ended it.
    pub(super) signal: Option<u8>,
}

impl Copier {
    /// A copy in `direction`; `maps` are those of the container's user namespace, for users and groups.
    pub(super) fn new(direction: Direction, maps: Option<[Vec<IdMap>; 2]>, signals: OwnedFd) -> Self {
        let (linked, left_out) = (Vec::new(), Vec::new());
        Self { direction, maps, gives_owners: true, signals, linked, left_out, signal: None }
    }

    /// Copies `source` and all below it to `target`, in the place of whatever is there and is no directory.
    ///
    /// # Errors
    /// The first entry that could not be copied.
    pub(super) fn entry(&mut self, source: &Entry, target: &Target) -> Done {
        self.copy(source, target, 0)
    }

    /// Copies what is in the directory `source` into the directory `into`.
    ///
    /// # Errors
    /// As [`Copier::entry`].
    pub(super) fn contents(&mut self, source: &Entry, into: &OwnedFd, path: &[u8], depth: usize) -> Done {
        let stop = |errno| Stop { path: path.to_vec(), errno };
        if depth > MOST_DEEP {
            return Err(stop(Errno::LOOP));
        }
        let from = source.open(OFlags::DIRECTORY).map_err(stop)?;
        for name in names(&from).map_err(stop)? {
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            let path = [path, slash, name.to_bytes()].concat();
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&from, name.as_c_str(), flags, Mode::empty()).and_then(Entry::new) {
                // It went since the directory was read.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(Stop { path, errno }),
                Ok(child) => self.copy(&child, &Target { parent: into.as_fd(), name, path }, depth + 1)?,
            }
        }
        Ok(())
    }

    fn copy(&mut self, source: &Entry, target: &Target<'_>, depth: usize) -> Done {
        let stop = |errno| Stop { path: target.path.clone(), errno };
        self.watch().map_err(stop)?;
        match source.kind() {
            FileType::Directory => {
                let into = make_directory(target).map_err(stop)?;
                self.contents(source, &into, &target.path, depth)?;
                let from = source.open(OFlags::DIRECTORY);
                from.and_then(|from| self.dress(source, from.as_fd(), into.as_fd())).map_err(stop)
            }
            FileType::RegularFile => self.file(source, target).map_err(stop),
            FileType::Symlink => self.link(source, target).map_err(stop),
            FileType::Fifo => self.pipe(source, target).map_err(stop),
            _ => {
                self.left_out.push(target.path.clone());
                Ok(())
            }
        }
    }

    /// Notices a signal that is to end the copy.
    pub(super) fn watch(&mut self) -> Result<()> {
        match receive(&self.signals)? {
            None => Ok(()),
            Some(received) => {
                self.signal = u8::try_from(received.signal).ok();
                Err(Errno::INTR)
            }
        }
    }

    /// Waits until `fd` is ready for `events`.
    ///
    /// # Errors
    /// `EINTR` when a signal ends the copy, and those of poll(2).
    pub(super) fn await_stream(&mut self, fd: BorrowedFd<'_>, events: PollFlags) -> Result<()> {
        loop {
            let mut polled =
                [PollFd::from_borrowed_fd(fd, events), PollFd::new(&self.signals, PollFlags::IN)];
            retry_on_intr(|| poll(&mut polled, None))?;
            let [ready, signalled] = polled.map(|fd| !fd.revents().is_empty());
            if signalled {
                self.watch()?;
            }
            if ready {
                return Ok(());
            }
        }
    }

    fn file(&mut self, source: &Entry, target: &Target<'_>) -> Result<()> {
        if source.stat.st_nlink > 1 && self.link_again(source, target)? {
            return Ok(());
        }
        let from = source.open(OFlags::empty())?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = make(target, &mut || {
            openat(target.parent, target.name.as_c_str(), flags, Mode::from_raw_mode(0o600))
        })?;
        let done = self.pour(&from, &to).and_then(|()| self.dress(source, from.as_fd(), to.as_fd()));
        if done.is_err() {
            // Half a file is worse than none; the failure that is told is the one that led here.
            unlinkat(target.parent, target.name.as_c_str(), AtFlags::empty()).unwrap_or(());
            return done;
        }
        if source.stat.st_nlink > 1 && self.linked.len() < MOST_LINKED {
            let stat = &source.stat;
            self.linked.push(Linked {
                source: (stat.st_dev, stat.st_ino),
                // Its width differs between architectures.
                #[allow(clippy::useless_conversion, reason = "u32 on aarch64")]
                left: u64::from(stat.st_nlink) - 1,
                copy: to,
            });
        }
        Ok(())
    }

    /// Copies the bytes of a file.
    fn pour(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            self.watch()?;
            let length = retry_on_intr(|| read(from, buffer.as_mut_slice()))?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            while !rest.is_empty() {
                let written = retry_on_intr(|| write(to, rest))?;
                rest = rest.get(written..).unwrap_or_default();
            }
        }
    }

    /// Gives the copy of a file with several names, made under another one, this name too. False when there is none, or
    /// it is on another file system.
    fn link_again(&mut self, source: &Entry, target: &Target<'_>) -> Result<bool> {
        let wanted = (source.stat.st_dev, source.stat.st_ino);
        let Some(place) = self.linked.iter().position(|linked| linked.source == wanted) else {
            return Ok(false);
        };
        let Some(linked) = self.linked.get_mut(place) else { return Ok(false) };
        let path = link_to(linked.copy.as_fd());
        let made = make(target, &mut || {
            linkat(CWD, path.as_str(), target.parent, target.name.as_c_str(), AtFlags::SYMLINK_FOLLOW)
        });
        linked.left -= 1;
        if linked.left == 0 {
            self.linked.swap_remove(place);
        }
        match made {
            Err(Errno::XDEV) => Ok(false),
            made => made.map(|()| true),
        }
    }

    fn link(&self, source: &Entry, target: &Target<'_>) -> Result<()> {
        let text = read_link(source)?;
        make(target, &mut || symlinkat(text.as_slice(), target.parent, target.name.as_c_str()))?;
        self.give(source, target)?;
        utimensat(target.parent, target.name.as_c_str(), &times(source), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn pipe(&self, source: &Entry, target: &Target<'_>) -> Result<()> {
        let mode = Mode::from_raw_mode(source.stat.st_mode & 0o777);
        make(target, &mut || mknodat(target.parent, target.name.as_c_str(), FileType::Fifo, mode, 0))?;
        self.give(source, target)
    }

    /// Gives the copy at `target`, which may be a link, to the owner of the source.
    fn give(&self, source: &Entry, target: &Target<'_>) -> Result<()> {
        let (parent, name) = (target.parent, target.name.as_c_str());
        self.own(source, &|uid, gid| chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW))
    }

    fn own(&self, source: &Entry, change: &dyn Fn(Uid, Gid) -> Result<()>) -> Result<()> {
        let (uid, gid) = self.owner(source);
        if self.gives_owners { self.forgive(change(uid, gid)) } else { Ok(()) }
    }

    /// Gives the copy the owner, attributes, mode and times of the source, in this order: a change of owner takes
    /// set-user-id bits and file capabilities away.
    fn dress(&self, source: &Entry, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
        self.own(source, &|uid, gid| fchown(to, Some(uid), Some(gid)))?;
        let keep = if self.direction == Direction::Out && !source.is_directory() { 0o1777 } else { 0o7777 };
        fchmod(to, Mode::from_raw_mode(source.stat.st_mode & keep))?;
        self.set_attributes(&self.attributes(from)?, to)?;
        futimens(to, &times(source))
    }

    /// The extended attributes of an open file that may go to the other end.
    pub(super) fn attributes(&self, from: BorrowedFd<'_>) -> Result<Vec<Attribute>> {
        let mut list = vec![0; XATTR_SIZE];
        let length = match flistxattr(from, list.as_mut_slice()) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            length => length?,
        };
        let (mut attributes, mut value) = (Vec::new(), vec![0; XATTR_SIZE]);
        for name in list.get(..length).unwrap_or_default().split_inclusive(|byte| *byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            if !self.keeps(name.to_bytes()) {
                continue;
            }
            let length = fgetxattr(from, name, value.as_mut_slice())?;
            attributes.push((name.to_owned(), value.get(..length).unwrap_or_default().to_vec()));
        }
        Ok(attributes)
    }

    /// Gives an open file those of `attributes` that may come here.
    pub(super) fn set_attributes(&self, attributes: &[Attribute], to: BorrowedFd<'_>) -> Result<()> {
        attributes.iter().filter(|(name, _)| self.keeps(name.to_bytes())).try_for_each(|(name, value)| {
            self.forgive(fsetxattr(to, name.as_c_str(), value, XattrFlags::empty()))
        })
    }

    /// Whether an attribute means the same at the other end, and may go there.
    fn keeps(&self, name: &[u8]) -> bool {
        match name {
            b"security.capability" => self.direction == Direction::In,
            b"system.posix_acl_access" | b"system.posix_acl_default" => true,
            name => name.starts_with(b"user."),
        }
    }

    /// The owner of the copy. An id without a place in the user namespace becomes its root, and that of a file which
    /// has none there is kept.
    pub(super) fn owner(&self, source: &Entry) -> (Uid, Gid) {
        let map = |place: usize, id: u32| {
            let maps = self.maps.as_ref().and_then(|maps| maps.get(place)).filter(|maps| !maps.is_empty());
            let Some(maps) = maps else { return id };
            let shift = |from: u32, to: u32, count: u32, id: u32| {
                id.checked_sub(from)
                    .filter(|offset| *offset < count)
                    .and_then(|offset| to.checked_add(offset))
            };
            let found = maps.iter().find_map(|map| match self.direction {
                Direction::In => shift(map.inside, map.outside, map.count, id),
                Direction::Out => shift(map.outside, map.inside, map.count, id),
            });
            let root = maps.iter().find_map(|map| (map.inside == 0).then_some(map.outside));
            match self.direction {
                Direction::In => found.or(root).unwrap_or(id),
                Direction::Out => found.unwrap_or(id),
            }
        };
        (Uid::from_raw(map(0, source.stat.st_uid)), Gid::from_raw(map(1, source.stat.st_gid)))
    }

    /// Who is not root owns what it makes, and a file system keeps what it can.
    fn forgive(&self, done: Result<()>) -> Result<()> {
        match done {
            Err(Errno::OPNOTSUPP) => Ok(()),
            Err(Errno::PERM) if !self.gives_owners || !rustix::process::geteuid().is_root() => Ok(()),
            done => done,
        }
    }
}

/// Makes something new under the target's name. What is there and is no directory is removed first.
pub(super) fn make<T>(target: &Target<'_>, how: &mut dyn FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..MOST_RETRIES {
        match how() {
            Err(Errno::EXIST) => match unlinkat(target.parent, target.name.as_c_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            },
            done => return done,
        }
    }
    Err(Errno::EXIST)
}

/// Makes the target a directory, or takes the one that is there.
pub(super) fn make_directory(target: &Target<'_>) -> Result<OwnedFd> {
    match mkdirat(target.parent, target.name.as_c_str(), Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(target.parent, target.name.as_c_str(), flags, Mode::empty())
}

/// Where a link leads.
pub(super) fn read_link(source: &Entry) -> Result<Vec<u8>> {
    let mut buffer = [MaybeUninit::uninit(); PATH_CAPACITY];
    let (text, _) = readlinkat_raw(source.fd(), c"", &mut buffer)?;
    Ok(text.to_vec())
}

/// What is in a directory.
pub(super) fn names(directory: &OwnedFd) -> Result<Vec<CString>> {
    let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn times(source: &Entry) -> Timestamps {
    let stat = &source.stat;
    // Unsigned or not, as rustix's backend has it.
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
    }
}
