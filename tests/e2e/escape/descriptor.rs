//! Descriptors of the host's that the container's process was born with.

use crate::harness::{Case, Folder, Outcome, Run, Running, cases, run};
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            cve_2024_21626_a_descriptor_that_leaks,
            cve_2024_21626_a_working_directory_by_descriptor,
            cve_2024_21626_a_working_directory_by_any_descriptor,
            cve_2024_21626_a_link_to_a_descriptor,
            cve_2024_21626_a_program_by_descriptor,
        ]
    )
}

/// Runs `words` in the container that `run` says, by a Pipkin that was started with descriptor 9 open on `outside`.
fn with_descriptor(outside: &Folder, run: &Run, words: &[&str]) -> Outcome {
    let line = run.line(words);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec 9< \"$0\"; exec \"$@\""]).arg(outside.path());
    command.arg(line.get_program()).args(line.get_args()).env_clear();
    command.envs(line.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Running::start(command, None).wait()
}

/// Runs `words` with and without each set of defences, and finds the secret of `outside` told only by the first.
fn attack(absent: &[&str], run: &Run, words: &[&str]) {
    let outside = Folder::new();
    outside.file("secret", "outside\n");
    outside.script("tool", "#!/bin/sh\necho outside\n");
    for absent in absent {
        let told = with_descriptor(&outside, &run.clone().without(absent), words);
        let gets_out = absent.contains("close-descriptors,");
        assert_eq!(told.text().contains("outside"), gets_out, "without {absent:?}: {told}");
    }
    let told = with_descriptor(&outside, run, words);
    assert!(!told.text().contains("outside"), "{told}");
}

/// runc. Of a kind with it in youki, GHSA-xr7r-f8xq-vfvv.
fn cve_2024_21626_a_descriptor_that_leaks() {
    attack(&["close-descriptors,"], &run(""), &["cat", "/proc/self/fd/9/secret"]);
}

fn cve_2024_21626_a_working_directory_by_descriptor() {
    let absent = ["close-descriptors,in-root", "close-descriptors", "in-root"];
    attack(&absent, &run("-w /proc/self/fd/9"), &["cat", "secret"]);
}

fn cve_2024_21626_a_link_to_a_descriptor() {
    let layer = Folder::new();
    std::os::unix::fs::symlink("/proc/self/fd/9", layer.join("work")).unwrap();
    let run = run("-w /work --layer").option(layer.path());
    attack(&["close-descriptors,in-root", "close-descriptors", "in-root"], &run, &["cat", "secret"]);
}

fn cve_2024_21626_a_program_by_descriptor() {
    attack(&["close-descriptors,"], &run(""), &["/proc/self/fd/9/tool"]);
}

fn cve_2024_21626_a_working_directory_by_any_descriptor() {
    let outside = Folder::new();
    for number in 3..14 {
        for place in ["", "/../../.."] {
            let run = run("-w").option(format!("/proc/self/fd/{number}{place}"));
            // Where it is one of ours it may be a directory of the container; none of the host's.
            let outcome =
                with_descriptor(&outside, &run, &["sh", "-c", "test . -ef / || pwd -P; ls -d /etc/apk"]);
            let inside = !outcome.status.success() || outcome.text() == "/etc/apk\n";
            assert!(inside && !outcome.text().contains("unreachable"), "{outcome}");
        }
    }
}
