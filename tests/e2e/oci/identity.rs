//! User namespaces that others made, and mounts that show other ids.

use super::bundle::Bundle;
use crate::harness::{Case, Folder, Outcome, Running, cases};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            a_user_namespace_is_entered,
            a_user_namespace_that_cannot_be_entered,
            mounts_show_ids_of_their_own,
            mappings_that_cannot_be_had,
            an_engine_without_root_is_served
        ]
    )
}

fn maps(outside: u32) -> Value {
    json!([{ "containerID": 0, "hostID": outside, "size": 65536 }])
}

/// With a new user namespace.
fn apart(bundle: Bundle, outside: u32) -> Bundle {
    bundle
        .set("/linux/namespaces/-", json!({ "type": "user" }))
        .set("/linux/uidMappings", maps(outside))
        .set("/linux/gidMappings", maps(outside))
}

fn a_user_namespace_is_entered() {
    let first = apart(Bundle::sh("while :; do sleep 0.05; done"), 300_000).written();
    first.create("");
    first.call("start c").succeeds();
    let pid = first.call("state c").succeeds().json()["pid"].to_string();
    let joined = |kind: &str, file: &str| json!({ "type": kind, "path": format!("/proc/{pid}/ns/{file}") });
    let link = |of: &str| fs::read_link(format!("/proc/{of}/ns/user")).unwrap();
    // What is given beside a path says nothing: engines fill in what they like.
    let dummy = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    let list = json!([
        { "type": "mount" }, { "type": "pid" }, { "type": "cgroup" },
        joined("user", "user"), joined("network", "net"), joined("ipc", "ipc"), joined("uts", "uts")
    ]);
    let script = "awk '{print $1, $2, $3}' /proc/self/uid_map; echo $$; stat -c %u /proc/1 /sys; \
                  ls -l /dev/null | cut -c1; cat /proc/sys/user/max_user_namespaces | grep -c '^0$'; \
                  while [ ! -e /tmp/x ]; do sleep 0.05; done";
    let second = Bundle::sh(script)
        .set("/linux/namespaces", list)
        .set("/linux/uidMappings", dummy.clone())
        .set("/linux/gidMappings", dummy)
        .set("/linux/cgroupsPath", json!("/oci-user"))
        .set("/hostname", Value::Null)
        .set("/process/oomScoreAdj", json!(100))
        .written();
    let running = second.start("run d");
    let other = loop {
        let told = second.call("state d");
        if told.status.success() && told.json()["status"] == "running" {
            break told.json()["pid"].to_string();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    assert_eq!(link(&other), link(&pid));
    let further = second.call("exec d /bin/sh -c id;touch${IFS}/tmp/x");
    let outcome = running.wait();
    assert_eq!(further.exits(0).text().split(' ').next(), Some("uid=0(root)"));
    // The first one's parameter goes for both; nobody writes it a second time.
    assert_eq!(outcome.exits(0).text(), "0 300000 65536\n1\n0\n65534\nc\n1\n");
    first.call("delete --force c").succeeds();
    second.is_clean();
    first.is_clean();
}

fn a_user_namespace_that_cannot_be_entered() {
    for (path, words) in [
        ("/nosuch", &["open the namespace", "/nosuch", "No such file"][..]),
        // Ours already.
        ("/proc/self/ns/user", &["/proc/self/ns/user", "Invalid argument"]),
        ("/proc/self/ns/net", &["/proc/self/ns/net", "Invalid argument"]),
        ("/etc/passwd", &["/etc/passwd", "Invalid argument"]),
    ] {
        let user = json!({ "type": "user", "path": path });
        let bundle = Bundle::new(&["true"]).set("/linux/namespaces/-", user).written();
        bundle.call("create c").fails(1, words);
        bundle.is_clean();
    }
}

fn mounts_show_ids_of_their_own() {
    let folder = Folder::new();
    fs::write(folder.path().join("file"), "").unwrap();
    chown(folder.path().join("file"), Some(7), Some(8)).unwrap();
    let mount = |name: &str, more: Value| {
        let mut mount =
            json!({ "destination": name, "type": "bind", "source": folder.path(), "options": ["rbind"] });
        if let (Value::Object(mount), Value::Object(more)) = (&mut mount, more) {
            mount.extend(more);
        }
        mount
    };
    let own = json!({ "uidMappings": maps(500_000), "gidMappings": maps(600_000) });
    let mut deep = own.clone();
    deep["options"] = json!(["rbind", "ridmap"]);
    let script = "for d in a b c; do stat -c '%u %g' /tmp/$d/file; done";
    let bundle = |bundle: Bundle| {
        bundle
            .set("/mounts/-", mount("/tmp/a", json!({})))
            .set("/mounts/-", mount("/tmp/b", own.clone()))
            .set("/mounts/-", mount("/tmp/c", deep.clone()))
            .written()
    };
    let plain = bundle(Bundle::sh(script));
    let told = plain.call("run c");
    // What the folder is on may be unable to (overlayfs, before 6.15 fuse and others).
    if !told.status.success() {
        told.fails(1, &["map the ids of", "id-mapped mounts"]);
        return;
    }
    assert_eq!(told.exits(0).text(), "7 8\n500007 600008\n500007 600008\n");
    plain.is_clean();
    // Beside a user namespace whose maps are others: 500007 is user 7 of one that begins at 500000.
    let apart = bundle(apart(Bundle::sh(script), 500_000));
    assert_eq!(apart.call("run c").exits(0).text(), "65534 65534\n7 65534\n7 65534\n");
    apart.is_clean();
}

fn mappings_that_cannot_be_had() {
    let mount = |kind: &str, more: (&str, Value)| json!({ "destination": "/mnt", "source": "/tmp", "type": kind, more.0: more.1 });
    for (mount, words) in [
        (mount("bind", ("uidMappings", maps(1))), &["mounts[5]", "gidMappings together"][..]),
        (mount("bind", ("options", json!(["idmap"]))), &["no user namespace"]),
        (mount("tmpfs", ("options", json!(["idmap"]))), &["mounts[5]", "only a bind"]),
        (mount("bind", ("options", json!(["noexce"]))), &["mounts[5]", "only options of mounts"]),
    ] {
        let bundle = Bundle::new(&["true"]).set("/mounts/-", mount).written();
        bundle.call("create c").fails(1, words);
        bundle.is_clean();
    }
}

/// Runs a script as root of a user namespace with one id and fixed groups, as an engine without root calls us; `$P` is
/// Pipkin.
fn in_a_namespace(bundle: &Bundle, script: &str) -> Outcome {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    command.env("P", format!("{} --cgroup-manager disabled", crate::program::path().display()));
    command.env("XDG_RUNTIME_DIR", bundle.path("run")).env_remove("USER");
    command.current_dir(bundle.path("bundle"));
    Running::start(command, None).wait()
}

fn an_engine_without_root_is_served() {
    let script =
        "echo x > /dev/null && stat -c '%t:%T' /dev/null; grep -c '^proc /proc ' /proc/mounts; sleep 30";
    let options = ["newinstance", "ptmxmode=0666", "mode=0620"];
    let bundle = |script| Bundle::sh(script).set("/mounts/2/options", json!(options));
    // Ambient ones that are not inheritable are what engines' templates name.
    let served = bundle(script).set("/process/capabilities/ambient", json!(["CAP_KILL"])).written();
    fs::create_dir(served.path("run")).unwrap();
    let calls = "$P create c < /dev/null > out 2>&1 || cat out; ls $XDG_RUNTIME_DIR/pipkin/oci; $P start c
                 until grep -q '^1$' out; do sleep 0.05; done; cat out
                 $P exec c cat /proc/self/setgroups; $P exec --additional-gids 7 c true; echo $?
                 $P delete --force c; ls $XDG_RUNTIME_DIR/pipkin/oci";
    let outcome = in_a_namespace(&served, calls).exits(0);
    assert_eq!(outcome.text(), "c\n1:3\n1\ndeny\n255\n", "{outcome}");
    assert!(outcome.told().contains("supplementary groups"), "{outcome}");
    let refused = bundle("true").set("/process/user/additionalGids", json!([7])).written();
    fs::create_dir(refused.path("run")).unwrap();
    in_a_namespace(&refused, "$P run c").fails(1, &["supplementary groups", "namespace"]);
}
