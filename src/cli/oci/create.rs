//! `create` and `run`: from a bundle to a process that waits, or runs.

use super::super::launch::explain;
use super::super::message::Failure;
use super::super::{ExitCode, Outcome, input, kernel};
use super::state::View;
use super::{Global, Sorted, activation, cannot_open, delete, hook, id, scope, start, tell};
use crate::oci::config;
use crate::oci::json::Value;
use crate::oci::keep;
use crate::oci::state::{Container, Record};
use crate::oci::systemd::Scope;
use crate::store::{now_ns, process};
use pipkin::host::{Host, Moment};
use pipkin::plan::{Availability, Controllers, Plan, Step, resolve};
use pipkin::spec::{CapabilitySet, Id, IdMap, Resources, Spec};
use pipkin::sys::spawn::close_passed;
use pipkin::sys::stdio::Stream;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::termios::isatty;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Largest configuration that is read, in bytes. Environments of engines are a hundredth of it.
const LARGEST: u64 = 16 << 20;

/// A bundle that was read: its directory and the text of its configuration.
struct Bundle {
    path: Vec<u8>,
    text: Vec<u8>,
}

fn bundle(typed: &Sorted<'_>) -> Result<Bundle, Failure> {
    let given = typed.last("--bundle").unwrap_or(".");
    let fail = |what: &str, error: &io::Error| Failure::io(what, given.as_bytes(), error);
    let path = std::fs::canonicalize(given).map_err(|error| fail("find the bundle", &error))?;
    let text = read_config(&path.join("config.json"))?;
    Ok(Bundle { path: path.as_os_str().as_bytes().to_vec(), text })
}

fn read_config(path: &Path) -> Result<Vec<u8>, Failure> {
    const WHAT: &str = "read the configuration";
    let subject = path.as_os_str().as_bytes();
    let fail = |error: io::Error| Failure::io(WHAT, subject, &error);
    let about = std::fs::metadata(path).map_err(fail)?;
    if !about.is_file() || about.len() > LARGEST {
        return Err(Failure::new(WHAT, subject, b"it must be a file of up to 16 MiB"));
    }
    std::fs::read(path).map_err(fail)
}

/// The configuration of `bundle` cannot be used.
fn faulty(bundle: &Bundle, why: &str) -> Failure {
    let path = [&bundle.path, &b"/config.json"[..]].concat();
    Failure::new("use the configuration", &path, why.as_bytes())
}

/// `create ID`.
pub(super) fn create(global: &Global, typed: &Sorted<'_>) -> Outcome {
    make(global, typed, true)?;
    Ok(ExitCode::SUCCESS)
}

/// A container that was made.
struct Made {
    container: Container,
    record: Record,
    host: Host,
    /// The master of its terminal, when that is ours to serve.
    terminal: Option<OwnedFd>,
}

/// `run ID`.
pub(super) fn run(global: &Global, typed: &Sorted<'_>) -> Outcome {
    let detached = typed.has("--detach");
    let Made { container, record, host, terminal } = make(global, typed, detached)?;
    let process = record.process();
    if let Err(failure) = start::begin(&container, &record) {
        delete::destroy(container, &record)?;
        return Err(failure);
    }
    if detached {
        return Ok(ExitCode::SUCCESS);
    }
    let id = container.id;
    // Others may do with it what they like while it runs.
    drop(container);
    let gone = || Failure::errno("wait for the container", id.as_str().as_bytes(), Errno::CHILD);
    let ended = host.attend(&process.ok_or_else(gone)?, terminal);
    match global.root.lock(id) {
        Ok(container) if !typed.has("--keep") && container.record() == record => {
            delete::destroy(container, &record)?;
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_open(&id, &error)),
        // Somebody else has taken it away, and maybe given the id to another.
        _ => {}
    }
    Ok(ExitCode(ended?.status))
}

/// Whether a terminal can be served as it is asked for: by the engine, or by us, who are here until the end unless we
/// leave it, and have one of our own in front of us.
pub(super) fn check_terminal(wanted: bool, leaves: bool, typed: &Sorted<'_>) -> Result<(), Failure> {
    let cannot = |why: &[u8]| Err(Failure::new("serve the terminal", b"", why));
    match (wanted, typed.last("--console-socket")) {
        (false, Some(_)) => cannot(b"--console-socket is for one of process.terminal or --tty"),
        (true, None) if leaves => cannot(b"nobody stays here: give --console-socket"),
        (true, None) if !Stream::ALL.iter().any(|stream| isatty(stream.fd())) => cannot(
            b"no standard stream is one: give --console-socket, or go without process.terminal and --tty",
        ),
        _ => Ok(()),
    }
}

/// Makes the container up to the process that waits; on any failure nothing is left of it.
fn make(global: &Global, typed: &Sorted<'_>, leaves: bool) -> Result<Made, Failure> {
    let id = id(typed)?;
    if typed.has("--no-pivot") {
        return Err(Failure::new("do without", b"pivot_root(2)", b"the host's root would stay within reach"));
    }
    let bundle = bundle(typed)?;
    let config = config::read(&bundle.text).map_err(|why| faulty(&bundle, &why))?;
    let context = config::Context {
        id,
        bundle: &bundle.path,
        kernel: kernel::version(),
        preserved: input::descriptors(typed.last("--preserve-fds").unwrap_or("0"), activation::sockets())?,
        keeps_keyring: typed.has("--no-new-keyring"),
        held: held(),
        further: false,
    };
    let mut spec = config::spec(&config, &context)
        .map_err(|fault| faulty(&bundle, &config::sentence(&fault, &config, &bundle.text)))?;
    check_terminal(spec.process.terminal.is_some(), leaves, typed)?;
    join(&mut spec)?;
    activation::pass_on(&mut spec)?;
    let mut facts = pipkin::host::probe()?;
    if config.text_at("linux.mountLabel").is_some_and(|label| !label.is_empty()) && !facts.selinux {
        return Err(faulty(&bundle, "linux.mountLabel: SELinux is not in force on this machine"));
    }
    facts.cgroup &= !global.no_cgroup;
    if global.no_cgroup || !facts.root {
        // An engine that wants no cgroup wants no rules on devices; and without root's rights no node can be made that
        // they could forbid.
        spec.resources.access = &[];
    }
    let scope = match global.systemd && !global.no_cgroup {
        true => Some(scope::name(config.text_at("linux.cgroupsPath").unwrap_or_default(), &id)?),
        false => None,
    };
    if scope.is_some() {
        // What it is not given systemd hands down; the kernel has the last word when it is written.
        (spec.cgroup, spec.managed, facts.cgroup) = (None, true, true);
        facts.controllers = Controllers::all(Availability::Ready);
    }
    let mut plan = Box::<Plan>::default();
    resolve(&spec, &facts, &mut plan)?;
    // From here on no signal ends us before what is made can be taken away.
    let mut host = Host::new()?;
    let container = global.root.create(id).map_err(|error| cannot_open(&id, &error))?;
    let cgroup = spec.cgroup.map_or_else(Vec::new, |path| path.to_bytes().to_vec());
    let unit = scope.as_ref().map_or_else(Vec::new, |scope| scope.unit.clone().into_bytes());
    let bundle_path = bundle.path.clone();
    let mut record = Record { created_ns: now_ns(), cgroup, unit, bundle: bundle_path, ..Record::default() };
    let scope = scope.as_ref();
    let maker = Maker { container: &container, config: &config, spec: &spec, plan: &plan, scope, typed };
    let mut terminal = None;
    match maker.make(&mut host, &mut record, &bundle.text, &mut terminal) {
        Ok(()) => {
            close_passed(spec.process.tuning.preserved);
            Ok(Made { container, record, host, terminal })
        }
        Err(failure) => {
            // The reason comes first; what cannot be taken away is taken away by the engine's own delete.
            if let Err(second) = delete::destroy(container, &record) {
                tell(&second);
            }
            Err(failure)
        }
    }
}

/// A user namespace that is entered has its maps from the kernel.
fn join(spec: &mut Spec<'static>) -> Result<(), Failure> {
    if let Some(user) = &mut spec.namespaces.user
        && let Some(path) = user.path
    {
        let [uids, gids] = pipkin::host::maps_of(path)?.map(|lines| keep::list(lines.to_vec()));
        (user.uids, user.gids) = (uids, gids);
    }
    Ok(())
}

/// The capabilities that can be handed on; none where the kernel does not say.
pub(super) fn held() -> CapabilitySet {
    rustix::thread::capabilities(None)
        .map_or(CapabilitySet::EMPTY, |sets| CapabilitySet(sets.permitted.bits()))
}

/// Everything that the making of one container needs.
struct Maker<'m> {
    container: &'m Container,
    config: &'m Value<'m>,
    spec: &'m Spec<'m>,
    plan: &'m Plan<'m>,
    scope: Option<&'m Scope>,
    typed: &'m Sorted<'m>,
}

impl Maker<'_> {
    fn make(
        &self,
        host: &mut Host,
        record: &mut Record,
        text: &[u8],
        terminal: &mut Option<OwnedFd>,
    ) -> Result<(), Failure> {
        let keep = |error: io::Error| Failure::io("write the state of the container", b"", &error);
        self.container.keep_config(text).map_err(keep)?;
        self.container.save(record).map_err(keep)?;
        let listener = listen(&self.container.short_path("start"))
            .map_err(|errno| Failure::errno("listen for the start", b"", errno))?;
        // What is made for the container has the mode it is given, whatever the caller's own files get.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let placeholder = match self.scope {
            Some(scope) => Some(scope::start(scope, &self.container.id, self.plan, record)?),
            None => None,
        };
        if let Some(path) = record.cgroup().filter(|_| placeholder.is_some()) {
            host.take_group(&self.container.id, path)?;
        }
        #[cfg(feature = "test-hooks")]
        {
            host.pause_at = super::super::launch::pause("PIPKIN_PAUSE_HOST");
        }
        let mut refused = None;
        let made = host.create(
            self.plan,
            &self.container.id,
            &mut |channel, namespaces, sources| {
                pipkin::child::run(pipkin::child::Context {
                    plan: self.plan,
                    process: &self.spec.process,
                    channel,
                    namespaces,
                    sources,
                    streams: None,
                    start: Some(listener.as_fd()),
                    #[cfg(feature = "test-hooks")]
                    pause_at: super::super::launch::pause("PIPKIN_PAUSE_CHILD"),
                })
            },
            &mut |moment, pid, pidfd| {
                self.see(moment, pid.as_raw_nonzero().get(), pidfd, record, terminal).map_err(|failure| {
                    refused = Some(failure);
                    pipkin::error::Error::new("make the container", Errno::CANCELED)
                })
            },
        );
        drop(placeholder);
        if let Some(failure) = refused {
            return Err(failure);
        }
        match made? {
            None => Ok(()),
            Some(failure) => Err(told(self.plan, failure)),
        }
    }

    /// What is ours to do at each moment.
    fn see(
        &self,
        moment: Moment<'_>,
        pid: i32,
        pidfd: BorrowedFd<'_>,
        record: &mut Record,
        terminal: &mut Option<OwnedFd>,
    ) -> Result<(), Failure> {
        let keep = |error: io::Error| Failure::io("write the state of the container", b"", &error);
        match moment {
            Moment::Born => {
                (record.pid, record.pid_start) = (pid, process::start_of(pid).unwrap_or(0));
                self.container.save(record).map_err(keep)
            }
            Moment::Built => {
                // The environment is there, which is when a container is created (runtime.md, state and lifecycle 2).
                let view =
                    View { id: &self.container.id, status: b"created", record, config: Some(self.config) };
                hook::run(self.config, "prestart", &view, None)?;
                hook::run(self.config, "createRuntime", &view, None)?;
                hook::run(self.config, "createContainer", &view, Some(pidfd))
            }
            Moment::Waiting(master) => {
                *terminal = hand_over(self.typed, master.take())?;
                if let Some(path) = self.typed.last("--pidfd-socket") {
                    send(path, pidfd, b"pidfd")?;
                }
                if let Some(path) = self.typed.last("--pid-file") {
                    let fail = |error: io::Error| Failure::io("write the pid to", path.as_bytes(), &error);
                    write_pid(path, pid).map_err(fail)?;
                }
                record.created = true;
                self.container.save(record).map_err(keep)
            }
        }
    }
}

/// Sends the master of a terminal to whom it is for; gives it back when it is for us.
pub(super) fn hand_over(typed: &Sorted<'_>, master: Option<OwnedFd>) -> Result<Option<OwnedFd>, Failure> {
    let (Some(path), Some(master)) = (typed.last("--console-socket"), &master) else { return Ok(master) };
    send(path, master.as_fd(), b"/dev/pts/0")?;
    Ok(None)
}

/// The failure of a step of the child.
pub(super) fn told(plan: &Plan<'_>, failure: pipkin::host::Failure) -> Failure {
    match plan.child.get(usize::from(failure.step)) {
        // In the words that engines know.
        Some(Step::Execute { command, .. }) => explain(&Step::FindCommand(command), failure.errno),
        Some(step) => explain(step, failure.errno),
        None => Failure::errno("prepare the container", b"", failure.errno),
    }
}

/// The whole file appears at once: engines watch for it.
pub(super) fn write_pid(path: &str, pid: i32) -> io::Result<()> {
    let temporary = [path, ".new"].concat();
    let written =
        std::fs::write(&temporary, pid.to_string()).and_then(|()| std::fs::rename(&temporary, path));
    // The reason comes first.
    written.inspect_err(|_| drop(std::fs::remove_file(temporary)))
}

fn listen(path: &str) -> Result<OwnedFd, Errno> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, 1)?;
    Ok(socket)
}

/// Sends a descriptor to the socket at `path`, with a word beside it.
pub(super) fn send(path: &str, descriptor: BorrowedFd<'_>, word: &[u8]) -> Result<(), Failure> {
    let sent = dial(path).and_then(|socket| send_on(&socket, descriptor, word));
    sent.map_err(|errno| Failure::errno(SEND, path.as_bytes(), errno))
}

/// What [`send`] is called when it fails.
pub(super) const SEND: &str = "send a descriptor to";

/// Connects to the stream socket at `path`.
pub(super) fn dial(path: &str) -> Result<OwnedFd, Errno> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Sends a descriptor on `socket`, with a word beside it.
pub(super) fn send_on(socket: &OwnedFd, descriptor: BorrowedFd<'_>, word: &[u8]) -> Result<(), Errno> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(socket, &[rustix::io::IoSlice::new(word)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == word.len() { Ok(()) } else { Err(Errno::MSGSIZE) }
}

/// The plan by which a container was made, for telling what failed.
pub(super) fn plan_again<'p>(
    container: &Container,
    config: &Value<'_>,
    record: &Record,
    plan: &mut Plan<'p>,
) -> Result<(), Failure> {
    let id: Id = container.id;
    let context = config::Context {
        id,
        bundle: &record.bundle,
        kernel: kernel::version(),
        preserved: 0,
        keeps_keyring: false,
        held: held(),
        further: false,
    };
    let mut spec = config::spec(config, &context)
        .map_err(|fault| Failure::new("use the configuration", b"", fault.what.as_bytes()))?;
    // Where it is gone, the steps are those of one that has root, as all but a few have.
    if join(&mut spec).is_err()
        && let Some(user) = &mut spec.namespaces.user
    {
        const ROOT: &[IdMap] = &[IdMap { inside: 0, outside: 0, count: 1 }];
        (user.uids, user.gids) = (ROOT, ROOT);
    }
    // The host's affair, and settled when it was made, be it that none could be had.
    spec.resources = Resources::default();
    let mut facts = pipkin::host::probe()?;
    facts.cgroup = pipkin::host::open_group(&id, record.cgroup())?.is_some();
    Ok(resolve(&spec, &facts, plan)?)
}
