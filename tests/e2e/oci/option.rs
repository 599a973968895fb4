//! Options that few engines give.

use super::bundle::Bundle;
use crate::harness::{Case, cases, cgroup_root, reap_orphans};
use serde_json::json;
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            what_has_ended_is_kept,
            the_keyring_of_the_caller_is_kept,
            a_paused_container_lets_nobody_in,
            processes_are_told_whatever_ps_is_to_show,
            a_further_process_in_a_group_below,
        ]
    )
}

fn running() -> Bundle {
    let bundle = Bundle::sh("while :; do sleep 0.05; done").written();
    bundle.create("");
    bundle.call("start c").succeeds();
    bundle
}

fn end(bundle: &Bundle) {
    reap_orphans();
    bundle.call("delete --force c").succeeds();
    bundle.is_clean();
}

fn what_has_ended_is_kept() {
    let bundle = Bundle::sh("exit 7").written();
    bundle.call("run --keep --no-subreaper c").exits(7);
    assert_eq!(bundle.status(), "stopped");
    bundle.call("run c").fails(1, &["this id is in use"]);
    bundle.call("delete c").succeeds();
    bundle.is_clean();
    bundle.call("run --no-subreaper c").exits(7);
    bundle.is_clean();
}

/// Somebody who is not root sees of root's session keyrings the one that is his own session's (keyrings(7), possession).
fn the_keyring_of_the_caller_is_kept() {
    let bundle = Bundle::sh("grep ' _ses: ' /proc/keys | cut -d' ' -f1")
        .set("/process/user", json!({ "uid": 54321, "gid": 54321 }))
        .written();
    // Of this thread's own session, where the others' are not in sight.
    let listed = std::thread::spawn(move || {
        pipkin::sys::process::join_new_session_keyring().unwrap();
        ["--no-new-keyring", "--no-new-keyring", "", ""]
            .map(|options| bundle.call(&format!("run {options} c")).exits(0).text())
    });
    let [kept, again, new, newer] = listed.join().unwrap();
    assert!(kept.lines().count() == 1 && kept == again, "{kept} {again}");
    assert!(new.lines().count() == 1 && new != kept && newer != new, "{kept} {new} {newer}");
}

fn a_paused_container_lets_nobody_in() {
    let bundle = running();
    bundle.call("pause c").succeeds();
    for options in ["", "--ignore-paused"] {
        bundle.call(&format!("exec {options} c /bin/true")).fails_with(255, "it is paused");
    }
    assert_eq!(bundle.status(), "paused");
    bundle.call("resume c").succeeds();
    bundle.call("exec --ignore-paused c /bin/true").exits(0);
    end(&bundle);
}

fn processes_are_told_whatever_ps_is_to_show() {
    let bundle = running();
    let pid = &bundle.call("state c").succeeds().json()["pid"];
    for call in
        ["ps -f json c", "ps c --format json", "ps --format=json c -ef", "ps --format json -- c -o pid,cmd"]
    {
        let told = bundle.call(call).succeeds().json();
        assert!(told.as_array().unwrap().contains(pid), "{call}: {told}");
    }
    assert!(bundle.call("ps c").succeeds().text().starts_with("PID\n"));
    for call in ["ps c -ef", "ps --format table c -ef", "ps c aux"] {
        bundle.call(call).fails(1, &["runs no ps(1)", "--format json"]);
    }
    end(&bundle);
}

fn a_further_process_in_a_group_below() {
    let bundle = running();
    let own = cgroup_root().expect("cgroup v2").join("pipkin/c");
    fs::create_dir(own.join("below")).unwrap();
    fs::create_dir(own.join("below/deep")).unwrap();
    for (given, shown) in
        [("below", "0::/below\n"), ("/below/deep/", "0::/below/deep\n"), ("/", "0::/\n"), ("", "0::/\n")]
    {
        let call = format!("exec --cgroup={given} c /bin/grep ^0 /proc/self/cgroup");
        assert_eq!(bundle.call(&call).exits(0).text(), shown, "{given}");
    }
    for given in ["nosuch", "..", "../..", "below/../..", "below/.", "cpu:below"] {
        let call = format!("exec --cgroup {given} c /bin/true");
        let outcome = bundle.call(&call).exits(255);
        assert!(outcome.told().contains("cgroup"), "{outcome}");
    }
    end(&bundle);
    assert!(!own.exists());
}
