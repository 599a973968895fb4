//! One cgroup: its directory, its children, its controllers.

use super::controller::Controllers;
use super::resolve::{self, DIRECTORY};
use crate::error::{Error, Result, Stage};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::ops::ControlFlow;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, RawDir, accessat, mkdirat, statat};
use rustix::io::{Errno, retry_on_intr, write};
use rustix::path::DecInt;
use rustix::process::Pid;

/// Deepest nesting below a group that [`Group::visit`] follows.
const DEPTH_CAPACITY: usize = 32;
/// Room for the directory entries of one getdents64(2): at least one of the longest name.
const ENTRY_CAPACITY: usize = 512;

/// A cgroup v2 directory. It stays the same group however the mounts change, and gives errors once that group is
/// removed: `ENOENT` for opening its files, `ENODEV` for using open ones.
#[derive(Debug)]
pub struct Group {
    dir: OwnedFd,
}

impl AsFd for Group {
    /// The directory, as clone3(2) takes it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Group {
    /// Takes a directory that is known to lie in a cgroup v2 file system.
    pub(super) const fn from_directory(dir: OwnedFd) -> Self {
        Self { dir }
    }

    /// Makes the group `name` below this one, which must not exist yet, and opens it.
    ///
    /// # Errors
    /// `EINVAL` for a name that is not one component, `EEXIST`, `EAGAIN` at `cgroup.max.descendants` or
    /// `cgroup.max.depth`, and what mkdir(2) and open(2) give.
    pub fn create(&self, name: &[u8]) -> Result<Self> {
        self.make(name).stage_on("create the cgroup", name)?;
        self.open(name)
    }

    /// Opens the group `name` below this one, made first if it is missing.
    ///
    /// # Errors
    /// As [`Group::create`], without `EEXIST`.
    pub fn open_or_create(&self, name: &[u8]) -> Result<Self> {
        match self.open(name) {
            Err(error) if error.errno == Errno::NOENT => match self.make(name) {
                Ok(()) | Err(Errno::EXIST) => self.open(name),
                Err(errno) => Err(Error::on("create the cgroup", name, errno)),
            },
            other => other,
        }
    }

    /// Opens the group `name` below this one.
    ///
    /// # Errors
    /// `EINVAL` for a name that is not one component, `ENOENT`, and what open(2) gives.
    pub fn open(&self, name: &[u8]) -> Result<Self> {
        resolve::open(self.as_fd(), name, DIRECTORY)
            .map(Self::from_directory)
            .stage_on("open the cgroup", name)
    }

    /// The same group by another descriptor.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn duplicate(&self) -> Result<Self> {
        rustix::io::fcntl_dupfd_cloexec(&self.dir, 3).map(Self::from_directory).stage("hold the cgroup")
    }

    /// Whether groups can be made in it by us: its directory may be written and is not mounted read-only.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        accessat(self.as_fd(), c".", Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    }

    fn make(&self, name: &[u8]) -> rustix::io::Result<()> {
        if !resolve::is_component(name) {
            return Err(Errno::INVAL);
        }
        mkdirat(self.as_fd(), name, Mode::from_raw_mode(0o755))
    }

    /// Whether this is the true root of the hierarchy, which takes no limits and may hold processes beside
    /// children. The root of a cgroup namespace is not.
    #[must_use]
    pub fn is_root(&self) -> bool {
        // Every other live group has this file.
        self.lacks(c"cgroup.type") && !self.is_gone()
    }

    /// Whether this group was removed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.lacks(c"cgroup.procs")
    }

    fn lacks(&self, file: &CStr) -> bool {
        matches!(statat(self.as_fd(), file, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
    }

    /// Opens the file `file` of this group.
    pub(super) fn open_file(&self, file: &str, how: OFlags) -> rustix::io::Result<OwnedFd> {
        if !resolve::is_file_name(file.as_bytes()) {
            return Err(Errno::INVAL);
        }
        resolve::open(self.as_fd(), file.as_bytes(), how)
    }

    /// Writes `value` to the file `file` in one call, as the kernel requires.
    ///
    /// # Errors
    /// `EINVAL` for a file name other than `[A-Za-z0-9_.-]+` and for a value the kernel does not understand, `ENOENT`
    /// when the parent has not enabled the controller, `ERANGE`, `EBUSY`, `EOPNOTSUPP` as the file has it, and what
    /// open(2) gives. `EIO` for a value taken in part.
    pub fn write(&self, file: &str, value: &[u8]) -> Result<()> {
        self.put(file, value).stage_on("write the cgroup file", file.as_bytes())
    }

    pub(super) fn put(&self, file: &str, value: &[u8]) -> rustix::io::Result<()> {
        let to = self.open_file(file, OFlags::WRONLY)?;
        let written = retry_on_intr(|| write(&to, value))?;
        if written == value.len() { Ok(()) } else { Err(Errno::IO) }
    }

    /// The controllers this group may hand to its children (`cgroup.controllers`).
    ///
    /// # Errors
    /// As [`Group::read`](Group::read).
    pub fn controllers(&self) -> Result<Controllers> {
        self.read_controllers("cgroup.controllers")
    }

    /// The controllers this group hands to its children (`cgroup.subtree_control`).
    ///
    /// # Errors
    /// As [`Group::read`](Group::read).
    pub fn enabled(&self) -> Result<Controllers> {
        self.read_controllers("cgroup.subtree_control")
    }

    fn read_controllers(&self, file: &str) -> Result<Controllers> {
        self.read(file, &mut [0; 256]).map(Controllers::parse)
    }

    /// Hands `wanted` to this group's children, one by one; what is enabled already costs one read.
    ///
    /// # Errors
    /// Named after the controller; [`Refusal`](super::obstacle::Refusal) gives the meaning of the errno. `EBUSY` when
    /// this group holds processes and is not the root, also for `cpu`, `cpuset` and `pids`: those the kernel would
    /// enable, but then no process could be born in a child.
    pub fn enable(&self, wanted: Controllers) -> Result<()> {
        const STAGE: &str = "enable the cgroup controller";
        let missing = wanted.without(self.enabled()?);
        if missing.is_empty() {
            return Ok(());
        }
        let blocked =
            if self.holds_processes()? && !self.is_root() { self.controllers()? } else { Controllers::NONE };
        for controller in missing.iter() {
            if Controllers::THREADED.contains(controller) && blocked.contains(controller) {
                return Err(Error::named(STAGE, controller.name(), Errno::BUSY));
            }
            self.put("cgroup.subtree_control", controller.enabling().as_bytes())
                .map_err(|errno| Error::named(STAGE, controller.name(), errno))?;
        }
        Ok(())
    }

    /// Moves the calling process, with all its threads, into this group. Costs an RCU grace period.
    ///
    /// # Errors
    /// `EBUSY` when this group hands controllers to children, `EACCES` or `ENOENT` when the move leaves what was
    /// delegated, `EOPNOTSUPP` for a threaded group.
    pub fn enter(&self) -> Result<()> {
        self.put("cgroup.procs", b"0").stage("enter the cgroup")
    }

    /// Moves the process `pid`, with all its threads, into this group. Costs an RCU grace period.
    ///
    /// # Errors
    /// As [`Group::enter`]; `ESRCH` when it is gone.
    pub fn adopt(&self, pid: Pid) -> Result<()> {
        let pid = DecInt::new(pid.as_raw_nonzero().get());
        self.put("cgroup.procs", pid.as_bytes()).stage_on("move a process into the cgroup", pid.as_bytes())
    }

    /// Calls `each` with the names of the groups directly below this one. Groups that come or go meanwhile may be
    /// missed or named.
    ///
    /// # Errors
    /// Of reading the directory, and of `each`. A group removed has no children.
    pub fn children(&self, each: &mut dyn FnMut(&[u8]) -> Result<ControlFlow<()>>) -> Result<()> {
        const STAGE: &str = "list the cgroup's children";
        let dir = match resolve::reopen(self.as_fd()) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.stage(STAGE)?,
        };
        let mut buffer = [MaybeUninit::uninit(); ENTRY_CAPACITY];
        let mut entries = RawDir::new(&dir, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::NOENT) => return Ok(()),
                other => other.stage(STAGE)?,
            };
            let name = entry.file_name().to_bytes();
            let child = entry.file_type() == FileType::Directory && resolve::is_component(name);
            if child && each(name)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Calls `each` with this group and every group below it, parents first.
    ///
    /// # Errors
    /// Of reading the directories, and of `each`; `ELOOP` below a depth of 32. Groups that go meanwhile are left out.
    pub fn visit(&self, each: &mut dyn FnMut(&Self) -> Result<()>) -> Result<()> {
        self.visit_to(DEPTH_CAPACITY, each)
    }

    fn visit_to(&self, depth: usize, each: &mut dyn FnMut(&Self) -> Result<()>) -> Result<()> {
        each(self)?;
        self.children(&mut |name| {
            let deeper = depth.checked_sub(1).ok_or(Error::on("look into the cgroup", name, Errno::LOOP))?;
            match self.open(name) {
                Err(error) if error.errno == Errno::NOENT => {}
                other => other?.visit_to(deeper, each)?,
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}
