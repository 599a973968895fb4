//! The child looks at itself before the command runs: what a step left undone is found, and nothing runs.

use crate::harness::{Case, Folder, cases, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            a_root_that_is_still_there_is_found,
            a_mask_that_does_not_hold_is_found,
            a_filter_that_is_not_installed_is_found,
            privileges_that_can_be_raised_are_found,
            capabilities_that_were_not_planned_are_found,
            what_is_as_planned_passes,
        ]
    )
}

/// With a defence away and the check on guard, nothing runs; with both away, everything does.
fn finds(defence: &str, why: &str) {
    run("").without(&format!("!{defence}")).sh("echo ran").expect_refusal(&[why]);
    run("").without(defence).sh("echo ran").prints("ran\n");
}

fn a_root_that_is_still_there_is_found() {
    finds("old-root-gone", "its root is not the one that was built");
}

fn a_mask_that_does_not_hold_is_found() {
    finds("masks", "what should be masked");
}

fn a_filter_that_is_not_installed_is_found() {
    finds("filter", "not those of the plan");
}

fn privileges_that_can_be_raised_are_found() {
    run("--security-opt seccomp=unconfined")
        .without("!no-new-privileges")
        .sh("echo ran")
        .expect_refusal(&["not those of the plan"]);
}

fn capabilities_that_were_not_planned_are_found() {
    finds("no-inheritable", "not those of the plan");
}

fn what_is_as_planned_passes() {
    let folder = Folder::new();
    for options in [
        "-t --read-only --tmpfs /tmp --userns auto --cap-add ALL --cap-drop CHOWN",
        "-u 5:6 --security-opt no-new-privileges=false --init",
        "--userns auto --security-opt seccomp=unconfined --net host --pid host",
        "--ephemeral --cap-drop ALL --net host --ipc host --uts host --cgroupns host",
        "-v /proc/sys:/host/sys:ro -v /:/host/root:ro,rslave",
    ] {
        run(options).volume(folder.path(), "/var/run/v").sh("true").exits(0);
    }
}
