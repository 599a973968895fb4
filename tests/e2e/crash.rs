//! Pipkin killed at each of its steps: what the next command finds, it takes away.

use crate::harness::{Case, Footprint, Terminal, cases, reap_orphans, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [killed_while_the_command_runs, killed_with_a_name, killed_many_at_once, killed_on_a_terminal,]
    )
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
