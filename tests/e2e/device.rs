//! `/dev`.

use crate::harness::{Case, Folder, cases, detached_sh, run};
use rustix::fs::{CWD, FileType, Mode, chmod, makedev, mknodat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

pub(crate) fn cases() -> Vec<Case> {
    let limited = cases!(Limits, [other_limits_leave_the_rights_of_devices]);
    let own = cases!(
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
            single_rights_to_a_device_are_enforced,
            rights_that_cannot_be_had_are_refused,
            rights_hold_for_what_enters_and_for_the_next_run,
        ]
    );
    [own, limited].concat()
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

/// A device whose number nobody drives: opening it where it may be used is another error than where it may not.
struct Undriven(Folder);

/// Opens it to read and to write.
const OPEN: &str = "(cat /dev/own; : > /dev/own) 2>&1 | sed 's/.*: //'";
const USED: &str = "No such device or address\n";
const REFUSED: &str = "Operation not permitted\n";

impl Undriven {
    fn new() -> Self {
        let (folder, all) = (Folder::new(), Mode::from_raw_mode(0o666));
        // What cases have is without devices, and so would be what is bound from there.
        mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), c"size=64k,mode=755").unwrap();
        let node = Self(folder);
        mknodat(CWD, node.0.join("own"), FileType::CharacterDevice, all, makedev(240, 7)).unwrap();
        chmod(node.0.join("own"), all).unwrap();
        node
    }

    fn option(&self, rights: &str) -> String {
        format!("--device {}:/dev/own{rights}", self.0.join("own").display())
    }
}

impl Drop for Undriven {
    fn drop(&mut self) {
        crate::harness::undo(|| unmount(self.0.path(), UnmountFlags::DETACH).unwrap());
    }
}

fn single_rights_to_a_device_are_enforced() {
    let node = Undriven::new();
    for user in ["", "--userns auto"] {
        for (rights, expected) in [
            ("", [USED, USED]),
            (":rw", [USED, USED]),
            (":r", [USED, REFUSED]),
            (":mr", [USED, REFUSED]),
            (":w", [REFUSED, USED]),
            (":m", [REFUSED, REFUSED]),
        ] {
            run(&format!("{user} {}", node.option(rights))).sh(OPEN).prints(&expected.concat());
        }
    }
    // By whatever name, and nothing beside it.
    let script = format!(
        "mknod /dev/other c 240 7; (: > /dev/other); {OPEN}; echo x > /dev/null; head -c 1 /dev/zero | wc -c"
    );
    let outcome = run(&format!("--cap-add MKNOD {}", node.option(":rm"))).sh(&script).exits(0);
    assert_eq!(outcome.text(), [USED, REFUSED, "1\n"].concat(), "{outcome}");
    assert!(outcome.told().contains("/dev/other: Operation not permitted"), "{outcome}");
    let told = run(&format!("--dry-run {}", node.option(":r"))).sh("true").succeeds();
    assert!(told.text().contains(": allow a *:* rwm, deny c 240:7 w\n"), "{told}");
}

fn rights_that_cannot_be_had_are_refused() {
    let node = Undriven::new();
    for (options, words) in [
        (node.option(":x"), "letters of rwm"),
        (node.option(":rr"), "letters of rwm"),
        (["--cap-add MKNOD ", &node.option(":rw")].concat(), "add m to the rights"),
        ("--device /dev/null:/dev/own:r".to_owned(), "every container"),
        ("--device /dev/zero:w".to_owned(), "every container"),
    ] {
        run(&options).sh("true").expect_refusal(&["--device", words]);
    }
}

fn rights_hold_for_what_enters_and_for_the_next_run() {
    let node = Undriven::new();
    let container = detached_sh(&node.option(":r"), &format!("{OPEN}; exec sleep 1000"));
    for _ in 0..2 {
        container.expect(&[USED, REFUSED].concat());
        container.verb_with("exec", &["sh", "-c", OPEN]).prints(&[USED, REFUSED].concat());
        container.verb("stop -t 0").succeeds();
        container.verb("start").succeeds();
    }
    container.verb("rm -f").succeeds();
}

fn other_limits_leave_the_rights_of_devices() {
    let node = Undriven::new();
    let container = detached_sh(&node.option(":w"), "exec sleep 1000");
    for option in ["--pids-limit 50", "--memory 64m"] {
        container.verb(&format!("update {option}")).succeeds();
        container.verb_with("exec", &["sh", "-c", OPEN]).prints(&[REFUSED, USED].concat());
    }
}
