//! `exec`: a further process in a container that runs.

use super::super::message::Failure;
use super::super::run::exec::{NEWUSER, groups};
use super::super::{ExitCode, Outcome, input, kernel};
use super::create::{check_terminal, hand_over, held, send, told, write_pid};
use super::listener::{self, Agent};
use super::state::{View, is_frozen};
use super::{Global, Sorted, lock};
use crate::oci::config;
use crate::oci::json::Value;
use crate::oci::keep;
use crate::oci::state::{Container, Record, Status};
use crate::store::process::start_of;
use pipkin::host::{Entered, Host, Target, open_group, pid_of};
use pipkin::plan::{EnterSpec, Groups, Plan, enter};
use pipkin::spec::{Account, Capabilities, CapabilitySet, Confinement, Process, User};
use pipkin::sys::spawn::close_passed;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// Why nothing can be run in it, in the words that engines know.
const NOT_RUNNING: &[u8] = b"container not running";

/// `exec ID`.
pub(super) fn exec(global: &Global, typed: &Sorted<'_>) -> Outcome {
    let (container, record) = lock(global, typed)?;
    let id = container.id;
    let cannot = |why: &[u8]| Failure::new("run a process in", id.as_str().as_bytes(), why);
    if !matches!(container.status(&record), Status::Running | Status::Created) {
        return Err(cannot(NOT_RUNNING));
    }
    let process = process(&container, typed, &record.bundle)?;
    check_terminal(process.terminal.is_some(), typed.has("--detach"), typed)?;
    let mut target = target(&record)?.ok_or_else(|| cannot(NOT_RUNNING))?;
    if let Some(path) = typed.last("--cgroup").filter(|path| *path != "/") {
        enter_group(&mut target, &container, &record, path)?;
    }
    let (namespaces, cgroup) = (target.namespaces(), target.has_group());
    let mut process = process;
    if namespaces & NEWUSER == 0 {
        process.capabilities = config::granted(process.capabilities, held());
    }
    let groups = groups(record.pid, namespaces)?;
    if groups == Groups::Inherited && !process.user.additional.is_empty() {
        return Err(cannot(b"its user namespace does not let supplementary groups be changed"));
    }
    let spec = EnterSpec { process, groups, namespaces, cgroup, detached: true, silent: false, alone: true };
    let mut plan = Box::<Plan>::default();
    enter(&spec, &mut plan)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let text = container.config().unwrap_or_default();
    let config = config::read(&text).ok();
    let mut agent = config.as_ref().map_or(Ok(None), Agent::connect)?;
    let mut asked = |listener: OwnedFd, process: &OwnedFd| {
        let view = View { id: &container.id, status: b"running", record: &record, config: config.as_ref() };
        listener::hand_over(
            &mut agent,
            &view,
            pid_of(process).map_or(0, |pid| pid.as_raw_nonzero().get()),
            &listener,
        )
    };
    let mut become_it = |channel, namespaces: &[OwnedFd], sources: &[OwnedFd]| {
        pipkin::child::run(pipkin::child::Context {
            plan: &plan,
            process: &process,
            channel,
            namespaces,
            streams: None,
            start: None,
            sources,
            #[cfg(feature = "test-hooks")]
            pause_at: super::super::launch::pause("PIPKIN_PAUSE_CHILD"),
        })
    };
    let mut host = Host::new()?;
    let outcome = host.enter_alone(&plan, target, &mut become_it, &mut asked);
    let entered = judge(outcome, &container, &record, &plan, &cannot)?;
    close_passed(process.tuning.preserved);
    // Others may go on with the container while this process runs.
    drop(container);
    finish(&host, entered, typed)
}

/// What came of entering it, in which it may have ended meanwhile.
fn judge(
    outcome: pipkin::error::Result<Result<Entered, pipkin::host::Failure>>,
    container: &Container,
    record: &Record,
    plan: &Plan<'_>,
    cannot: &dyn Fn(&[u8]) -> Failure,
) -> Result<Entered, Failure> {
    let ended = || target(record).is_ok_and(|target| target.is_none());
    match outcome {
        // Its cgroup is gone.
        Err(error) if matches!(error.errno, Errno::SRCH | Errno::NOENT | Errno::NODEV) && ended() => {
            Err(cannot(NOT_RUNNING))
        }
        // In a pid namespace whose first process is ending the kernel has no memory for another one (pid_namespaces(7)).
        Ok(Err(failure)) if failure.errno == Errno::NOMEM && ended() => Err(cannot(NOT_RUNNING)),
        // So is a group that hands controllers on, which holds no processes itself.
        Err(error) if error.errno == Errno::BUSY && is_frozen(container, record) => {
            Err(cannot(b"it is paused"))
        }
        entered => entered?.map_err(|failure| told(plan, failure)),
    }
}

/// The container's process; `None` when it is ending, which leaves it no namespaces, or has ended.
fn target(record: &Record) -> Result<Option<Target>, Failure> {
    let target = match Target::open(record.pid) {
        Err(error) if matches!(error.errno, Errno::SRCH | Errno::NOENT) => return Ok(None),
        target => target?,
    };
    let lives = start_of(record.pid) == Some(record.pid_start) && target.is_alive()?;
    Ok(lives.then_some(target))
}

/// Has the process go into the group at `path` below the container's own.
fn enter_group(
    target: &mut Target,
    container: &Container,
    record: &Record,
    path: &str,
) -> Result<(), Failure> {
    let cannot = |why: &[u8]| Failure::new("enter the cgroup", path.as_bytes(), why);
    if path.contains(':') {
        return Err(cannot(b"controllers have no hierarchies of their own in cgroup v2"));
    }
    let own = open_group(&container.id, record.cgroup())?;
    let mut group = own.ok_or_else(|| cannot(b"the container has none"))?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        group = group.open(name.as_bytes())?;
    }
    target.set_group(group);
    Ok(())
}

/// What is to be done once it runs.
fn finish(host: &Host, mut entered: Entered, typed: &Sorted<'_>) -> Outcome {
    let told = tell(&mut entered, typed);
    if told.is_err() {
        // Nobody knows of it: it must not stay.
        pipkin::sys::signal::send(&entered.pidfd, 9).unwrap_or(());
    }
    told?;
    if typed.has("--detach") {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode(host.attend(&entered.pidfd, entered.terminal)?.status))
}

fn tell(entered: &mut Entered, typed: &Sorted<'_>) -> Result<(), Failure> {
    entered.terminal = hand_over(typed, entered.terminal.take())?;
    if let Some(path) = typed.last("--pidfd-socket") {
        send(path, entered.pidfd.as_fd(), b"pidfd")?;
    }
    if let Some(path) = typed.last("--pid-file") {
        let fail = |error: io::Error| Failure::io("write the pid to", path.as_bytes(), &error);
        write_pid(path, pid_of(&entered.pidfd)?.as_raw_nonzero().get()).map_err(fail)?;
    }
    Ok(())
}

/// The process that was asked for: a whole one from a file, or the container's own with another command.
fn process(container: &Container, typed: &Sorted<'_>, bundle: &[u8]) -> Result<Process<'static>, Failure> {
    const WHAT: &str = "use the configuration";
    let text = container.config().map_err(|error| Failure::io("read the configuration", b"", &error))?;
    let config = config::read(&text).map_err(|why| Failure::new(WHAT, b"", why.as_bytes()))?;
    let context = config::Context {
        id: container.id,
        bundle,
        kernel: kernel::version(),
        preserved: input::descriptors(typed.last("--preserve-fds").unwrap_or("0"), 0)?,
        keeps_keyring: false,
        held: held(),
        further: true,
    };
    let read = |process: &Value<'_>, from: &[u8], text: &[u8]| {
        let faulty = |fault: crate::oci::json::Fault| {
            Failure::new(WHAT, from, config::sentence(&fault, process, text).as_bytes())
        };
        let capabilities = config::capabilities(process).map_err(faulty)?;
        let profile = config.at("linux.seccomp").filter(|profile| !profile.members().is_empty());
        let filter = profile
            .map_or(Ok(None), |profile| config::filter(profile, capabilities, &context))
            .map_err(faulty)?;
        config::process(process, capabilities, filter, &context).map_err(faulty)
    };
    let Some(path) = typed.last("--process") else {
        let process = config.at("process").ok_or_else(|| Failure::new(WHAT, b"", b"process is missing"))?;
        return amend(read(process, b"", &text)?, typed);
    };
    let text = input::file(path).map_err(|error| Failure::io("read the process", path.as_bytes(), &error))?;
    let process = config::read_process(&text)
        .map_err(|why| Failure::new("use the process", path.as_bytes(), why.as_bytes()))?;
    read(&process, path.as_bytes(), &text)
}

/// Adds the variables of the options, each in the place of the one that had its name.
///
/// # Errors
/// A word that is none.
fn add_variables<'t>(process: &mut Process<'static>, typed: &Sorted<'t>) -> Result<(), &'t str> {
    let mut env = process.env.list.to_vec();
    for text in typed.all("--env") {
        let given = keep::text(text).ok_or(text)?;
        let end = text.find('=').filter(|end| *end > 0).ok_or(text)? + 1;
        let (name, value) = given.to_bytes().split_at(end);
        env.retain(|before| !before.to_bytes().starts_with(name));
        env.push(given);
        match name {
            b"PATH=" => process.path = value,
            b"HOME=" => process.home = None,
            _ => {}
        }
    }
    process.env = keep::strings(env, process.home);
    Ok(())
}

/// The container's own process with what the options say.
fn amend(mut process: Process<'static>, typed: &Sorted<'_>) -> Result<Process<'static>, Failure> {
    let wrong =
        |name: &str, text: &str, why: &str| Failure::usage("exec", &[name, " ", text, ": ", why].concat());
    let words: Vec<&'static CStr> =
        typed.operands.iter().skip(1).filter_map(|word| keep::text(word.as_bytes())).collect();
    if words.is_empty() {
        return Err(Failure::usage("exec", "a COMMAND or --process is needed"));
    }
    let Confinement { apparmor, selinux, .. } = &mut process.confinement;
    for (option, label) in [("--apparmor", apparmor), ("--process-label", selinux)] {
        if let Some(text) = typed.last(option) {
            *label = keep::text(text);
        }
    }
    process.args = keep::strings(words, None);
    add_variables(&mut process, typed).map_err(|text| wrong("--env", text, "give NAME=VALUE"))?;
    process.terminal = typed
        .has("--tty")
        .then_some(process.terminal.unwrap_or(pipkin::spec::WindowSize { rows: 0, columns: 0 }));
    if typed.off.contains(&"--no-new-privs") {
        process.no_new_privileges = false;
    }
    process.no_new_privileges |= typed.has("--no-new-privs");
    if let Some(cwd) = typed.last("--cwd") {
        let kept = keep::text(cwd).filter(|_| cwd.starts_with('/'));
        process.cwd = kept.ok_or_else(|| wrong("--cwd", cwd, "give an absolute path"))?;
    }
    let mut additional = process.user.additional.to_vec();
    if let Some(text) = typed.last("--user") {
        let user = User::parse(keep::list(text.as_bytes().to_vec()));
        let numbers = |user: &User<'_>| {
            matches!(user.user, Account::Id(_)) && !matches!(user.group, Some(Account::Name(_)))
        };
        let user = user.filter(numbers).ok_or_else(|| wrong("--user", text, "give UID or UID:GID"))?;
        process.user = User { group: user.group.or(Some(Account::Id(0))), exact: true, ..user };
        additional.clear();
    }
    for text in typed.all("--additional-gids") {
        let id = text.parse().map_err(|_| wrong("--additional-gids", text, "give a number"))?;
        additional.push(Account::Id(id));
    }
    process.user.additional = keep::list(additional);
    let mut more = CapabilitySet::EMPTY;
    for text in typed.all("--cap") {
        let number = CapabilitySet::number(text.as_bytes());
        more = more.with(number.ok_or_else(|| wrong("--cap", text, "this is not a capability"))?);
    }
    let Capabilities { bounding, effective, permitted, .. } = &mut process.capabilities;
    for set in [bounding, effective, permitted] {
        set.0 |= more.0;
    }
    Ok(process)
}
