//! A path of the host, or inside the root of a container.

use super::super::detach::control::{answer, hand_out, hear};
use super::super::message::Failure;
use super::super::operand::Found;
use super::archive::enter;
use crate::store::{Container, Status, Store};
use pipkin::host::{freeze_group, is_privileged, namespace, parse_map, show_for};
use pipkin::spec::{Id, IdMap};
use pipkin::sys::process::unshare;
use pipkin::sys::spawn::{Fork, fork};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, mkdirat, openat, openat2};
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, mount, mount_change, move_mount};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use rustix::process::{Pid, Signal, WaitOptions, geteuid, kill_process, waitpid};
use rustix::thread::UnshareFlags;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// An operand of `cp`.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    /// As it was typed.
    pub(super) whole: &'a [u8],
    /// Its container, if it names one.
    pub(super) container: Option<&'a [u8]>,
    /// The path.
    pub(super) path: &'a [u8],
}

impl<'a> Typed<'a> {
    /// `CONTAINER:PATH`, or a path: what has a slash before its first colon is one.
    pub(super) fn new(whole: &'a [u8]) -> Self {
        let colon = whole.iter().position(|byte| *byte == b':').filter(|colon| *colon > 0);
        match colon.and_then(|colon| Some((whole.get(..colon)?, whole.get(colon + 1..)?))) {
            Some((container, path)) if !container.contains(&b'/') && !container.starts_with(b".") => {
                Self { whole, container: Some(container), path }
            }
            _ => Self { whole, container: None, path: whole },
        }
    }

    /// The last component, which names the copy; `None` for one that is no name.
    pub(super) fn name(&self) -> Option<&'a [u8]> {
        let trimmed = trim_slashes(self.path);
        let name = trimmed.rsplit(|byte| *byte == b'/').next()?;
        (!name.is_empty() && name != b"." && name != b"..").then_some(name)
    }

    /// Whether it stands for our standard input or output.
    pub(super) fn is_stream(&self) -> bool {
        self.whole == b"-"
    }

    /// Whether it asks for what is in a directory instead of the directory.
    pub(super) fn contents(&self) -> bool {
        self.path.ends_with(b"/.") || self.path == b"."
    }
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path.get(..end).unwrap_or_default()
}

/// Where paths are resolved.
pub(super) struct Place {
    /// The container's root; the host's paths are taken as they are.
    root: Option<OwnedFd>,
    /// The container's user namespace, when it has one, and it is to be written to, or read by somebody who is not root
    /// and may not read all of it.
    pub(super) users: Option<OwnedFd>,
    /// Whether it is written to.
    into: bool,
    /// Ids of the container's user namespace.
    maps: Option<[Vec<IdMap>; 2]>,
    /// What is to be let go on in the end.
    frozen: Option<Id>,
    /// Who mounted the root of a stopped container, where we may not.
    mounter: Option<Opener>,
    /// Such a container stays ours as long as its root is mounted: this is dropped last.
    _held: Option<Container>,
}

/// A child of ours that has opened something for us as the root of a user namespace. It ends when this does.
struct Opener {
    child: Pid,
    /// What it waits for the end of.
    _channel: OwnedFd,
}

impl Drop for Opener {
    fn drop(&mut self) {
        // It is ours, and not waited for yet.
        kill_process(self.child, Signal::KILL).unwrap_or(());
        waitpid(Some(self.child), WaitOptions::empty()).map(drop).unwrap_or(());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(id) = self.frozen.take()
            && let Err(error) = freeze_group(&id, None, false)
        {
            Failure::from(error).tell();
        }
    }
}

const WHAT: &str = "copy from or to";
/// How long a child may take to open something for us, as a root that it mounts. It is there to end a hang.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a path is looked up while others rename and mount.
const MOST_TRIES: usize = 100_000;

impl Place {
    /// Opens the place that `typed` is in. A running container stands still from here on, unless it is to stay `live`.
    ///
    /// # Errors
    /// There is no such container; or, as root of another's user namespace, one with ids of its own that has ended.
    pub(super) fn open(
        store: &Store,
        typed: &Typed<'_>,
        live: bool,
        into: bool,
    ) -> std::result::Result<Self, Failure> {
        let mut place =
            Self { root: None, users: None, into, maps: None, frozen: None, mounter: None, _held: None };
        let Some(name) = typed.container else { return Ok(place) };
        let found = Found::find(store, WHAT, OsStr::from_bytes(name))?;
        if !found.record.status.is_alive() {
            return place.of_ended(&found);
        }
        let pid = found.record.pid.to_string();
        let target = found.any_target()?;
        let paused = found.record.status == Status::Paused || target.is_frozen()?;
        if !live && !paused && target.has_group() {
            freeze_group(&found.id, None, true)?;
            place.frozen = Some(found.id);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, ["/proc/", &pid, "/root"].concat().as_str(), flags, Mode::empty());
        place.root = Some(root.map_err(|errno| found.errno(errno))?);
        let map = |file: &str| {
            let read = read_map(&["/proc/", &pid, file].concat());
            read.map_err(|error| found.errno(super::super::launch::errno_of(&error)))
        };
        let maps = [map("/uid_map")?, map("/gid_map")?];
        if maps.iter().any(|map| !map.is_empty()) && place.needs_users() {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let users = openat(CWD, ["/proc/", &pid, "/ns/user"].concat().as_str(), flags, Mode::empty());
            place.users = Some(users.map_err(|errno| found.errno(errno))?);
        }
        place.maps = Some(maps);
        // Only now: what was opened belongs to the process that is recorded, if that still lives.
        found.is_same_process()?;
        Ok(place)
    }

    /// The root of a container that does not run, mounted for us.
    fn of_ended(mut self, found: &Found<'_>) -> std::result::Result<Self, Failure> {
        let held = found
            .store
            .adopt_ended(&found.id)
            .map_err(|error| found.errno(super::super::launch::errno_of(&error)))?;
        let held =
            held.ok_or_else(|| found.fail("it is being started, removed, or used by another command"))?;
        let layers: Vec<&[u8]> = held.record.all("root.layer").collect();
        if layers.is_empty() {
            return Err(found.fail("nothing of its root is left").remedy("start it first"));
        }
        let own = found.store.layer(&found.id);
        let map = |key| {
            let lines = held.record.all(key).collect::<Vec<_>>().join(&b'\n');
            let map = parse_map(&lines).ok_or_else(|| found.fail("the ids in its record are damaged"))?;
            Ok::<_, Failure>(map.to_vec())
        };
        let [uids, gids] = [map("root.uids")?, map("root.gids")?];
        // Its writable layer belongs to the root of its user namespace, if it had one.
        let foreign = std::fs::metadata(own.join("upper")).is_ok_and(|upper| upper.uid() != 0);
        let users = match uids.is_empty() {
            false if is_privileged() || !geteuid().is_root() => Some(namespace(&uids, &gids)?),
            _ if foreign => return Err(cannot_become(found)),
            _ => None,
        };
        let own = own.as_os_str().as_bytes();
        let mounted = match &users {
            // In a mount that is in no namespace any more the kernel finds no way by `..`: who has mounted it stays.
            Some(users) if !is_privileged() => open_within(users, || mount_stopped(&layers, own, true, None))
                .map(|(root, mounter)| (root, Some(mounter))),
            shown => mount_stopped(&layers, own, shown.is_some(), shown.as_ref()).map(|root| (root, None)),
        };
        let (root, mounter) = mounted.map_err(|errno| found.errno(errno))?;
        (self.root, self.mounter) = (Some(root), mounter);
        (self.users, self.maps) = (users.filter(|_| self.needs_users()), Some([uids, gids]));
        self._held = Some(held);
        Ok(self)
    }

    fn needs_users(&self) -> bool {
        self.into || !geteuid().is_root()
    }

    /// The ids of its user namespace.
    pub(super) fn maps(&self) -> Option<[Vec<IdMap>; 2]> {
        self.maps.clone()
    }

    /// Resolves `path` without opening what is there (`O_PATH`).
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn resolve(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
        let Some(root) = &self.root else { return openat(CWD, path, flags, Mode::empty()) };
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let look = || look_up(root, path, flags, inside);
        match &self.users {
            // Some of it may be closed to who is not root there.
            Some(users) if self.into && !geteuid().is_root() => {
                open_within(users, look).map(|(found, _)| found)
            }
            _ => look(),
        }
    }

    /// The entry at `path`.
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn entry(&self, path: &[u8], follow: bool) -> Result<Entry> {
        let link = if follow || path.ends_with(b"/") { OFlags::empty() } else { OFlags::NOFOLLOW };
        Entry::new(self.resolve(if path.is_empty() { b"/" } else { path }, link)?)
    }

    /// Where the copy of `from` goes when `to` is asked for: under its own name into a directory that is there, right
    /// into it when it is what is in a directory that is copied (no name), else in the place of what is there.
    ///
    /// # Errors
    /// Those of open(2); `ENOTDIR` when a directory is to take the place of a file, `EINVAL` when it would have no
    /// name.
    pub(super) fn target<'a>(
        &self,
        to: &Typed<'a>,
        from: &Typed<'a>,
        directory: bool,
    ) -> Result<(OwnedFd, Option<&'a [u8]>)> {
        let path: &[u8] = if to.path.is_empty() { b"/" } else { to.path };
        match self.resolve(path, OFlags::DIRECTORY) {
            Ok(parent) if directory && from.contents() => return Ok((parent, None)),
            Ok(parent) => return Ok((parent, Some(from.name().ok_or(Errno::INVAL)?))),
            Err(Errno::NOTDIR) if directory => return Err(Errno::NOTDIR),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno),
        }
        // A file cannot be made by a name that says it is a directory.
        if path.ends_with(b"/") && !directory {
            return Err(Errno::NOTDIR);
        }
        let name = to.name().ok_or(Errno::INVAL)?;
        let trimmed = trim_slashes(to.path);
        let above = trimmed.get(..trimmed.len() - name.len()).filter(|above| !above.is_empty());
        let here: &[u8] = if self.root.is_some() { b"/" } else { b"." };
        Ok((self.resolve(above.unwrap_or(here), OFlags::DIRECTORY)?, Some(name)))
    }
}

/// Opens `path` below `directory`, from where it may lead only as `inside` says.
///
/// # Errors
/// Those of openat2(2); `EAGAIN` where others rename and mount all the time.
pub(super) fn look_up(
    directory: &OwnedFd,
    path: &[u8],
    flags: OFlags,
    inside: ResolveFlags,
) -> Result<OwnedFd> {
    for _ in 0..MOST_TRIES {
        // A rename elsewhere made the kernel unsure.
        match openat2(directory, path, flags | OFlags::CLOEXEC, Mode::empty(), inside) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// Something that is there, held without being opened.
pub(super) struct Entry {
    fd: OwnedFd,
    pub(super) stat: Stat,
}

impl Entry {
    /// Looks at what `fd` stands for.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub(super) fn new(fd: OwnedFd) -> Result<Self> {
        let stat = fstat(&fd)?;
        Ok(Self { fd, stat })
    }

    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// Opens it for reading: the very thing, whatever its name means by now.
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        openat(CWD, link_to(self.fd.as_fd()).as_str(), flags, Mode::empty())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn cannot_become(found: &Found<'_>) -> Failure {
    let failure = found.fail("its user namespace has ids of its own");
    failure.remedy("start it first: pipkin start")
}

/// The link in `/proc` that stands for a descriptor.
pub(super) fn link_to(fd: BorrowedFd<'_>) -> String {
    ["/proc/self/fd/", &fd.as_raw_fd().to_string()].concat()
}

/// A map of ids; empty when it is that of the host.
fn read_map(path: &str) -> std::io::Result<Vec<IdMap>> {
    let maps = parse_map(&std::fs::read(path)?).ok_or(std::io::ErrorKind::InvalidData)?.to_vec();
    let hosts = maps == [IdMap { inside: 0, outside: 0, count: u32::MAX }];
    Ok(if hosts { Vec::new() } else { maps })
}

/// What `open` opens in a child of ours that is root of the user namespace `users`, where we are not, and that child.
fn open_within(users: &OwnedFd, open: impl FnOnce() -> Result<OwnedFd>) -> Result<(OwnedFd, Opener)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let child = match fork()? {
        Fork::Child => {
            drop(ours);
            match enter(users).and_then(|()| open()) {
                Ok(opened) => hand_out(&theirs, Some(opened.as_fd())),
                Err(errno) => answer(&theirs, errno.raw_os_error()),
            }
            // Nothing comes but the end of our parent.
            recv(&theirs, &mut [0], RecvFlags::empty()).map(drop).unwrap_or(());
            // Nothing is let go: what is held belongs to the parent.
            std::process::exit(0)
        }
        Fork::Parent(child) => child,
    };
    drop(theirs);
    let heard = set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE)).and_then(|()| hear(&ours));
    let opener = Opener { child, _channel: ours };
    match heard? {
        (Some(0), opened) => Ok((opened.ok_or(Errno::BADMSG)?, opener)),
        (Some(errno), _) => Err(Errno::from_raw_os_error(errno)),
        (None, _) => Err(Errno::CHILD),
    }
}

/// Mounts the root of a container that does not run, in a mount namespace of our own, which ends with us: as it was
/// mounted when it ran, with the ids of the user namespace `shown` and, if it had one, the `marks` of its overlayfs.
fn mount_stopped(layers: &[&[u8]], own: &[u8], marks: bool, shown: Option<&OwnedFd>) -> Result<OwnedFd> {
    unshare(UnshareFlags::NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &[u8]| openat(CWD, path, flags, Mode::empty());
    // By descriptor: no character in a path can be taken for a separator.
    let above = [open(&[own, b"/upper"].concat())?, open(&[own, b"/work"].concat())?];
    let lower = match shown {
        None => layers.iter().map(|layer| open(layer)).collect::<Result<Vec<_>>>()?,
        Some(users) => show_layers(layers, own, users)?,
    };
    let links: Vec<String> = lower.iter().chain(&above).map(|fd| link_to(fd.as_fd())).collect();
    let (lower, above) = links.split_at(layers.len());
    let marks = if marks { ",userxattr" } else { "" };
    let [upper, work] = above else { return Err(Errno::INVAL) };
    let options = ["lowerdir=", &lower.join(":"), ",upperdir=", upper, ",workdir=", work, marks].concat();
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    mount("overlay", own, "overlay", MountFlags::NODEV | MountFlags::NOSUID, Some(options.as_c_str()))?;
    open(own)
}

/// Attaches the layers, with the ids of `users`, to a file system in memory on `own`: overlayfs takes them from mounts of
/// our own only.
fn show_layers(layers: &[&[u8]], own: &[u8], users: &OwnedFd) -> Result<Vec<OwnedFd>> {
    mount("tmpfs", own, "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, None)?;
    let memory = openat(CWD, own, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut shown = Vec::new();
    for (place, layer) in layers.iter().enumerate() {
        let path = CString::new(*layer).map_err(|_| Errno::INVAL)?;
        let layer = show_for(users, &path).map_err(|error| error.errno)?;
        let name = place.to_string();
        mkdirat(&memory, name.as_str(), Mode::from_raw_mode(0o700))?;
        move_mount(&layer, c"", &memory, name.as_str(), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        shown.push(layer);
    }
    Ok(shown)
}
