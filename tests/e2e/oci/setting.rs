//! What a container is set in: memory nodes, clocks, labels, interfaces, what systemd gave the engine.

use super::bundle::Bundle;
use crate::harness::{Case, Running, cases};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            memory_nodes_are_as_configured,
            a_time_namespace_is_joined,
            labels_need_their_module,
            an_interface_is_handed_over,
            interfaces_that_cannot_be_had,
            sockets_of_the_engine_are_passed_on,
            little_waits_for_the_start,
            signals_by_name_and_number,
            a_cgroup_belongs_to_who_may_write_there,
            a_bundle_on_a_read_only_disk,
            every_option_of_a_mount_has_its_effect,
            names_and_devices_are_as_configured,
        ]
    )
}

fn namespaces(more: Value) -> Value {
    let mut list: Vec<Value> =
        ["pid", "ipc", "uts", "mount", "cgroup"].iter().map(|kind| json!({ "type": kind })).collect();
    list.push(more);
    json!(list)
}

fn memory_nodes_are_as_configured() {
    let policy = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] });
    let script = "grep -m1 -o ' bind[^ ]*' /proc/self/numa_maps || echo none";
    let bundle = Bundle::sh(script).set("/linux/memoryPolicy", policy).written();
    let outcome = bundle.call("run c");
    // A kernel that knows no nodes says so.
    if outcome.status.success() {
        assert_eq!(outcome.text(), " bind=static:0\n", "{outcome}");
    } else {
        outcome.fails(1, &["memory policy", "Function not implemented"]);
    }
    bundle.is_clean();
    for (policy, words) in [
        (json!({ "mode": "MPOL_X" }), &["linux.memoryPolicy.mode", "MPOL_X"][..]),
        (json!({ "mode": "MPOL_BIND", "nodes": "a" }), &["linux.memoryPolicy.nodes"]),
        (json!({ "mode": "MPOL_BIND", "flags": ["X"] }), &["linux.memoryPolicy.flags[0]"]),
    ] {
        let bundle = Bundle::new(&["true"]).set("/linux/memoryPolicy", policy).written();
        bundle.call("create c").fails(1, words);
        bundle.is_clean();
    }
}

fn a_time_namespace_is_joined() {
    let offset = json!({ "boottime": { "secs": 1_000_000 } });
    let list = namespaces(json!({ "type": "time" }));
    let first = Bundle::sh("while :; do sleep 0.05; done")
        .set("/linux/namespaces", list)
        .set("/linux/timeOffsets", offset)
        .written();
    first.create("");
    first.call("start c").succeeds();
    let pid = first.call("state c").succeeds().json()["pid"].to_string();
    let list = namespaces(json!({ "type": "time", "path": format!("/proc/{pid}/ns/time") }));
    let second = Bundle::sh("cut -d. -f1 /proc/uptime").set("/linux/namespaces", list);
    let second = second.set("/linux/cgroupsPath", json!("/oci-time")).written();
    let outcome = second.call("run d").exits(0);
    let uptime: u64 = outcome.text().trim().parse().unwrap();
    assert!(uptime > 1_000_000, "{outcome}");
    first.call("delete --force c").succeeds();
    let list = namespaces(json!({ "type": "time", "path": "/nosuch" }));
    let bundle = Bundle::new(&["true"]).set("/linux/namespaces", list).written();
    bundle.call("create c").fails(1, &["/nosuch", "No such file"]);
    bundle.is_clean();
}

fn labels_need_their_module() {
    let has =
        |module: &str| fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|list| list.contains(module));
    if !has("selinux") {
        let bundle = Bundle::new(&["true"]).set("/linux/mountLabel", json!("a:b:c")).written();
        bundle.call("create c").fails(1, &["linux.mountLabel", "SELinux is not in force"]);
        let bundle = Bundle::new(&["true"]).set("/process/selinuxLabel", json!("a:b:c")).written();
        bundle.call("create c").fails(1, &["a:b:c", "SELinux is not in force"]);
        bundle.is_clean();
    }
    if !has("apparmor") {
        let bundle = Bundle::new(&["true"]).set("/process/apparmorProfile", json!("some")).written();
        bundle.call("create c").fails(1, &["some", "AppArmor is not in force"]);
        bundle.is_clean();
        let bundle = Bundle::sh("while :; do sleep 0.05; done").written();
        bundle.create("");
        bundle.call("start c").succeeds();
        bundle.call("exec --apparmor some c true").fails_with(255, "some");
        bundle.call("exec --process-label a:b:c c true").fails_with(255, "a:b:c");
        // As engines do: a container whose dead are not reaped does not end.
        crate::harness::reap_orphans();
        bundle.call("delete --force c").succeeds();
    }
}

/// A shell in a network namespace of its own that has the interface `h0`, which makes this call.
fn in_a_network(bundle: &Bundle, call: &str) -> Running {
    let script = format!(
        "ip link add h0 type veth peer name h1 && ip link set h1 up && ip address add 10.77.0.5/24 dev h0 && ip address add fd77::5/64 dev h0 nodad && \
         exec {} --root {} {call}",
        crate::program::path().display(),
        bundle.path("state").display()
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script]).current_dir(bundle.path("bundle"));
    Running::start(command, None)
}

fn an_interface_is_handed_over() {
    let script = "ip -o address show dev inside | grep -v ' scope link' | tr -s ' ' | cut -d' ' -f4; \
                  ip link show inside | grep -o ',UP'; ip link show h0 2>/dev/null || echo gone";
    let bundle = Bundle::sh(script).set("/linux/netDevices", json!({ "h0": { "name": "inside" } })).written();
    let outcome = in_a_network(&bundle, "run c").wait().exits(0);
    assert_eq!(outcome.text(), "10.77.0.5/24\nfd77::5/64\n,UP\ngone\n", "{outcome}");
    bundle.is_clean();
}

fn interfaces_that_cannot_be_had() {
    let bundle = Bundle::new(&["true"]).set("/linux/netDevices", json!({ "nosuch": {} })).written();
    in_a_network(&bundle, "create c").wait().fails(1, &["nosuch", "No such device"]);
    bundle.is_clean();
    let bundle = Bundle::new(&["true"]).set("/linux/netDevices", json!({ "h0": { "name": "lo" } })).written();
    in_a_network(&bundle, "create c").wait().fails(1, &["File exists"]);
    bundle.is_clean();
    for name in ["eth%d", "a/b", "", "sixteen-bytes-it"] {
        let devices = json!({ "h0": { "name": name } });
        let bundle = Bundle::new(&["true"]).set("/linux/netDevices", devices);
        let bundle = if name.is_empty() {
            bundle.set("/linux/namespaces", json!([{ "type": "mount" }, { "type": "uts" }]))
        } else {
            bundle
        };
        let words = if name.is_empty() { "no network namespace of its own" } else { "netDevices.h0" };
        bundle.written().call("create c").fails(1, &[words]);
    }
}

fn sockets_of_the_engine_are_passed_on() {
    let script = "echo $LISTEN_FDS $LISTEN_PID $NOTIFY_SOCKET; ls /proc/self/fd | tr '\\n' ' '; \
                  test -S $NOTIFY_SOCKET && echo there";
    let bundle =
        Bundle::sh(script).set("/mounts/-", json!({ "destination": "/run", "type": "tmpfs" })).written();
    let notify = bundle.path("notify");
    let _socket = UnixDatagram::bind(&notify).unwrap();
    let call = format!(
        "LISTEN_FDS=2 LISTEN_PID=$$ NOTIFY_SOCKET={} exec {} --root {} run c 3< /dev/null 4< /dev/null",
        notify.display(),
        crate::program::path().display(),
        bundle.path("state").display()
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &call]).current_dir(bundle.path("bundle"));
    let outcome = Running::start(command, None).wait().exits(0);
    assert_eq!(outcome.text(), "2 1 /run/notify/notify.sock\n0 1 2 3 4 5 there\n", "{outcome}");
    // What was meant for another process is not for the container.
    let mut command = bundle.command("run c");
    command.env("LISTEN_FDS", "2").env("LISTEN_PID", "1").stdin(Stdio::null());
    let outcome = Running::start(command, None).wait();
    assert!(outcome.text().starts_with("\n"), "{outcome}");
    bundle.is_clean();
}

fn little_waits_for_the_start() {
    let bundle = Bundle::new(&["true"]).written();
    bundle.create("");
    let pid = bundle.call("state c").succeeds().json()["pid"].to_string();
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kib = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<u64>().ok());
    assert!(kib.unwrap() <= 300, "{rollup}");
    bundle.call("start c").succeeds();
    bundle.await_status("stopped");
    bundle.call("delete c").succeeds();
}

fn signals_by_name_and_number() {
    let script = "for s in USR1 RTMIN+3 37 HUP; do trap \"echo $s\" ${s#SIG} 2>/dev/null; done; trap 'echo 37' 37; \
                  trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let bundle = Bundle::sh(script).written();
    let told = bundle.path("told");
    let mut command = bundle.command("run c");
    let mut running = command.stdin(Stdio::null()).stdout(fs::File::create(&told).unwrap()).spawn().unwrap();
    let await_word = |word: &str| {
        while !fs::read_to_string(&told).unwrap().lines().any(|line| line == word) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    await_word("ready");
    for (signal, word) in [("USR1", "USR1"), ("sighup", "HUP"), ("RTMIN+3", "37")] {
        bundle.call(&format!("kill c {signal}")).succeeds();
        await_word(word);
    }
    bundle.call("kill c 0").succeeds();
    for wrong in ["65", "NONE", "RTMAX+1", "-1x"] {
        assert!(!bundle.call(&format!("kill c {wrong}")).status.success(), "{wrong}");
    }
    bundle.call("kill c 15").succeeds();
    assert!(running.wait().unwrap().success());
    bundle.call("kill c 0").fails(1, &["container does not exist"]);
}

fn a_cgroup_belongs_to_who_may_write_there() {
    let script = "id -u; stat -c %u /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/mine 2>/dev/null && echo made; \
                  rmdir /sys/fs/cgroup/mine 2>/dev/null; exit 0";
    let map = json!([{ "containerID": 0, "hostID": 200_000, "size": 65536 }]);
    for (options, expected) in [(json!(["nosuid"]), "0\n0\nmade\n"), (json!(["ro"]), "0\n65534\n")] {
        let cgroup = json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "options": options });
        let bundle = Bundle::sh(script)
            .set("/linux/namespaces/-", json!({ "type": "user" }))
            .set("/linux/uidMappings", map.clone())
            .set("/linux/gidMappings", map.clone())
            .set("/mounts/-", cgroup)
            .written();
        assert_eq!(bundle.call("run c").exits(0).text(), expected);
        bundle.is_clean();
    }
}

fn a_bundle_on_a_read_only_disk() {
    // Alpine has what the first one mounts on, and not what the second one does.
    for (target, words) in
        [("/tmp", None), ("/nosuch/place", Some(["/nosuch/place", "Read-only file system"]))]
    {
        let bundle = Bundle::new(&["/bin/echo", "here"]).set("/root/path", json!("root"));
        let bundle = bundle.set("/mounts/-", json!({ "destination": target, "type": "tmpfs" })).written();
        let (root, alpine) = (bundle.path("bundle/root"), crate::harness::alpine().unwrap());
        fs::create_dir(&root).unwrap();
        let script = format!(
            "cd {bundle} && mount -n --bind . . && cd {bundle} && mount -n --bind {alpine} root && \
             mount -n -o remount,bind,ro root && mount -n -o remount,bind,ro . && exec {program} --root {state} run c",
            alpine = alpine.display(),
            bundle = bundle.path("bundle").display(),
            program = crate::program::path().display(),
            state = bundle.path("state").display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        let outcome = Running::start(command, None).wait();
        match words {
            None => assert_eq!(outcome.exits(0).text(), "here\n"),
            Some(words) => outcome.fails(1, &words),
        }
        bundle.is_clean();
    }
}

fn every_option_of_a_mount_has_its_effect() {
    const USUAL: &str = "rw,relatime - tmpfs named rw";
    // What the kernel tells of the mount (proc(5), mountinfo) with these options, the last of which counts.
    let told = [
        ("ro", "ro,relatime - tmpfs named rw"),
        ("nosuid", "rw,nosuid,relatime - tmpfs named rw"),
        ("nodev", "rw,nodev,relatime - tmpfs named rw"),
        ("noexec", "rw,noexec,relatime - tmpfs named rw"),
        ("noatime", "rw,noatime - tmpfs named rw"),
        ("nodiratime", "rw,nodiratime,relatime - tmpfs named rw"),
        ("strictatime", "rw - tmpfs named rw"),
        ("nosymfollow", "rw,relatime,nosymfollow - tmpfs named rw"),
        ("rnosuid", "rw,nosuid,relatime - tmpfs named rw"),
        ("rro", "ro,relatime - tmpfs named rw"),
        ("sync", "rw,relatime - tmpfs named rw,sync"),
        ("dirsync", "rw,relatime - tmpfs named rw,dirsync"),
        ("lazytime", "rw,relatime - tmpfs named rw,lazytime"),
        ("unbindable", "rw,relatime unbindable - tmpfs named rw"),
        ("runbindable", "rw,relatime unbindable - tmpfs named rw"),
    ];
    let taken_back = [
        "ro rw",
        "nosuid suid",
        "nodev dev",
        "noexec exec",
        "noatime atime",
        "nodiratime diratime",
        "strictatime nostrictatime",
        "strictatime relatime",
        "nosymfollow symfollow",
        "sync async",
        "lazytime nolazytime",
        "mand nomand",
        "rro rrw",
        "rnosuid rsuid",
        "rnodev rdev",
        "rnoexec rexec",
        "rnoatime ratime",
        "rnodiratime rdiratime",
        "rstrictatime rnostrictatime",
        "rstrictatime rrelatime",
        "rnosymfollow rsymfollow",
        "defaults loud iversion noiversion silent norelatime rnorelatime",
        "shared private",
        "rshared rprivate",
        "slave rslave private",
    ];
    for (options, expected) in told.into_iter().chain(taken_back.map(|options| (options, USUAL))) {
        let options: Vec<&str> = options.split(' ').collect();
        let mount = json!({ "destination": "/mnt", "type": "tmpfs", "source": "named", "options": options });
        let bundle = Bundle::sh("grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f6-");
        let outcome = bundle.set("/mounts/-", mount).written().call("run c").exits(0);
        assert_eq!(outcome.text().trim_end(), expected, "{options:?}: {outcome}");
    }
    let mount = json!({ "destination": "/mnt", "type": "tmpfs", "options": ["remount"] });
    let bundle = Bundle::new(&["true"]).set("/mounts/-", mount).written();
    bundle.call("create c").fails(1, &["mounts[5].options[0]", "made, not changed"]);
    bundle.is_clean();
}

fn names_and_devices_are_as_configured() {
    let script = "cat /proc/sys/kernel/domainname; ls /dev | tr '\\n' ' '; stat -c '%a %t:%T' /dev/null; \
                  readlink /dev/fd; readlink /dev/ptmx";
    let bundle = Bundle::sh(script)
        .set("/domainname", json!("domain"))
        // Without a terminal its size means nothing.
        .set("/process/consoleSize", json!({ "height": 5, "width": 9 }))
        .set("/linux/devices", json!([{ "type": "c", "path": "/dev/null", "major": 1, "minor": 3 }]))
        .written();
    let expected = "domain\nfd full null ptmx pts random stderr stdin stdout tty urandom zero 666 1:3\n\
                    /proc/self/fd\npts/ptmx\n";
    let outcome = bundle.call("run c").exits(0);
    assert_eq!(outcome.text(), expected, "{outcome}");
    bundle.is_clean();
}
