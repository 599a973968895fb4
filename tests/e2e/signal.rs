//! Signals that Pipkin gets.

use crate::harness::{Case, PATIENCE, Running, cases, reap_orphans, run};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            every_signal_is_passed_on,
            a_shell_can_trap_what_is_passed_on,
            an_interrupt_ends_the_preparation,
            a_stop_from_the_keyboard_stops_the_container,
            a_kill_takes_the_container_along,
            a_fault_of_pipkin_is_its_own,
        ]
    )
}

/// Those that are about Pipkin itself, or that nobody can pass on: KILL, STOP, TSTP (which stops both), CHLD, TTIN,
/// TTOU, and the faults ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS.
const KEPT: [i32; 13] = [9, 19, 20, 17, 21, 22, 4, 5, 6, 7, 8, 11, 31];

fn every_signal_is_passed_on() {
    let passed: BTreeSet<i32> = (1..=64).filter(|signal| !KEPT.contains(signal)).collect();
    let container = run("").start_payload(&format!("signals {}", passed.len()));
    container.expect("ready");
    for signal in &passed {
        container.signal(*signal);
        container.expect(&format!("\n{signal}\n"));
    }
    let outcome = container.wait().succeeds();
    let words = outcome.words();
    let received: BTreeSet<i32> = words.iter().skip(1).map(|word| word.parse().unwrap()).collect();
    assert_eq!(received, passed);
}

fn a_shell_can_trap_what_is_passed_on() {
    let script = "trap 'echo term; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let container = run("").start_sh(script);
    container.expect("ready");
    container.signal(15);
    let outcome = container.wait().exits(7);
    assert_eq!(outcome.text(), "ready\nterm\n");
}

fn an_interrupt_ends_the_preparation() {
    for (signal, code) in [(2, 130), (15, 143)] {
        let container = run("").paused("CHILD", 30).start_sh("echo ran");
        assert!(container.tells("paused"));
        container.signal(signal);
        let outcome = container.wait().exits(code);
        assert_eq!(outcome.text(), "");
    }
}

/// Waits until Pipkin's state letter in `/proc/PID/stat` is this.
#[track_caller]
pub(crate) fn wait_for_state(container: &Running, state: char) {
    let start = Instant::now();
    while container.state() != state {
        assert!(start.elapsed() < PATIENCE, "its state is {}", container.state());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn a_stop_from_the_keyboard_stops_the_container() {
    let container = run("").start_sh("echo ready; while :; do read -t 1 x < /dev/zero; done");
    container.expect("ready");
    container.signal(20);
    wait_for_state(&container, 'T');
    container.signal(18);
    wait_for_state(&container, 'S');
    container.kill_and_clean();
}

fn a_kill_takes_the_container_along() {
    let container = run("").start_sh("echo ready; exec sleep 1000");
    container.expect("ready");
    let pid = container.container_pid();
    container.kill();
    let start = Instant::now();
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        assert!(start.elapsed() < PATIENCE, "{pid} still runs");
        reap_orphans();
        std::thread::sleep(Duration::from_millis(5));
    }
    run("").sh("true").prints("");
    reap_orphans();
}

fn a_fault_of_pipkin_is_its_own() {
    let container = run("").start_sh("echo ready; exec sleep 1000");
    container.expect("ready");
    // Of the faults the one that Rust's runtime does not catch to tell of a stack that ran over.
    container.signal(6);
    let outcome = container.wait();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&outcome.status), Some(6), "{outcome}");
    run("").sh("true").prints("");
    reap_orphans();
}
