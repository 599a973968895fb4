//! The label that a configuration names.

use super::bundle::Bundle;
use crate::harness::{Case, cases};
use crate::label::{LOOK, SEEN, enforce, load_profile};
use serde_json::json;

pub(super) fn cases() -> Vec<Case> {
    [
        cases!(AppArmor, [a_profile_of_apparmor_is_applied]),
        cases!(SeLinux, [labels_of_selinux_are_applied, unknown_labels_of_selinux_are_told]),
    ]
    .concat()
}

fn labels_of_selinux_are_applied() {
    let _enforced = enforce();
    let label = |kind: &str| format!("system_u:system_r:{kind}:s0");
    // What is mounted has a label that the confined may not read; who is not confined may.
    let script = "echo secret > /tmp/file; exec sleep 1000";
    let bundle =
        Bundle::sh(script).set("/linux/mountLabel", json!("system_u:object_r:secret_t:s0")).written();
    bundle.create("");
    bundle.call("start c").succeeds();
    while !bundle.call("exec c cat /tmp/file").status.success() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    bundle.call("exec c cat /tmp/file").prints("secret\n");
    let confined = format!("exec --process-label {} c", label("tested_t"));
    bundle.call(&format!("{confined} cat /tmp/file")).fails_with(1, "'/tmp/file': Permission denied");
    bundle.call(&format!("{confined} head -n 1 /etc/group")).prints("root:x:0:root\n");
    bundle.call("delete --force c").succeeds();
    // The process itself, and one that follows it.
    let look = "tr '\\0' '\\n' < /proc/self/attr/current";
    let bundle = Bundle::sh(&format!("{look}; exec sleep 1000"))
        .set("/process/selinuxLabel", json!(label("tested_t")))
        .written();
    bundle.create("");
    bundle.call("start c").succeeds();
    bundle.call("exec c cat /proc/1/attr/current").prints(&format!("{}\0", label("tested_t")));
    bundle.call("exec c cat /proc/self/attr/current").prints(&format!("{}\0", label("tested_t")));
    bundle.call("delete --force c").succeeds();
    bundle.is_clean();
}

fn unknown_labels_of_selinux_are_told() {
    let _enforced = enforce();
    let labelled =
        |pointer: &str| Bundle::new(&["true"]).set(pointer, json!("system_u:system_r:none_t:s0")).written();
    labelled("/process/selinuxLabel").call("run c").fails(1, &["none_t", "loaded policy"]);
    labelled("/linux/mountLabel").call("run c").fails(1, &["none_t"]);
}

fn a_profile_of_apparmor_is_applied() {
    load_profile();
    let profiled = |profile: &str, script: &str| {
        Bundle::sh(script).set("/process/apparmorProfile", json!(profile)).written()
    };
    profiled("pipkin-test", LOOK).call("run c").prints(SEEN);
    profiled("pipkin-none", LOOK).call("run c").fails(1, &["pipkin-none", "apparmor_parser"]);
    let bundle = profiled("pipkin-test", "sleep 1000");
    bundle.create("");
    bundle.call("start c").succeeds();
    bundle.call("exec c cat /proc/self/attr/current").prints("pipkin-test (enforce)\n");
    bundle.call("delete --force c").succeeds();
    bundle.is_clean();
}
