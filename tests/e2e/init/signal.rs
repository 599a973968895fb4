//! Signals on their way to the payload.

use super::{Running, init, shell, until};
use crate::role::play;
use libtest_mimic::{Failed, Trial};
use std::process::Command;
use std::time::Duration;

const TERM: i32 = 15;
const INT: i32 = 2;
const CHLD: i32 = 17;
const LAST: i32 = 64;

pub(super) fn cases() -> Vec<Trial> {
    vec![
        Trial::test("init::every_signal_is_forwarded_unchanged", every_signal_is_forwarded_unchanged),
        Trial::test("init::signals_are_rewritten_and_dropped", signals_are_rewritten_and_dropped),
        Trial::test("init::the_whole_group_is_reached", the_whole_group_is_reached),
        Trial::test("init::a_term_is_held_back", a_term_is_held_back),
        Trial::test("init::the_parents_end_is_noticed", the_parents_end_is_noticed),
        Trial::test("init::mask_and_dispositions_are_passed_on", mask_and_dispositions_are_passed_on),
        Trial::test("init::an_ignored_sigchld_is_not_passed_on", an_ignored_sigchld_is_not_passed_on),
        Trial::test("init::what_came_before_the_start_is_not_lost", what_came_before_the_start_is_not_lost),
        Trial::test("init::waiting_takes_no_wake_up", waiting_takes_no_wake_up),
    ]
}

fn every_signal_is_forwarded_unchanged() -> Result<(), Failed> {
    let mut running = Running::start(&mut init(&[], &play("signals")))?;
    running.tells("ready")?;
    // One at a time: equal signals that are pending are one. KILL and STOP cannot be forwarded.
    for signal in (1..=LAST).filter(|signal| ![9, CHLD, 19].contains(signal)) {
        // From outside it is no child's end, and nothing to forward either.
        running.kill(CHLD)?;
        running.kill(signal)?;
        running.tells(&signal.to_string())?;
    }
    running.ends_with(0)
}

fn signals_are_rewritten_and_dropped() -> Result<(), Failed> {
    let mut running = Running::start(&mut init(&["--map", "TERM:QUIT", "-r1:0"], &play("signals")))?;
    running.tells("ready")?;
    running.kill(1)?;
    running.kill(TERM)?;
    running.tells("3")?;
    running.kill(LAST)?;
    running.tells("64")?;
    running.ends_with(0)
}

fn the_whole_group_is_reached() -> Result<(), Failed> {
    // The parent is prepared before the child can say that it is.
    let script = "trap 'wait; echo parent; exit 4' TERM; \
                  (trap 'echo child; exit' TERM; echo ready; while :; do sleep 0.1; done) & wait";
    let mut running = Running::start(&mut init(&["-g"], &shell(script)))?;
    running.tells("ready")?;
    running.kill(TERM)?;
    running.tells("child")?;
    running.tells("parent")?;
    running.ends_with(4)
}

fn a_term_is_held_back() -> Result<(), Failed> {
    let mut running = Running::start(&mut init(&["--delay=1000"], &play("signals")))?;
    running.tells("ready")?;
    running.kill(TERM)?;
    running.kill(INT)?;
    running.tells("2")?;
    running.tells("15")?;
    running.kill(LAST)?;
    running.tells("64")?;
    running.ends_with(0)
}

fn the_parents_end_is_noticed() -> Result<(), Failed> {
    let contained = init(&["-p", "RTMAX"], &play("signals"));
    let mut parent = play("vanishing");
    parent.arg(contained.get_program()).args(contained.get_args());
    let mut running = Running::start(&mut parent)?;
    running.tells("ready")?;
    drop(running.input.take());
    running.ends_with(0)?;
    running.tells("64")
}

fn mask_and_dispositions_are_passed_on() -> Result<(), Failed> {
    const CHLD_BIT: u64 = 1 << (CHLD - 1);
    let (blocked, ignored) = dispositions(&play("dispositions"))?;
    let (blocked_by_init, ignored_by_init) = dispositions(&init(&[], &play("dispositions")))?;
    let set_up = blocked != 0 && ignored & CHLD_BIT != 0;
    if set_up && blocked_by_init == blocked && ignored_by_init == ignored & !CHLD_BIT {
        return Ok(());
    }
    Err(format!("{blocked:x} became {blocked_by_init:x}, {ignored:x} became {ignored_by_init:x}").into())
}

/// The sets of blocked and of ignored signals that `command` tells when it inherits some of each.
fn dispositions(command: &Command) -> Result<(u64, u64), Failed> {
    let mut ignoring = play("ignoring");
    ignoring.arg(command.get_program()).args(command.get_args());
    let mut running = Running::start(&mut ignoring)?;
    let told = |name: &str| -> Result<u64, Failed> {
        let line = running.line()?;
        let value = line.strip_prefix(name).ok_or_else(|| format!("told {line:?} instead of {name}"))?;
        Ok(u64::from_str_radix(value.trim(), 16)?)
    };
    let sets = (told("SigBlk:")?, told("SigIgn:")?);
    running.ends_with(0)?;
    Ok(sets)
}

/// With it ignored, the kernel would reap for us and the exit code would be lost.
fn an_ignored_sigchld_is_not_passed_on() -> Result<(), Failed> {
    let contained = init(&[], &shell("exit 7"));
    let mut ignoring = play("ignoring");
    ignoring.arg(contained.get_program()).args(contained.get_args());
    Running::start(&mut ignoring)?.ends_with(7)
}

/// From the start on nothing is delivered to init, and all that waits goes to the payload.
fn what_came_before_the_start_is_not_lost() -> Result<(), Failed> {
    let contained = init(&[], &play("signals"));
    let mut pending = play("pending");
    pending.arg(contained.get_program()).args(contained.get_args());
    let mut running = Running::start(&mut pending)?;
    let mut told = [running.line()?, running.line()?, running.line()?];
    told.sort_unstable();
    if told != ["15", "40", "ready"] {
        return Err(format!("{told:?}").into());
    }
    running.kill(LAST)?;
    running.ends_with(0)
}

fn waiting_takes_no_wake_up() -> Result<(), Failed> {
    let mut running = Running::start(&mut init(&["--delay=100", "--grace=100"], &play("signals")))?;
    running.tells("ready")?;
    let pid = running.pid();
    until("init to sleep", || super::state_and_parent(pid).is_some_and(|(state, _)| state == "S"))?;
    // How often it gave up the processor by itself: once per wait.
    let switches = || super::status(pid, "voluntary_ctxt_switches");
    let before = switches();
    std::thread::sleep(Duration::from_secs(3));
    let after = switches();
    if before.is_none() || before != after {
        return Err(format!("woke up: {before:?} became {after:?}").into());
    }
    running.kill(LAST)?;
    running.ends_with(0)
}
