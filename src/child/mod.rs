//! The side that becomes the container: a fresh child, already in its namespaces, works through its list of steps
//! and executes the command.
//!
//! Duty: do exactly what the plan says, in its order, and report the first failure by the index of its step. It
//! decides nothing and prints nothing.
//!
//! Dangers: this runs after clone, on a copy of the host's memory: no allocation, no formatting, no lock. Until
//! [`Step::PivotRoot`] paths are the host's; after it every path is hostile and goes through [`path`].
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod account;
mod channel;
mod confinement;
mod device;
mod engine;
mod enter;
mod execute;
mod filesystem;
mod fill;
mod identity;
mod overlay;
mod path;
mod program;
mod terminal;
mod verify;

use crate::plan::{Layers, Plan, Report, SLOTS, Step};
use crate::spec::{Process, THERMAL};
use crate::sys;
use crate::sys::defence::Defence;
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, Result};
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use verify::{Kind, Mounted};

/// Status with which a child that failed ends; the report tells why.
const FAILED: u8 = 125;

/// Most descriptors that the child takes over: namespace files, sources and the sockets.
const KEPT: usize = 10 + SLOTS;

/// As many as the kernel can be built for (`NR_CPUS`).
const MOST_CPUS: u32 = 8192;

/// What the host hands to its child.
pub struct Context<'a> {
    /// The steps.
    pub plan: &'a Plan<'a>,
    /// The process to become.
    pub process: &'a Process<'a>,
    /// Our end of the socket to the host.
    pub channel: OwnedFd,
    /// The namespace files to join, in the order of the plan.
    pub namespaces: &'a [OwnedFd],
    /// What to take as standard input, output and error; the host's own when `None`.
    pub streams: Option<[BorrowedFd<'a>; 3]>,
    /// The socket on which we are asked to start, when that is not at once.
    pub start: Option<BorrowedFd<'a>>,
    /// What the host took hold of for us, by number.
    pub sources: &'a [OwnedFd],
    /// Where to stop for ever, for tests that kill us there.
    #[cfg(feature = "test-hooks")]
    pub pause_at: Option<usize>,
}

/// Works through the steps. Ends by becoming the command or, after reporting a failure, by exiting.
pub fn run(context: Context<'_>) -> ! {
    // Inside, everybody can read them: variables with secrets may be among them.
    sys::entry::hide_arguments();
    for (target, stream) in (0..).zip(context.streams.iter().flatten()) {
        if sys::process::duplicate_onto(stream, target).is_err() {
            sys::process::exit(FAILED);
        }
    }
    // What the host holds is not ours: a copy of a pipe here would outlive it there.
    let others = context.namespaces.iter().chain(context.sources).map(AsFd::as_fd);
    let kept: heapless::Vec<BorrowedFd<'_>, KEPT> =
        others.chain([context.channel.as_fd()]).chain(context.start).collect();
    if Defence::CloseDescriptors.stands() {
        sys::spawn::close_inherited(context.process.tuning.preserved, &kept);
    }
    let mut state = State::new(&context);
    for (index, step) in context.plan.child.iter().enumerate() {
        pause_before(&context, index);
        if let Err(errno) = state.act(step) {
            let step = u16::try_from(index).unwrap_or(u16::MAX);
            let report = Report::Failed { step, errno: errno.raw_os_error() };
            channel::report(state.starter.as_ref().map_or(context.channel.as_fd(), AsFd::as_fd), report);
            sys::process::exit(FAILED);
        }
    }
    sys::process::exit(FAILED);
}

#[cfg(not(feature = "test-hooks"))]
fn pause_before(_context: &Context<'_>, _index: usize) {}

/// Says so and waits to be killed, when this is where a test wants it.
#[cfg(feature = "test-hooks")]
fn pause_before(context: &Context<'_>, index: usize) {
    if context.pause_at == Some(index) {
        // Best effort: a test that sees no line times out and fails.
        rustix::io::write(sys::stdio::Stream::Error.fd(), b"pipkin: paused\n").unwrap_or(0);
        loop {
            rustix::event::pause();
        }
    }
}

/// Descriptors that live from one step to another. All are close-on-exec.
struct State<'a> {
    context: &'a Context<'a>,
    /// The new root, once it is.
    root: Option<OwnedFd>,
    /// The container's own procfs, as it was mounted, before anything was put over parts of it.
    proc: Option<OwnedFd>,
    /// A mount of the verified null device, to hide files with.
    null: Option<filesystem::Cover>,
    /// An empty, read-only directory, to hide directories with.
    empty: Option<filesystem::Cover>,
    /// The mount of our own program, where it is nowhere.
    own: Option<OwnedFd>,
    /// The slave of our pseudo-terminal.
    terminal: Option<OwnedFd>,
    /// The connection of whoever asked us to start.
    starter: Option<OwnedFd>,
    /// The mounts made so far.
    mounted: Mounted,
    /// What the kernel says of this process, to be read at the end.
    status: Option<OwnedFd>,
    sources: [Option<OwnedFd>; SLOTS],
    /// The directory that something was made in last, with its path; none once something was mounted.
    parent: Option<(&'a [u8], OwnedFd)>,
}

impl<'a> State<'a> {
    fn new(context: &'a Context<'a>) -> Self {
        let sources = [const { None }; SLOTS];
        Self {
            context,
            root: None,
            proc: None,
            null: None,
            empty: None,
            own: None,
            terminal: None,
            starter: None,
            mounted: Mounted::new(),
            status: None,
            sources,
            parent: None,
        }
    }

    fn root(&self) -> Result<BorrowedFd<'_>> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    /// The directory that `path` is to be made in, and its last component. The directory is looked for once as long as
    /// nothing is mounted.
    fn parent(&mut self, path: &'a CStr) -> Result<(BorrowedFd<'_>, path::Name)> {
        let (above, name) = path::split(path)?;
        if self.parent.as_ref().is_none_or(|(known, _)| *known != above) {
            self.parent = Some((above, path::directory(self.root()?, above)?));
        }
        let (_, parent) = self.parent.as_ref().ok_or(Errno::BADF)?;
        Ok((parent.as_fd(), name))
    }

    fn act(&mut self, step: &'a Step<'a>) -> Result<()> {
        match *step {
            Step::AwaitIdMaps | Step::AwaitHost => {
                channel::await_release(self.context.channel.as_fd(), false)
            }
            Step::DieWithParent => rustix::process::set_parent_process_death_signal(Some(Signal::KILL)),
            Step::BecomeRoot { groups } => identity::become_root(groups),
            Step::OomScoreAdj(score) => set_oom_score_adj(score),
            Step::JoinNamespace { kind, slot, .. } => self.join(kind, slot),
            Step::UnshareCgroup => sys::process::unshare(UnshareFlags::NEWCGROUP),
            Step::SetSysctl { name, value } => self.set_sysctl(name, value),
            Step::SetHostname(name) => rustix::system::sethostname(name.to_bytes()),
            Step::SetDomainname(name) => rustix::system::setdomainname(name.to_bytes()),
            Step::RaiseLoopback => crate::netlink::link::raise_loopback().map_err(|error| error.errno),
            Step::ChangeDirectory(path) => self.change_directory(path),
            _ => self.act_on_files(step),
        }
    }

    fn act_on_files(&mut self, step: &'a Step<'a>) -> Result<()> {
        match *step {
            Step::IsolateMounts => filesystem::isolate(),
            Step::ShieldProgram => program::shield(),
            Step::OpenNull => device::open_null().map(|null| self.null = Some(filesystem::Cover::new(null))),
            Step::OpenSource { slot, path, recursive } => self.open_source(slot, path, recursive),
            Step::MountOverlay { lower, upper, volatile, staging, user } => match user {
                Some(Layers::Held(first)) => {
                    let held = self.context.sources.get(usize::from(first)..).ok_or(Errno::BADF)?;
                    overlay::mount_held(lower.len(), held, upper, volatile, staging)
                }
                user => overlay::mount(lower, upper, volatile, staging, user.is_some()),
            },
            Step::MountScratch { staging } => overlay::mount_scratch(staging),
            Step::PivotRoot => {
                let enter = if Defence::PivotFirst.stands() { filesystem::pivot } else { filesystem::stay };
                enter(self.staging()?).map(|root| self.root = Some(root))
            }
            Step::BindRoot { staging } => engine::bind_root(staging).map(|root| self.root = Some(root)),
            Step::CreateFileSystem { slot, kind, options, attributes, .. } => {
                let create = if kind == c"tmpfs" { fill::create } else { filesystem::create };
                create(kind, options, attributes).and_then(|made| self.keep(slot, made))
            }
            Step::MountFileSystem { slot, kind, options, target, attributes, propagation } => {
                let own = self.sources.get_mut(usize::from(slot)).and_then(Option::take);
                let mount = own.ok_or(Errno::BADF)?;
                if kind == c"tmpfs" {
                    fill::fill(self.root()?, &mount, options, target)?;
                }
                self.parent = None;
                filesystem::attach_new(self.root()?, &mount, kind, target, attributes, propagation)?;
                self.mounted.note(&mount, Kind::Plain)?;
                if kind == c"proc" {
                    self.proc = Some(mount);
                }
                Ok(())
            }
            Step::Attach { slot, target, attributes, propagation, volume } => {
                let own = self.sources.get_mut(usize::from(slot)).and_then(Option::take);
                let held = own.as_ref().or_else(|| self.context.sources.get(usize::from(slot)));
                let source = held.ok_or(Errno::BADF)?;
                self.parent = None;
                let root = self.root.as_ref().ok_or(Errno::BADF)?.as_fd();
                if volume {
                    fill::volume(root, source, target)?;
                }
                let id = filesystem::attach(root, source, target, attributes, propagation)?;
                self.mounted.add(id, Kind::Deep)?;
                if target == c"/proc" { self.note_proc(source) } else { Ok(()) }
            }
            Step::MakeDevice(device) => {
                let (parent, name) = self.parent(device.path)?;
                device::make(parent, name.as_c_str(), &device)
            }
            Step::Link { target, path } => {
                let (parent, name) = self.parent(path)?;
                device::link(parent, name.as_c_str(), target)
            }
            Step::Mask(_) | Step::MakeReadOnly(_) if !Defence::Masks.stands() => Ok(()),
            Step::Mask(path) => self.mask(path),
            Step::MakeReadOnly(path) => {
                let root = self.root.as_ref().ok_or(Errno::BADF)?.as_fd();
                filesystem::make_read_only(root, path, &mut self.mounted)
            }
            Step::VerifyRoot => self.verify_root(),
            Step::MakeRootReadOnly => filesystem::make_root_read_only(self.root()?),
            _ => self.act_on_process(step),
        }
    }

    fn act_on_process(&mut self, step: &Step<'_>) -> Result<()> {
        let process = self.context.process;
        match *step {
            Step::OpenTerminal(size) => {
                let (slave, console) = terminal::open(self.root()?, size, self.context.channel.as_fd())?;
                self.terminal = Some(slave);
                self.mounted.note(console, Kind::Plain)
            }
            Step::NewSession => identity::start_session(self.terminal.as_ref(), &process.tuning),
            Step::CloseStdin => device::close_stdin(self.root()?),
            Step::SetRlimit(limit) => identity::set_rlimit(&limit),
            Step::SetUmask(mask) => {
                rustix::process::umask(Mode::from_raw_mode(mask));
                Ok(())
            }
            Step::BecomeUser { user, capabilities, groups } => identity::become_user(
                self.root()?,
                &user,
                &capabilities,
                groups,
                process.home,
                self.terminal.as_ref(),
            ),
            Step::ForbidNewPrivileges if !Defence::NoNewPrivileges.stands() => Ok(()),
            Step::ForbidNewPrivileges => rustix::thread::set_no_new_privs(true),
            Step::InstallFilter(_) if !Defence::Filter.stands() => Ok(()),
            Step::InstallFilter(filter) => self.install(&filter),
            Step::RestrictPaths(rules) => self.restrict_paths(rules),
            Step::SetLabel { module, label } => self.set_label(module, label),
            Step::VerifyProcess => self.verify_process(),
            Step::Execute { command, init: false } => Err(execute::execute(process, command)),
            Step::Execute { command, init: true } => {
                let last = u16::try_from(self.context.plan.child.len().saturating_sub(1)).unwrap_or(u16::MAX);
                Err(execute::execute_under_init(process, command, self.context.channel.as_fd(), last))
            }
            _ => self.act_for_engine(step),
        }
    }

    fn staging(&self) -> Result<&'a CStr> {
        let mounted = self.context.plan.child.iter().find_map(|step| match *step {
            Step::MountOverlay { staging, .. }
            | Step::MountScratch { staging }
            | Step::BindRoot { staging } => Some(staging),
            _ => None,
        });
        mounted.ok_or(Errno::INVAL)
    }

    fn open_source(&mut self, slot: u8, path: &CStr, recursive: bool) -> Result<()> {
        self.keep(slot, filesystem::clone_tree(path, recursive)?)
    }

    /// Remembers a procfs that was bound. One that somebody put in its place is none of it.
    fn note_proc(&mut self, source: &OwnedFd) -> Result<()> {
        let magic = rustix::fs::fstatfs(source)?.f_type as u64;
        if magic == u64::from(linux_raw_sys::general::PROC_SUPER_MAGIC) {
            self.proc = Some(rustix::io::fcntl_dupfd_cloexec(source, 3)?);
        }
        Ok(())
    }

    fn keep(&mut self, slot: u8, source: OwnedFd) -> Result<()> {
        *self.sources.get_mut(usize::from(slot)).ok_or(Errno::BADF)? = Some(source);
        Ok(())
    }

    fn join(&self, kind: &str, slot: u8) -> Result<()> {
        let file = self.context.namespaces.get(usize::from(slot)).ok_or(Errno::BADF)?;
        let kind = match kind {
            "network" => LinkNameSpaceType::Network,
            "ipc" => LinkNameSpaceType::InterProcessCommunication,
            "uts" => LinkNameSpaceType::HostNameAndNISDomainName,
            "cgroup" => LinkNameSpaceType::ControlGroup,
            "time" => LinkNameSpaceType::Time,
            _ => return Err(Errno::INVAL),
        };
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(kind))
    }

    fn mask(&mut self, path: &CStr) -> Result<()> {
        let root = self.root.as_ref().ok_or(Errno::BADF)?.as_fd();
        if !Defence::VerifiedNull.stands() {
            let null = path::open(root, c"/dev/null", OFlags::PATH, path::Links::Follow)?;
            self.null = Some(filesystem::Cover::new(filesystem::clone_at(null.as_fd(), false)?));
        }
        let null = self.null.as_mut().ok_or(Errno::BADF)?;
        if path != THERMAL {
            return filesystem::mask(root, path, null, &mut self.empty, &mut self.mounted).map(drop);
        }
        for cpu in 0..MOST_CPUS {
            let mut path = heapless::String::<64>::new();
            ufmt::uwrite!(&mut path, "/sys/devices/system/cpu/cpu{}/thermal_throttle\0", cpu)
                .map_err(|_| Errno::NAMETOOLONG)?;
            let path = CStr::from_bytes_with_nul(path.as_bytes()).map_err(|_| Errno::INVAL)?;
            let masked = filesystem::mask(root, path, null, &mut self.empty, &mut self.mounted)?;
            // Without any on the first CPU the machine has none; a later one may lack them while it is offline.
            if !masked && (cpu == 0 || !is_cpu(root, cpu)?) {
                break;
            }
        }
        Ok(())
    }

    /// Goes to a directory inside. By descriptor and without links of `/proc`, so that no host directory that a
    /// descriptor still holds can become the working directory.
    fn change_directory(&mut self, path: &CStr) -> Result<()> {
        if path == c"/" && Defence::PivotFirst.stands() {
            return rustix::process::fchdir(self.root()?);
        }
        let directory = path::ensure(self.root()?, path, path::Kind::Directory, path::Links::Follow)?;
        if !Defence::PivotFirst.stands() {
            self.root = Some(filesystem::pivot(self.staging()?)?);
        }
        rustix::process::fchdir(directory)
    }

    /// Writes below `/proc/sys` of our own procfs, crossing no mount that lies over it.
    fn set_sysctl(&self, name: &CStr, value: &CStr) -> Result<()> {
        const PREFIX: &[u8] = b"sys/";
        let mut file = [0_u8; 256];
        let text = PREFIX.iter().chain(name.to_bytes());
        if PREFIX.len().saturating_add(name.count_bytes()) >= file.len() {
            return Err(Errno::NAMETOOLONG);
        }
        for (to, from) in file.iter_mut().zip(text) {
            *to = if *from == b'.' { b'/' } else { *from };
        }
        let file = CStr::from_bytes_until_nul(&file).map_err(|_| Errno::NAMETOOLONG)?;
        let proc = self.proc.as_ref().ok_or(Errno::NOENT)?;
        let file = if Defence::OwnProc.stands() {
            path::open_beneath(proc.as_fd(), file, OFlags::WRONLY)?
        } else {
            openat(
                openat(self.root()?, c"proc", OFlags::PATH, Mode::empty())?,
                file,
                OFlags::WRONLY,
                Mode::empty(),
            )?
        };
        write_whole(&file, value.to_bytes())
    }
}

/// Whether the kernel knows a CPU of this number.
fn is_cpu(root: BorrowedFd<'_>, cpu: u32) -> Result<bool> {
    let mut path = heapless::String::<48>::new();
    ufmt::uwrite!(&mut path, "/sys/devices/system/cpu/cpu{}\0", cpu).map_err(|_| Errno::NAMETOOLONG)?;
    let path = CStr::from_bytes_with_nul(path.as_bytes()).map_err(|_| Errno::INVAL)?;
    Ok(filesystem::find(root, path)?.is_some())
}

fn set_oom_score_adj(score: i16) -> Result<()> {
    let mut text = heapless::String::<8>::new();
    ufmt::uwrite!(&mut text, "{}", score).map_err(|_| Errno::INVAL)?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(rustix::fs::CWD, c"/proc/self/oom_score_adj", flags, Mode::empty())?;
    write_whole(&file, text.as_bytes())
}

/// Writes all of `bytes` in one call, as files of procfs want it.
fn write_whole<Fd: AsFd>(file: Fd, bytes: &[u8]) -> Result<()> {
    let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, bytes))?;
    if written == bytes.len() { Ok(()) } else { Err(Errno::IO) }
}
