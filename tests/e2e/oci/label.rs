//! The label that a configuration names.

use super::bundle::Bundle;
use crate::harness::{Case, cases};
use crate::label::{LOOK, SEEN, load_profile};
use serde_json::json;

pub(super) fn cases() -> Vec<Case> {
    cases!(AppArmor, [a_profile_of_apparmor_is_applied])
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
