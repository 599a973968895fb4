//! Paths inside the container's root, which are hostile: resolved to descriptors, never past the root and never
//! through a link of `/proc` that is more than text.
//!
//! openat2(2) does it in one call. Where a filter or an old kernel refuses that call, a walk that opens one
//! component at a time without following it does the same.

use crate::sys::defence::Defence;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fstat, mkdirat, openat, openat2,
    readlinkat_raw, statx,
};
use rustix::io::{Errno, Result};

use core::ffi::CStr;
use core::mem::MaybeUninit;

/// `PATH_MAX` of the kernel, with its NUL.
const PATH_CAPACITY: usize = 4096;
/// `NAME_MAX` of the kernel, and a NUL.
const NAME_CAPACITY: usize = 256;
/// As many links as the kernel itself follows (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// How often openat2 is asked again when a rename beside it made it unsure.
const MOST_RETRIES: usize = 64;

/// How symbolic links on the way are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Links {
    /// Followed, as if the container's root were the root.
    Follow,
    /// Refused with `ELOOP`, the last component included.
    Refuse,
}

/// Opens `path` inside `root`.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `ELOOP` (a refused or endless link), `EACCES`, `ENAMETOOLONG`, and those of open(2).
pub(super) fn open(root: BorrowedFd<'_>, path: &CStr, flags: OFlags, links: Links) -> Result<OwnedFd> {
    if !Defence::InRoot.stands() {
        return open_naively(root, path, flags);
    }
    let real = links == Links::Refuse && Defence::RealDirectory.stands();
    let refuse = if real { ResolveFlags::NO_SYMLINKS } else { ResolveFlags::empty() };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | refuse;
    for _ in 0..MOST_RETRIES {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => return walk(root, path.to_bytes(), flags, links),
            Ok(_) if !Defence::ByHandle.stands() => return open_naively(root, path, flags),
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// What [`open`] is there to avoid: the kernel's own resolution, in which every link leads where it says.
fn open_naively(root: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let bytes = path.to_bytes_with_nul();
    let slashes = bytes.iter().take_while(|byte| **byte == b'/').count();
    let relative = bytes.get(slashes..).and_then(|rest| CStr::from_bytes_with_nul(rest).ok());
    let relative = relative.filter(|rest| !rest.is_empty()).unwrap_or(c".");
    openat(root, relative, flags | OFlags::CLOEXEC, Mode::empty())
}

/// Opens `path` below `directory`, crossing neither a mount nor a link, as is right for files of procfs.
///
/// # Errors
/// `EXDEV` when something is mounted on the way, `ELOOP` for a link, and those of open(2).
pub(super) fn open_beneath(directory: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match openat2(directory, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
        Err(Errno::NOSYS | Errno::PERM) => {
            let file = walk(directory, path.to_bytes(), flags, Links::Refuse)?;
            if mount_of(file.as_fd())? == mount_of(directory)? { Ok(file) } else { Err(Errno::XDEV) }
        }
        done => done,
    }
}

/// What is to be found or made at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A directory.
    Directory,
    /// Anything else; made as an empty file.
    File,
}

impl Kind {
    /// How a place of this kind is opened to mount on it.
    fn place(self) -> OFlags {
        OFlags::PATH | if self == Self::Directory { OFlags::DIRECTORY } else { OFlags::empty() }
    }
}

/// Opens `path` inside `root` as a place to mount on (`O_PATH`), making what is missing of it with mode 0755, or
/// 0644 for a file. Where a link on the way leads to nothing, what it leads to is made.
///
/// # Errors
/// Those of [`open`] and of mkdir(2).
pub(super) fn ensure(root: BorrowedFd<'_>, path: &CStr, kind: Kind, links: Links) -> Result<OwnedFd> {
    match open(root, path, kind.place(), links) {
        Err(Errno::NOENT) => {}
        done => return done,
    }
    if let Some(place) = ensure_last(root, path, kind, links)? {
        return Ok(place);
    }
    let mut path = Prefix::new(path.to_bytes())?;
    for _ in 0..MOST_LINKS {
        let mut beyond = Prefix::new(b"")?;
        if let Some(place) = ensure_before(root, path.as_c_str(), kind, links, &mut beyond)? {
            return Ok(place);
        }
        path = beyond;
    }
    Err(Errno::LOOP)
}

/// [`ensure`] where nothing but the last component is missing, as mostly; `None` where that is not so.
fn ensure_last(root: BorrowedFd<'_>, path: &CStr, kind: Kind, links: Links) -> Result<Option<OwnedFd>> {
    let Ok((above, name)) = split(path) else { return Ok(None) };
    let parent = match open(root, Prefix::new(above)?.as_c_str(), Kind::Directory.place(), links) {
        Err(Errno::NOENT) => return Ok(None),
        parent => parent?,
    };
    match make(parent.as_fd(), name.as_c_str(), kind) {
        Err(Errno::LOOP) => Ok(None),
        made => made.and_then(|()| open(root, path, kind.place(), links)).map(Some),
    }
}

/// [`ensure`] up to the first link that leads to nothing; without a place, `beyond` is where it leads.
fn ensure_before(
    root: BorrowedFd<'_>,
    path: &CStr,
    kind: Kind,
    links: Links,
    beyond: &mut Prefix,
) -> Result<Option<OwnedFd>> {
    match open(root, path, kind.place(), links) {
        Err(Errno::NOENT) => {}
        done => return done.map(Some),
    }
    let bytes = path.to_bytes();
    let mut parent = open(root, c"/", OFlags::PATH | OFlags::DIRECTORY, links)?;
    let mut end = 0_usize;
    for component in bytes.split(|byte| *byte == b'/') {
        let start = end;
        end = bytes.len().min(end.saturating_add(component.len()).saturating_add(1));
        if component.is_empty() {
            continue;
        }
        let last = bytes.get(end..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'/'));
        let (name, prefix) = (Name::new(component)?, Prefix::new(bytes.get(..end).unwrap_or(bytes))?);
        let wanted = if last { kind } else { Kind::Directory };
        let flags = wanted.place();
        parent = match open(root, prefix.as_c_str(), flags, links) {
            Err(Errno::NOENT) => match make(parent.as_fd(), name.as_c_str(), wanted) {
                Err(Errno::LOOP) if links == Links::Follow => {
                    let (before, after) = (bytes.get(..start), bytes.get(end..));
                    let name = name.as_c_str();
                    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
                    *beyond = behind(parent.as_fd(), name, before, after)?;
                    return Ok(None);
                }
                made => made.and_then(|()| open(root, prefix.as_c_str(), flags, links))?,
            },
            found => found?,
        };
    }
    Ok(Some(parent))
}

/// The path that goes on where the link `name` in `parent` leads: `before` is the path of that directory, `after` comes
/// behind the link.
fn behind(parent: BorrowedFd<'_>, name: &CStr, before: &[u8], after: &[u8]) -> Result<Prefix> {
    let mut buffer = [MaybeUninit::uninit(); PATH_CAPACITY];
    let (target, _) = readlinkat_raw(parent, name, &mut buffer)?;
    let mut path = Pending::new(after)?;
    path.insert(target)?;
    if target.first() != Some(&b'/') {
        path.insert(before)?;
    }
    // A slash at the end would ask for a directory.
    let whole = path.rest().iter().rposition(|byte| *byte != b'/').map_or(0, |last| last.saturating_add(1));
    Prefix::new(path.rest().get(..whole).unwrap_or_default())
}

/// The directory that `path` is to be made in, and the last component.
///
/// # Errors
/// `EINVAL` for a path without a last component that can be made.
pub(super) fn split(path: &CStr) -> Result<(&[u8], Name)> {
    let bytes = path.to_bytes();
    let cut = bytes.iter().rposition(|byte| *byte == b'/').ok_or(Errno::INVAL)?;
    let (head, tail) = (bytes.get(..cut).unwrap_or_default(), bytes.get(cut..).unwrap_or_default());
    let name = tail.get(1..).filter(|name| !name.is_empty() && *name != b"." && *name != b"..");
    Ok((if head.is_empty() { b"/" } else { head }, Name::new(name.ok_or(Errno::INVAL)?)?))
}

/// Opens the directory `path`, making what is missing of it.
///
/// # Errors
/// Those of [`ensure`].
pub(super) fn directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    ensure(root, Prefix::new(path)?.as_c_str(), Kind::Directory, Links::Follow)
}

fn make(parent: BorrowedFd<'_>, name: &CStr, kind: Kind) -> Result<()> {
    match kind {
        Kind::Directory => match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            // Another process sharing the directory was faster; the open that follows judges what it made.
            Err(Errno::EXIST) if is(FileType::Directory, parent, name) => Ok(()),
            // Not there, and yet something of this name is: a link that leads to nothing.
            Err(Errno::EXIST) if is(FileType::Symlink, parent, name) => Err(Errno::LOOP),
            done => done,
        },
        Kind::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
            match openat(parent, name, flags, Mode::from_raw_mode(0o644)) {
                Err(Errno::EXIST) if is(FileType::Symlink, parent, name) => Err(Errno::LOOP),
                done => done.map(drop),
            }
        }
    }
}

fn is(kind: FileType, parent: BorrowedFd<'_>, name: &CStr) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind)
}

/// A NUL-terminated copy of part of a path, of at most `N - 1` bytes.
#[derive(Clone, Copy)]
pub(super) struct Piece<const N: usize>([u8; N]);

/// One component of a path.
pub(super) type Name = Piece<NAME_CAPACITY>;
/// The head of a path.
pub(super) type Prefix = Piece<PATH_CAPACITY>;

impl<const N: usize> Piece<N> {
    /// Copies `bytes`.
    ///
    /// # Errors
    /// `ENAMETOOLONG` when they do not fit or hold a NUL.
    pub(super) fn new(bytes: &[u8]) -> Result<Self> {
        let mut copy = [0; N];
        if bytes.len() >= N || bytes.contains(&0) {
            return Err(Errno::NAMETOOLONG);
        }
        copy.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(Self(copy))
    }

    /// The copy.
    pub(super) fn as_c_str(&self) -> &CStr {
        // `new` left at least the last byte zero.
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

/// What is still to be walked: a path that links on the way replace piece by piece.
struct Pending {
    bytes: [u8; PATH_CAPACITY],
    len: usize,
    at: usize,
}

impl Pending {
    fn new(path: &[u8]) -> Result<Self> {
        let mut bytes = [0; PATH_CAPACITY];
        bytes.get_mut(..path.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(path);
        Ok(Self { bytes, len: path.len(), at: 0 })
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..self.len).unwrap_or_default()
    }

    /// Takes the next component and tells whether it is the last.
    fn next(&mut self) -> Result<Option<(Name, bool)>> {
        let skipped = self.rest().iter().take_while(|byte| **byte == b'/').count();
        self.at = self.at.saturating_add(skipped);
        let length = self.rest().iter().take_while(|byte| **byte != b'/').count();
        if length == 0 {
            return Ok(None);
        }
        let name = Name::new(self.rest().get(..length).unwrap_or_default())?;
        self.at = self.at.saturating_add(length);
        let last = self.rest().iter().all(|byte| *byte == b'/');
        Ok(Some((name, last)))
    }

    /// Puts `target` in front of what is left.
    fn insert(&mut self, target: &[u8]) -> Result<()> {
        let mut next = Self { bytes: [0; PATH_CAPACITY], len: 0, at: 0 };
        for part in [target, b"/", self.rest()] {
            let end = next.len.checked_add(part.len()).ok_or(Errno::NAMETOOLONG)?;
            next.bytes.get_mut(next.len..end).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(part);
            next.len = end;
        }
        *self = next;
        Ok(())
    }
}

/// [`open`] without openat2. Safe because the process is already inside the root it walks: `..` at its top and
/// absolute links lead nowhere else, and links of `/proc` are taken by their text.
fn walk(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, links: Links) -> Result<OwnedFd> {
    let top = || openat(root, c".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let mut pending = Pending::new(path)?;
    let mut current = top()?;
    let mut followed: usize = 0;
    while let Some((name, last)) = pending.next()? {
        let name = name.as_c_str();
        if name == c".." && same(current.as_fd(), root)? {
            continue;
        }
        let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(&current, name, step, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Symlink {
            followed = followed.saturating_add(1);
            if links == Links::Refuse || followed > MOST_LINKS {
                return Err(Errno::LOOP);
            }
            let mut buffer = [MaybeUninit::uninit(); PATH_CAPACITY];
            let (target, _) = readlinkat_raw(&found, c"", &mut buffer)?;
            if target.first() == Some(&b'/') {
                current = top()?;
            }
            pending.insert(target)?;
        } else if last && !flags.contains(OFlags::PATH) {
            return openat(&current, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        } else {
            current = found;
        }
    }
    let directory = FileType::from_raw_mode(fstat(&current)?.st_mode) == FileType::Directory;
    if flags.contains(OFlags::DIRECTORY) && !directory {
        return Err(Errno::NOTDIR);
    }
    if flags.contains(OFlags::PATH) {
        Ok(current)
    } else {
        openat(&current, c".", flags | OFlags::CLOEXEC, Mode::empty())
    }
}

/// The id of the mount that a file is seen on.
fn mount_of(file: BorrowedFd<'_>) -> Result<u64> {
    let asked = StatxFlags::MNT_ID;
    let found = statx(file, c"", AtFlags::EMPTY_PATH, asked)?;
    // A kernel that does not know it says so here (Linux 5.8 does).
    if found.stx_mask & asked.bits() == 0 { Err(Errno::NOSYS) } else { Ok(found.stx_mnt_id) }
}

fn same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok(one.st_dev == other.st_dev && one.st_ino == other.st_ino)
}

/// Opens a path of the host, where nothing is hostile, as a handle (`O_PATH`).
///
/// # Errors
/// Those of open(2).
pub(super) fn host(path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC | flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::Result;
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::prelude::rust_2024::*;
    use std::{format, fs, os::unix::fs::symlink, path::PathBuf};

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> (Self, OwnedFd) {
            let dir = std::env::temp_dir().join(format!("pipkin-path-{name}-{}", std::process::id()));
            fs::create_dir_all(dir.join("root/a/b")).unwrap();
            fs::write(dir.join("outside"), "outside").unwrap();
            fs::write(dir.join("root/a/file"), "inside").unwrap();
            let c = CString::new(dir.join("root").as_os_str().as_bytes()).unwrap();
            let root = host(&c, OFlags::DIRECTORY).unwrap();
            (Self(dir), root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    type Opener = fn(BorrowedFd<'_>, &CStr, OFlags, Links) -> Result<OwnedFd>;
    const OPENERS: [Opener; 2] = [open, |root, path, flags, links| walk(root, path.to_bytes(), flags, links)];

    fn inode(fd: &OwnedFd) -> u64 {
        fstat(fd).unwrap().st_ino
    }

    #[test]
    fn links_stay_inside_by_either_way() {
        let (tree, root) = Tree::new("links");
        let inside = |path: &str| tree.0.join("root").join(path);
        symlink("/a", inside("absolute")).unwrap();
        symlink("../../../../a/file", inside("a/b/up")).unwrap();
        symlink("b/../b/up", inside("a/chain")).unwrap();
        symlink("../../outside", inside("a/out")).unwrap();
        symlink("loop", inside("loop")).unwrap();
        let file = inode(&open(root.as_fd(), c"/a/file", OFlags::PATH, Links::Refuse).unwrap());
        for opener in OPENERS {
            for path in [c"/absolute/file", c"a/b/up", c"/a/chain", c"../../a/./file", c"//a//file"] {
                let fd = opener(root.as_fd(), path, OFlags::PATH, Links::Follow).unwrap();
                assert_eq!(inode(&fd), file, "{path:?}");
            }
            let refused = |path, links| opener(root.as_fd(), path, OFlags::PATH, links).unwrap_err();
            assert_eq!(refused(c"/a/out", Links::Follow), Errno::NOENT);
            assert_eq!(refused(c"/loop", Links::Follow), Errno::LOOP);
            assert_eq!(refused(c"/absolute/file", Links::Refuse), Errno::LOOP);
            assert_eq!(refused(c"/a/file/x", Links::Follow), Errno::NOTDIR);
            let read = opener(root.as_fd(), c"/a/b/up", OFlags::RDONLY, Links::Follow).unwrap();
            let mut text = [0; 6];
            assert_eq!(rustix::io::read(&read, &mut text), Ok(6));
            assert_eq!(&text, b"inside");
        }
    }

    #[test]
    fn missing_places_are_made_inside() {
        let (tree, root) = Tree::new("make");
        symlink("/new/place", tree.0.join("root/dangling")).unwrap();
        symlink("/a", tree.0.join("root/link")).unwrap();
        ensure(root.as_fd(), c"/x/y/z", Kind::Directory, Links::Follow).unwrap();
        ensure(root.as_fd(), c"/link/made/file", Kind::File, Links::Follow).unwrap();
        assert!(tree.0.join("root/x/y/z").is_dir());
        assert!(tree.0.join("root/a/made/file").is_file());
        ensure(root.as_fd(), c"/dangling/x", Kind::Directory, Links::Follow).unwrap();
        assert!(tree.0.join("root/new/place/x").is_dir());
        symlink("../../../outside", tree.0.join("root/a/up")).unwrap();
        symlink("up", tree.0.join("root/a/chain")).unwrap();
        ensure(root.as_fd(), c"/link/chain", Kind::File, Links::Follow).unwrap();
        assert!(tree.0.join("root/outside").is_file());
        symlink("loop/x", tree.0.join("root/loop")).unwrap();
        let made = ensure(root.as_fd(), c"/loop", Kind::File, Links::Follow);
        assert_eq!(made.unwrap_err(), Errno::LOOP);
        symlink("/nothing", tree.0.join("root/refused")).unwrap();
        let made = ensure(root.as_fd(), c"/refused", Kind::File, Links::Refuse);
        assert_eq!(made.unwrap_err(), Errno::LOOP);
        assert!(!tree.0.join("root/nothing").exists());
        let made = ensure(root.as_fd(), c"/link/x", Kind::Directory, Links::Refuse);
        assert_eq!(made.unwrap_err(), Errno::LOOP);
        assert_eq!(fs::read_dir(&tree.0).unwrap().count(), 2);
    }

    #[test]
    fn a_parent_needs_a_name_below_it() {
        let parts = |path| split(path).map(|(above, name)| (above, name.as_c_str().to_bytes().to_vec()));
        assert_eq!(parts(c"/dev/null"), Ok((&b"/dev"[..], b"null".to_vec())));
        assert_eq!(parts(c"/null"), Ok((&b"/"[..], b"null".to_vec())));
        for bad in [c"", c"/", c"/a/", c"/a/..", c"/a/.", c"null"] {
            assert!(split(bad).is_err(), "{bad:?}");
        }
        let (tree, root) = Tree::new("parent");
        directory(root.as_fd(), b"/x/y").unwrap();
        assert!(tree.0.join("root/x/y").is_dir());
    }
}
