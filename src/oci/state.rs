//! Containers of engines, on disk: one directory each below the root that the engine names.
//!
//! | file | what |
//! |---|---|
//! | `config.json` | the configuration as it was when the container was made; later changes have no effect |
//! | `record` | its process, when it was made, its bundle; written to another name and renamed |
//! | `start` | the socket on which its process waits to be started; gone once it was |
//!
//! The directory is its own lock: whoever changes a container holds it. Making the directory takes the id.

use super::{caller, keep};
use crate::store::{process, told};
use pipkin::spec::Id;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How long another call may hold a container, in milliseconds.
const PATIENCE_MS: u64 = 30_000;
/// How often it is looked whether it still does.
const RETRY_MS: u64 = 10;

/// What a container's process is up to (runtime.md, state).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// It is being made.
    Creating,
    /// It waits to be started.
    Created,
    /// It runs.
    Running,
    /// It has ended.
    Stopped,
}

/// What is kept of a container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Record {
    /// Whether it was made whole.
    pub(crate) created: bool,
    /// Pid of its process; 0 before it has one.
    pub(crate) pid: i32,
    /// When that was made, in clock ticks since boot.
    pub(crate) pid_start: u64,
    /// When the container was made, in nanoseconds since 1970.
    pub(crate) created_ns: u64,
    /// Where its cgroup is; empty is the usual place.
    pub(crate) cgroup: Vec<u8>,
    /// The unit of systemd that is its cgroup; empty without.
    pub(crate) unit: Vec<u8>,
    /// The bundle's absolute path.
    pub(crate) bundle: Vec<u8>,
}

impl Record {
    /// Four numbers in a line, the cgroup and the unit each in one, then the bundle, which may hold anything.
    fn encode(&self) -> Vec<u8> {
        let numbers = [u64::from(self.created), self.pid as u64, self.pid_start, self.created_ns];
        let numbers = numbers.map(|number| number.to_string()).join(" ").into_bytes();
        [&numbers, &self.cgroup, &self.unit, &self.bundle].map(Vec::as_slice).join(&b'\n')
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let mut lines = text.splitn(4, |byte| *byte == b'\n');
        let line = std::str::from_utf8(lines.next()?).ok()?;
        let mut numbers = line.split(' ').map(|number| number.parse::<u64>().ok());
        let mut kept = || lines.next().map(<[u8]>::to_vec);
        Some(Self {
            created: numbers.next()?? == 1,
            pid: i32::try_from(numbers.next()??).ok()?,
            pid_start: numbers.next()??,
            created_ns: numbers.next()??,
            cgroup: kept()?,
            unit: kept()?,
            bundle: kept()?,
        })
    }

    /// Where its cgroup is; `None` is the usual place.
    pub(crate) fn cgroup(&self) -> Option<&'static CStr> {
        Some(self.cgroup.clone()).filter(|path| !path.is_empty()).and_then(keep::text)
    }

    /// Its process, if that still lives.
    pub(crate) fn process(&self) -> Option<OwnedFd> {
        process::open(self.pid, self.pid_start)
    }
}

/// The directory of all containers of one engine.
#[derive(Clone, Debug)]
pub(crate) struct Root(PathBuf);

impl Root {
    /// The one that was named, or the usual one: a user's own, also where an engine made that user root of a namespace.
    ///
    /// # Errors
    /// `NotFound` when a user has no `XDG_RUNTIME_DIR`.
    pub(crate) fn new(named: Option<&str>) -> io::Result<Self> {
        if let Some(path) = named {
            return Ok(Self(path.into()));
        }
        match caller::session() {
            Some(run) => Ok(Self(Path::new(&run).join("pipkin/oci"))),
            None if rustix::process::geteuid().is_root() => Ok(Self("/run/pipkin/oci".into())),
            None => Err(told(ErrorKind::NotFound, "XDG_RUNTIME_DIR is not set")),
        }
    }

    /// Whether there is a container called `text`.
    pub(crate) fn has(&self, text: &std::ffi::OsStr) -> bool {
        Id::new(text.as_bytes()).is_some() && self.0.join(text).join("config.json").exists()
    }

    /// The ids of all containers, sorted.
    ///
    /// # Errors
    /// Those of reading the directory; one that does not exist holds none.
    pub(crate) fn ids(&self) -> io::Result<Vec<Id>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            ids.extend(Id::new(entry?.file_name().as_bytes()));
        }
        ids.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok(ids)
    }

    /// Takes the id and the lock of a container to be made.
    ///
    /// # Errors
    /// `AlreadyExists` when the id is in use, and those of making the directory.
    pub(crate) fn create(&self, id: Id) -> io::Result<Container> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        // Said of the root it would be taken for the id.
        made.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => io::Error::from_raw_os_error(Errno::NOTDIR.raw_os_error()),
            _ => error,
        })?;
        let directory = self.0.join(id.as_str());
        DirBuilder::new().mode(0o700).create(&directory)?;
        lock(directory, id)
    }

    /// Takes the lock of a container, waiting for another call that holds it.
    ///
    /// # Errors
    /// `NotFound`, and `ResourceBusy` when it is held for more than half a minute.
    pub(crate) fn lock(&self, id: Id) -> io::Result<Container> {
        lock(self.0.join(id.as_str()), id)
    }

    /// A container without its lock, for looking at it.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn look(&self, id: Id) -> io::Result<Container> {
        let directory = self.0.join(id.as_str());
        let handle = open_directory(&directory)?;
        Ok(Container { id, directory, handle })
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path.as_os_str().as_bytes(), flags, Mode::empty())
        .map_err(|errno| io::Error::from_raw_os_error(errno.raw_os_error()))
}

fn lock(directory: PathBuf, id: Id) -> io::Result<Container> {
    for _ in 0..PATIENCE_MS / RETRY_MS {
        let handle = open_directory(&directory)?;
        if flock(&handle, FlockOperation::NonBlockingLockExclusive).is_err() {
            pipkin::sys::clock::pause_ms(RETRY_MS);
            continue;
        }
        // Whoever held it may have taken the container away, and another have taken the id.
        let held = rustix::fs::fstat(&handle).map_or(0, |stat| stat.st_ino);
        if fs::metadata(&directory)?.ino() == held {
            return Ok(Container { id, directory, handle });
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// One container.
#[derive(Debug)]
pub(crate) struct Container {
    /// Its id.
    pub(crate) id: Id,
    directory: PathBuf,
    handle: OwnedFd,
}

impl Container {
    /// Whose it is.
    pub(crate) fn uid(&self) -> u32 {
        rustix::fs::fstat(&self.handle).map_or(0, |stat| stat.st_uid)
    }

    /// The path of its file `name`, short enough for a socket however deep the root is.
    pub(crate) fn short_path(&self, name: &str) -> String {
        use rustix::fd::AsRawFd;
        ["/proc/self/fd/", &self.handle.as_raw_fd().to_string(), "/", name].concat()
    }

    /// Keeps the configuration.
    ///
    /// # Errors
    /// Those of writing it.
    pub(crate) fn keep_config(&self, text: &[u8]) -> io::Result<()> {
        self.write("config.json", text)
    }

    /// The configuration that was kept.
    ///
    /// # Errors
    /// Those of reading it.
    pub(crate) fn config(&self) -> io::Result<Vec<u8>> {
        fs::read(self.directory.join("config.json"))
    }

    /// Replaces the record, whole.
    ///
    /// # Errors
    /// Those of writing and renaming it.
    pub(crate) fn save(&self, record: &Record) -> io::Result<()> {
        self.write("record", &record.encode())
    }

    fn write(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let temporary = self.directory.join([name, ".new"].concat());
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text)?;
        fs::rename(temporary, self.directory.join(name))
    }

    /// The record; that of a container being made when there is none yet.
    pub(crate) fn record(&self) -> Record {
        fs::read(self.directory.join("record"))
            .ok()
            .and_then(|text| Record::decode(&text))
            .unwrap_or_default()
    }

    /// What it is up to.
    pub(crate) fn status(&self, record: &Record) -> Status {
        if record.pid != 0 && record.process().is_none() {
            Status::Stopped
        } else if !record.created {
            Status::Creating
        } else if self.directory.join("start").exists() {
            Status::Created
        } else {
            Status::Running
        }
    }

    /// Says that its process was asked to start.
    ///
    /// # Errors
    /// Those of removing the socket's name.
    pub(crate) fn set_started(&self) -> io::Result<()> {
        fs::remove_file(self.directory.join("start"))
    }

    /// Takes away what is on disk, the id last.
    ///
    /// # Errors
    /// Those of removing; what is gone already is no error.
    pub(crate) fn remove(self) -> io::Result<()> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_disk() {
        let bundle = b"/a b\n/c\xff".to_vec();
        let (cgroup, unit) = (b"/a b".to_vec(), b"x.scope".to_vec());
        let record =
            Record { created: true, pid: 7, pid_start: 9, created_ns: u64::MAX, cgroup, unit, bundle };
        assert_eq!(Record::decode(&record.encode()), Some(record));
        for broken in [
            &b""[..],
            b"1 2 3 4",
            b"1 2 3 4\n\n",
            b"1 2 3\n\n\n/b",
            b"1 x 3 4\n\n\n/b",
            b"1 99999999999 3 4\n\n\n/b",
        ] {
            assert_eq!(Record::decode(broken), None);
        }
    }

    #[test]
    fn an_id_is_taken_once_and_given_back() {
        let root = Root(std::env::temp_dir().join(format!("pipkin-oci-{}", std::process::id())));
        let id = Id::new(b"one").unwrap();
        let container = root.create(id).unwrap();
        assert_eq!(root.create(id).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(container.status(&container.record()), Status::Creating);
        assert_eq!(root.ids().unwrap(), [id]);
        // pid 1 is not made at this time, so that is not our process.
        let record = Record { created: true, pid: 1, pid_start: 1, ..Record::default() };
        container.save(&record).unwrap();
        assert_eq!(container.record(), record);
        assert_eq!(container.status(&record), Status::Stopped);
        container.remove().unwrap();
        assert!(root.look(id).is_err() && root.ids().unwrap().is_empty());
        fs::remove_dir(root.0).unwrap();
    }
}
