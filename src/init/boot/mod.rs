//! Boot mode: PID 1 of a machine, from the kernel's hand-over to the power switch.
//!
//! Duty: prepare what programs expect of a Linux system ([`step`]), run the one command the machine was booted for
//! under the loop of an init, and end the machine with that command's exit status on the console, as
//! `pipkin: exit status N` alone on a line. It neither returns nor ends: the kernel would panic.
//!
//! What the kernel command line can ask is in [`cmdline::Request`]; the command is what follows ` -- ` on it.
//!
//! Dangers: it mounts over `/dev`, `/proc`, `/sys` and `/run`, kills every process and ends the machine; it does
//! so as PID 1 only.

pub mod cmdline;
mod command;
mod file;
mod mountinfo;
mod shutdown;
mod step;

use super::console::{self, Message};
use super::contain::Init;
use super::option::{Answer, Answers, End, Lead, Options, Orphan, Scope};
use super::state::Outcome;
use crate::error::Error;
use crate::sys::process::exit;
use cmdline::{Request, Words};
use command::Command;
use core::ffi::CStr;
use rustix::io::Errno;
use step::Troubles;

/// The code for what Pipkin itself could not do.
const FAILED: u8 = 125;

/// Boots, runs the command, and ends the machine. `argv` and `env` are what the kernel started us with.
///
/// As PID 1 of a container it prepares what it may, and ends with the command's code. Started as anything else than
/// PID 1 it only says so, and ends with 125.
pub fn run(argv: &[&CStr], env: &[&CStr]) -> ! {
    if !rustix::process::getpid().is_init() {
        Message::begin().text("boot mode is for PID 1 only").send();
        exit(FAILED);
    }
    let mut troubles = Troubles::default();
    for step in step::EARLY {
        step::perform(step, &mut troubles);
    }
    let container = step::in_container();
    let mut line = [0_u8; cmdline::CAPACITY];
    // A container sees the command line of the machine it runs on, which is not meant for it.
    let read = if container { Ok(0) } else { file::read_whole(c"/proc/cmdline", &mut line) };
    let len = read.unwrap_or_else(|error| {
        troubles.note(Err(error));
        0
    });
    let words = Words::split(&mut line, len);
    let request = cmdline::read(words, |word| {
        troubles.note(Err(Error::on("obey kernel argument", word.to_bytes(), Errno::INVAL)));
    });
    for step in step::rest(request.hostname) {
        if !(container && step.is_for_machine()) {
            step::perform(step, &mut troubles);
        }
    }
    let outcome = payload(cmdline::command(argv, words), env, &request, &troubles);
    if container && outcome.end.is_none() {
        // The container ends with its PID 1, and everything in it; who runs it is told the code.
        exit(outcome.code);
    }
    shutdown::end(outcome.code, how_to_end(outcome.end, &request))
}

/// Runs the command, and a shell where one was asked for in case of trouble.
fn payload(words: &[&CStr], env: &[&CStr], request: &Request<'_>, troubles: &Troubles) -> Outcome {
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
        Some(command) => init.run(|| command.exec()).unwrap_or_else(|error| failed(&error)),
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
    let outcome = start(Command::decide(words, env, request));
    if request.rescue && (FAILED..=127).contains(&outcome.code) && outcome.end.is_none() {
        let rescued = rescue();
        return Outcome { code: outcome.code, end: rescued.end };
    }
    outcome
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
