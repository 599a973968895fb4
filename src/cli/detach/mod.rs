//! `run --detach`: a container in the background, under a supervisor of its own.
//!
//! The supervisor is a fork of this same program: a session of its own, in `/`, its standard streams closed once the
//! container runs. It holds the container's lock, keeps its log, answers its control socket, starts it again by its
//! policy and takes it away at the end. Whoever called waits until the command has been executed, and is gone; had it failed, the supervisor would have told why and left nothing.
//!
//! The container dies with its supervisor (the kernel sees to it); what survives that is found by the next command.

pub(super) mod control;
mod health;
mod policy;
mod service;

use super::launch::{self, Job};
use super::message::Failure;
use super::run::lasting;
use super::{ExitCode, Outcome, event};
use crate::store::Status;
use crate::store::log::Limits;
pub(crate) use health::Check;
use pipkin::host::{Attendant, Company, Ended, Sources};
use pipkin::spec::Join;
use pipkin::sys::process::duplicate_onto;
use pipkin::sys::signal::{self, SignalSet, set_mask};
use pipkin::sys::spawn::{Fork, fork};
use pipkin::sys::{clock, image};
pub(crate) use policy::{Policy, wants_boot};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{WaitOptions, chdir, setsid, waitpid};
use service::{LISTENER, News, Service, Verdict};

/// What was asked of the supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// When the container is started again.
    pub(crate) policy: Policy,
    /// When its log is rotated.
    pub(crate) limits: Limits,
    /// How long it may run, in milliseconds.
    pub(crate) timeout_ms: Option<u64>,
    /// How its health is found out.
    pub(crate) health: Option<Check>,
}

/// How long a container may take to end after it was asked to, unless told otherwise.
pub(super) const STOP_TIMEOUT_MS: u64 = 10_000;
/// How long a container must run until its failures are counted anew.
const STABLE_MS: u64 = 10_000;
/// How much of its output the kernel holds until we read it.
const PIPE_SIZE: usize = 1 << 20;

/// Starts `job` in the background; the exit code is 0 once it runs.
///
/// # Errors
/// Those of forking; what the supervisor meets it tells itself.
pub(super) fn detach(job: &Job<'_>, orders: &Orders) -> Outcome {
    let fail = |errno| Failure::errno("start a supervisor", b"", errno);
    let (hear, tell) = pipe_with(PipeFlags::CLOEXEC).map_err(fail)?;
    match fork().map_err(fail)? {
        Fork::Child => {
            drop(hear);
            let code = stand_apart().and_then(|()| supervise(job, orders, tell));
            std::process::exit(code.unwrap_or_else(|failure| failure.tell()).number())
        }
        Fork::Parent(pid) => {
            drop(tell);
            let mut told = [0];
            if rustix::io::retry_on_intr(|| rustix::io::read(&hear, &mut told)) == Ok(1) {
                return Ok(ExitCode::SUCCESS);
            }
            let status = waitpid(Some(pid), WaitOptions::empty()).map_err(fail)?;
            let code = status.and_then(|(_, status)| status.exit_status());
            let code = code.and_then(|code| u8::try_from(code).ok()).map(ExitCode);
            code.ok_or_else(|| {
                Failure::new("run the container", b"", b"it was killed before its command ran")
            })
        }
    }
}

/// Leaves the caller's session and directory.
fn stand_apart() -> Result<(), Failure> {
    let fail = |errno| Failure::errno("leave the caller's session", b"", errno);
    setsid().map_err(fail)?;
    chdir(c"/").map_err(fail)?;
    // Signals are received by descriptor, also between two runs of the container.
    set_mask(SignalSet::ALL).map_err(fail)?;
    // Without it the supervisor needs a little more memory, and nothing else.
    image::set_sleep_apart().unwrap_or(());
    Ok(())
}

/// Lets go of the caller's standard streams.
fn close_streams() -> rustix::io::Result<()> {
    let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    (0..3).try_for_each(|stream| duplicate_onto(&null, stream))
}

/// The two ends of the container's standard input, output and error: first the one it has, then ours.
fn pipes() -> rustix::io::Result<([OwnedFd; 3], [OwnedFd; 3])> {
    let make = || pipe_with(PipeFlags::CLOEXEC);
    let ((input, our_input), (our_output, output), (our_error, error)) = (make()?, make()?, make()?);
    for pipe in [&our_output, &our_error] {
        // A user at the limit of pipe memory has smaller ones.
        fcntl_setpipe_size(pipe, PIPE_SIZE).unwrap_or(0);
    }
    Ok(([input, output, error], [our_input, our_output, our_error]))
}

/// Is the supervisor, to the end.
fn supervise(job: &Job<'_>, orders: &Orders, ready: OwnedFd) -> Outcome {
    let fail = |errno| Failure::errno("make pipes for the container", b"", errno);
    let (theirs, [input, output, error]) = pipes().map_err(fail)?;
    let ours = (Some(input).filter(|_| job.spec.process.stdin), [output, error]);
    let news = News::default();
    let mut container = match launch::create(job) {
        // Another command starts it just now, as it is to be.
        Err(_) if job.former.is_some() && is_begun(job) => return Ok(ExitCode::SUCCESS),
        created => Some(created?),
    };
    let mut service = Service::new(&mut container, orders, &news, ours, ready).inspect_err(|_| {
        // What kept it from being served is the news, not what is left of it.
        container.take().map_or(Ok(()), |container| launch::discard(container, job)).unwrap_or(());
    })?;
    let mut failures = 0;
    loop {
        let began_ms = clock::monotonic_ms();
        let streams = Some([theirs[0].as_fd(), theirs[1].as_fd(), theirs[2].as_fd()]);
        let changed = if service.has_started() {
            lasting::changed(job.store, &job.spec.id, job.plan)
        } else {
            Ok(None)
        };
        let ended = changed.and_then(|changed| {
            let plan = changed.as_deref().unwrap_or(job.plan);
            launch::run(job.spec, plan, streams, Company::Background(&mut service), &mut |pid, facts| {
                news.pid.set(pid);
                news.facts.set(facts);
                Ok(())
            })
        });
        let failed = match &ended {
            Ok(ended) => launch::tell(ended, job.plan).err(),
            Err(failure) => Some(failure.clone()),
        };
        if !service.has_started() {
            let killed = || Failure::new("run the container", b"", b"it was killed before its command ran");
            let failure = failed.unwrap_or_else(killed);
            launch::end(&job.spec.id, &service.container.record).unwrap_or(());
            let Service { container, .. } = service;
            launch::discard(container, job).unwrap_or(());
            return Err(failure);
        }
        service.container.record.error = failed.map(|failure| failure.text()).unwrap_or_default();
        note(&mut service, job, ended.as_ref().ok());
        if clock::monotonic_ms().saturating_sub(began_ms) >= STABLE_MS {
            failures = 0;
        }
        let delay_ms = orders.policy.delay_ms(service.container.record.exit, failures);
        let delay_ms = delay_ms.filter(|_| service.verdict != Verdict::Stopped);
        failures += 1;
        if !delay_ms.is_some_and(|delay_ms| pause(&mut service, delay_ms)) {
            return finish(service, job);
        }
    }
}

fn is_begun(job: &Job<'_>) -> bool {
    job.store.read(&job.spec.id).is_ok_and(|now| now.is_some_and(|now| now.status != Status::Exited))
}

/// Writes down how it ended.
fn note(service: &mut Service<'_>, job: &Job<'_>, ended: Option<&Ended>) {
    // It can have ended before anybody was told of the kill that ended it.
    service.out_of_memory(ended.map_or(0, |ended| ended.oom_kills));
    let record = &mut service.container.record;
    launch::record_end(record, ended, job.spec.namespaces.pid == Join::New);
    let cause = match service.verdict {
        _ if record.get("reboot").is_some() => "reboot",
        Verdict::Timeout => "timeout",
        Verdict::Stopped => "stop",
        Verdict::None if record.signal == 9 && record.oom_kills > 0 => "oom",
        Verdict::None if record.signal != 0 => "signal",
        Verdict::None if ended.is_none() || !record.error.is_empty() => "error",
        Verdict::None => "exit",
    };
    let (exit, signal) = (record.exit.map_or(-1, i64::from), i64::from(record.signal));
    let mut told = event::begin("die", &service.container);
    told.key(b"cause").string(cause.as_bytes());
    told.key(b"exit").number(exit).key(b"signal").number(signal);
    event::publish(&service.container, told);
    service.save();
}

/// Waits before the container is started again, and still hears requests. False when somebody stopped it meanwhile.
fn pause(service: &mut Service<'_>, delay_ms: u64) -> bool {
    let record = &mut service.container.record;
    record.status = Status::Restarting;
    record.restarts += 1;
    let restarts = record.restarts;
    service.save();
    let mut told = event::begin("restart", &service.container);
    told.key(b"restarts").literal(&restarts.to_string()).key(b"delay_ms").literal(&delay_ms.to_string());
    event::publish(&service.container, told);
    let Ok(signals) = signal::signalfd(SignalSet::ALL.without(SIGCHLD)) else { return false };
    let until_ms = clock::monotonic_ms().saturating_add(delay_ms);
    while service.verdict != Verdict::Stopped {
        let left_ms = until_ms.saturating_sub(clock::monotonic_ms());
        if left_ms == 0 {
            service.container.record.exit = None;
            return true;
        }
        match wait(service, signals.as_fd(), left_ms) {
            // A signal to a supervisor whose container does not run is for the supervisor.
            Ok(false) => {}
            Ok(true) | Err(_) => service.verdict = Verdict::Stopped,
        }
    }
    false
}

const SIGCHLD: i32 = 17;

/// Waits once, and serves who came. Whether a signal came.
fn wait(service: &mut Service<'_>, signals: BorrowedFd<'_>, left_ms: u64) -> pipkin::error::Result<bool> {
    let mut sources = Sources::new();
    service.sources(&mut sources);
    // Nobody writes to the pipes now, and a terminal is gone.
    let mut polled: Vec<PollFd<'_>> =
        sources.iter().skip(LISTENER).map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    polled.push(PollFd::from_borrowed_fd(signals, PollFlags::IN));
    let timeout = Timespec {
        tv_sec: (left_ms / 1000).cast_signed(),
        tv_nsec: (left_ms % 1000).cast_signed() * 1_000_000,
    };
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(pipkin::error::Error::new("wait", errno)),
    }
    let mut ready = vec![PollFlags::empty(); LISTENER];
    ready.extend(polled.iter().map(PollFd::revents));
    drop((polled, sources));
    let signalled = ready.pop().is_some_and(|flags| !flags.is_empty());
    service.turn(&ready, None)?;
    Ok(signalled)
}

/// Takes the container away, or leaves it as one that has ended.
fn finish(mut service: Service<'_>, job: &Job<'_>) -> Outcome {
    service.container.record.status = Status::Exited;
    service.save();
    // Best effort: what cannot be given back now is given back by the next command.
    launch::end(&job.spec.id, &service.container.record).unwrap_or(());
    service.say_goodbye();
    let Service { container, .. } = service;
    if container.record.remove {
        container.remove().map_err(|error| launch::cannot_take_away(&error))?;
    }
    Ok(ExitCode::SUCCESS)
}
