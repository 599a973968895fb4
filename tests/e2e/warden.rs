//! What ends a container in the foreground before its time.

use crate::harness::{Case, Running, cases, eventually, reap_orphans, run};
use std::path::Path;
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            time_that_is_up_ends_it,
            time_that_is_not_up_changes_nothing,
            what_ignores_being_asked_is_killed,
            it_dies_with_the_parent,
            it_dies_with_the_parent_while_it_is_made,
            it_outlives_a_thread_of_the_parent,
            what_cannot_be_bound_is_refused,
            its_session_is_its_own,
        ]
    )
}

/// Long enough for a shell to set its traps.
fn time_that_is_up_ends_it() {
    let script = "trap 'echo asked; exit 9' TERM; while :; do sleep 0.05; done";
    let outcome = run("--timeout 2s").sh(script).exits(9);
    assert_eq!(outcome.text(), "asked\n");
    let script = "trap 'echo asked; exit 9' USR1; while :; do sleep 0.05; done";
    run("-t --timeout 2s --stop-signal USR1").sh(script).exits(9);
}

fn time_that_is_not_up_changes_nothing() {
    run("--timeout 1h").sh("echo done; exit 3").exits(3).assert_says("done");
    run("--timeout 0 --stop-timeout 0").sh("sleep 0.5; echo done; exit 3").exits(3).assert_says("done");
}

fn what_ignores_being_asked_is_killed() {
    run("--timeout 100ms --stop-timeout 100ms").sh("trap '' TERM; sleep 1000").exits(137);
}

/// A shell that starts the container and tells its pid.
fn shell(options: &str, hooks: Option<usize>) -> Running {
    let run = hooks.into_iter().fold(run(options), |run, step| run.paused("CHILD", step));
    let line = run.line(&["/bin/sh", "-c", "echo ready; exec sleep 1000"]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "\"$@\" & echo pid $!; wait", "shell"]);
    command.arg(line.get_program()).args(line.get_args()).env_clear();
    command.envs(line.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Running::start(command, None)
}

/// Pid of the Pipkin that the shell started.
fn pid(shell: &Running) -> i32 {
    shell.expect("\n");
    let words = shell.output();
    words.split_whitespace().skip_while(|word| *word != "pid").nth(1).unwrap().parse().unwrap()
}

fn exists(pid: i32) -> bool {
    reap_orphans();
    Path::new(&format!("/proc/{pid}")).exists()
}

fn it_dies_with_the_parent() {
    let bound = shell("--die-with-parent", None);
    bound.expect("ready");
    let bound_pid = pid(&bound);
    bound.kill();
    eventually("Pipkin is gone", &mut || !exists(bound_pid));
    // Without the option it goes on.
    let free = shell("", None);
    free.expect("ready");
    let free_pid = pid(&free);
    free.kill();
    assert!(exists(free_pid) && free_pid != bound_pid);
    pipkin::sys::signal::kill(free_pid, 9).unwrap();
    eventually("Pipkin is gone", &mut || !exists(free_pid));
    run("").sh("true").prints("");
    reap_orphans();
}

fn it_dies_with_the_parent_while_it_is_made() {
    let shell = shell("--die-with-parent", Some(20));
    assert!(shell.tells("paused"));
    let pid = pid(&shell);
    shell.kill();
    eventually("Pipkin is gone", &mut || !exists(pid));
}

fn it_outlives_a_thread_of_the_parent() {
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let start = || run("--die-with-parent").start_sh(script);
    let container = std::thread::spawn(start).join().unwrap();
    container.expect("ready");
    container.signal(15);
    container.wait().exits(7);
}

fn what_cannot_be_bound_is_refused() {
    run("-d --die-with-parent").sh("true").expect_refusal(&["contradict"]);
    for time in ["", "soon", "-1", "1x"] {
        run("--timeout").option(time).sh("true").expect_refusal(&["--timeout"]);
    }
}

fn its_session_is_its_own() {
    let script = "cut -d ' ' -f 5,6 /proc/1/stat";
    run("--new-session").sh(script).prints("1 1\n");
    run("").sh(script).prints("1 1\n");
    run("--new-session=false").sh(script).expect_refusal(&["--new-session", "terminal"]);
}
