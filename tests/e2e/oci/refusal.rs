//! Bundles that are wrong: one line that names the property and the rule, and nothing left.

use super::bundle::Bundle;
use crate::harness::{Case, cases};
use serde_json::{Value, json};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            wrong_values_are_named,
            wrong_surroundings_are_named,
            wrong_filters_and_nodes_are_named,
            a_path_to_no_such_namespace_is_named,
            wrong_resources_are_named,
            texts_that_are_no_configuration,
            bad_ids_and_options,
            bundles_that_are_not_there,
            places_where_nothing_can_be_written
        ]
    )
}

#[track_caller]
fn refused(bundle: &Bundle, words: &[&str]) {
    bundle.call("create c").fails(1, words);
    bundle.is_clean();
}

fn wrong_values_are_named() {
    for (pointer, value, words) in [
        ("/ociVersion", json!("2.0.0"), &["ociVersion", "1.0 to 1.3"][..]),
        ("/ociVersion", json!("1.9.0"), &["ociVersion", "1.0 to 1.3"]),
        ("/ociVersion", json!("one"), &["ociVersion", "a version such as"]),
        ("/ociVersion", json!("1.2"), &["ociVersion", "a version such as"]),
        ("/ociVersion", json!("1.2.0.0"), &["ociVersion", "a version such as"]),
        (
            "/process/execCPUAffinity",
            json!({ "initial": "x", "final": "0" }),
            &["execCPUAffinity.initial", "0-3,7"],
        ),
        ("/ociVersion", Value::Null, &["ociVersion is missing"]),
        ("/process", json!([]), &["process", "must be an object"]),
        ("/process/args", json!([]), &["process", "args is missing"]),
        ("/process/args", json!("true"), &["process.args", "must be an array"]),
        ("/process/args", json!(["true", 1]), &["process.args[1]", "must be a string"]),
        ("/process/args", json!(["a\u{0}b"]), &["process.args[0]", "NUL"]),
        (
            "/process/user/additionalGids",
            json!((1..257).collect::<Vec<_>>()),
            &["additionalGids[255]", "up to 255"],
        ),
        ("/process/cwd", json!("etc"), &["process.cwd", "must be an absolute path"]),
        ("/process/cwd", Value::Null, &["process", "cwd is missing"]),
        ("/process/user/uid", json!(-1), &["process.user.uid", "0 to 4294967295"]),
        ("/process/user/uid", json!(4_294_967_295_u32), &["process.user.uid", "0 to 4294967294"]),
        ("/process/oomScoreAdj", json!(1001), &["process.oomScoreAdj", "-1000 to 1000"]),
        ("/process/capabilities/bounding", json!(["CAP_NONSENSE"]), &["bounding[0]", "not a capability"]),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }]),
            &["rlimits[0]", "RLIMIT_X"],
        ),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_CPU", "soft": 2, "hard": 1 }]),
            &["rlimits[0]", "soft"],
        ),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_CPU", "soft": 1, "hard": 2 }, { "type": "RLIMIT_CPU", "soft": 1, "hard": 2 }]),
            &["rlimits[1]", "given before"],
        ),
        ("/process/scheduler", json!({ "policy": "SCHED_X" }), &["scheduler.policy", "SCHED_X"]),
        (
            "/process/ioPriority",
            json!({ "class": "IOPRIO_CLASS_BE", "priority": 9 }),
            &["ioPriority", "0 to 7"],
        ),
        ("/vm", json!({ "kernel": { "path": "/x" } }), &["vm", "no virtual machines"]),
    ] {
        refused(&Bundle::new(&["true"]).set(pointer, value).written(), words);
    }
}

fn wrong_surroundings_are_named() {
    let namespaces = |more: Value| json!([{ "type": "mount" }, more]);
    for (pointer, value, words) in [
        ("/root", Value::Null, &["root is missing"][..]),
        ("/root/path", json!("nosuch"), &["root.path", "directory that exists"]),
        ("/root/path", json!("/etc/passwd"), &["root.path", "directory that exists"]),
        ("/root/path", json!("/proc/self/root"), &["root.path", "no link to one"]),
        ("/root/readonly", json!("yes"), &["root.readonly", "true or false"]),
        ("/hostname", json!("a".repeat(65)), &["hostname", "64 bytes"]),
        ("/mounts/-", json!({ "type": "tmpfs" }), &["mounts[5]", "destination is missing"]),
        (
            "/mounts/-",
            json!({ "destination": "/..//.", "type": "tmpfs" }),
            &["mounts[5].destination", "the root itself"],
        ),
        ("/linux/cgroupsPath", json!("/pipkin-refused/../../x"), &["linux.cgroupsPath", "below the root"]),
        ("/linux/cgroupsPath", json!("a\nb"), &["linux.cgroupsPath", "below the root"]),
        ("/linux/cgroupsPath", json!("a/".repeat(18)), &["linux.cgroupsPath", "up to 17 names"]),
        ("/linux/cgroupsPath", json!("/"), &["linux.cgroupsPath", "below the root"]),
        ("/mounts/-", json!({ "destination": "/mnt", "type": "bind" }), &["mounts[5]", "source is missing"]),
        (
            "/mounts/-",
            json!({ "destination": "/mnt", "source": "/x", "type": "bind" }),
            &["/x", "does not exist"],
        ),
        (
            "/mounts/-",
            json!({ "destination": "/mnt", "type": "proc", "options": ["tmpcopyup"] }),
            &["mounts[5]", "tmpcopyup", "tmpfs"],
        ),
        ("/annotations", json!({ "": "x" }), &["annotations", "name must not be empty"]),
        ("/annotations", json!({ "a": 1 }), &["annotations.a", "must be a string"]),
        ("/linux/namespaces", json!([]), &["linux.namespaces", "mount namespace", "those of others"]),
        ("/linux/namespaces", Value::Null, &["linux.namespaces", "mount namespace", "those of others"]),
        (
            "/linux/namespaces",
            json!([{ "type": "mount", "path": "/proc/1/ns/mnt" }]),
            &["linux.namespaces", "mount namespace", "those of others"],
        ),
        ("/linux/namespaces", namespaces(json!({ "type": "mount" })), &["namespaces[1]", "given before"]),
        ("/linux/namespaces", namespaces(json!({ "type": "x" })), &["namespaces[1]", "x is not a namespace"]),
        (
            "/linux/namespaces",
            namespaces(json!({ "type": "uts", "path": "x" })),
            &["namespaces[1].path", "absolute"],
        ),
        ("/linux/namespaces", namespaces(json!({ "type": "user" })), &["uidMappings"]),
        ("/linux/namespaces", json!([{ "type": "mount" }]), &["host name"]),
        ("/linux/timeOffsets", json!({ "boottime": { "secs": 1 } }), &["timeOffsets", "time namespace"]),
        ("/linux/rootfsPropagation", json!("sometimes"), &["rootfsPropagation"]),
        ("/linux/sysctl", json!({ "kernel.core_pattern": "|/x" }), &["kernel.core_pattern"]),
        ("/linux/maskedPaths", json!(["proc"]), &["maskedPaths[0]", "absolute"]),
        ("/linux/devices", json!([{ "type": "c", "path": "/dev/x", "major": 1 }]), &["devices[0]", "minor"]),
        (
            "/linux/personality",
            json!({ "domain": "LINUX32", "flags": ["X"] }),
            &["linux.personality.flags[0]", "no flag of a personality"],
        ),
        ("/linux/intelRdt", json!({ "closID": "x" }), &["intelRdt"]),
        ("/hooks", json!({ "prestart": [{ "path": "x" }] }), &["hooks.prestart[0].path", "absolute"]),
        (
            "/hooks",
            json!({ "poststop": [{ "path": "/x", "timeout": 0 }] }),
            &["hooks.poststop[0]", "greater than 0"],
        ),
        ("/process/terminal", json!(true), &["--console-socket"]),
    ] {
        refused(&Bundle::new(&["true"]).set(pointer, value).written(), words);
    }
}

fn a_path_to_no_such_namespace_is_named() {
    for (kind, path, words) in [
        ("network", "/proc/self/ns/ipc", "of this kind"),
        ("ipc", "/etc/passwd", "of this kind"),
        ("uts", "/tmp", "of this kind"),
        ("cgroup", "/proc/self/ns/net", "of this kind"),
        ("time", "/proc/self/ns/net", "time namespace"),
        ("pid", "/proc/self/ns/net", "a pid namespace"),
        ("user", "/proc/self/ns/net", "a user namespace"),
        ("user", "/proc/self/ns/user", "not to Pipkin's own"),
        ("ipc", "/nonexistent", "No such file"),
    ] {
        let namespaces = json!([{ "type": "mount" }, { "type": kind, "path": path }]);
        let bundle =
            Bundle::new(&["true"]).set("/linux/namespaces", namespaces).set("/hostname", json!(null));
        refused(&bundle.written(), &[path, words]);
    }
}

fn wrong_filters_and_nodes_are_named() {
    for (pointer, value, words) in [
        (
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_X" }),
            &["seccomp.defaultAction", "SCMP_ACT_X"][..],
        ),
        (
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1 }),
            &["seccomp.defaultErrnoRet", "no errno"],
        ),
        (
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": [], "action": "SCMP_ACT_KILL" }] }),
            &["seccomp.syscalls[0].names", "at least one"],
        ),
        (
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 3 }] }),
            &["seccomp.syscalls[0].errnoRet", "no errno"],
        ),
        (
            "/linux/devices",
            json!([{ "type": "c", "path": "/dev/null", "major": 1, "minor": 5 }]),
            &["/dev/null", "File exists"],
        ),
    ] {
        refused(&Bundle::new(&["true"]).set(pointer, value).written(), words);
    }
}

fn wrong_resources_are_named() {
    for (pointer, value, words) in [
        ("/linux/resources", json!({ "unified": { "../x": "1" } }), &["unified", "file of a cgroup"][..]),
        ("/linux/resources", json!({ "memory": { "swap": 5 } }), &["memory.swap", "memory.limit"]),
        ("/linux/resources", json!({ "memory": { "kernel": 5 } }), &["memory.kernel", "cgroup v1"]),
        ("/linux/resources", json!({ "memory": { "kernelTCP": 5 } }), &["memory.kernelTCP", "cgroup v1"]),
        ("/linux/resources", json!({ "memory": { "swappiness": 0 } }), &["memory.swappiness", "cgroup v1"]),
        (
            "/linux/resources",
            json!({ "blockIO": { "weightDevice": [{ "major": 8, "minor": 0, "leafWeight": 10 }] } }),
            &["weightDevice[0]", "leafWeight", "cgroup v1"],
        ),
        ("/linux/resources", json!({ "memory": { "useHierarchy": false } }), &["useHierarchy", "cgroup v1"]),
        ("/linux/resources", json!({ "memory": { "disableOOMKiller": true } }), &["OOMKiller", "cgroup v1"]),
        (
            "/linux/resources",
            json!({ "cpu": { "realtimeRuntime": 5 } }),
            &["cpu.realtimeRuntime", "cgroup v1"],
        ),
        (
            "/linux/resources",
            json!({ "blockIO": { "leafWeight": 10 } }),
            &["blockIO.leafWeight", "cgroup v1"],
        ),
        ("/linux/resources", json!({ "network": { "classID": 1 } }), &["network.classID", "cgroup v1"]),
        (
            "/linux/resources",
            json!({ "hugepageLimits": [{ "pageSize": "2 MB", "limit": 0 }] }),
            &["hugepageLimits[0]", "pageSize"],
        ),
        ("/linux/memoryPolicy", json!({ "nodes": "0" }), &["linux.memoryPolicy", "mode is missing"]),
    ] {
        refused(&Bundle::new(&["true"]).set(pointer, value).written(), words);
    }
}

fn texts_that_are_no_configuration() {
    let nested = ["[".repeat(200), "]".repeat(200)].concat();
    for (text, words) in [
        ("", &["config.json: line 1, column 1"][..]),
        ("{", &["line 1"]),
        ("[]", &["must be an object"]),
        ("{\"ociVersion\": \"1.0.0\",\n \"ociVersion\": \"1.0.0\"}", &["line 2, column 2", "given before"]),
        (&nested, &["nested too deep"]),
    ] {
        refused(&Bundle::new(&["true"]).with_text(text.as_bytes()), words);
    }
    let long = "x".repeat(10 << 20);
    let bundle = Bundle::new(&["true"]).set("/process/env", json!([long])).written();
    refused(&bundle, &["process.env[0]", "128 KiB"]);
    refused(&Bundle::new(&["true"]).with_text(&vec![b' '; 17 << 20]), &["up to 16 MiB"]);
}

fn bad_ids_and_options() {
    let bundle = Bundle::new(&["true"]).written();
    bundle.call("create --no-pivot c").fails(1, &["pivot_root(2)", "within reach"]);
    let long = "a".repeat(129);
    for id in ["..", "a/b", "../x", ".hidden", "a\u{e9}", &long] {
        bundle.call(&format!("create {id}")).fails(1, &["an id is up to 128"]);
    }
    bundle.call("create").fails(1, &["an id is"]);
    for (call, words) in [
        ("--log-format xml list", ["--log-format xml", "text, json"]),
        ("--cgroup-manager=none list", ["--cgroup-manager none", "cgroupfs, systemd, disabled"]),
        ("list --format=xml", ["xml", "table or json"]),
        ("create --nonsense c", ["create", "--nonsense"]),
        ("create c d", ["create", "d"]),
        ("state c d", ["state", "d"]),
        ("kill c TERM x", ["kill", "x"]),
        ("list c", ["list", "c"]),
        ("features c", ["features", "c"]),
        ("ps c aux", ["processes", "aux"]),
        ("ps c -ef", ["-ef", "--format json"]),
        ("exec", ["an id is", "in front"]),
        ("--log /nosuch/log list", ["/nosuch/log", "No such file"]),
    ] {
        bundle.call(call).fails(1, &words);
    }
    bundle.call("nonsense").fails(3, &["nonsense", "no verb"]);
    bundle.call("exec nosuch").fails_with(255, "container does not exist");
    for call in ["create -h", "exec -h", "list -h", "-h", "help", "run --help", "delete --help"] {
        assert!(bundle.call(call).succeeds().text().starts_with("Usage: pipkin "), "{call}");
    }
    bundle.is_clean();
}

fn bundles_that_are_not_there() {
    let bundle = Bundle::new(&["true"]).written();
    bundle.call("create --bundle /nosuch c").fails(1, &["/nosuch", "No such file"]);
    std::fs::remove_file(bundle.path("bundle/config.json")).unwrap();
    refused(&bundle, &["config.json", "No such file"]);
}

fn places_where_nothing_can_be_written() {
    let bundle = Bundle::new(&["true"]).written();
    let there = bundle.path("there");
    std::fs::create_dir(&there).unwrap();
    for (path, why) in [(there.clone(), "Is a directory"), (bundle.path("nosuch/pid"), "No such file")] {
        let path = path.to_str().unwrap();
        bundle.call(&format!("create --pid-file {path} c")).fails(1, &["write the pid to", path, why]);
        bundle.is_clean();
    }
    assert!(!bundle.path("there.new").exists());
    let file = bundle.path("bundle/config.json");
    let call = format!("--root {} create c", file.display());
    bundle.call(&call).fails(1, &["cannot open the container c", "Not a directory"]);
}
