//! A further process in a container that runs: finding what it has to enter, making it, waiting for its end.

use super::spawn::{Child, DEATH_PATIENCE, Entry, Host, clone, end_process};
use super::supervise::{Company, Ended, Watch};
use crate::cgroup::group::Group;
use crate::cgroup::hierarchy::{find, own_path, path_of};
use crate::error::{Error, Result, Stage};
use crate::plan::{HostStep, Plan};
use crate::sys;
use crate::sys::signal::Action;
use core::ffi::CStr;
use linux_raw_sys::general as raw;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, openat, statat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use ufmt::uwrite;

/// The status of what was killed.
const KILLED: u8 = 137;

/// The kinds of namespaces by the names of their files in `/proc/PID/ns`.
const KINDS: [(u32, &str); 8] = [
    (raw::CLONE_NEWUSER, "user"),
    (raw::CLONE_NEWNS, "mnt"),
    (raw::CLONE_NEWPID, "pid"),
    (raw::CLONE_NEWNET, "net"),
    (raw::CLONE_NEWIPC, "ipc"),
    (raw::CLONE_NEWUTS, "uts"),
    (raw::CLONE_NEWCGROUP, "cgroup"),
    (raw::CLONE_NEWTIME, "time"),
];

/// A process whose namespaces and cgroup are to be entered.
#[derive(Debug)]
pub struct Target {
    pidfd: OwnedFd,
    namespaces: u64,
    group: Option<Group>,
}

impl Target {
    /// Takes hold of process `pid` and looks at where it is. Whether it is the process that is meant is the caller's to
    /// find out, after this: as long as [`Target::is_alive`] holds, what is read of `pid` is read of this process.
    ///
    /// # Errors
    /// `ESRCH` when there is none, `EACCES` or `EPERM` without the right to look at it, and those of the cgroup.
    pub fn open(pid: i32) -> Result<Self> {
        const STAGE: &str = "find the container's process";
        let pid = Pid::from_raw(pid).ok_or(Error::new(STAGE, Errno::SRCH))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).stage(STAGE)?;
        let mut namespaces = 0;
        for (flag, kind) in KINDS {
            let own = match namespace("self", kind) {
                // The kernel was built without this kind.
                Err(Errno::NOENT) => continue,
                own => own.stage_on("look at our own namespace", kind.as_bytes())?,
            };
            let mut digits = heapless::String::<16>::new();
            uwrite!(&mut digits, "{}", pid.as_raw_nonzero().get())
                .map_err(|_| Error::new(STAGE, Errno::NAMETOOLONG))?;
            let other =
                namespace(&digits, kind).stage_on("look at the container's namespace", kind.as_bytes())?;
            if (own.st_dev, own.st_ino) != (other.st_dev, other.st_ino) {
                namespaces |= u64::from(flag);
            }
        }
        Ok(Self { pidfd, namespaces, group: group_of(pid)? })
    }

    /// The `CLONE_NEW*` bits of the namespaces that are not ours too.
    #[must_use]
    pub fn namespaces(&self) -> u64 {
        self.namespaces
    }

    /// Its pidfd, as the one file that is to be entered, and its cgroup.
    pub(super) fn into_parts(self) -> ([OwnedFd; 1], Option<Group>) {
        ([self.pidfd], self.group)
    }

    /// Whether its cgroup is not ours too.
    #[must_use]
    pub fn has_group(&self) -> bool {
        self.group.is_some()
    }

    /// Has what enters go into `group` in the place of its cgroup.
    pub fn set_group(&mut self, group: Group) {
        self.group = Some(group);
    }

    /// Whether it stands still.
    ///
    /// # Errors
    /// Those of reading its cgroup.
    pub fn is_frozen(&self) -> Result<bool> {
        self.group.as_ref().map_or(Ok(false), |group| group.occupancy().map(|now| now.frozen))
    }

    /// Whether it still lives.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn is_alive(&self) -> Result<bool> {
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
            .map(|ready| ready == 0)
            .stage("look at the container's process")
    }
}

fn namespace(whose: &str, kind: &str) -> rustix::io::Result<Stat> {
    let mut path = heapless::String::<48>::new();
    uwrite!(&mut path, "/proc/{}/ns/{}\0", whose, kind).map_err(|_| Errno::NAMETOOLONG)?;
    statat(CWD, CStr::from_bytes_with_nul(path.as_bytes()).map_err(|_| Errno::INVAL)?, AtFlags::empty())
}

/// The pid that a pidfd stands for (proc_pid_fdinfo(5)).
///
/// # Errors
/// `ESRCH` for a process that is gone, and those of reading it.
pub fn pid_of(pidfd: &OwnedFd) -> Result<Pid> {
    const STAGE: &str = "look up a process";
    let mut path = heapless::String::<40>::new();
    uwrite!(&mut path, "/proc/self/fdinfo/{}\0", pidfd.as_raw_fd())
        .map_err(|_| Error::new(STAGE, Errno::NAMETOOLONG))?;
    let path = CStr::from_bytes_with_nul(path.as_bytes()).map_err(|_| Error::new(STAGE, Errno::INVAL))?;
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).stage(STAGE)?;
    let mut text = [0; 256];
    let length = retry_on_intr(|| rustix::io::read(&file, &mut text)).stage(STAGE)?;
    let text = core::str::from_utf8(text.get(..length).unwrap_or_default()).unwrap_or_default();
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid = pid.and_then(|pid| pid.trim_ascii().parse().ok()).filter(|pid| *pid > 0);
    pid.and_then(Pid::from_raw).ok_or(Error::new(STAGE, Errno::SRCH))
}

/// The cgroup of a process; `None` when it is our own, or there is no hierarchy.
fn group_of(pid: Pid) -> Result<Option<Group>> {
    let found = find()?;
    let Some(hierarchy) = found.hierarchy() else { return Ok(None) };
    let path = path_of(pid)?;
    if path == own_path()? { Ok(None) } else { hierarchy.at_path(&path).map(Some) }
}

impl Host {
    /// Carries out the host's list of a plan to enter `target`. A command that is left to itself has the status 0. From
    /// here on the caller's children are reaped by the kernel, and cannot be waited for.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn enter(&mut self, plan: &Plan<'_>, target: Target, stdin: bool, entry: Entry<'_>) -> Result<Ended> {
        const SIGCHLD: i32 = raw::SIGCHLD as i32;
        // A pid namespace ends only when everybody in it was reaped, also those who came from outside. Whatever becomes
        // of us, who may be stopped or stuck in a write: this way the kernel does it, from the first moment and for good.
        // It looks at the action a moment after we hear of the end.
        sys::signal::set_action(SIGCHLD, Action::Ignore).stage("leave the command to the kernel")?;
        let done = self.carry_in(plan, target, stdin, entry);
        self.end_child();
        done
    }

    fn carry_in(&mut self, plan: &Plan<'_>, target: Target, stdin: bool, entry: Entry<'_>) -> Result<Ended> {
        let Target { pidfd, group, .. } = target;
        let files = [pidfd];
        let mut outcome = Err(Error::new("enter the container", Errno::INVAL));
        for step in &plan.host {
            match step {
                HostStep::Clone { namespaces, cgroup } => {
                    let group = group.as_ref().filter(|_| *cgroup).map(AsFd::as_fd);
                    self.child = Some(clone(*namespaces, group, &files, &[], &mut *entry)?);
                }
                HostStep::Supervise => outcome = accompany(self.child()?, group.as_ref(), stdin, false),
                HostStep::AwaitExecution => outcome = accompany(self.child()?, group.as_ref(), false, true),
                _ => return outcome,
            }
        }
        outcome
    }
}

/// Waits for the end of the socket: until the command has ended, or, when it is left to itself, until it was executed and
/// its reaper keeps no end. Not before that has everybody told what there is to tell, in whatever order.
fn accompany(child: &Child, group: Option<&Group>, stdin: bool, detached: bool) -> Result<Ended> {
    let mut watch =
        Watch::new(child.pidfd.as_fd(), Some(child.channel.as_fd()), None, Company::Further { stdin })?;
    watch.entered = group;
    while watch.setup {
        if let Err(error) = watch.turn() {
            // The one inside is no child of the one that was made.
            if let (Some(reaper), None) = (&watch.reaper, &watch.command) {
                end_process(reaper);
            }
            return Err(error);
        }
    }
    watch.finish_terminal()?;
    let mut ended = Ended { status: 0, signal: None, failure: watch.failure, oom_kills: 0, reboot: false };
    let stays = if watch.code.is_some() { !watch.last } else { detached && watch.command.is_some() };
    match watch.code {
        Some(code) => ended.status = code,
        None if stays => {}
        // Nobody told: they were killed, with the container.
        None => (ended.status, ended.signal) = (KILLED, Some(raw::SIGKILL as i32)),
    }
    if !stays || (detached && ended.failure.is_some()) {
        // As long as it is there, and would be somebody's child after us, it could be seen inside.
        let reaper = watch.reaper.as_ref().unwrap_or(&child.pidfd);
        let mut ends = [PollFd::new(reaper, PollFlags::IN)];
        retry_on_intr(|| poll(&mut ends, Some(&DEATH_PATIENCE))).stage("wait for the command")?;
    }
    Ok(ended)
}
