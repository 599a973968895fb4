//! The filter as the container's programs meet it.

use crate::program::pipkin;
use libtest_mimic::{Completion, Failed, Trial};
use std::process::Output;
use std::{env, fs};

pub(crate) fn cases() -> Vec<Trial> {
    vec![
        Trial::test(
            "seccomp::a_wrong_profile_is_told_with_its_place",
            a_wrong_profile_is_told_with_its_place,
        ),
        Trial::ignorable_test("seccomp::no_namespace_without_the_capability", || {
            let refused = |output: &Output| String::from_utf8_lossy(&output.stderr).contains("not permitted");
            in_container(&[], "unshare -m true", refused)?;
            in_container(&["--security-opt", "seccomp=unconfined"], "unshare -U true", succeeds)?;
            in_container(&["--cap-add", "SYS_ADMIN"], "unshare -m true", succeeds)
        }),
        Trial::ignorable_test("seccomp::a_filter_is_there_unless_refused", || {
            let status = "grep -q '^Seccomp:\t2' /proc/self/status";
            in_container(&[], status, succeeds)?;
            in_container(&["--security-opt", "seccomp=unconfined"], status, |output| !succeeds(output))
        }),
        Trial::ignorable_test("seccomp::a_profile_takes_the_place_of_the_default", || {
            let full = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":
                [{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
            with_profile(full, |option| {
                let full =
                    |output: &Output| String::from_utf8_lossy(&output.stderr).contains("No space left");
                in_container(&["--security-opt", option], "mkdir /tmp/x", full)?;
                in_container(&["--security-opt", option], "unshare -U true", succeeds)
            })
        }),
    ]
}

fn succeeds(output: &Output) -> bool {
    output.status.success()
}

/// Calls `test` with the option for a profile file with this text.
fn with_profile<T>(text: &str, test: impl FnOnce(&str) -> Result<T, Failed>) -> Result<T, Failed> {
    let name = format!("pipkin-profile-{}-{}.json", std::process::id(), text.len());
    let path = env::temp_dir().join(name);
    fs::write(&path, text)?;
    let outcome = test(&format!("seccomp={}", path.display()));
    fs::remove_file(&path)?;
    outcome
}

fn a_wrong_profile_is_told_with_its_place() -> Result<(), Failed> {
    let wrong = "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\n \"syscalls\":[{\"names\":[\"mkdirr\"],\"action\":\"SCMP_ACT_KILL\"}]}";
    with_profile(wrong, |option| {
        let output = pipkin().args(["run", "--security-opt", option, "scratch"]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let place = "line 2, column 24: mkdirr is not a known system call";
        if output.status.code() == Some(125) && said.contains(place) {
            return Ok(());
        }
        Err(format!("{}: {said}", output.status).into())
    })
}

/// Runs `script` in an Alpine container; `holds` judges what came of it.
fn in_container(
    options: &[&str],
    script: &str,
    holds: impl FnOnce(&Output) -> bool,
) -> Result<Completion, Failed> {
    let Some(root) = env::var_os("PIPKIN_ROOTFS") else {
        return Ok(Completion::ignored_with("PIPKIN_ROOTFS names no Alpine"));
    };
    if !rustix::process::geteuid().is_root() {
        return Ok(Completion::ignored_with("only root can run a container here"));
    }
    let mut run = pipkin();
    run.args(["run", "--rm"]).args(options).arg(root).args(["sh", "-c", script]);
    let output = run.output()?;
    if holds(&output) {
        return Ok(Completion::Completed);
    }
    Err(format!("{script} {options:?}: {output:?}").into())
}
