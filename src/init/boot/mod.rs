//! Boot mode: PID 1 of a machine, from the kernel's hand-over to the power switch.
//!
//! Duty: prepare what programs expect of a Linux system ([`step`]), run the one command the machine was booted for
//! under the loop of an init, and end the machine with that command's exit status on the console, as
//! `pipkin: exit status N` alone on a line, and by [`status`] to the host. It neither returns nor ends: the kernel would panic.
//!
//! What the kernel command line can ask is in [`cmdline::Request`]; the command is what follows ` -- ` on it. With
//! `root=` an initramfs is freed and the machine goes on in that root; with `init=` too, another program does, after
//! the mounts.
//!
//! Dangers: it mounts over `/dev`, `/proc`, `/sys` and `/run`, kills every process and ends the machine; it does
//! so as PID 1 only.

pub mod cmdline;
mod command;
mod device;
mod file;
mod mountinfo;
mod network;
mod partition;
mod root;
mod seed;
mod session;
mod shutdown;
mod status;
mod step;
mod volume;

use super::console::{self, Message};
use super::contain::Init;
use super::option::{Answer, Answers, End, Lead, Options, Orphan, Scope};
use super::state::Outcome;
use crate::error::Error;
use crate::sys::clock::monotonic_us as now_us;
use crate::sys::process::exit;
use cmdline::{Request, Words};
use command::Command;
use core::ffi::CStr;
use network::Network;
use rustix::io::Errno;
use step::{Step, Troubles};

/// The code for what Pipkin itself could not do.
const FAILED: u8 = 125;

/// Boots, runs the command, and ends the machine. `argv` and `env` are what the kernel started us with.
///
/// As PID 1 of a container it prepares what it may, and ends with the command's code. Started as anything else than
/// PID 1 it only says so, and ends with 125.
pub fn run(argv: &[&CStr], env: &[&CStr]) -> ! {
    let start_us = now_us();
    if !rustix::process::getpid().is_init() {
        Message::begin().text("boot mode is for PID 1 only").send();
        exit(FAILED);
    }
    let mut troubles = Troubles::default();
    troubles.each(&step::EARLY);
    let container = step::in_container();
    troubles.only_own = container;
    let mut line = [0_u8; cmdline::CAPACITY];
    // A container sees the command line of the machine it runs on, which is not meant for it.
    let read = if container { Ok(0) } else { file::read_whole(c"/proc/cmdline", &mut line) };
    let len = read.unwrap_or_else(|error| {
        troubles.note(Err(error));
        0
    });
    let words = Words::split(&mut line, len);
    let request = cmdline::read(words, |word| troubles.refuse(word));
    let command = cmdline::command(argv, words);
    let rooted = settle(&request, command, env, &mut troubles);
    prepare(&request, rooted, &mut troubles);
    let started = Started { start_us: (!container).then_some(start_us), rooted };
    let outcome = payload(command, env, &request, &troubles, started);
    if container && outcome.end.is_none() {
        // The container ends with its PID 1, and everything in it; who runs it is told the code.
        exit(outcome.code);
    }
    shutdown::end(outcome.code, how_to_end(outcome.end, &request), request.status_port)
}

/// What the payload's start depends on.
#[derive(Clone, Copy)]
struct Started {
    /// When the kernel handed over, where the time until the payload is to be told.
    start_us: Option<u64>,
    /// Whether the root that was asked for is there: nothing is started in another one.
    rooted: bool,
}

/// Has the root that was asked for, and becomes the program that is to be PID 1 there, if there is one, with the mounts
/// that were asked for in place: all else is that program's. Answers whether the root is as asked.
fn settle(request: &Request<'_>, command: &[&CStr], env: &[&CStr], troubles: &mut Troubles) -> bool {
    troubles.each(&step::BEFORE_ROOT);
    match root::settle(request) {
        Ok(false) => true,
        Ok(true) => {
            troubles.each(&step::AFTER_ROOT);
            if let Some(init) = request.init {
                volumes(request, troubles);
                let failed = match Command::given(init, command, env, request) {
                    Some(command) => command.exec(),
                    None => Error::new("count the arguments", Errno::TOOBIG),
                };
                troubles.note(Err(failed));
            }
            request.init.is_none()
        }
        Err(error) => {
            troubles.note(Err(error));
            false
        }
    }
}

/// The mounts that the command line asks for.
fn volumes(request: &Request<'_>, troubles: &mut Troubles) {
    for mount in &request.mounts {
        troubles.each(&[Step::Volume(mount)]);
    }
}

/// The steps after the root is there, those of the command line among them. Without the root that was asked for there
/// is no place for other mounts, or another program should have found them.
fn prepare(request: &Request<'_>, rooted: bool, troubles: &mut Troubles) {
    troubles.each(&step::REST);
    if rooted {
        volumes(request, troubles);
    }
    let network = request.ip.and_then(|value| {
        let network = Network::parse(value.to_bytes());
        if network.is_none() {
            troubles.note(Err(Error::on("take a fixed address from ip=", value.to_bytes(), Errno::INVAL)));
        }
        network
    });
    let hostname = request.hostname.map(CStr::to_bytes);
    let hostname = hostname.or(network.as_ref().and_then(|network| network.hostname));
    troubles.each(&[Step::Seed, Step::Network(network.as_ref()), Step::Hostname(hostname)]);
}

/// Runs the command, and a shell where one was asked for in case of trouble.
fn payload(
    words: &[&CStr],
    env: &[&CStr],
    request: &Request<'_>,
    troubles: &Troubles,
    started: Started,
) -> Outcome {
    let failed = |error: &Error| {
        console::report(error);
        Outcome { code: FAILED, end: None }
    };
    let options = options(request.grace_ms);
    let init = match Init::new(&options) {
        Ok(init) => init,
        Err(error) => return failed(&error),
    };
    let start = |command: Option<Command<'_>>| match command {
        None => failed(&Error::new("count the arguments", Errno::TOOBIG)),
        Some(command) => {
            let exec = || {
                if let Err(error) = session::lead() {
                    return error;
                }
                if let Some(start_us) = started.start_us {
                    tell_time(start_us);
                }
                command.exec()
            };
            init.run(exec).unwrap_or_else(|error| failed(&error))
        }
    };
    let rescue = || {
        Message::begin().text("something has failed; end this shell to go on").send();
        start(Command::shell(env, request))
    };
    if request.rescue && troubles.any() {
        let rescued = rescue();
        if rescued.end.is_some() {
            return rescued;
        }
    }
    if !started.rooted {
        return Outcome { code: FAILED, end: None };
    }
    let outcome = start(Command::decide(words, env, request));
    if request.rescue && (FAILED..=127).contains(&outcome.code) && outcome.end.is_none() {
        let rescued = rescue();
        return Outcome { code: outcome.code, end: rescued.end };
    }
    outcome
}

/// Says how long it took from the kernel's hand-over to here, the last moment before the payload.
fn tell_time(start_us: u64) {
    let now_us = now_us();
    let us = |us: u64| u32::try_from(us).unwrap_or(u32::MAX);
    Message::begin()
        .text("ready in ")
        .number(us(now_us.saturating_sub(start_us)))
        .text(" us, ")
        .number(us(now_us / 1000))
        .text(" ms after the kernel's start")
        .send();
}

/// An init that answers the signals by which a machine's PID 1 is told to end it: those of busybox, and those of
/// systemd from SIGRTMIN+3 on (SIGRTMIN being 34 to C programs).
fn options(grace_ms: u32) -> Options {
    const ORDERS: [(i32, End); 9] = [
        (2, End::Reboot),
        (10, End::Halt),
        (12, End::PowerOff),
        (15, End::Reboot),
        (30, End::PowerOff),
        (37, End::Halt),
        (38, End::PowerOff),
        (39, End::Reboot),
        (40, End::Reboot),
    ];
    let answers = ORDERS.iter().fold(Answers::DROP, |answers, (signal, end)| {
        answers.with(*signal, Answer::End(*end)).unwrap_or(answers)
    });
    Options {
        scope: Scope::All,
        orphan: Orphan::End,
        answers,
        grace_ms,
        lead: Lead::Session,
        machine: true,
        ..Options::PLAIN
    }
}

/// What a signal ordered, else what the command line asks, else power off; on a machine that only a reset ends, that.
fn how_to_end(ordered: Option<End>, request: &Request<'_>) -> End {
    match ordered.or(request.end).unwrap_or(End::PowerOff) {
        End::PowerOff if request.ends_by_reset => End::Reboot,
        end => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_ends_as_it_was_told() {
        let asked = Request { end: Some(End::Halt), ..Request::default() };
        assert_eq!(how_to_end(None, &Request::default()), End::PowerOff);
        assert_eq!(how_to_end(None, &asked), End::Halt);
        assert_eq!(how_to_end(Some(End::Reboot), &asked), End::Reboot);
        let firecracker = Request { ends_by_reset: true, ..Request::default() };
        assert_eq!(how_to_end(None, &firecracker), End::Reboot);
        assert_eq!(how_to_end(Some(End::PowerOff), &firecracker), End::Reboot);
        assert_eq!(how_to_end(Some(End::Halt), &firecracker), End::Halt);
    }

    #[test]
    fn a_machine_obeys_the_signals_of_other_inits() {
        let answers = options(1).answers;
        // Ctrl-Alt-Del, and busybox's USR1, USR2, TERM.
        assert_eq!(answers.to(2), Answer::End(End::Reboot));
        assert_eq!(answers.to(10), Answer::End(End::Halt));
        assert_eq!(answers.to(12), Answer::End(End::PowerOff));
        assert_eq!(answers.to(15), Answer::End(End::Reboot));
        assert_eq!(answers.to(34 + 4), Answer::End(End::PowerOff));
        assert_eq!(answers.to(1), Answer::Drop);
    }
}
