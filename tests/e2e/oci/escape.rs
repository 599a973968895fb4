//! What an engine's configuration, or what lies about on the host, could make a runtime do.

use super::bundle::Bundle;
use crate::harness::{Case, Folder, cases};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            cve_2025_23266_a_hook_has_nothing_of_the_images,
            cve_2021_43784_what_does_not_fit_is_refused,
            ghsa_5g49_a_limit_outside_of_its_group,
            cve_2026_1386_what_lies_in_the_way_is_refused,
        ]
    )
}

fn cve_2025_23266_a_hook_has_nothing_of_the_images() {
    let bundle = Bundle::new(&["true"]);
    let log = bundle.path("log");
    // The shell's own variables are its own; `env` shows what it passes on.
    let script =
        format!("cd /proc/$$/cwd; tr '\\0' '\\n' < /proc/$$/environ > {0}; pwd -P >> {0}", log.display());
    let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
    let env = json!(["PATH=/bin", "LD_PRELOAD=/proc/self/cwd/evil.so"]);
    let bundle =
        bundle.set("/process/env", env).set("/hooks", json!({ "createContainer": hook, "prestart": hook }));
    fs::write(&log, "").unwrap();
    let bundle = bundle.written();
    bundle.call("run c").exits(0);
    let told = fs::read_to_string(log).unwrap();
    assert!(!told.contains("LD_PRELOAD") && !told.contains("alpine"), "{told}");
}

fn cve_2021_43784_what_does_not_fit_is_refused() {
    let maps: Vec<_> =
        (0..400).map(|id| json!({ "containerID": id, "hostID": 100_000 + id, "size": 1 })).collect();
    let user = json!({ "type": "user" });
    let path = "/x".repeat(40_000);
    for bundle in [
        Bundle::new(&["true"])
            .set("/linux/namespaces/-", user)
            .set("/linux/uidMappings", json!(maps))
            .set("/linux/gidMappings", json!(maps)),
        Bundle::new(&["true"]).set("/linux/namespaces/-", json!({ "type": "time", "path": path })),
        Bundle::new(&["true"]).set("/linux/cgroupsPath", json!(path)),
        Bundle::new(&["true"]).set("/hostname", json!("x".repeat(70_000))),
    ] {
        let bundle = bundle.written();
        bundle.call("create c").fails(1, &[]);
        bundle.is_clean();
    }
}

fn ghsa_5g49_a_limit_outside_of_its_group() {
    for name in ["../memory.max", "/sys/fs/cgroup/memory.max", "a/b", "..", ""] {
        let bundle =
            Bundle::new(&["true"]).set("/linux/resources", json!({ "unified": { name: "1" } })).written();
        bundle.call("create c").fails(1, &["unified"]);
        bundle.is_clean();
    }
}

fn cve_2026_1386_what_lies_in_the_way_is_refused() {
    let outside = Folder::new();
    let bundle = Bundle::new(&["true"]).written();
    // Whoever may write there could have planted it before.
    bundle.call("list").exits(0);
    let root = bundle.path("state");
    fs::create_dir_all(&root).unwrap();
    symlink(outside.path(), root.join("c")).unwrap();
    let told = bundle.call("create c");
    assert!(!told.status.success(), "{told}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{told}");
    fs::remove_file(root.join("c")).unwrap();
    bundle.call("run c").exits(0);
}
