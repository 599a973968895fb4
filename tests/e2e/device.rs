//! `/dev`.

use crate::harness::{Case, cases, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            these_entries_and_no_others,
            nodes_are_what_they_are_called,
            nodes_work,
            links_lead_to_the_process,
            pseudo_terminals_are_its_own,
            a_device_on_request,
            a_device_under_another_name,
            what_is_no_device_is_refused,
            no_node_can_be_made,
        ]
    )
}

fn these_entries_and_no_others() {
    let expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(run("").command(&["ls", "/dev"]).succeeds().words().join(" "), expected);
}

fn nodes_are_what_they_are_called() {
    let nodes = "null zero full random urandom tty";
    let numbers = ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0"];
    let expected: String =
        numbers.map(|number| format!("character special file {number} 666 0:0\n")).concat();
    run("").sh(&format!("cd /dev; stat -c '%F %t:%T %a %u:%g' {nodes}")).prints(&expected);
}

fn nodes_work() {
    let script = "echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c
        echo x 2>/dev/null > /dev/full || echo full; cat < /dev/tty 2>/dev/null || echo no terminal";
    let words = run("").sh(script).exits(0).words();
    assert_eq!(words, ["3", "5", "full", "no", "terminal"]);
}

fn links_lead_to_the_process() {
    let script = "cd /dev; for link in fd stdin stdout stderr ptmx; do readlink $link; done";
    run("").sh(script).prints("/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n");
    run("").sh("echo through > /dev/stdout").prints("through\n");
}

fn pseudo_terminals_are_its_own() {
    run("").sh("ls /dev/pts; stat -c %a /dev/pts/ptmx").prints("ptmx\n666\n");
}

fn a_device_on_request() {
    let outcome = run("--device /dev/kmsg").command(&["stat", "-c", "%F %t:%T", "/dev/kmsg"]);
    outcome.prints("character special file 1:b\n");
}

fn a_device_under_another_name() {
    let script = "stat -c '%F %t:%T' /dev/nil; echo x > /dev/nil";
    run("--device /dev/null:/dev/nil").sh(script).prints("character special file 1:3\n");
}

fn what_is_no_device_is_refused() {
    run("--device /etc/passwd").sh("true").expect_refusal(&["/etc/passwd"]);
    run("--device /dev/nonexistent").sh("true").expect_refusal(&["/dev/nonexistent"]);
}

fn no_node_can_be_made() {
    run("")
        .sh("mknod /tmp/null c 1 3 2> /dev/null && echo made || echo refused")
        .exits(0)
        .assert_says("refused");
}
