//! The host's list of a plan, carried out and taken back.

use super::network::{self, Lease, Lent, Pasta};
use super::supervise::{Company, Ended};
use super::{id_map, signal, source};
use crate::error::{Error, Result, Stage};
use crate::plan::{HostStep, Plan, RELEASE, SLOTS};
use crate::spec::{ClockOffset, Id};
use crate::sys;
use crate::sys::defence::Defence;
use crate::sys::process::Side;
use core::ffi::CStr;
use linux_raw_sys::general::SIGKILL;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use rustix::process::{DumpableBehavior, Pid, WaitId, WaitIdOptions, geteuid, set_dumpable_behavior, waitid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use ufmt::uwrite;

/// Most namespaces that are joined by path.
const MOST_JOINED: usize = 8;
/// How long a killed child may take to die before it is left to the kernel.
pub(super) const DEATH_PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// The child's side: given its end of the socket, the namespace files to join and the sources held for it, it works through the child's
/// list and does not return.
pub type Entry<'e> = &'e mut dyn FnMut(OwnedFd, &[OwnedFd], &[OwnedFd]);

/// Called with the child's pid and the container's addresses.
pub type Started<'s> = &'s mut dyn FnMut(Pid, &[Lease]) -> Result<()>;

/// The host's state while a container is made and runs.
pub struct Host {
    pub(super) group: Option<super::group::Group>,
    namespaces: heapless::Vec<OwnedFd, MOST_JOINED>,
    sources: heapless::Vec<OwnedFd, SLOTS>,
    pub(super) child: Option<Child>,
    /// Who connects its network when that is not us.
    pasta: Option<Pasta>,
    /// The container's addresses.
    lent: Lent,
    /// Index of the step that is carried out, or that failed.
    pub at: usize,
    /// Where to stop for ever, for tests that kill us there.
    #[cfg(feature = "test-hooks")]
    pub pause_at: Option<usize>,
}

/// The child and how it is spoken to.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) channel: OwnedFd,
}

impl Host {
    /// Blocks every signal, to be received by descriptor; for good, so that none ends the caller while it cleans up.
    ///
    /// # Errors
    /// Those of sigprocmask(2).
    pub fn new() -> Result<Self> {
        sys::signal::set_mask(signal::received()).stage("block signals")?;
        // A child born into another container's pid namespace is seen by the processes there from its first moment.
        // Who is not root needs the files of its child in /proc, which go to root by this, for the id maps.
        if geteuid().is_root() && Defence::NotDumpable.stands() {
            set_dumpable_behavior(DumpableBehavior::NotDumpable).stage("keep others from looking in")?;
        }
        Ok(Self {
            group: None,
            namespaces: heapless::Vec::new(),
            sources: heapless::Vec::new(),
            child: None,
            pasta: None,
            lent: Lent::new(),
            at: 0,
            #[cfg(feature = "test-hooks")]
            pause_at: None,
        })
    }

    /// Carries out the host's list. `id` names the cgroup and owns the addresses; `started` is called once, when the
    /// child exists and before it may go on.
    ///
    /// # Errors
    /// The first step that failed; the child, if any, is then ended, the cgroup gone and the network given back.
    pub fn run(
        &mut self,
        plan: &Plan<'_>,
        id: &Id,
        company: Company<'_>,
        entry: Entry<'_>,
        started: Started<'_>,
    ) -> Result<Ended> {
        let done = self.carry_out(plan, id, company, entry, started);
        if done.is_ok() {
            // It has been waited for.
            self.child = None;
        }
        self.end_child();
        let removed = self.group.take().map_or(Ok(()), super::group::Group::remove);
        let released = release_network(plan, id);
        let ended = done?;
        removed.and(released).map(|()| ended)
    }

    fn carry_out(
        &mut self,
        plan: &Plan<'_>,
        id: &Id,
        company: Company<'_>,
        entry: Entry<'_>,
        started: Started<'_>,
    ) -> Result<Ended> {
        for (index, step) in plan.host.iter().enumerate() {
            self.pause_before(index);
            self.at = index;
            match step {
                HostStep::Clone { namespaces, cgroup } => {
                    self.clone(*namespaces, *cgroup, entry)?;
                    started(self.child()?.pid, &self.lent)?;
                }
                HostStep::Supervise => {
                    let child = self.child.as_ref().ok_or(Error::new("supervise", Errno::CHILD))?;
                    let connector = self.pasta.as_ref().map(|pasta| pasta.pidfd.as_fd());
                    return super::supervise::supervise(child, self.group.as_ref(), connector, company);
                }
                _ => self.prepare(step, id)?,
            }
        }
        Err(Error::new("supervise", Errno::INVAL))
    }

    /// Carries out a step that needs nobody but us.
    pub(super) fn prepare(&mut self, step: &HostStep<'_>, id: &Id) -> Result<()> {
        match step {
            HostStep::CreateCgroup(path) => self.group = Some(super::group::Group::create(id, *path)?),
            HostStep::GiveCgroup { uid, gid } => self.group()?.give(*uid, *gid)?,
            HostStep::UseCgroup => drop(self.group()?),
            HostStep::EnableController(name) => self.group()?.enable(name)?,
            HostStep::SetLimit { file, value } => self.group()?.set(file, value.as_bytes())?,
            HostStep::SetUnified { file, value } => self.group()?.set(file, value.as_bytes())?,
            HostStep::LimitDevices(rules) => self.group()?.limit_devices(rules)?,
            HostStep::OpenNamespace { path, .. } => {
                let full = Error::on("open a namespace", path.to_bytes(), Errno::TOOBIG);
                self.namespaces.push(open_namespace(path)?).map_err(|_| full)?;
            }
            HostStep::EnterPidNamespace(path) => {
                let file = open_namespace(path)?;
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::ProcessID))
                    .stage_on("enter the pid namespace", path.to_bytes())?;
            }
            HostStep::OffsetClocks(offsets) => offset_clocks(offsets)?,
            HostStep::GiveLayer { directory, uid, gid } => source::give_layer(directory, *uid, *gid)?,
            HostStep::OpenSource { path, recursive } => {
                let full = Error::on("take hold of", path.to_bytes(), Errno::TOOBIG);
                self.sources.push(source::open(path, *recursive)?).map_err(|_| full)?;
            }
            HostStep::WriteIdMaps { uids, gids, writer } => {
                id_map::write(self.child()?.pid, uids, gids, *writer)?;
            }
            HostStep::MapSource { path, slot, maps, recursive } => {
                let missing = Error::on("map the ids of", path.to_bytes(), Errno::BADF);
                let held = self.sources.get(usize::from(*slot)).ok_or(missing)?;
                let user = match maps {
                    Some((uids, gids)) => id_map::namespace(uids, gids)?,
                    None => id_map::namespace_of(self.child()?.pid)?,
                };
                source::map(held, path, &user, *recursive)?;
            }
            HostStep::LeaseAddresses { network, number } => {
                network::lease(network, *number, id, &mut self.lent)?;
            }
            HostStep::EnsureBridge { network, number } => network::ensure(network, *number)?,
            HostStep::ConnectInterface { network, number } => {
                network::connect(network, *number, id, self.child()?.pid, &self.lent)?;
            }
            HostStep::HandOver { devices, namespace } => {
                network::hand_over(devices, *namespace, self.child()?.pid)?;
            }
            HostStep::PublishPorts(network) => network::publish(network, id, &self.lent)?,
            HostStep::StartPasta(network) => self.pasta = Some(Pasta::start(network, self.child()?.pid)?),
            HostStep::AwaitPasta => {
                self.pasta.as_mut().ok_or(Error::new("connect the network", Errno::CHILD))?.wait()?;
            }
            HostStep::Release => self.release()?,
            // The caller's own.
            _ => return Err(Error::new("carry out the plan", Errno::NOSYS)),
        }
        Ok(())
    }

    #[cfg(not(feature = "test-hooks"))]
    pub(super) fn pause_before(&self, _index: usize) {}

    /// Says so and waits to be killed, when this is where a test wants it.
    #[cfg(feature = "test-hooks")]
    pub(super) fn pause_before(&self, index: usize) {
        if self.pause_at == Some(index) {
            // Best effort: a test that sees no line times out and fails.
            rustix::io::write(sys::stdio::Stream::Error.fd(), b"pipkin: paused\n").unwrap_or(0);
            loop {
                rustix::event::pause();
            }
        }
    }

    fn group(&self) -> Result<&super::group::Group> {
        self.group.as_ref().ok_or(Error::new("use the cgroup before it is made", Errno::BADF))
    }

    pub(super) fn child(&self) -> Result<&Child> {
        self.child.as_ref().ok_or(Error::new("use the child before it is made", Errno::CHILD))
    }

    pub(super) fn clone(&mut self, namespaces: u64, cgroup: bool, entry: Entry<'_>) -> Result<()> {
        let group = if cgroup { Some(self.group()?.as_fd()) } else { None };
        self.child = Some(clone(namespaces, group, &self.namespaces, &self.sources, entry)?);
        Ok(())
    }

    fn release(&mut self) -> Result<()> {
        // The child has them; a container must not find them held when it unmounts one.
        self.sources.clear();
        let channel = &self.child()?.channel;
        match retry_on_intr(|| send(channel, &[RELEASE], SendFlags::NOSIGNAL)) {
            // A child that is gone has reported why, or will be found dead: supervising it tells.
            Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            Err(errno) => Err(Error::new("release the child", errno)),
        }
    }

    /// Kills and reaps a child that is still there; with it, as PID 1, goes its whole namespace, and what connected it.
    pub(super) fn end_child(&mut self) {
        if let Some(pasta) = self.pasta.take() {
            end_process(&pasta.pidfd);
        }
        if let Some(child) = self.child.take() {
            end_process(&child.pidfd);
        }
    }
}

/// Kills and reaps a child of ours; one that does not die in time is left to the kernel.
pub(super) fn end_process(pidfd: &OwnedFd) {
    // Best effort: the only way to fail is that it is gone already.
    sys::signal::send(pidfd, SIGKILL as i32).unwrap_or(());
    let mut ends = [PollFd::new(pidfd, PollFlags::IN)];
    if retry_on_intr(|| poll(&mut ends, Some(&DEATH_PATIENCE))) != Ok(0) {
        let reap = || waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        retry_on_intr(reap).unwrap_or(None);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end_child();
    }
}

/// Makes the child, with a socket to it.
pub(super) fn clone(
    namespaces: u64,
    group: Option<BorrowedFd<'_>>,
    files: &[OwnedFd],
    sources: &[OwnedFd],
    entry: Entry<'_>,
) -> Result<Child> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .stage("make a socket to the child")?;
    match sys::process::clone(namespaces, group).stage("clone the child")? {
        Side::Child => {
            drop(ours);
            entry(theirs, files, sources);
            sys::process::exit(u8::MAX)
        }
        Side::Parent(pid, pidfd) => Ok(Child { pid, pidfd, channel: ours }),
    }
}

/// Gives back what the plan's network steps made; nothing of it needs to be there.
fn release_network(plan: &Plan<'_>, id: &Id) -> Result<()> {
    let leased = plan.host.iter().find_map(|step| match step {
        HostStep::LeaseAddresses { network, .. } => Some(network),
        _ => None,
    });
    leased.map_or(Ok(()), |network| network::release(network.directory, id, !network.ports.is_empty()))
}

pub(super) fn open_namespace(path: &CStr) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .stage_on("open the namespace", path.to_bytes())
}

/// Leaves a new time namespace to the children to come, its clocks `offsets` from ours (time_namespaces(7)).
fn offset_clocks(offsets: &[ClockOffset]) -> Result<()> {
    sys::process::unshare(UnshareFlags::NEWTIME).stage("make a time namespace")?;
    let stage = "set the clocks";
    let mut text = heapless::String::<128>::new();
    for offset in offsets {
        uwrite!(&mut text, "{} {} {}\n", offset.clock, offset.seconds, offset.nanoseconds)
            .map_err(|_| Error::new(stage, Errno::TOOBIG))?;
    }
    let file = openat(CWD, c"/proc/self/timens_offsets", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .stage(stage)?;
    let written = retry_on_intr(|| rustix::io::write(&file, text.as_bytes())).stage(stage)?;
    if written == text.len() { Ok(()) } else { Err(Error::new(stage, Errno::IO)) }
}
