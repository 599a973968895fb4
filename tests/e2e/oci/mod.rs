//! The OCI runtime interface, called as engines call it.

mod bundle;
mod escape;
mod hook;
mod identity;
mod label;
mod limit;
mod listener;
mod option;
mod order;
mod process;
mod refusal;
mod setting;
mod systemd;

use crate::harness::{Case, cases};
use bundle::Bundle;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

pub(crate) fn cases() -> Vec<Case> {
    let own = cases!(
        Nothing,
        [
            a_life,
            the_state_is_as_specified,
            calls_at_the_wrong_time_are_refused,
            a_process_is_needed_only_to_start,
            a_later_configuration_has_no_effect,
            run_gives_the_code_and_leaves_nothing,
            a_missing_command_is_told_when_it_is_made,
            delete_takes_away_what_is_half_made,
            one_of_many_gets_the_id,
            errors_are_logged_as_asked,
            descriptors_are_passed_on,
            a_process_is_as_configured,
            mounts_are_as_configured,
            what_lies_below_is_copied_into_memory,
            the_whole_interface_is_told,
            a_template_runs,
        ]
    );
    [
        own,
        hook::cases(),
        identity::cases(),
        label::cases(),
        limit::cases(),
        listener::cases(),
        option::cases(),
        order::cases(),
        process::cases(),
        refusal::cases(),
        setting::cases(),
        systemd::cases(),
        escape::cases(),
    ]
    .concat()
}

const SLEEPER: &str = "trap 'exit 3' TERM; while :; do sleep 0.05; done";

fn a_life() {
    let bundle = Bundle::sh(SLEEPER).written();
    let pid_file = bundle.path("pid");
    bundle.create(&format!("--bundle={} --pid-file {}", bundle.path("bundle").display(), pid_file.display()));
    let state = bundle.call("state c").succeeds().json();
    assert_eq!(state["status"], "created");
    assert_eq!(state["pid"].to_string(), fs::read_to_string(&pid_file).unwrap());
    bundle.call("start c").succeeds();
    assert_eq!(bundle.status(), "running");
    assert_eq!(bundle.call("ps --format json c").succeeds().json()[0], state["pid"]);
    bundle.call("delete c").fails(1, &["not stopped"]);
    // Until its trap is set, PID 1 is deaf to this signal.
    while bundle.status() == "running" {
        bundle.call("kill c TERM");
    }
    bundle.call("kill c KILL").fails(1, &["container not running"]);
    bundle.call("kill --all c 9").succeeds();
    bundle.call("delete c").succeeds();
    bundle.call("state c").fails(1, &["container does not exist"]);
    bundle.call("delete c").fails(1, &["container does not exist"]);
    bundle.call("delete --force c").succeeds();
    bundle.is_clean();
}

fn the_state_is_as_specified() {
    let bundle = Bundle::new(&["true"]).written();
    // An option without a value is as one that is not given.
    bundle.create("--bundle= --pid-file= --console-socket=");
    let state = bundle.call("state c").succeeds().json();
    assert_eq!(state["ociVersion"], "1.3.0");
    assert_eq!(state["id"], "c");
    assert_eq!(state["bundle"], json!(bundle.path("bundle")));
    assert_eq!(state["annotations"], json!({ "org.example.a": "b" }));
    assert_eq!(bundle.call("list -q").succeeds().text(), "c\n");
    assert_eq!(bundle.call("list --quiet --format=json").succeeds().text(), "c\n");
    let listed = bundle.call("list --format=json").succeeds().json();
    assert_eq!((&listed[0]["id"], &listed[0]["status"]), (&json!("c"), &json!("created")));
    assert_eq!((&listed[0]["owner"], &state["owner"]), (&json!("root"), &json!("root")));
    let table = bundle.call("list").succeeds().text();
    let columns = table.lines().map(|line| line.rsplit('\t').next().unwrap_or_default());
    assert!(columns.eq(["OWNER", "root"]), "{table}");
    // One who has no name.
    std::os::unix::fs::chown(bundle.path("state/c"), Some(54321), None).unwrap();
    assert_eq!(bundle.call("list -f json").succeeds().json()[0]["owner"], "#54321");
    bundle.call("delete c").succeeds();
    assert_eq!(bundle.call("list -f json").succeeds().json(), json!([]));
}

fn calls_at_the_wrong_time_are_refused() {
    let bundle = Bundle::sh(SLEEPER).written();
    for verb in ["start c", "kill c", "pause c", "state c", "ps c", "delete c"] {
        bundle.call(verb).fails(1, &["container does not exist"]);
    }
    bundle.create("");
    bundle.call("create c").fails(1, &["this id is in use"]);
    bundle.call("resume c").fails(1, &[]);
    bundle.call("start c").succeeds();
    bundle.call("start c").fails(1, &["it runs already"]);
    bundle.call("delete -f c").succeeds();
    bundle.create("");
    bundle.call("kill c KILL").succeeds();
    bundle.await_status("stopped");
    bundle.call("start c").fails(1, &["container not running"]);
    bundle.call("delete c").succeeds();
    bundle.is_clean();
}

fn a_process_is_needed_only_to_start() {
    let bundle = Bundle::new(&[]).set("/process", json!(null)).written();
    bundle.create("");
    bundle.call("start c").fails(1, &["c", "names no process"]);
    assert_eq!(bundle.status(), "created");
    bundle.call("exec c true").fails_with(255, "process is missing");
    bundle.call("delete c").succeeds();
    bundle.is_clean();
    bundle.call("run c").fails(1, &["names no process"]);
    bundle.is_clean();
}

fn a_later_configuration_has_no_effect() {
    let bundle = Bundle::sh("exit 0").written();
    bundle.create("");
    let bundle = bundle.with_text(b"{");
    bundle.call("start c").succeeds();
    bundle.await_status("stopped");
    bundle.call("delete c").succeeds();
}

fn run_gives_the_code_and_leaves_nothing() {
    let bundle = Bundle::sh("echo here; exit 7").written();
    let outcome = bundle.call("run c").exits(7);
    assert_eq!(outcome.text(), "here\n", "{outcome}");
    bundle.is_clean();
    let bundle = Bundle::sh("kill -9 $$").set("/linux/namespaces", json!([{ "type": "mount" }]));
    let bundle = bundle.set("/hostname", json!(null)).written();
    bundle.call("run c").exits(137);
    bundle.is_clean();
}

fn a_missing_command_is_told_when_it_is_made() {
    for (args, why) in
        [("nosuch", "executable file not found in $PATH"), ("/nosuch", "no such file or directory")]
    {
        let bundle = Bundle::new(&[args]).written();
        bundle.call("create c").fails(1, &[args, why]);
        bundle.is_clean();
    }
    let bundle = Bundle::new(&["/etc/passwd"]).written();
    bundle.call("create c").fails(1, &["/etc/passwd", "permission denied"]);
    bundle.is_clean();
}

fn delete_takes_away_what_is_half_made() {
    let bundle = Bundle::sh(SLEEPER).written();
    for side in ["HOST", "CHILD"] {
        for step in [2, 8] {
            let mut command = std::process::Command::new(crate::program::hooks());
            command.arg("--root").arg(bundle.path("state")).args(["create", "c"]);
            command.current_dir(bundle.path("bundle")).env(format!("PIPKIN_PAUSE_{side}"), step.to_string());
            let mut child =
                command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the runtime");
            let mut told = [0; 15];
            if side == "HOST" && step == 8 {
                // There may be no such step.
                child.kill().unwrap();
            } else {
                std::io::Read::read_exact(child.stderr.as_mut().unwrap(), &mut told).expect("the pause");
                child.kill().unwrap();
            }
            child.wait().unwrap();
            bundle.call("delete --force c").succeeds();
            bundle.is_clean();
        }
    }
}

fn one_of_many_gets_the_id() {
    let bundle = Bundle::sh(SLEEPER).written();
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let mut command = bundle.command("create c");
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the runtime")
        })
        .collect();
    let won = calls.into_iter().filter_map(|mut call| call.wait().unwrap().success().then_some(())).count();
    assert_eq!(won, 1);
    let starts: Vec<_> = (0..4).map(|_| bundle.start("start c")).collect();
    let started = starts.into_iter().filter(|_| true).map(|call| call.wait().status.success());
    assert_eq!(started.filter(|success| *success).count(), 1);
    bundle.call("delete -f c").succeeds();
    bundle.is_clean();
}

fn errors_are_logged_as_asked() {
    let bundle = Bundle::new(&["nosuch"]).written();
    let log = bundle.path("log.json");
    bundle.call(&format!("--log={} --log-format json create c", log.display())).fails(1, &["nosuch"]);
    let line: serde_json::Value = serde_json::from_slice(&fs::read(&log).unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("executable file not found"), "{line}");
    bundle.call(&format!("--log={} --log-format json create --nonsense c", log.display())).fails(1, &[]);
    let text = fs::read_to_string(&log).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(line["msg"], "create: unknown option --nonsense");
    // Before the verb too.
    for (before, unknown) in
        [("--nonsense", "--nonsense"), ("--rootless true --nonsense --debug", "--nonsense")]
    {
        let log = bundle.path("early.json");
        let call = format!("--log={} --log-format=json {before} state c", log.display());
        bundle.call(&call).fails_with(1, unknown);
        let line: serde_json::Value = serde_json::from_slice(&fs::read(&log).unwrap()).unwrap();
        assert!(line["msg"].as_str().unwrap().contains(unknown), "{line}");
        fs::remove_file(log).unwrap();
    }
    bundle.call(&format!("--log {} state c", bundle.path("log.txt").display())).fails(1, &[]);
    let text = fs::read_to_string(bundle.path("log.txt")).unwrap();
    assert!(text.starts_with("time=\"") && text.contains("level=error msg=\"cannot open"), "{text}");
    for log in ["", "--log="] {
        let told = bundle.call(&format!("{log} --log-format json create c")).exits(1).told();
        let line: serde_json::Value = serde_json::from_str(&told).expect("one line of JSON");
        assert_eq!(line["level"], "error");
    }
    // What fails beside is logged too.
    let hook = json!({ "poststop": [{ "path": "/bin/false" }] });
    let bundle = Bundle::new(&["true"]).set("/hooks", hook).written();
    let log = bundle.path("log.json");
    bundle.call(&format!("--log={} --log-format json run c", log.display())).exits(0);
    assert!(fs::read_to_string(log).unwrap().contains("/bin/false"));
}

fn descriptors_are_passed_on() {
    let script = "ls /proc/self/fd | grep -v '[0-2]$' | tr '\\n' ' '; cat <&3";
    let bundle = Bundle::sh(script).written();
    fs::write(bundle.path("given"), "passed\n").unwrap();
    let mut command = std::process::Command::new("/bin/sh");
    let call = format!(
        "exec {} --root {} run --preserve-fds 1 c 3< {}",
        crate::program::path().display(),
        bundle.path("state").display(),
        bundle.path("given").display()
    );
    command.args(["-c", &call]).current_dir(bundle.path("bundle"));
    let outcome = crate::harness::Running::start(command, None).wait().exits(0);
    assert_eq!(outcome.text(), "3 4 passed\n", "{outcome}");
    bundle.call("run --preserve-fds 5 c").fails(1, &["descriptor 3 is not open"]);
}

fn a_process_is_as_configured() {
    let script = "id -u; id -g; id -G; umask; ulimit -n; cat /proc/self/oom_score_adj; hostname; pwd; echo $HOME $A; \
                  grep -E 'NoNewPrivs|CapEff|CapBnd|CapAmb' /proc/self/status | tr -s '\\t\\n' '  '; uname -m; nice";
    let bundle = Bundle::sh(script)
        .set("/process/user", json!({ "uid": 12, "gid": 34, "umask": 23, "additionalGids": [56, 78] }))
        .set("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 128 }]))
        .set("/process/oomScoreAdj", json!(77))
        .set("/process/cwd", json!("/etc"))
        .set("/process/env", json!(["PATH=/bin:/usr/bin", "A=b"]))
        .set("/process/noNewPrivileges", json!(false))
        .set("/process/scheduler", json!({ "policy": "SCHED_BATCH", "nice": 7 }))
        .set("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 4 }))
        .set(
            "/process/capabilities",
            json!({
                "bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"],
                "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]
            }),
        )
        .set("/linux/personality", json!({ "domain": "LINUX32" }))
        .written();
    let outcome = bundle.call("run c").exits(0);
    let machine = if cfg!(target_arch = "x86_64") { "i686" } else { "armv8l" };
    let expected = format!(
        "12\n34\n34 56 78\n0027\n64\n77\nbundle\n/etc\n/ b\n\
         CapEff: 0000000000000020 CapBnd: 0000000000000021 CapAmb: 0000000000000020 NoNewPrivs: 0 {machine}\n7\n"
    );
    assert_eq!(outcome.text(), expected, "{outcome}");
}

fn mounts_are_as_configured() {
    let script = "grep -E ' /(mnt|opt|srv|media) ' /proc/self/mountinfo | cut -d' ' -f5,6 | sort; cat /mnt/x; \
                  ls -ln /dev/own | cut -c1-10; echo 2>/dev/null > /opt/x || echo closed; \
                  grep -o '^[a-z]* /srv tmpfs' /proc/mounts";
    let bundle = Bundle::sh(script);
    fs::create_dir(bundle.path("source")).unwrap();
    fs::write(bundle.path("source/x"), "bound\n").unwrap();
    let bind = |target: &str, options: &[&str]| json!({ "destination": target, "type": "bind", "source": bundle.path("source"), "options": options });
    let mounts = [
        bind("/mnt", &["rbind", "rro", "nosuid"]),
        bind("/opt", &["bind", "ro", "noexec", "nodev", "size=1k"]),
    ];
    let tmpfs = json!({ "destination": "srv", "type": "tmpfs", "source": "named", "options": ["size=1m", "nosymfollow", "noatime"] });
    let mut bundle = bundle;
    for mount in mounts.into_iter().chain([tmpfs]) {
        bundle = bundle.set("/mounts/-", mount);
    }
    let device = json!({ "path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 384 });
    let bundle = bundle
        .set("/linux/devices", json!([device]))
        .set("/linux/rootfsPropagation", json!("rslave"))
        .written();
    let outcome = bundle.call("run c").exits(0);
    let expected = "/mnt ro,nosuid,nodev,relatime\n/opt ro,nosuid,nodev,noexec,relatime\n/srv rw,noatime,nosymfollow\nbound\ncrw-------\nclosed\nnamed /srv tmpfs\n";
    assert_eq!(outcome.text(), expected, "{outcome}");
}

fn what_lies_below_is_copied_into_memory() {
    // A root of its own, with one of everything in the directory that is covered.
    let script = "cd /data; stat -c '%a %u %n' . a/b a/link pipe; readlink a/link; cat a/b; touch x 2>/dev/null || echo closed; \
                  stat -c '%a' /plain /given; ls /plain; stat -c %Y /data/a/b";
    let bundle = Bundle::sh(script).set("/root/readonly", json!(false));
    let root = bundle.path("root");
    let data = root.join("data");
    fs::create_dir_all(data.join("a")).unwrap();
    for name in ["plain", "given", "bin", "lib", "usr", "proc", "dev", "sys", "tmp"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    fs::write(root.join("plain/below"), "").unwrap();
    fs::write(data.join("a/b"), "copied\n").unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(root.join("plain"), fs::Permissions::from_mode(0o711)).unwrap();
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(86400);
    fs::File::open(data.join("a/b")).unwrap().set_modified(past).unwrap();
    std::os::unix::fs::chown(data.join("a/b"), Some(7), Some(8)).unwrap();
    fs::set_permissions(data.join("a/b"), fs::Permissions::from_mode(0o4755)).unwrap();
    std::os::unix::fs::symlink("/nowhere", data.join("a/link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        data.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let alpine = crate::harness::alpine().unwrap();
    let mount = |target: &str, options: &[&str]| json!({ "destination": target, "type": "tmpfs", "options": options });
    let bind = |name: &str| json!({ "destination": format!("/{name}"), "type": "bind", "source": alpine.join(name), "options": ["rbind", "ro"] });
    let bundle = bundle
        .set("/root/path", json!(root))
        .set("/mounts/-", mount("/data", &["tmpcopyup", "ro", "size=1m"]))
        .set("/mounts/-", mount("/plain", &["size=64k"]))
        .set("/mounts/-", mount("/given", &["mode=1700"]))
        .set("/mounts/-", bind("bin"))
        .set("/mounts/-", bind("lib"))
        .set("/mounts/-", bind("usr"))
        .written();
    let outcome = bundle.call("run c").exits(0);
    let expected =
        "750 0 .\n4755 7 a/b\n777 0 a/link\n600 0 pipe\n/nowhere\ncopied\nclosed\n711\n1700\n86400\n";
    assert_eq!(outcome.text(), expected, "{outcome}");
    // More than fits is no container, and nothing of it is left.
    fs::write(data.join("large"), vec![b'x'; 2 << 20]).unwrap();
    bundle.call("run c").fails(1, &["/data", "No space left"]);
    bundle.is_clean();
    assert!(!data.join("x").exists());
}

fn the_whole_interface_is_told() {
    let bundle = Bundle::new(&["true"]).written();
    let features = bundle.call("features").succeeds().json();
    assert_eq!(features["ociVersionMax"], "1.3.0");
    let options = features["mountOptions"].as_array().unwrap();
    for option in ["rro", "bind", "rslave", "nosymfollow", "idmap", "sync"] {
        assert!(options.contains(&json!(option)), "{option}");
    }
    // What features-linux.md has, whole.
    for pointer in [
        "/hooks",
        "/annotations",
        "/potentiallyUnsafeConfigAnnotations",
        "/linux/namespaces",
        "/linux/capabilities",
        "/linux/cgroup/systemdUser",
        "/linux/seccomp/supportedFlags",
        "/linux/apparmor/enabled",
        "/linux/selinux/enabled",
        "/linux/intelRdt/monitoring",
        "/linux/memoryPolicy/modes",
        "/linux/mountExtensions/idmap/enabled",
        "/linux/netDevices/enabled",
    ] {
        assert!(features.pointer(pointer).is_some_and(|told| !told.is_null()), "{pointer}");
    }
    let version = crate::harness::pipkin(&["--version"]).succeeds().text();
    let mut lines = version.lines();
    assert!(lines.next().unwrap().starts_with("pipkin version "), "{version}");
    assert_eq!(lines.next(), Some("spec: 1.3.0"));
    bundle.call("--version").succeeds();
    bundle.call("checkpoint c").fails(1, &["not supported"]);
}

fn a_template_runs() {
    let bundle = Bundle::new(&["true"]).written();
    fs::remove_file(bundle.path("bundle/config.json")).unwrap();
    bundle.call("spec").succeeds();
    bundle.call("spec").fails(1, &["File exists"]);
    let path = bundle.path("bundle/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["root"]["path"] = json!(crate::harness::alpine());
    config["process"]["args"] = json!(["hostname"]);
    fs::write(&path, config.to_string()).unwrap();
    assert_eq!(bundle.call("run c").exits(0).text(), "pipkin\n");
}
