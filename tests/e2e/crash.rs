//! Pipkin killed at each of its steps: what the next command finds, it takes away.

use crate::harness::{
    Case, Detached, Footprint, Run, Running, Terminal, cases, detached, eventually, pipkin, reap_orphans, run,
};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            killed_at_each_step_of_the_host,
            killed_at_each_step_of_the_child,
            killed_at_each_step_of_a_full_container,
            the_child_killed_at_each_of_its_steps,
            killed_while_the_command_runs,
            killed_with_a_name,
            killed_many_at_once,
            killed_on_a_terminal,
            a_supervisor_killed_at_each_step,
            half_made_ones_are_removed,
            a_killed_caller_is_not_needed,
        ]
    )
}

/// More steps than any list here has.
const STEPS: usize = 200;

/// Options that give the plan most kinds of steps.
const FULL: &str =
    "--hostname pot --domainname kitchen --tmpfs /x -v /etc:/y:ro --ephemeral --read-only -w /made
    --ulimit nofile=64 --oom-score-adj 5 --sysctl kernel.shmmni=9 --device /dev/kmsg -u nobody";

/// Kills Pipkin before each step of `side`'s list in turn, until there is none of that index. Gives their number.
///
/// Making and removing a bridge takes the kernel a tenth of a second each, in which it does nothing else about links. So
/// the command after it has none, and what is not about the network runs while another container keeps the bridge.
fn kill_at_each_step(run_with: &Run, side: &str) -> usize {
    for step in 0..STEPS {
        let before = Footprint::take();
        let container = run_with.clone().paused(side, step).start(&["true"]);
        if !container.tells("paused") {
            container.wait().prints("");
            return step;
        }
        container.kill();
        run("--net none").command(&["true"]).prints("");
        reap_orphans();
        before.assert_unchanged();
    }
    panic!("more than {STEPS} steps");
}

/// A container that keeps the bridge.
fn standing() -> Detached {
    detached("", &["sleep", "1000"])
}

fn killed_at_each_step_of_the_host() {
    let steps = kill_at_each_step(&run(""), "HOST");
    assert!(steps >= 3, "{steps}");
}

fn killed_at_each_step_of_the_child() {
    let _standing = standing();
    let steps = kill_at_each_step(&run(""), "CHILD");
    assert!(steps >= 40, "{steps}");
}

fn killed_at_each_step_of_a_full_container() {
    let _standing = standing();
    assert!(kill_at_each_step(&run(FULL), "HOST") >= 3);
    assert!(kill_at_each_step(&run(FULL), "CHILD") >= 40);
}

fn the_child_killed_at_each_of_its_steps() {
    let _standing = standing();
    for step in 0..STEPS {
        let before = Footprint::take();
        let container = run("").paused("CHILD", step).start(&["true"]);
        if !container.tells("paused") {
            container.wait().prints("");
            return;
        }
        pipkin::sys::signal::kill(container.container_pid(), 9).unwrap();
        let outcome = container.wait();
        assert_ne!(outcome.status.code(), Some(0), "{outcome}");
        before.assert_unchanged();
    }
    panic!("more than {STEPS} steps");
}

fn killed_while_the_command_runs() {
    let before = Footprint::take();
    for options in ["", "--ephemeral", "--net host --pid host", "-v /etc:/data"] {
        let container =
            run(options).start_sh("echo x > /kept; sleep 1000 & setsid sleep 1000 & echo ready; wait");
        container.expect("ready");
        container.kill();
        run("").command(&["true"]).prints("");
        reap_orphans();
        before.assert_unchanged();
    }
}

fn killed_with_a_name() {
    let container = run("--name pot").start_sh("echo ready; exec sleep 1000");
    container.expect("ready");
    container.kill();
    run("--name pot").command(&["true"]).prints("");
    reap_orphans();
}

fn killed_many_at_once() {
    let containers: Vec<_> = (0..20).map(|_| run("").start_sh("echo ready; exec sleep 1000")).collect();
    containers.iter().for_each(|container| container.expect("ready"));
    containers.into_iter().for_each(crate::harness::Running::kill);
    run("").command(&["true"]).prints("");
    reap_orphans();
}

fn killed_on_a_terminal() {
    let mut terminal = Terminal::open();
    let shell = terminal.start(&run("-it"), &["/bin/sh", "-i"]);
    terminal.expect("/ # ");
    shell.kill();
    run("").command(&["true"]).prints("");
    reap_orphans();
}

/// `run -d`, paused before a step of the host; `None` when there is no such step.
fn half_made(step: usize) -> Option<(Running, i32)> {
    let container = run("-d --net none --name pot").paused("HOST", step).start(&["sleep", "1000"]);
    if !container.tells("paused") {
        container.wait().exits(0);
        pipkin(&["rm", "-f", "pot"]).succeeds();
        reap_orphans();
        return None;
    }
    let supervisor = container.container_pid();
    Some((container, supervisor))
}

fn a_supervisor_killed_at_each_step() {
    for step in 0..STEPS {
        let before = Footprint::take();
        let Some((container, supervisor)) = half_made(step) else {
            assert!(step >= 3, "{step}");
            return;
        };
        pipkin::sys::signal::kill(supervisor, 9).unwrap();
        let told = container.wait().exits(125).told();
        assert!(told.ends_with("it was killed before its command ran\n"), "{told}");
        // Nothing of it is in the way of the next one, nor left after that.
        run("--net none --name pot").command(&["true"]).prints("");
        reap_orphans();
        before.assert_unchanged();
    }
    panic!("more than {STEPS} steps");
}

fn half_made_ones_are_removed() {
    for step in 0..STEPS {
        let before = Footprint::take();
        let Some((container, _)) = half_made(step) else { return };
        pipkin(&["rm", "-f", "pot"]).succeeds();
        container.wait().exits(125);
        pipkin(&["rm", "-f", "pot"]).succeeds();
        reap_orphans();
        before.assert_unchanged();
    }
    panic!("more than {STEPS} steps");
}

/// Whoever typed `run -d` is not needed any more: the container comes to run, and can be removed.
fn a_killed_caller_is_not_needed() {
    let before = Footprint::take();
    let container = run("-d --net none --name pot").start(&["sleep", "1000"]);
    container.kill();
    eventually("it runs, or it was never made", &mut || {
        reap_orphans();
        let runs =
            pipkin(&["ps", "--filter", "name=pot", "--filter", "status=running", "-q"]).words().len() == 1;
        runs || !crate::harness::has_children()
    });
    pipkin(&["rm", "-f", "pot"]).succeeds();
    before.assert_unchanged();
}
