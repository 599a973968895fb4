//! The program inside of a container, its own or one as another engine makes it.

use crate::harness::{Case, Folder, Outcome, alpine, cases, run};
use crate::program;
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            root_with_every_right_runs_containers,
            a_user_runs_containers,
            what_a_default_container_refuses_is_named,
            what_dockers_profile_refuses_is_named,
            what_other_engines_hide_is_named,
            what_is_missing_for_root_is_named,
            the_system_is_shown_whole_on_request,
        ]
    )
}

/// The profile that podman has for its containers, as the distribution ships it.
const PODMAN: &str = "/usr/share/containers/seccomp.json";

/// Runs `words` of the program in a container with these options.
fn inside(options: &str, words: &[&str]) -> Outcome {
    let outer = run(&["--net none ", options].concat());
    let outer =
        outer.volume(Path::new(&program::path()), "/pipkin:ro").volume(&alpine().unwrap(), "/image:ro");
    outer.command(&[&["/pipkin"], words].concat())
}

/// A container in that container.
fn nested(options: &str) -> Outcome {
    inside(
        options,
        &["run", "--rm", "--net", "none", "/image", "sh", "-c", "echo $$; hostname -s > /x; ls /x"],
    )
}

const MEMORY: &str = "--tmpfs /run --tmpfs /var/lib";
/// Somebody in the outer container.
const USER: &str = "-u 1000 -e XDG_RUNTIME_DIR=/tmp/r -e XDG_DATA_HOME=/tmp/d --tmpfs /tmp";

fn root_with_every_right_runs_containers() {
    let all = "--cap-add ALL --security-opt seccomp=unconfined";
    nested(&[all, MEMORY].join(" ")).prints("1\n/x\n");
    // On the overlay that the outer root is there can be no other: told, with a way out.
    nested(all).expect_refusal(&["--ephemeral"]);
    let told = inside(all, &["doctor"]).text();
    let line = told.lines().find(|line| line.contains("  data directory  ")).unwrap_or_default();
    assert!(line.starts_with("limited") && line.contains("on an overlay"), "{told}");
}

fn a_user_runs_containers() {
    let open = "--security-opt systempaths=unconfined --security-opt seccomp=unconfined";
    nested(&[open, USER].join(" ")).prints("1\n/x\n");
    if Path::new(PODMAN).exists() {
        let options = format!("{USER} --security-opt unmask=ALL --security-opt seccomp={PODMAN}");
        // It lets nobody but who has SYS_ADMIN outside call sethostname(2), also in a namespace of one's own.
        nested(&options).expect_refusal(&["host name", "--uts host"]);
        inside(&options, &["run", "--rm", "--net", "none", "--uts", "host", "/image", "echo", "ran"])
            .prints("ran\n");
        let told = inside(&options, &["doctor"]).exits(0).text();
        for (state, name) in [("ok", "user namespace"), ("ok", "procfs"), ("limited", "system calls")] {
            let line = told.lines().find(|line| line.contains(&format!("  {name}  "))).unwrap_or_default();
            assert!(line.starts_with(state), "{name} in {told}");
        }
    }
}

/// What docker's profile says of namespaces and mounts: refused, and clone3 hidden, but for who has SYS_ADMIN.
fn dockers_rules() -> String {
    let calls = "bpf fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root setns umount2 unshare";
    let names: Vec<&str> = calls.split(' ').collect();
    let excludes = json!({ "caps": ["CAP_SYS_ADMIN"] });
    let refuse = |name: &[&str], errno: u32, args: Value| json!({ "names": name, "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args, "excludes": excludes });
    let mut rules = vec![refuse(&names, 1, json!([])), refuse(&["clone3"], 38, json!([]))];
    for bit in [17, 25, 26, 27, 28, 29, 30] {
        let flag = 1_u32 << bit;
        let args = json!([{ "index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ" }]);
        rules.push(refuse(&["clone"], 1, args));
    }
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules }).to_string()
}

fn what_dockers_profile_refuses_is_named() {
    let folder = Folder::new();
    let profile = folder.file("docker.json", dockers_rules());
    let filter = format!("--security-opt seccomp={}", profile.display());
    for who in ["", USER] {
        nested(&[&filter, " ", who].concat()).expect_refusal(&["clone", "clone3 is refused", "SYS_ADMIN"]);
    }
    let capabilities = "--cap-add SYS_ADMIN --cap-add MKNOD --cap-add NET_ADMIN";
    nested(&[&filter, capabilities, MEMORY].join(" ")).prints("1\n/x\n");
}

fn what_a_default_container_refuses_is_named() {
    nested("").expect_refusal(&["clone", "clone3 is refused", "seccomp=unconfined"]);
    nested(USER).expect_refusal(&["clone", "clone3 is refused", "seccomp=unconfined"]);
    let told = inside("", &["doctor"]).exits(1).text();
    let line = told.lines().find(|line| line.contains("  user namespace  ")).unwrap_or_default();
    assert!(line.starts_with("no ") && line.contains("a filter hides clone3"), "{told}");
}

/// Parts of `/proc` that are masked there stay hidden from a new one.
fn what_other_engines_hide_is_named() {
    let options = format!("{USER} --security-opt seccomp=unconfined");
    nested(&options).expect_refusal(&["proc", "systempaths=unconfined", "unmask=ALL"]);
    let told = inside(&options, &["doctor"]).exits(1).text();
    let line = told.lines().find(|line| line.contains("  procfs  ")).unwrap_or_default();
    assert!(line.starts_with("no ") && line.contains("systempaths=unconfined"), "{told}");
}

fn what_is_missing_for_root_is_named() {
    let options = ["--cap-add SYS_ADMIN", MEMORY].join(" ");
    nested(&options).expect_refusal(&["/dev/null", "MKNOD"]);
    let options = ["--cap-add MKNOD", &options].join(" ");
    nested(&options).expect_refusal(&["loopback", "NET_ADMIN"]);
    nested(&["--cap-add NET_ADMIN", &options].join(" ")).prints("1\n/x\n");
}

fn the_system_is_shown_whole_on_request() {
    let script = "head -c 4 /proc/timer_list | wc -c; touch /proc/sys/kernel/hostname && echo writable";
    run("").sh("head -c 4 /proc/timer_list | wc -c").prints("0\n");
    for option in ["systempaths=unconfined", "unmask=ALL"] {
        run("--security-opt").option(option).sh(script).prints("4\nwritable\n");
    }
    let folder = Folder::new();
    run("--security-opt")
        .option(["unmask=", folder.path().to_str().unwrap()].concat())
        .sh("true")
        .expect_refusal(&[]);
}
