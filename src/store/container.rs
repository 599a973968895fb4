//! Making, finding, listing and taking away containers.

use super::layer;
use super::record::{Record, Status};
use super::told;
use pipkin::spec::Id;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, CWD, FlockOperation, Mode, OFlags, RawDir, access, fcntl_lock};
use rustix::io::Errno;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Gives back what a container had beside its files.
pub(crate) type Ending = fn(&Id, &Record) -> io::Result<()>;

/// What may stand beside a record and goes with it: the record being written, the control socket of the supervisor,
/// the seccomp program for further processes.
const BESIDE: [&str; 3] = [".new", ".sock", ".seccomp"];

/// The key of ranges of ids that the container holds, by the names that [`Claim`](super::Claim) gave them.
pub(crate) const USERS: &str = "users";

/// Room for one look at the directory of the records.
const LISTING: usize = 32 << 10;

/// The directories everything is in.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(super) run: PathBuf,
    pub(super) data: PathBuf,
}

/// A container that this process owns: as long as this value lives, its lock is held.
#[derive(Debug)]
pub(crate) struct Container {
    store: Store,
    /// Its id.
    pub(crate) id: Id,
    /// Its record as last written.
    pub(crate) record: Record,
    lock: OwnedFd,
}

/// Whether we are root, to whom the machine's directories belong. Whoever is root of another's user namespace is not:
/// theirs is nobody there.
fn is_machines() -> bool {
    let writable = || access("/run", Access::WRITE_OK) != Err(Errno::ACCESS);
    rustix::process::geteuid().is_root() && (writable() || !pipkin::host::is_nested())
}

impl Store {
    /// The store of root, or of the user whose directories the environment names.
    ///
    /// # Errors
    /// `NotFound` when there is no `XDG_RUNTIME_DIR` or no home to put it in.
    pub(crate) fn open() -> io::Result<Self> {
        if is_machines() {
            return Ok(Self { run: "/run/pipkin".into(), data: "/var/lib/pipkin".into() });
        }
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let missing = |what: &'static str| told(ErrorKind::NotFound, what);
        let usual = || {
            let path =
                PathBuf::from(["/run/user/", &rustix::process::geteuid().as_raw().to_string()].concat());
            path.is_dir().then_some(path)
        };
        let run = variable("XDG_RUNTIME_DIR").or_else(usual);
        let run = run.ok_or_else(|| missing("XDG_RUNTIME_DIR is not set"))?;
        let data = variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
        let data = data.ok_or_else(|| missing("neither XDG_DATA_HOME nor HOME is set"))?;
        Ok(Self { run: run.join("pipkin"), data: data.join("pipkin") })
    }

    /// Its directories: of what lasts until the machine goes down, and of the rest.
    pub(crate) fn directories(self) -> [PathBuf; 2] {
        [self.run, self.data]
    }

    /// One for a test.
    #[cfg(test)]
    pub(crate) fn below(base: &Path) -> Self {
        Self { run: base.join("run"), data: base.join("data") }
    }

    /// Where images are.
    pub(crate) fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// Where is what containers share of the network.
    pub(crate) fn networks(&self) -> PathBuf {
        self.run.join("networks")
    }

    /// The directory of a container's writable layer.
    pub(crate) fn layer(&self, id: &Id) -> PathBuf {
        self.data.join("containers").join(id.as_str())
    }

    pub(super) fn lock_path(&self, id: &Id) -> PathBuf {
        self.run.join("containers").join([id.as_str(), ".lock"].concat())
    }

    fn record_path(&self, id: &Id) -> PathBuf {
        self.run.join("containers").join(id.as_str())
    }

    /// The control socket of a container's supervisor.
    pub(crate) fn socket_path(&self, id: &Id) -> PathBuf {
        self.beside(id, ".sock")
    }

    /// The file beside a container's record whose name ends in `suffix`, one of [`BESIDE`].
    pub(crate) fn beside(&self, id: &Id, suffix: &str) -> PathBuf {
        self.run.join("containers").join([id.as_str(), suffix].concat())
    }

    fn name_path(&self, name: &str) -> PathBuf {
        self.run.join("names").join(name)
    }

    /// Makes a container: lock, name, record and the two directories of its writable layer.
    ///
    /// # Errors
    /// `AlreadyExists` when the id or the name is taken, and those of the file system; nothing is then left.
    pub(crate) fn create(&self, id: Id, record: Record) -> io::Result<Container> {
        let lock = self.with_places(&mut || self.take_new_lock(&id))?;
        let mut container = Container { store: self.clone(), id, record, lock };
        let name = std::mem::take(&mut container.record.name);
        match container.fill(name) {
            Ok(()) => Ok(container),
            Err(error) => {
                container.remove()?;
                Err(error)
            }
        }
    }

    /// Does what needs the directories that everything is in, which are mostly there.
    fn with_places<T>(&self, act: &mut dyn FnMut() -> io::Result<T>) -> io::Result<T> {
        match act() {
            Err(error) if error.kind() == ErrorKind::NotFound => self.make_directories().and_then(|()| act()),
            done => done,
        }
    }

    /// Makes the directories that everything is in.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub(crate) fn make_directories(&self) -> io::Result<()> {
        self.make_places()?;
        DirBuilder::new().recursive(true).mode(0o700).create(self.data.join("containers"))
    }

    /// Makes those in the run directory.
    fn make_places(&self) -> io::Result<()> {
        for directory in [self.state_directory(), self.run.join("names")] {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        Ok(())
    }

    /// Where records are.
    pub(crate) fn state_directory(&self) -> PathBuf {
        self.run.join("containers")
    }

    /// Creates and locks the lock file. A sweep may take it away between the two, and is then outrun by trying
    /// again.
    fn take_new_lock(&self, id: &Id) -> io::Result<OwnedFd> {
        let path = self.lock_path(id);
        for _ in 0..100 {
            let lock = open_lock(&path, OFlags::CREATE | OFlags::EXCL)?;
            fcntl_lock(&lock, FlockOperation::LockExclusive).map_err(from_errno)?;
            if is_same(&lock, &path)? {
                return Ok(lock);
            }
        }
        Err(ErrorKind::ResourceBusy.into())
    }

    /// The ids of all containers, in no order.
    ///
    /// # Errors
    /// Those of reading the directory; one that does not exist holds none.
    pub(crate) fn ids(&self) -> io::Result<Vec<Id>> {
        let Some(directory) = self.open_records()? else { return Ok(Vec::new()) };
        let mut buffer = Vec::with_capacity(LISTING);
        let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
        let mut ids = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(from_errno)?;
            ids.extend(id_of_lock(entry.file_name().to_bytes()));
        }
        Ok(ids)
    }

    /// The directory of the records; `None` before there is one.
    fn open_records(&self) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(self.state_directory().as_os_str().as_bytes(), flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            opened => opened.map(Some).map_err(from_errno),
        }
    }

    /// The container that `text` means: a whole id, though another may have it for its name, a name, or the beginning of
    /// just one id.
    ///
    /// # Errors
    /// `NotFound`, or `InvalidInput` when several ids begin so.
    pub(crate) fn find(&self, text: &str) -> io::Result<Id> {
        if let Some(id) = Id::new(text.as_bytes())
            && self.lock_path(&id).exists()
        {
            return Ok(id);
        }
        if let Ok(target) = fs::read_link(self.name_path(text).as_path())
            && !text.contains('/')
            && let Some(id) = Id::new(target.as_os_str().as_encoded_bytes())
        {
            return Ok(id);
        }
        let mut found = self.ids()?;
        found.retain(|id| !text.is_empty() && id.as_str().starts_with(text));
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(ErrorKind::NotFound.into()),
            _ => Err(told(ErrorKind::InvalidInput, "several ids begin so")),
        }
    }

    /// The record of a container; `None` while it is being made or taken away.
    ///
    /// # Errors
    /// Those of reading it.
    pub(crate) fn read(&self, id: &Id) -> io::Result<Option<Record>> {
        let mut text = Vec::new();
        match read_whole(CWD, &self.record_path(id), &mut text) {
            Err(Errno::NOENT) => Ok(None),
            read => read.map(|length| Record::decode(text.get(..length)?)).map_err(from_errno),
        }
    }

    /// Takes over a container whose supervisor is gone. `None` when it has one, or does not exist any more.
    ///
    /// Not for a container of this process: its own lock would not stand in its way, and would be gone afterwards.
    ///
    /// # Errors
    /// Those of opening and locking.
    pub(crate) fn adopt(&self, id: &Id) -> io::Result<Option<Container>> {
        let path = self.lock_path(id);
        let lock = match open_lock(&path, OFlags::empty()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            lock => lock?,
        };
        match fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::AGAIN | Errno::ACCESS) => return Ok(None),
            locked => locked.map_err(from_errno)?,
        }
        if !is_same(&lock, &path)? {
            return Ok(None);
        }
        let unknown = || Record { remove: true, ..Record::default() };
        let record = self.read(id)?.unwrap_or_else(unknown);
        if record.status != Status::Exited {
            self.forget_other_names(id, &record.name)?;
        }
        Ok(Some(Container { store: self.clone(), id: *id, record, lock }))
    }

    /// Removes the names by which `id` can be found beside `name`: whoever is killed while it gives another one leaves two.
    fn forget_other_names(&self, id: &Id, name: &str) -> io::Result<()> {
        for entry in fs::read_dir(self.run.join("names"))? {
            let path = entry?.path();
            let is_ours = fs::read_link(&path).is_ok_and(|target| target == Path::new(id.as_str()));
            if is_ours && path != self.name_path(name) {
                gone(fs::remove_file(path))?;
            }
        }
        Ok(())
    }

    /// All containers with their records, brought up to date as [`Self::reclaim_one`] does, in no order. Those that are
    /// only being made have none yet. Each costs as few system calls as can be: there may be ten thousand.
    ///
    /// # Errors
    /// Those of reading the directory; a container that cannot be read or cleaned up is as it is.
    pub(crate) fn survey(&self, end: Ending) -> io::Result<Vec<(Id, Record)>> {
        let (mut found, mut text) = (Vec::new(), Vec::new());
        let Some(directory) = self.open_records()? else { return Ok(found) };
        for id in self.ids()? {
            let read = read_whole(directory.as_fd(), id.as_str().as_ref(), &mut text);
            let mut record = read.ok().and_then(|length| Record::decode(text.get(..length)?));
            let settled =
                record.as_ref().is_some_and(|record| record.status == Status::Exited && !record.remove);
            if !settled && self.reclaim_any(&id, end).unwrap_or(false) {
                record = self.read(&id).unwrap_or(None);
            }
            found.extend(record.map(|record| (id, record)));
        }
        Ok(found)
    }
}

fn id_of_lock(name: &[u8]) -> Option<Id> {
    name.strip_suffix(b".lock").and_then(Id::new)
}

pub(super) fn from_errno(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

/// Reads a file to the beginning of `room`, in three system calls when it is small: how long it is. A file of `/proc` is
/// small. What the room has already is not made anew.
pub(super) fn read_whole(
    directory: BorrowedFd<'_>,
    path: &Path,
    room: &mut Vec<u8>,
) -> rustix::io::Result<usize> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, path.as_os_str().as_bytes(), flags, Mode::empty())?;
    let mut length = 0;
    loop {
        if length == room.len() {
            room.resize((2 * length).max(4096), 0);
        }
        let left = room.get_mut(length..).unwrap_or_default();
        let (more, asked) = (rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *left))?, left.len());
        length += more;
        if more < asked {
            return Ok(length);
        }
    }
}

fn open_lock(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path.as_os_str().as_bytes(), flags, Mode::RUSR | Mode::WUSR).map_err(from_errno)
}

fn is_same(file: &OwnedFd, path: &Path) -> io::Result<bool> {
    let held = rustix::fs::fstat(file).map_err(from_errno)?;
    match fs::metadata(path) {
        Ok(named) => Ok((held.st_dev, held.st_ino) == (named.dev(), named.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is already gone was to be gone.
pub(super) fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

impl Container {
    /// Where it is kept.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    fn fill(&mut self, name: String) -> io::Result<()> {
        // Without a name there is nothing yet that the lock does not say. With one, the record comes before the link,
        // so that whoever cleans up after us knows of it.
        if !name.is_empty() || self.record.get(USERS).is_some() {
            self.record.name = name;
            self.save()?;
        }
        if !self.record.name.is_empty() {
            let path = self.store.name_path(&self.record.name);
            self.store.with_places(&mut || symlink(self.id.as_str(), &path))?;
        }
        let layer = self.store.layer(&self.id);
        self.store.with_places(&mut || DirBuilder::new().mode(0o700).create(&layer))?;
        DirBuilder::new().mode(0o755).create(layer.join("upper"))?;
        DirBuilder::new().mode(0o700).create(layer.join("work"))
    }

    /// Replaces the record by the present one, whole, and its copy that outlasts the machine.
    ///
    /// # Errors
    /// Those of writing and renaming; the former one then stands. A copy that cannot be written is an error for a
    /// durable container only.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        let text = self.record.encode();
        recover::replace(&self.store.record_path(&self.id), &text, false)?;
        self.save_copy(&text)
    }

    /// Gives it another name, which must be one that a container can have.
    ///
    /// # Errors
    /// `AlreadyExists` when another container has it; its name is then as it was.
    pub(crate) fn rename(&mut self, name: &str) -> io::Result<()> {
        if self.record.name == name {
            return Ok(());
        }
        symlink(self.id.as_str(), self.store.name_path(name))?;
        let former = std::mem::replace(&mut self.record.name, name.to_owned());
        if let Err(error) = self.save() {
            self.record.name = former;
            gone(fs::remove_file(self.store.name_path(name)))?;
            return Err(error);
        }
        if former.is_empty() { Ok(()) } else { gone(fs::remove_file(self.store.name_path(&former))) }
    }

    /// Takes it away, the lock last. Nothing of it may run any more.
    ///
    /// # Errors
    /// The first one met; what could be removed is gone, and the lock stays so that it can be tried again.
    pub(crate) fn remove(self) -> io::Result<()> {
        let (store, id) = (&self.store, &self.id);
        layer::remove(&store.layer(id))?;
        let name = store.name_path(&self.record.name);
        // Another container's link by that name is why ours could not be made.
        if !self.record.name.is_empty()
            && fs::read_link(&name).is_ok_and(|target| target == Path::new(id.as_str()))
        {
            gone(fs::remove_file(name))?;
        }
        let users = self.record.all(USERS).filter_map(|name| std::str::from_utf8(name).ok());
        store.release_users(id, &mut { users })?;
        for suffix in BESIDE {
            gone(fs::remove_file(store.beside(id, suffix)))?;
        }
        gone(fs::remove_file(store.record_path(id)))?;
        gone(fs::remove_file(store.lock_path(id)))?;
        drop(self.lock);
        Ok(())
    }
}

mod reclaim;
mod recover;
#[cfg(test)]
mod tests;
