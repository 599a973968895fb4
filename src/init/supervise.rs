//! The loop of PID 1: waits, reads signals, reaps, and does what [`State`] decides.
//!
//! Once it runs it never bails: every call here either cannot fail, or its failure leaves nothing better to do
//! than to go on. It sleeps without a timeout unless something was put off.

use super::best_effort;
use super::console::Message;
use super::option::Options;
use super::service::Services;
use super::state::{Act, Event, Outcome, State, Target};
use crate::sys::clock::monotonic_ms as now_ms;
use crate::sys::image;
use crate::sys::signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, wait};

/// Most signals read, and most children reaped, before the other is looked at again: a storm of one does not
/// keep init from the other.
const TURN: usize = 256;

/// How long init sleeps at most between two looks at whether the others are gone; the kernel announces the end
/// of a child, but not that of a process which somebody else reaps.
const PROBE_MS: u64 = 50;

/// What the loop waits on.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'fd> {
    /// A signalfd of every signal, all of them blocked.
    pub signals: BorrowedFd<'fd>,
    /// A pidfd of the parent, when its end is to be noticed.
    pub parent: Option<BorrowedFd<'fd>>,
}

/// Runs the loop until it is decided how it all ended. `main` is a child of this process, or none in pause mode.
#[must_use]
pub fn supervise(
    options: &Options,
    main: Option<Pid>,
    sources: Sources<'_>,
    services: &mut Services<'_>,
) -> Outcome {
    let own = getpid();
    let main = main.map(|pid| pid.as_raw_nonzero().get());
    let mut state = State::new(options, own.is_init(), main);
    let mut parent = sources.parent;
    if options.detach {
        best_effort(image::set_sleep_apart(), "memory that is kept costs nothing but itself");
    }
    loop {
        read_signals(&mut state, services, sources.signals, own);
        let children = reap(&mut state, services);
        take(&mut state, services, Event::Tick);
        if alone(&state, children, options.machine) && (state.waiting() || !services.any()) {
            take(&mut state, services, Event::Alone);
        }
        services.start_due(now_ms());
        if let Some(outcome) = state.outcome() {
            return outcome;
        }
        let timeout_ms = if children == Children::Unread { Some(0) } else { timeout_ms(&state, services) };
        if sleep(sources.signals, parent, timeout_ms, options.detach) {
            parent = None;
            if let Some(signal) = options.parent_death {
                take(&mut state, services, Event::Signal { signal: i32::from(signal), own: false });
            }
        }
    }
}

/// What reaping left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Children {
    /// There may be more to reap.
    Unread,
    /// Some live.
    Alive,
    /// There is none.
    Gone,
}

/// Takes an event and does what is decided. What ends everybody ends the services too, whether or not they are among
/// those that the state knows.
fn take(state: &mut State<'_>, services: &mut Services<'_>, event: Event) {
    let act = state.step(now_ms(), event);
    perform(act);
    if let Act::Send(_, signal) = act
        && state.over()
    {
        services.end(signal);
    }
}

fn read_signals(state: &mut State<'_>, services: &mut Services<'_>, signals: BorrowedFd<'_>, own: Pid) {
    for _ in 0..TURN {
        // An error, like an empty descriptor, ends this turn; the next one reads again.
        let Ok(Some(received)) = signal::receive(signals) else { return };
        let own = i64::from(received.pid) == i64::from(own.as_raw_nonzero().get());
        take(state, services, Event::Signal { signal: received.signal, own });
    }
}

fn reap(state: &mut State<'_>, services: &mut Services<'_>) -> Children {
    for _ in 0..TURN {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let pid = pid.as_raw_nonzero().get();
                let code = code_of(status);
                if !services.ended(pid, code, now_ms()) {
                    take(state, services, Event::Exited { pid, code });
                }
            }
            Ok(None) => return Children::Alive,
            Err(Errno::INTR) => {}
            Err(_) => return Children::Gone,
        }
    }
    Children::Unread
}

/// The exit code that stands for how a process ended: its own, or 128 + n when killed by signal n.
#[must_use]
pub fn code_of(status: WaitStatus) -> u8 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => (signal as u8).saturating_add(128),
        (None, None) => u8::MAX,
    }
}

fn alone(state: &State<'_>, children: Children, machine: bool) -> bool {
    if state.waiting() {
        return children == Children::Gone;
    }
    match state.ending() {
        None => false,
        Some(Target::Nobody) => true,
        Some(Target::All) if machine => children == Children::Gone,
        Some(target) => send(target, 0) == Err(Errno::SRCH),
    }
}

fn perform(act: Act) {
    match act {
        Act::Nothing => {}
        Act::Send(target, signal) => send_if_anybody(target, signal),
        Act::Tell { pid, code } => Message::begin()
            .text("reaped orphan ")
            .number(pid.unsigned_abs())
            .text(", exit status ")
            .number(u32::from(code))
            .send(),
    }
}

/// Sends on a signal. Whoever has just ended, or may not be signalled, is no reason to stop being init.
fn send_if_anybody(target: Target, signal: i32) {
    match send(target, signal) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(errno) => {
            Message::begin()
                .text("forward signal ")
                .number(signal.unsigned_abs())
                .text(": ")
                .errno(errno)
                .send();
        }
    }
}

fn send(target: Target, signal: i32) -> rustix::io::Result<()> {
    match target {
        Target::Process(pid) => signal::kill(pid, signal),
        Target::Group(group) => signal::kill(group.wrapping_neg(), signal),
        Target::All => signal::kill(-1, signal),
        Target::Nobody => Ok(()),
    }
}

fn timeout_ms(state: &State<'_>, services: &Services<'_>) -> Option<u64> {
    let deadlines = [state.deadline_ms(), services.deadline_ms()];
    let left_ms = deadlines.into_iter().flatten().min()?.saturating_sub(now_ms());
    Some(if state.ending().is_some() { left_ms.min(PROBE_MS) } else { left_ms })
}

/// Sleeps until something may have happened. Answers whether the parent has ended.
fn sleep(
    signals: BorrowedFd<'_>,
    parent: Option<BorrowedFd<'_>>,
    timeout_ms: Option<u64>,
    detached: bool,
) -> bool {
    let timeout = timeout_ms.map(|ms| Timespec {
        tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: (ms % 1000).cast_signed().saturating_mul(1_000_000),
    });
    let mut both = [
        PollFd::from_borrowed_fd(signals, PollFlags::IN),
        PollFd::from_borrowed_fd(parent.unwrap_or(signals), PollFlags::IN),
    ];
    let used = if parent.is_some() { 2 } else { 1 };
    let fds = both.get_mut(..used).unwrap_or_default();
    let slept = match timeout {
        None if detached => image::sleep(fds, None),
        _ => poll(fds, timeout.as_ref()).map(drop),
    };
    // EINTR (a debugger) and ENOMEM alike lead to another turn, which looks at everything anew.
    slept.is_ok() && fds.get(1).is_some_and(|fd| !fd.revents().is_empty())
}
