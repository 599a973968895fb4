//! Many at once.

use crate::harness::{Case, cases, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(Nothing, [many_at_once, many_at_once_with_names, one_name_for_two_is_refused])
}

/// As many as the issue asks for; the emulated machine has the memory for fewer.
fn many() -> usize {
    if std::env::var_os("PIPKIN_VM").is_some() { 40 } else { 200 }
}

fn many_at_once() {
    let containers: Vec<_> = (0..many()).map(|_| run("").start(&["true"])).collect();
    for container in containers {
        container.wait().prints("");
    }
}

fn many_at_once_with_names() {
    let start = |number| run(&format!("--name pot-{number} --hostname h{number}")).start(&["hostname"]);
    let containers: Vec<_> = (0..many() / 2).map(|number| (number, start(number))).collect();
    for (number, container) in containers {
        container.wait().prints(&format!("h{number}\n"));
    }
}

fn one_name_for_two_is_refused() {
    let first = run("--name pot").start_sh("echo ready; exec sleep 1000");
    first.expect("ready");
    run("--name pot").sh("true").expect_refusal(&["pot"]);
    pipkin::sys::signal::kill(first.container_pid(), 9).unwrap();
    first.wait().exits(137);
    run("--name pot").sh("true").prints("");
}
