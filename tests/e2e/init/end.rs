//! Reaping, exit codes, and what becomes of those who are left.

use super::{Running, children, init, shell, until};
use crate::program::pipkin;
use crate::role::play;
use libtest_mimic::{Failed, Trial};

const TERM: i32 = 15;

pub(super) fn cases() -> Vec<Trial> {
    vec![
        Trial::test("init::very_many_orphans_are_reaped", very_many_orphans_are_reaped),
        Trial::test("init::exit_codes_are_passed_through", exit_codes_are_passed_through),
        Trial::test("init::what_cannot_be_started_has_its_code", what_cannot_be_started_has_its_code),
        Trial::test("init::exit_codes_are_remapped", exit_codes_are_remapped),
        Trial::test("init::a_payload_that_ignores_term_keeps_init", a_payload_that_ignores_term_keeps_init),
        Trial::test("init::those_left_are_asked_to_end", those_left_are_asked_to_end),
        Trial::test("init::those_who_stay_are_killed", those_who_stay_are_killed),
        Trial::test("init::a_daemon_is_waited_for", a_daemon_is_waited_for),
        Trial::test("init::orphans_are_told", orphans_are_told),
        Trial::test("init::pause_ends_on_term_only", pause_ends_on_term_only),
    ]
}

fn very_many_orphans_are_reaped() -> Result<(), Failed> {
    // An emulated processor needs ten times as long for each.
    let thousands = if std::env::var_os("PIPKIN_VM").is_some() { 1 } else { 100 };
    let mut payload = play("orphans");
    payload.arg(thousands.to_string());
    let mut running = Running::start(&mut init(&[], &payload))?;
    for _ in 0..thousands {
        running.tells("made")?;
    }
    until("the payload to be the only child", || children(running.pid()).len() == 1)?;
    drop(running.input.take());
    running.ends_with(23)
}

fn exit_codes_are_passed_through() -> Result<(), Failed> {
    for code in [0, 1, 42, 125, 255] {
        Running::start(&mut init(&[], &shell(&format!("exit {code}"))))?.ends_with(code)?;
    }
    for signal in [1, 9, 15] {
        Running::start(&mut init(&[], &shell(&format!("kill -{signal} $$"))))?.ends_with(128 + signal)?;
    }
    Ok(())
}

fn what_cannot_be_started_has_its_code() -> Result<(), Failed> {
    for (name, code) in
        [("no-such-program", 127), ("/no/such/program", 127), ("/etc/passwd", 126), ("/", 126)]
    {
        let output = pipkin().args(["init", "--", name]).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(code) || !told.contains(name) || told.lines().count() != 1 {
            return Err(format!("{name}: {output:?}").into());
        }
    }
    Ok(())
}

fn exit_codes_are_remapped() -> Result<(), Failed> {
    Running::start(&mut init(&["-e", "143"], &shell("kill -TERM $$")))?.ends_with(0)?;
    Running::start(&mut init(&["--remap=3:4", "-e", "143"], &shell("exit 3")))?.ends_with(4)?;
    Running::start(&mut init(&["--remap=3:4"], &shell("exit 5")))?.ends_with(5)
}

fn a_payload_that_ignores_term_keeps_init() -> Result<(), Failed> {
    let mut running = Running::start(&mut init(&[], &play("signals")))?;
    running.tells("ready")?;
    for _ in 0..3 {
        running.kill(TERM)?;
        running.tells("15")?;
    }
    drop(running.input.take());
    running.ends_with(1)
}

fn those_left_are_asked_to_end() -> Result<(), Failed> {
    let script = "(trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.1; done) & read -r go; exit 5";
    let mut running = Running::start(&mut init(&["--grace=60000"], &shell(script)))?;
    running.tells("ready")?;
    drop(running.input.take());
    running.ends_with(5)?;
    running.tells("bye")
}

fn those_who_stay_are_killed() -> Result<(), Failed> {
    let script = "(trap : TERM; echo ready; while :; do sleep 0.1; done) & read -r go; exit 4";
    let mut running = Running::start(&mut init(&["--grace=200"], &shell(script)))?;
    running.tells("ready")?;
    drop(running.input.take());
    running.ends_with(4)?;
    let told = running.rest()?;
    if told.is_empty() { Ok(()) } else { Err(format!("{told:?}").into()) }
}

fn a_daemon_is_waited_for() -> Result<(), Failed> {
    let script = "exec 3<&0; (read -r go <&3; echo late) & exit 6";
    let mut running = Running::start(&mut init(&["--orphans=wait"], &shell(script)))?;
    until("the main child to be reaped", || {
        let left = children(running.pid());
        !left.is_empty() && left.iter().all(|(_, state)| state != "Z")
    })?;
    drop(running.input.take());
    running.tells("late")?;
    running.ends_with(6)
}

fn orphans_are_told() -> Result<(), Failed> {
    // The inner shell's child ends after that shell, and the outer one after it was reaped.
    let script =
        "orphan=$(sh -c '(while kill -0 $$; do sleep 0.02; done; exit 9) > /dev/null 2>&1 & echo $!')
        while kill -0 $orphan 2> /dev/null; do sleep 0.02; done; exit 2";
    let output = init(&["--warn"], &shell(script)).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let right =
        output.status.code() == Some(2) && told.contains("reaped orphan") && told.contains("exit status 9");
    if right { Ok(()) } else { Err(format!("{output:?}").into()) }
}

fn pause_ends_on_term_only() -> Result<(), Failed> {
    let mut command = pipkin();
    let mut running = Running::start(command.args(["init", "--pause"]))?;
    until("init to block signals", || {
        super::status(running.pid(), "SigBlk").is_some_and(|set| !set.starts_with('0'))
    })?;
    running.kill(1)?;
    running.kill(10)?;
    running.kill(TERM)?;
    running.ends_with(0)
}
