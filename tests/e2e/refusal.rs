//! What was asked for and cannot be: one line that says which and why, and nothing made, kept or changed.

use crate::harness::{Case, Folder, cases, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            options_that_contradict_each_other,
            maps_that_overlap_or_go_too_far,
            profiles_that_are_none,
            profiles_with_names_that_are_none,
            nothing_is_made_before_all_is_read,
        ]
    )
}

fn options_that_contradict_each_other() {
    const OTHERWISE: &str = "another one says otherwise";
    for (one, other) in [
        ("seccomp=default", "seccomp=unconfined"),
        ("seccomp=unconfined", "seccomp=/no/such/profile.json"),
        ("no-new-privileges=true", "no-new-privileges=false"),
        ("apparmor=unconfined", "apparmor=web"),
        ("label=disable", "label=type:web_t"),
        ("label=type:db_t", "label=type:web_t"),
        ("landlock=ro:/etc", "landlock=rw:/etc"),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let options = format!("--security-opt {one} --security-opt unmask=ALL --security-opt {other}");
            run(&options).sh("echo ran").expect_refusal(&["--security-opt", other, OTHERWISE]);
        }
    }
    for (options, words) in [
        ("--cap-add NET_RAW --cap-drop cap_net_raw", &["NET_RAW", "both added and dropped"][..]),
        ("--cap-add ALL --cap-drop ALL", &["ALL", "both added and dropped"]),
        ("--userns auto --uidmap 0:100000:1", &["--userns", "leave out one of the two"]),
        ("--userns auto --cap-add ALL --net host --ip 172.20.0.9", &["--ip needs --net bridge"]),
        ("--uts host --hostname pot", &["host name", "the host's own"]),
        ("--ulimit nofile=9:8", &["--ulimit", "must not be above"]),
        ("--memory 64m --swap 32m", &["--memory-swap", "must not be less"]),
        ("--security-opt landlock=ro:/ --security-opt no-new-privileges=false", &["may raise privileges"]),
    ] {
        run(options).sh("echo ran").expect_refusal(words);
    }
}

fn maps_that_overlap_or_go_too_far() {
    for (options, words) in [
        ("--uidmap 0:100000:10 --uidmap 9:200000:10", "--uidmap 9:200000:10: it overlaps"),
        ("--uidmap 0:100000:10 --uidmap 10:100009:10", "--uidmap 10:100009:10: it overlaps"),
        ("--uidmap 0:100000:10 --uidmap 0:100000:10", "it overlaps"),
        ("--uidmap 0:100000:10 --gidmap 0:1000:2 --gidmap 1:5:1", "--gidmap 1:5:1: it overlaps"),
        ("--uidmap 0:4294967290:6", "beyond the highest id, 4294967294"),
        ("--uidmap 4294967295:1:1", "beyond the highest id, 4294967294"),
        ("--uidmap 0:4294967296:1", "INSIDE:OUTSIDE:COUNT"),
        ("--uidmap 0:1:0", "more than 0"),
        ("--uidmap 0:-1:1", "INSIDE:OUTSIDE:COUNT"),
    ] {
        run(options).sh("echo ran").expect_refusal(&[words]);
    }
}

/// Is refused with `text` as its profile, for `why`, and at the place that it begins with.
#[track_caller]
fn refused(text: impl AsRef<[u8]>, why: &str) {
    let folder = Folder::new();
    let option = format!("seccomp={}", folder.file("profile.json", text).display());
    let outcome = run("--userns auto --security-opt").option(&option).sh("echo ran");
    outcome.expect_refusal(&[&format!("pipkin run: --security-opt {option}: {why}")]);
}

fn profiles_that_are_none() {
    refused("", "line 1, column 1: a value must stand here");
    refused("{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\",\n}", "line 3, column 1: a string must stand here");
    refused("{\"defaultAction\": \"SCMP_ACT_ALLOW\"", "line 1, column 35: ',' or '}' must stand here");
    refused("{\"defaultAction\": SCMP_ACT_ALLOW}", "line 1, column 19: a value must stand here");
    refused(b"{\n\"default\xff\": 1}", "line 2, column 9: this is not UTF-8");
    refused("{\"defaultAction\": 7}", "line 1, column 19: this must be a string");
    refused("{\"syscalls\": []}", "line 1, column 1: defaultAction is missing");
    refused("[".repeat(1000), "line 1, column 66: this is nested too deep");
    let wrong =
        [("/no/such/profile.json", "No such file"), ("/etc", "Is a directory"), ("/dev/zero", "too large")];
    for (path, why) in wrong {
        run("--security-opt").option(format!("seccomp={path}")).sh("true").expect_refusal(&[path, why]);
    }
}

fn profiles_with_names_that_are_none() {
    let profile = |block: &str| {
        format!(
            "{{\"defaultAction\": \"SCMP_ACT_ERRNO\",\n \"syscalls\": [\n  {{\"names\": [\"read\", {block}}}]}}"
        )
    };
    for (block, why) in [
        (r#""opne"], "action": "SCMP_ACT_ALLOW""#, "line 3, column 22: opne is not a known system call"),
        (r#""write"], "action": "ALLOW""#, "line 3, column 42: ALLOW is not an action"),
        (
            r#""write"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "EQ"}]"#,
            "line 3, column 100: EQ is not a comparison",
        ),
        (
            r#""write"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_FLY"]}"#,
            "line 3, column 82: this is not a capability",
        ),
        (
            r#""write"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "new"}"#,
            "line 3, column 86: give a version as 4.8",
        ),
    ] {
        refused(profile(block), why);
    }
}

fn nothing_is_made_before_all_is_read() {
    let folder = Folder::new();
    for options in [
        "--security-opt seccomp=default --security-opt seccomp=unconfined",
        "--security-opt seccomp=/no/such/profile.json",
        "--uidmap 0:100000:10 --uidmap 0:100000:10",
        "--uts host --hostname pot",
        "-w relative",
        "--env-file /dev/zero",
    ] {
        let refused = run(options).volume(&folder.join("made"), "/made").sh("echo ran");
        refused.expect_refusal(&[]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{options}");
    }
}
