//! Limits that are changed, and what is told of their use.

use super::bundle::Bundle;
use crate::harness::{Case, cases, eventually};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

pub(crate) fn cases() -> Vec<Case> {
    let everywhere = cases!(
        Nothing,
        [
            what_is_used_is_told,
            events_end_with_the_container,
            rules_for_devices_are_exchanged,
            wrong_updates,
            a_start_that_fails_without_a_cgroup_is_told
        ]
    );
    let with = cases!(
        Limits,
        [
            limits_are_as_configured,
            limits_are_as_updated,
            limits_that_cannot_be_had_are_refused,
            limits_are_changed,
            a_refusal_changes_nothing,
            a_kill_for_want_of_memory_is_told
        ]
    );
    [everywhere, with].concat()
}

const SLEEPER: &str = "trap 'exit 3' TERM; while :; do sleep 0.05; done";

fn started(bundle: Bundle) -> Bundle {
    let bundle = bundle.written();
    bundle.create("");
    bundle.call("start c").succeeds();
    bundle
}

fn end(bundle: &Bundle) {
    bundle.call("delete --force c").succeeds();
    bundle.is_clean();
}

/// Calls the runtime with `document` on its standard input.
#[track_caller]
fn update(bundle: &Bundle, document: &Value) -> std::process::Output {
    let mut command = bundle.command("update --resources - c");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the runtime");
    child.stdin.take().unwrap().write_all(document.to_string().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn what_is_used_is_told() {
    let bundle = started(Bundle::sh(SLEEPER));
    let event = bundle.call("events --stats c").succeeds().json();
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!("c")));
    let data = &event["data"];
    assert!(data["cpu"]["usage"]["total"].is_u64() && data["cpu"]["throttling"].is_object(), "{event}");
    assert!(data["memory"]["usage"]["limit"].is_u64() && data["memory"]["raw"].is_object(), "{event}");
    assert!(data["pids"]["current"].is_u64() && data["blkio"]["ioServicedRecursive"].is_array(), "{event}");
    bundle.call("events --stats --interval x c").fails(1, &["--interval", "such as 5s"]);
    end(&bundle);
    bundle.call("events --stats c").fails(1, &["container does not exist"]);
}

fn events_end_with_the_container() {
    let bundle = started(Bundle::sh("exec sleep 1000"));
    let listener = bundle.start("events --interval=10ms c");
    eventually("it tells again", &mut || listener.output().lines().count() > 1);
    bundle.call("kill c KILL").succeeds();
    let outcome = listener.wait().exits(0);
    let lines: Vec<Value> = outcome.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 1 && lines.iter().all(|line| line["type"] == "stats"), "{outcome}");
    bundle.call("events c").fails(1, &["container not running"]);
    end(&bundle);
}

fn rules_for_devices_are_exchanged() {
    let node = json!({ "path": "/dev/own", "type": "c", "major": 240, "minor": 7 });
    let rule = |allow: bool| {
        json!({ "devices": [
        { "allow": false, "access": "rwm" },
        { "allow": allow, "type": "c", "major": 240, "minor": 7, "access": "r" }
    ] })
    };
    // Nobody drives these numbers: opening one that may be used is another error than opening one that may not.
    let bundle = started(
        Bundle::sh(SLEEPER).set("/linux/devices", json!([node])).set("/linux/resources", rule(false)),
    );
    let seen = || bundle.call("exec c cat /dev/own").told();
    assert!(seen().contains("Operation not permitted"));
    assert!(update(&bundle, &rule(true)).status.success());
    assert!(seen().contains("No such device or address"));
    assert!(update(&bundle, &rule(false)).status.success());
    assert!(seen().contains("Operation not permitted"));
    end(&bundle);
}

/// Limits are none of the child's steps, of which the one that failed is told.
fn a_start_that_fails_without_a_cgroup_is_told() {
    let bundle = Bundle::new(&["/mnt/bad"]);
    fs::create_dir(bundle.path("source")).unwrap();
    let bad = bundle.path("source/bad");
    fs::write(&bad, "\x7fELF, but for the rest").unwrap();
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o755)).unwrap();
    let mount = json!({ "destination": "/mnt", "type": "bind", "source": bundle.path("source"), "options": ["bind"] });
    let rules = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    let bundle = bundle.set("/mounts/-", mount).set("/linux/resources", rules).written();
    for manager in ["cgroupfs", "disabled"] {
        let mut command = bundle.command(&format!("--cgroup-manager {manager} create c"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().unwrap().success());
        bundle.call("start c").fails(1, &["/mnt/bad", "xec format"]);
        bundle.call("delete --force c").succeeds();
    }
    bundle.is_clean();
}

fn wrong_updates() {
    let bundle = started(Bundle::sh(SLEEPER));
    assert!(update(&bundle, &json!({})).status.success());
    for (document, words) in [
        (json!({ "memory": { "limit": "x" } }), "memory.limit, line 1"),
        (json!({ "memory": { "kernel": 5 } }), "cgroup v1"),
        (json!([]), "must be an object"),
    ] {
        let output = update(&bundle, &document);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.contains(words), "{told}");
    }
    bundle.call("update -r /nosuch c").fails(1, &["/nosuch", "No such file"]);
    bundle.call("update --pids-limit many c").fails(1, &["--pids-limit many", "give a number"]);
    bundle.call("update --memory 1x c").fails(1, &["--memory 1x"]);
    bundle.call("kill c KILL").succeeds();
    bundle.await_status("stopped");
    bundle.call("update --pids-limit 5 c").fails(1, &["container not running"]);
    end(&bundle);
}

const GROUP: &str = "/oci-limits/inner";

fn limited() -> Bundle {
    let resources = json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 50 }, "cpu": { "quota": 20_000, "period": 50_000 } });
    started(Bundle::sh(SLEEPER).set("/linux/cgroupsPath", json!(GROUP)).set("/linux/resources", resources))
}

fn read(file: &str) -> String {
    let path = Path::new("/sys/fs/cgroup").join(GROUP.trim_start_matches('/')).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn end_limited(bundle: &Bundle) {
    end(bundle);
    fs::remove_dir("/sys/fs/cgroup/oci-limits").unwrap();
}

/// A container that sleeps, with these resources.
fn bounded(resources: &Value) -> Bundle {
    let bundle = Bundle::new(&["sleep", "1000"]);
    started(bundle.set("/linux/cgroupsPath", json!(GROUP)).set("/linux/resources", resources.clone()))
}

#[track_caller]
fn reads(expected: &[(&str, &str)]) {
    for (file, value) in expected {
        assert_eq!(read(file), *value, "{file}");
    }
}

fn has_huge_pages() -> bool {
    let offered = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    offered.split_whitespace().any(|name| name == "hugetlb")
}

fn limits_are_as_configured() {
    let bundle = bounded(&json!({
        "memory": { "limit": 64 << 20, "swap": 96 << 20, "reservation": 16 << 20 },
        "cpu": { "shares": 512, "quota": 50_000, "period": 200_000, "burst": 20_000, "cpus": "0", "mems": "0" },
        "pids": { "limit": 0 },
        "unified": { "memory.high": "50331648", "cgroup.max.depth": "3", "memory.oom.group": "1" }
    }));
    reads(&[
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.low", "16777216"),
        ("memory.high", "50331648"),
        ("memory.oom.group", "1"),
        ("cpu.max", "50000 200000"),
        ("cpu.max.burst", "20000"),
        ("cpu.weight", "58"),
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
        ("cgroup.max.depth", "3"),
        // The command is there, and nobody beside it.
        ("pids.max", "1"),
        ("pids.current", "1"),
    ]);
    bundle.call("exec c true").fails_with(255, "Resource temporarily unavailable");
    end_limited(&bundle);
    let unlimited = json!({
        "memory": { "limit": -1, "swap": -1 }, "cpu": { "quota": -1, "idle": 1 }, "pids": { "limit": -1 }
    });
    let bundle = bounded(&unlimited);
    reads(&[("cpu.max", "max 100000"), ("cpu.idle", "1"), ("cpu.weight", "0")]);
    // What is unlimited needs no controller, which a machine need not have.
    reads(&[("cgroup.controllers", "cpu")]);
    end_limited(&bundle);
    let pages = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }] });
    if has_huge_pages() {
        let bundle = bounded(&pages);
        reads(&[("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")]);
        end_limited(&bundle);
    } else {
        refused(&pages, &["hugetlb"]);
    }
}

fn limits_are_as_updated() {
    let bundle = bounded(&json!({ "pids": { "limit": 5 } }));
    for (document, expected) in [
        (
            json!({ "memory": { "limit": 48 << 20, "swap": 64 << 20, "reservation": 8 << 20 } }),
            &[("memory.max", "50331648"), ("memory.swap.max", "16777216"), ("memory.low", "8388608")][..],
        ),
        (
            json!({ "memory": { "limit": 96 << 20 } }),
            &[("memory.max", "100663296"), ("memory.swap.max", "16777216")],
        ),
        (json!({ "cpu": { "shares": 2048 } }), &[("cpu.weight", "173")]),
        (json!({ "cpu": { "quota": 30_000 } }), &[("cpu.max", "30000 100000")]),
        (json!({ "cpu": { "period": 50_000 } }), &[("cpu.max", "30000 50000")]),
        (json!({ "cpu": { "burst": 10_000 } }), &[("cpu.max.burst", "10000"), ("cpu.max", "30000 50000")]),
        (json!({ "cpu": { "quota": -1, "burst": 0 } }), &[("cpu.max", "max 50000"), ("cpu.max.burst", "0")]),
        (json!({ "cpu": { "idle": 1 } }), &[("cpu.idle", "1")]),
        (json!({ "cpu": { "idle": 0 } }), &[("cpu.idle", "0")]),
        (json!({ "cpu": { "cpus": "0", "mems": "0" } }), &[("cpuset.cpus", "0"), ("cpuset.mems", "0")]),
        (json!({ "pids": { "limit": 0 } }), &[("pids.max", "1")]),
        (json!({ "pids": { "limit": -1 } }), &[("pids.max", "max")]),
        (
            json!({ "unified": { "memory.high": "max", "pids.max": "9" } }),
            &[("memory.high", "max"), ("pids.max", "9")],
        ),
    ] {
        let output = update(&bundle, &document);
        assert!(output.status.success(), "{document}: {output:?}");
        reads(expected);
    }
    if has_huge_pages() {
        let pages = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 2 << 20 }] });
        assert!(update(&bundle, &pages).status.success());
        reads(&[("hugetlb.2MB.max", "2097152"), ("hugetlb.2MB.rsvd.max", "2097152")]);
    }
    // The weight of I/O is a file of one of the kernel's schedulers, which need not be there.
    let output = update(&bundle, &json!({ "blockIO": { "weight": 500 } }));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        reads(&[("io.weight", "default 4950")]);
    } else {
        assert!(told.contains("io.weight") && told.contains("No such file"), "{told}");
    }
    end_limited(&bundle);
}

/// No container comes of these resources; why is one line with `words`, and nothing is left.
#[track_caller]
fn refused(resources: &Value, words: &[&str]) {
    let bundle = Bundle::new(&["true"]).set("/linux/cgroupsPath", json!(GROUP));
    let bundle = bundle.set("/linux/resources", resources.clone()).written();
    bundle.call("create c").fails(1, words);
    bundle.is_clean();
    let group = Path::new("/sys/fs/cgroup").join(GROUP.trim_start_matches('/'));
    assert!(!group.exists(), "{}", group.display());
    fs::remove_dir("/sys/fs/cgroup/oci-limits").unwrap_or(());
}

fn limits_that_cannot_be_had_are_refused() {
    refused(&json!({ "rdma": { "nosuch": { "hcaHandles": 2 } } }), &["rdma"]);
    refused(&json!({ "hugepageLimits": [{ "pageSize": "3MB", "limit": 0 }] }), &["hugetlb"]);
    refused(&json!({ "unified": { "memory.nosuch": "1" } }), &["memory.nosuch", "No such file"]);
    refused(&json!({ "unified": { "nosuch.max": "1" } }), &["nosuch.max", "No such file"]);
    refused(&json!({ "unified": { "memory.max": "many" } }), &["memory.max", "Invalid argument"]);
    refused(&json!({ "unified": { "cgroup.type": "nonsense" } }), &["cgroup.type"]);
    refused(&json!({ "cpu": { "cpus": "4000" } }), &["cpuset.cpus"]);
    refused(&json!({ "cpu": { "quota": 5_000, "burst": 6_000 } }), &["cpu.max.burst", "Invalid argument"]);
}

fn limits_are_changed() {
    let bundle = limited();
    assert_eq!([read("memory.max"), read("pids.max"), read("cpu.max")], ["67108864", "50", "20000 50000"]);
    bundle
        .call("update --memory 32m --memory-swap 48m --pids-limit=-1 --cpu-quota 10000 --cpu-share 2048 c")
        .succeeds();
    assert_eq!([read("memory.max"), read("pids.max"), read("cpu.max")], ["33554432", "max", "10000 50000"]);
    assert_eq!(read("cpu.weight"), "173");
    bundle.call("update --cpu-period 20000 c").succeeds();
    assert_eq!(read("cpu.max"), "10000 20000");
    let document = json!({
        "memory": { "limit": -1, "swap": 0, "reservation": 1 << 20 }, "cpu": { "shares": 0, "quota": 0, "cpus": "0" },
        "pids": { "limit": 30 }, "unified": { "memory.high": "60000000" }
    });
    let output = update(&bundle, &document);
    assert!(output.status.success(), "{output:?}");
    assert_eq!([read("memory.max"), read("pids.max"), read("memory.low")], ["max", "30", "1048576"]);
    assert_eq!([read("cpuset.cpus"), read("cpu.weight"), read("memory.high")], ["0", "173", "59998208"]);
    let data = bundle.call("events --stats c").succeeds().json()["data"].clone();
    assert_eq!(data["pids"]["limit"], 30);
    assert_eq!(data["memory"]["usage"]["limit"], u64::MAX);
    assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 0);
    assert!(data["memory"]["raw"]["anon"].is_u64() && data["cpu"]["usage"]["total"].as_u64().unwrap() > 0);
    end_limited(&bundle);
}

fn a_refusal_changes_nothing() {
    let bundle = limited();
    let all = || ["memory.max", "pids.max", "cpu.max", "memory.high"].map(read);
    let before = all();
    bundle.call("update --memory 32m --pids-limit 7 --cpuset-cpus 4000 c").fails(1, &["cpuset.cpus"]);
    assert_eq!(all(), before);
    let document = json!({
        "memory": { "limit": 32 << 20 }, "unified": { "memory.high": "1000000", "memory.nonsense": "1" },
        "devices": [{ "allow": false, "access": "rwm" }]
    });
    let output = update(&bundle, &document);
    assert!(String::from_utf8_lossy(&output.stderr).contains("memory.nonsense"), "{output:?}");
    assert_eq!(all(), before);
    let output = update(&bundle, &json!({ "memory": { "limit": 4096, "checkBeforeUpdate": true } }));
    assert!(String::from_utf8_lossy(&output.stderr).contains("more than the new limit"), "{output:?}");
    assert_eq!(all(), before);
    assert_eq!(bundle.status(), "running");
    end_limited(&bundle);
}

fn a_kill_for_want_of_memory_is_told() {
    let resources = json!({ "memory": { "limit": 12 << 20, "swap": 12 << 20 } });
    let script =
        "read x < /tmp/go; x=$(head -c 40000000 /dev/zero | tail -c 40000000 | tr '\\0' x); sleep 1000";
    let bundle = Bundle::sh(&["mkfifo /tmp/go; (", script, "); exec sleep 1000"].concat());
    let bundle = started(bundle.set("/linux/cgroupsPath", json!(GROUP)).set("/linux/resources", resources));
    let told = bundle.path("events");
    let mut listener = bundle.command("events --interval 50ms c");
    let mut listener = listener.stdout(fs::File::create(&told).unwrap()).spawn().expect("the runtime");
    while fs::metadata(&told).unwrap().len() == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut go = bundle.command("exec c sh -c");
    go.arg("until test -p /tmp/go; do sleep 0.1; done; echo > /tmp/go");
    assert!(go.status().unwrap().success());
    while !fs::read_to_string(&told).unwrap().contains("{\"type\":\"oom\",\"id\":\"c\"}\n") {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!read("memory.events").contains("oom_kill 0"));
    bundle.call("kill c KILL").succeeds();
    assert!(listener.wait().unwrap().success());
    end_limited(&bundle);
}
