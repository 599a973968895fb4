//! From a plan to a finished container: record, run, tell, take away.

use super::ExitCode;
use super::message::{Failure, note, reason};
use super::run::network::{self, Facts, File};
use crate::store::{Container, Record, Status, Store, now_ns, process};
use pipkin::host::{Attendant, Company, Ended, Host, received, remove_group};
use pipkin::plan::{HostStep, Plan, Step};
use pipkin::spec::{Account, Id, Join, Spec};
use pipkin::sys::signal::set_mask;
use pipkin::sys::spawn::close_passed;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Exit code for a command that is there but cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code for a command that is not there.
const NOT_FOUND: u8 = 127;

/// A container to be run.
pub(crate) struct Job<'a> {
    pub(crate) store: &'a Store,
    pub(crate) spec: &'a Spec<'a>,
    pub(crate) plan: &'a Plan<'a>,
    /// Files to write into its directory.
    pub(crate) files: &'a [File],
    /// Its record to be.
    pub(crate) record: Record,
    /// What is known of it when it has run before.
    pub(crate) former: Option<&'a Record>,
}

/// Runs `job` in the foreground, where `warden` may end it before its time, and gives its exit code.
///
/// # Errors
/// Whatever kept the command from running; nothing is then left of the container.
pub(crate) fn launch(job: &Job<'_>, warden: &mut dyn Attendant) -> Result<ExitCode, Failure> {
    // A signal ends the set-up where it is waited for, and nothing before: what is made is taken away again.
    set_mask(received()).map_err(|errno| Failure::errno("block signals", b"", errno))?;
    let mut container = create(job)?;
    let company = Company::Foreground { stdin: job.spec.process.stdin, warden: Some(warden) };
    let ended = run(job.spec, job.plan, None, company, &mut |pid, facts| {
        close_passed(job.spec.process.tuning.preserved);
        let record = &mut container.record;
        record.others.extend(facts);
        (record.status, record.pid) = (Status::Running, pid);
        record.pid_start = process::start_of(pid).unwrap_or(0);
        record.started_ns = now_ns();
        container.save().map_err(|error| pipkin::error::Error::new("write the record", errno_of(&error)))
    });
    let keep = ended.as_ref().is_ok_and(|ended| ended.failure.is_none()) && !job.record.remove;
    // Whoever tells of an end has given back by then what the container had.
    let given_back = if ended.is_ok() { Ok(()) } else { end(&job.spec.id, &container.record) };
    let stored = if keep {
        record_end(&mut container.record, ended.as_ref().ok(), job.spec.namespaces.pid == Join::New);
        container.save()
    } else {
        container.remove()
    };
    let code = tell(&ended?, job.plan)?;
    given_back.and(stored).map_err(|error| cannot_take_away(&error))?;
    Ok(code)
}

/// Makes the container of `job`, owned by this process.
///
/// # Errors
/// Those of making it, with what to do about them; nothing is then left.
pub(super) fn create(job: &Job<'_>) -> Result<Container, Failure> {
    // What is made for the container has the mode it is given, whatever the caller's own files get.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut record = job.record.clone();
    record.supervisor = rustix::process::getpid().as_raw_nonzero().get();
    record.supervisor_start = process::start_of(record.supervisor).unwrap_or(0);
    let fail = |error| cannot_create(&error, job.spec, &job.record.name);
    let container = match job.former {
        None => job.store.create(job.spec.id, record),
        Some(former) => revive(job, former, record),
    };
    let container = container.map_err(fail)?;
    for (path, contents) in job.files {
        if let Err(error) = std::fs::write(OsStr::from_bytes(path.to_bytes()), contents) {
            // What kept it from being made is the news, not what is left of it.
            discard(container, job).unwrap_or(());
            return Err(fail(error));
        }
    }
    Ok(container)
}

/// Takes over a container that has ended. Whatever happens from here on, its files stay.
fn revive(job: &Job<'_>, former: &Record, record: Record) -> io::Result<Container> {
    let busy = || io::Error::from_raw_os_error(Errno::BUSY.raw_os_error());
    let mut container = job.store.adopt_ended(&job.spec.id)?.ok_or_else(busy)?;
    let (status, created_ns) = (Status::Restarting, former.created_ns);
    // It may have been given another name since it was found.
    let name = std::mem::take(&mut container.record.name);
    container.record = Record { status, created_ns, name, ..record };
    container.save().map(|()| container)
}

/// Undoes [`create`]: of a new container nothing is left, one that had run before is as it was.
///
/// # Errors
/// Those of the file system.
pub(super) fn discard(mut container: Container, job: &Job<'_>) -> io::Result<()> {
    match job.former {
        None => container.remove(),
        Some(former) => {
            let name = std::mem::take(&mut container.record.name);
            container.record = Record { name, ..former.clone() };
            container.save()
        }
    }
}

/// Writes down how a container ended; `None` when it could not be run.
pub(super) fn record_end(record: &mut Record, ended: Option<&Ended>, own_pids: bool) {
    record.status = Status::Exited;
    record.finished_ns = now_ns();
    record.exit = ended.map(|ended| ended.status);
    record.signal = ended.and_then(|ended| ended.signal).unwrap_or(0);
    record.oom_kills = ended.map_or(0, |ended| ended.oom_kills);
    if ended.is_some_and(|ended| ended.reboot && own_pids) {
        record.set("reboot", if record.signal == 1 { b"restart" } else { b"halt" });
    }
}

/// Carries out `plan`, which makes `spec`. The child gets `streams` as its standard ones, or else ours.
///
/// # Errors
/// Those of the host's steps.
pub(super) fn run(
    spec: &Spec<'_>,
    plan: &Plan<'_>,
    streams: Option<[BorrowedFd<'_>; 3]>,
    company: Company<'_>,
    started: &mut dyn FnMut(i32, Facts) -> pipkin::error::Result<()>,
) -> Result<Ended, Failure> {
    let mut host = Host::new()?;
    #[cfg(feature = "test-hooks")]
    {
        host.pause_at = pause("PIPKIN_PAUSE_HOST");
    }
    let ended = host.run(
        plan,
        &spec.id,
        company,
        &mut |channel, namespaces, sources| {
            pipkin::child::run(pipkin::child::Context {
                plan,
                process: &spec.process,
                channel,
                namespaces,
                streams,
                start: None,
                sources,
                #[cfg(feature = "test-hooks")]
                pause_at: pause("PIPKIN_PAUSE_CHILD"),
            })
        },
        &mut |pid, lent| started(pid.as_raw_nonzero().get(), network::facts(&spec.id, &spec.network, lent)),
    );
    ended.map_err(|error| match plan.host.get(host.at) {
        Some(
            HostStep::LeaseAddresses { .. }
            | HostStep::EnsureBridge { .. }
            | HostStep::ConnectInterface { .. }
            | HostStep::PublishPorts(_),
        ) => network::explain(&error),
        _ => error.into(),
    })
}

/// The index of the step before which a test wants us to stop.
#[cfg(feature = "test-hooks")]
pub(crate) fn pause(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Takes away what dead supervisors left, looking at some containers; `ps` and `rm` look at all. Best effort: this run does not depend on it, and `rm` tells of trouble.
pub(crate) fn sweep(store: &Store) {
    store.reclaim_some(end).unwrap_or(());
}

/// Gives back what a container had beside its files: its processes, its cgroup and its network. For one that has ended,
/// and for one whose supervisor is found dead; what is gone already is no error.
pub(crate) fn end(id: &Id, record: &Record) -> io::Result<()> {
    let mut ended = remove_group(id, None);
    // Of one that was killed while it was made nothing may be written down yet.
    let made = record.status != Status::Creating;
    if !made || record.get("network.bridge").is_some() {
        let networks = CString::new(Store::open()?.networks().into_os_string().into_vec())?;
        let published = !made || record.get("network.port").is_some();
        ended = ended.and(pipkin::host::network::release(&networks, id, published));
    }
    ended.map_err(|error| io::Error::from_raw_os_error(error.errno.raw_os_error()))
}

/// The kernel's word inside an [`io::Error`].
pub(crate) fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// The files of a container could not be taken away.
pub(super) fn cannot_take_away(error: &io::Error) -> Failure {
    Failure::errno("take away the container", b"", errno_of(error))
}

fn cannot_create(error: &io::Error, spec: &Spec<'_>, name: &str) -> Failure {
    // Ids are drawn from 2^64: what is taken is the name.
    let subject = if name.is_empty() { spec.id.as_str() } else { name };
    let failure = Failure::errno("create the container", subject.as_bytes(), errno_of(error));
    match errno_of(error) {
        Errno::EXIST => {
            failure.remedy("this name is in use: see 'pipkin ps -a', or 'pipkin rm' the other one")
        }
        Errno::BUSY => failure.remedy("another command starts it or takes it away just now"),
        errno => with_room(failure, errno),
    }
}

/// Adds what to do about a disk that takes nothing.
pub(super) fn with_room(failure: Failure, errno: Errno) -> Failure {
    match errno {
        Errno::NOSPC | Errno::DQUOT => {
            failure.remedy("make room on the disk of the run and data directories")
        }
        Errno::ROFS | Errno::ACCESS => failure.remedy("the run and data directories must be writable"),
        _ => failure,
    }
}

/// Says what has to be said of an end, and gives the exit code.
pub(super) fn tell(ended: &Ended, plan: &Plan<'_>) -> Result<ExitCode, Failure> {
    if let Some(failure) = ended.failure {
        let step = plan.child.get(usize::from(failure.step));
        return Err(step.map_or_else(
            || Failure::errno("prepare the container", b"", failure.errno),
            |step| explain(step, failure.errno),
        ));
    }
    if ended.signal == Some(9) && ended.oom_kills > 0 {
        let count = ended.oom_kills.to_string();
        note(&["killed by the kernel: out of memory (memory.events: oom_kill ", &count, ")"].concat());
    }
    Ok(ExitCode(ended.status))
}

/// What was found otherwise than planned.
fn self_check(errno: Errno) -> Failure {
    const DEFECT: &str = "this is a defect: please report it";
    let (why, remedy): (&[u8], _) = match errno {
        Errno::BUSY => (
            b"its root is not the one that was built",
            "is the destination of a mount a link to / in the image? Else please report it",
        ),
        Errno::XDEV => (b"a mount is visible inside that was not planned", DEFECT),
        Errno::STALE => (b"what should be masked or read-only is not", DEFECT),
        Errno::PERM => (b"its capabilities, filter or no_new_privs are not those of the plan", DEFECT),
        errno => return Failure::errno("check the container from inside", b"", errno),
    };
    Failure::new("let the command run in the container", b"", why).remedy(remedy)
}

/// What to do where this may not be done: mostly another container is around ours.
fn surrounded(step: &Step<'_>) -> Option<&'static str> {
    Some(match step {
        Step::CreateFileSystem { kind, .. } if *kind == c"proc" || *kind == c"sysfs" => {
            "parts of the surrounding container's /proc or /sys are hidden: start that with --security-opt systempaths=unconfined (podman: unmask=ALL)"
        }
        Step::SetHostname(_) | Step::SetDomainname(_) => {
            "give --uts host, or start the surrounding container with a filter that allows it (seccomp=unconfined)"
        }
        Step::RaiseLoopback => {
            "start the surrounding container with the capability NET_ADMIN, or give --net host"
        }
        Step::MakeDevice(_) => {
            "start the surrounding container with the capability MKNOD, or give --userns auto"
        }
        _ => return None,
    })
}

/// The sentence for a command that could not be executed.
fn not_executed(command: &[u8], errno: Errno) -> Failure {
    let (code, why) = match errno {
        Errno::NOENT | Errno::NOTDIR => (NOT_FOUND, "not found in the container".to_owned()),
        Errno::NOEXEC => {
            (NOT_EXECUTABLE, "neither a program of this machine nor a script with #!".to_owned())
        }
        errno => (NOT_EXECUTABLE, reason(errno)),
    };
    let failure = Failure::new("run", command, why.as_bytes()).code(code);
    if errno == Errno::PERM && super::kernel::read("/sys/fs/selinux/enforce").is_some() {
        return failure.remedy(
            "SELinux's policy may allow this label only to who gives --security-opt no-new-privileges=false",
        );
    }
    failure
}

/// The sentence for a step of the child that failed, with a remedy where one is known.
pub(crate) fn explain(step: &Step<'_>, errno: Errno) -> Failure {
    if let Step::FindCommand(command) = step {
        // Engines look for these words to tell what is missing from what is broken.
        let why: &[u8] = match errno {
            Errno::NOENT | Errno::NOTDIR if command.to_bytes().contains(&b'/') => {
                b"no such file or directory"
            }
            Errno::NOENT => b"executable file not found in $PATH",
            Errno::ACCESS => b"permission denied",
            _ => return Failure::errno("run", command.to_bytes(), errno),
        };
        return Failure::new("run", command.to_bytes(), why);
    }
    if let Step::Execute { command, .. } = step {
        return not_executed(command.to_bytes(), errno);
    }
    if let (Step::BecomeUser { user, .. }, Errno::NOENT) = (step, errno) {
        let named = [Some(user.user), user.group].into_iter().flatten().filter_map(|account| match account {
            Account::Name(name) => Some(name),
            Account::Id(_) => None,
        });
        let names = named.collect::<Vec<_>>().join(&b':');
        let failure = Failure::new("become", &names, b"the image has no such user or group");
        return failure.remedy("give numbers, or add it to the image's /etc/passwd or /etc/group");
    }
    let mut sentence = super::text::Text::default();
    // Infallible: the text grows as needed.
    step.describe().write(&mut sentence).unwrap_or(());
    let failure = Failure::errno(&sentence.0, b"", errno);
    if matches!(errno, Errno::ACCESS | Errno::PERM)
        && !pipkin::host::is_privileged()
        && let Some(remedy) = super::kernel::user_namespace_remedy()
    {
        return failure.remedy(&remedy);
    }
    if errno == Errno::PERM
        && let Some(remedy) = surrounded(step)
    {
        return failure.remedy(remedy);
    }
    match (step, errno) {
        (Step::VerifyRoot | Step::VerifyProcess, _) => self_check(errno),
        (Step::MountOverlay { .. }, Errno::INVAL) => failure.remedy(
            "the file system of the data directory cannot hold changes: give --ephemeral, or have it on ext4, xfs or btrfs",
        ),
        (Step::BecomeUser { .. }, Errno::INVAL) => {
            failure.remedy("the id has no place in the user namespace's maps")
        }
        (Step::JoinNamespace { .. }, Errno::INVAL) => failure.remedy("the path must lead to a namespace of this kind"),
        (Step::SetLabel { .. }, Errno::NOENT) => failure.remedy("load the profile first: apparmor_parser -r FILE"),
        (Step::SetLabel { .. }, Errno::INVAL) => failure.remedy("the loaded policy has no such label"),
        (Step::OpenSource { .. } | Step::MountOverlay { .. }, Errno::NOENT) => {
            failure.remedy("it does not exist on the host")
        }
        (Step::ChangeDirectory(_) | Step::GoTo(_), Errno::LOOP) => {
            failure.remedy("links lead round in a circle there, or it is one of /proc, which may lead out")
        }
        (_, Errno::LOOP) => failure.remedy("the image has a symbolic link there, not a directory"),
        (_, Errno::NOTDIR) => failure.remedy("the image has a file where a directory is needed"),
        (Step::Attach { .. }, Errno::ACCESS | Errno::PERM) => failure.remedy(
            "the image has nothing there to mount on, and you may not make it: add it to the image, or own the image",
        ),
        // Without room for its own needs an overlay is read-only.
        (Step::Attach { .. }, Errno::ROFS) | (_, Errno::NOSPC | Errno::DQUOT) => {
            failure.remedy("make room on the disk of the data directory")
        }
        _ => failure,
    }
}
