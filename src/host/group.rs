//! The container's cgroup: `pipkin/ID` below the root of the v2 hierarchy that we see, or without root below the group
//! that was delegated to us.

use crate::bpf::device::{Rule, assemble};
use crate::cgroup::controller::{Controller, Controllers};
use crate::cgroup::deadline::Deadline;
use crate::cgroup::group::Group as Directory;
use crate::cgroup::hierarchy::{self, Found, Hierarchy};
use crate::cgroup::watch::{MemoryEvents, Watch};
use crate::error::{Error, Result, Stage};
use crate::plan::{HOST_STEPS, HostStep, LimitValue, Plan};
use crate::spec::{DeviceRule, Id};
use crate::sys::bpf;
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, chownat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

/// The group that holds all of ours. It stays when they are gone, as a place with its controllers enabled.
const PARENT: &[u8] = b"pipkin";
/// Where we go when we stand in the way of controllers.
const LEAF: &[u8] = b"pipkin-self";
/// How long the kernel may take to kill, freeze or let go of a group.
const PATIENCE_MS: u32 = 10_000;

/// Deepest that an engine may put a group.
const MOST_ABOVE: usize = 16;
/// Longest name of a group (`NAME_MAX`).
const NAME_CAPACITY: usize = 255;

/// Files, and what stood there before it was changed.
type Former<'s> = heapless::Vec<(&'s str, LimitValue), HOST_STEPS>;

/// What a file that reads as `text` held in the place of `value`: all of it, or of a file with a line for each device
/// that device's, which when it is missing had no bounds.
fn line_of(text: &[u8], value: &[u8]) -> Option<LimitValue> {
    let pairs = value.contains(&b'=');
    let device = value.split(|byte| *byte == b' ').next().filter(|word| pairs || word.contains(&b':'));
    let mut lines = text.split(|byte| *byte == b'\n');
    let line = match device {
        None => lines.next(),
        Some(device) => lines.find(|line| line.starts_with(device) && line.get(device.len()) == Some(&b' ')),
    };
    let mut former = LimitValue::try_from(core::str::from_utf8(line.or(device)?).ok()?).ok()?;
    if line.is_none() {
        former.push_str(if pairs { " rbps=max wbps=max riops=max wiops=max" } else { " default" }).ok()?;
    }
    Some(former)
}

/// A container's group.
#[derive(Debug)]
pub(super) struct Group {
    root: Directory,
    /// Those between the root and its own, from the top down.
    above: heapless::Vec<Directory, MOST_ABOVE>,
    own: Directory,
    name: heapless::Vec<u8, NAME_CAPACITY>,
}

fn open_root(found: &Found) -> Result<Directory> {
    let missing = Error::new("find a cgroup v2 hierarchy", Errno::NOENT);
    base(found.hierarchy().ok_or(missing)?)
}

/// The group below which ours are made: the root of what we see, or where that is not ours, the group that we are in.
pub(super) fn base(hierarchy: &Hierarchy) -> Result<Directory> {
    if !hierarchy.root().is_writable()
        && let Ok(own) = hierarchy.own()
        && own.is_writable()
    {
        return Ok(own);
    }
    hierarchy.root().duplicate()
}

/// The names on the way to the group, the last its own.
fn components<'a>(id: &'a Id, path: Option<&'a CStr>) -> impl Iterator<Item = &'a [u8]> {
    let given = path.map_or(&[][..], CStr::to_bytes);
    let usual = [PARENT, id.as_str().as_bytes()];
    let usual = usual.into_iter().filter(move |_| path.is_none());
    given.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).chain(usual)
}

impl Group {
    /// Makes the group of container `id`, at `path` if that is given.
    ///
    /// # Errors
    /// `EEXIST` when it is there already (at a path: and holds processes), and those of making it.
    pub(super) fn create(id: &Id, path: Option<&CStr>) -> Result<Self> {
        let root = open_root(&hierarchy::find()?)?;
        let mut above: heapless::Vec<Directory, MOST_ABOVE> = heapless::Vec::new();
        let mut names = components(id, path).peekable();
        while let Some(name) = names.next() {
            let here = above.last().unwrap_or(&root);
            if names.peek().is_some() {
                let deep = Error::on("create the cgroup", name, Errno::NAMETOOLONG);
                let next = here.open_or_create(name)?;
                above.push(next).map_err(|_| deep)?;
                continue;
            }
            let own = if path.is_none() { here.create(name)? } else { here.open_or_create(name)? };
            if path.is_some() && own.occupancy()?.populated {
                return Err(Error::on("create the cgroup", name, Errno::EXIST));
            }
            let name = heapless::Vec::from_slice(name)
                .map_err(|_| Error::on("create the cgroup", name, Errno::NAMETOOLONG))?;
            return Ok(Self { root, above, own, name });
        }
        Err(Error::new("create the cgroup", Errno::INVAL))
    }

    /// Opens the group of container `id`, at `path` if that is given: where we would make it, or where somebody else
    /// who may make groups everywhere has.
    ///
    /// # Errors
    /// `ENOENT` when there is none.
    fn open(id: &Id, path: Option<&CStr>) -> Result<Self> {
        let found = hierarchy::find()?;
        match Self::open_below(open_root(&found)?, id, path) {
            Err(error) if error.errno == Errno::NOENT => {}
            done => return done,
        }
        let hierarchy = found.hierarchy().ok_or(Error::new("open the cgroup", Errno::NOENT))?;
        Self::open_below(hierarchy.root().duplicate()?, id, path)
    }

    /// Opens the group at `path`, which somebody else made.
    ///
    /// # Errors
    /// `ENOENT` when there is none.
    pub(super) fn handed_over(id: &Id, path: &CStr) -> Result<Self> {
        Self::open(id, Some(path))
    }

    fn open_below(root: Directory, id: &Id, path: Option<&CStr>) -> Result<Self> {
        let mut above: heapless::Vec<Directory, MOST_ABOVE> = heapless::Vec::new();
        let mut last = None;
        for name in components(id, path) {
            let deep = Error::on("open the cgroup", name, Errno::NAMETOOLONG);
            if let Some((_, own)) = last.take() {
                above.push(own).map_err(|_| deep)?;
            }
            let name = heapless::Vec::from_slice(name).map_err(|_| deep)?;
            let own = above.last().unwrap_or(&root).open(&name)?;
            last = Some((name, own));
        }
        let (name, own) = last.ok_or(Error::new("open the cgroup", Errno::INVAL))?;
        Ok(Self { root, above, own, name })
    }

    /// Carries out `steps`, which set limits. When one fails, those before it are taken back as far as their files
    /// show what there was.
    fn update(&self, steps: &[HostStep<'_>]) -> Result<()> {
        let mut former: Former<'_> = heapless::Vec::new();
        for step in steps {
            let done = match step {
                HostStep::EnableController(name) => self.enable(name),
                HostStep::SetLimit { file, value } => self.change(file, value.as_bytes(), &mut former),
                HostStep::SetUnified { file, value } => self.change(file, value.as_bytes(), &mut former),
                HostStep::LimitDevices(rules) => self.limit_devices(rules),
                _ => Err(Error::new("change the limits", Errno::NOSYS)),
            };
            if done.is_err() {
                // Best effort: the failure that is told is the one that led here.
                former.iter().rev().for_each(|(file, was)| self.set(file, was.as_bytes()).unwrap_or(()));
                return done;
            }
        }
        Ok(())
    }

    /// Writes a limit and notes what stood in its place.
    fn change<'s>(&self, file: &'s str, value: &[u8], former: &mut Former<'s>) -> Result<()> {
        let mut buffer = [0; 4096];
        if let Some(was) = self.own.read(file, &mut buffer).ok().and_then(|text| line_of(text, value)) {
            former.push((file, was)).unwrap_or(());
        }
        self.set(file, value)
    }

    /// Makes the controller called `name` usable here: from the root down, each group hands it on.
    ///
    /// # Errors
    /// Named after the controller.
    pub(super) fn enable(&self, name: &'static str) -> Result<()> {
        let unknown = Error::named("enable the cgroup controller", name, Errno::INVAL);
        let controller = Controllers::NONE.with(Controller::from_name(name.as_bytes()).ok_or(unknown)?);
        match self.root.enable(controller) {
            // We are a process in a group that must hold none (inside someone else's container): step aside.
            Err(error) if error.errno == Errno::BUSY => {
                self.root.open_or_create(LEAF)?.enter()?;
                self.root.enable(controller)?;
            }
            done => done?,
        }
        self.above.iter().try_for_each(|group| group.enable(controller))
    }

    /// Gives it to this user and group, with the files by which groups below are made (Documentation/admin-guide/
    /// cgroup-v2.rst, delegation).
    ///
    /// # Errors
    /// Those of chown(2), named after the file.
    pub(super) fn give(&self, uid: u32, gid: u32) -> Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        for file in [c"", c"cgroup.procs", c"cgroup.threads", c"cgroup.subtree_control"] {
            chownat(&self.own, file, uid, gid, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)
                .stage_on("give away the cgroup's file", file.to_bytes())?;
        }
        Ok(())
    }

    /// Writes a limit.
    ///
    /// # Errors
    /// Named after the file.
    pub(super) fn set(&self, file: &str, value: &[u8]) -> Result<()> {
        self.own.write(file, value)
    }

    /// Lets its processes use the devices that `rules` allow, in the place of former rules.
    ///
    /// # Errors
    /// Those of bpf(2); `E2BIG` for too many rules.
    pub(super) fn limit_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        limit_devices(self.own.as_fd(), rules)
    }

    /// Makes every process in it stand still, or go on.
    ///
    /// # Errors
    /// `ETIMEDOUT` after ten seconds.
    pub(super) fn freeze(&self, on: bool) -> Result<()> {
        let deadline = Deadline::after_ms(PATIENCE_MS);
        if on { self.own.freeze(deadline) } else { self.own.thaw(deadline) }
    }

    /// Kills every process in it.
    ///
    /// # Errors
    /// `ETIMEDOUT` after ten seconds.
    pub(super) fn kill(&self) -> Result<()> {
        self.own.kill(Deadline::after_ms(PATIENCE_MS))
    }

    /// Watches for kills for want of memory; `None` where memory is not controlled.
    pub(super) fn watch_memory(&self) -> Option<Watch<MemoryEvents>> {
        Watch::open(&self.own).ok()
    }

    /// How many of its processes the kernel has killed for want of memory; 0 where memory is not controlled.
    pub(super) fn oom_kills(&self) -> u64 {
        let events = Watch::<MemoryEvents>::open(&self.own).and_then(|watch| watch.read());
        events.map_or(0, |events| events.oom_kill)
    }

    /// Kills what is left in it and takes it away.
    ///
    /// # Errors
    /// `ETIMEDOUT` when the kernel did not let go of it in ten seconds.
    pub(super) fn remove(self) -> Result<()> {
        remove_below(self.above.last().unwrap_or(&self.root), &self.name)
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.own.as_fd()
    }
}

fn remove_below(parent: &Directory, name: &[u8]) -> Result<()> {
    // Mostly nobody is in it any more.
    if parent.remove_at_once(name)? {
        return Ok(());
    }
    let deadline = Deadline::after_ms(PATIENCE_MS);
    match parent.open(name) {
        Err(error) if error.errno == Errno::NOENT => return Ok(()),
        group => {
            let group = group?;
            if group.occupancy()?.populated {
                // A frozen process dies of nothing but this.
                group.kill(deadline)?;
            }
        }
    }
    parent.remove(name, deadline)
}

/// Kills what is left in the group of container `id` and takes it away; one that is not there is no error.
///
/// # Errors
/// `ETIMEDOUT` when the kernel did not let go of it in ten seconds, and those of reaching it.
pub fn remove_group(id: &Id, path: Option<&CStr>) -> Result<()> {
    let found = hierarchy::find()?;
    if found.hierarchy().is_none() {
        return Ok(());
    }
    let mut here = open_root(&found)?;
    let mut names = components(id, path).peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            return remove_below(&here, name);
        }
        here = match here.open(name) {
            Err(error) if error.errno == Errno::NOENT => return Ok(()),
            next => next?,
        };
    }
    Ok(())
}

/// Carries out the host's list of `plan`, made by [`crate::plan::update`], on the group of container `id`.
///
/// # Errors
/// `ENOENT` when it has none, and what its files answer; the limits are then as they were.
pub fn update_group(id: &Id, path: Option<&CStr>, plan: &Plan<'_>) -> Result<()> {
    Group::open(id, path)?.update(&plan.host)
}

/// Makes every process of container `id` stand still, or go on.
///
/// # Errors
/// `ENOENT` when it has no group, `ETIMEDOUT` when that took longer than ten seconds.
pub fn freeze_group(id: &Id, path: Option<&CStr>, on: bool) -> Result<()> {
    Group::open(id, path)?.freeze(on)
}

/// The group of container `id`; `None` when there is none.
///
/// # Errors
/// Those of reaching it.
pub fn open_group(id: &Id, path: Option<&CStr>) -> Result<Option<Directory>> {
    let found = hierarchy::find()?;
    let Some(hierarchy) = found.hierarchy() else { return Ok(None) };
    let mut here = hierarchy.root().duplicate()?;
    for name in components(id, path) {
        here = match here.open(name) {
            Err(error) if error.errno == Errno::NOENT => return Ok(None),
            next => next?,
        };
    }
    Ok(Some(here))
}

/// Lets the processes of `group` use the devices that `rules` allow, in the place of former rules.
///
/// # Errors
/// Those of bpf(2); `E2BIG` for too many rules.
fn limit_devices(group: BorrowedFd<'_>, rules: &[DeviceRule]) -> Result<()> {
    const STAGE: &str = "limit the use of devices";
    let rule = |rule: &DeviceRule| {
        let DeviceRule { allow, block, major, minor, access } = *rule;
        Rule { allow, block, major, minor, access }
    };
    let program = assemble(&mut rules.iter().map(rule)).ok_or(Error::new(STAGE, Errno::TOOBIG))?;
    let program = bpf::load_device_program(&program).stage(STAGE)?;
    let former = bpf::attached_device_program(group).stage(STAGE)?;
    bpf::attach_device_program(group, program.as_fd(), former.as_ref().map(AsFd::as_fd)).stage(STAGE)
}
