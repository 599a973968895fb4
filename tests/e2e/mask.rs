//! What is hidden and what cannot be written.

use crate::harness::{Case, Folder, Outcome, cases, run};
use pipkin::spec::DEFAULT_MASKED;
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            every_masked_path_is_empty,
            masks_cannot_be_written,
            thermal_counters_are_hidden,
            parameters_cannot_be_written,
            the_magic_key_cannot_be_pressed,
            sysfs_cannot_be_written,
            a_proc_that_is_a_link_is_refused,
            a_sys_that_is_a_link_is_refused,
            a_dev_that_is_a_link_leads_nowhere_outside,
            an_etc_that_is_a_link_leads_nowhere_outside,
            a_proc_that_is_a_file_is_refused,
            masks_hold_for_every_user,
        ]
    )
}

/// Says of each path whether it is absent, an empty file, an empty directory, or `open`.
const LOOK: &str = r#"for path in "$@"; do
    if [ -d $path ]; then [ -z "$(ls -A $path)" ] && echo $path empty || echo $path open
    elif [ -e $path ]; then [ -z "$(head -c 1 $path 2> /dev/null)" ] && echo $path empty || echo $path open
    else echo $path absent; fi
done"#;

fn look(options: &str) -> Outcome {
    let mut words = vec!["sh", "-c", LOOK, "sh"];
    words.extend(DEFAULT_MASKED.iter().map(|path| path.to_str().unwrap()));
    run(options).command(&words)
}

#[track_caller]
fn assert_masked(outcome: Outcome) {
    let text = outcome.succeeds().text();
    for (path, line) in DEFAULT_MASKED.iter().zip(text.lines()) {
        let path = path.to_str().unwrap();
        // What the machine has, the container has too, but empty.
        let state = if Path::new(path).exists() { "empty" } else { "absent" };
        assert_eq!(line, format!("{path} {state}"));
    }
    assert_eq!(text.lines().count(), DEFAULT_MASKED.len());
    assert!(text.contains("empty"), "{text}");
}

/// `/proc/interrupts` and powercap among them: GHSA-6fw5-f8r9-fgfm, GHSA-jq35-85cj-fj4p.
fn every_masked_path_is_empty() {
    assert_masked(look(""));
}

fn masks_hold_for_every_user() {
    assert_masked(look("-u nobody"));
    assert_masked(look("--cap-add SYS_ADMIN"));
}

fn masks_cannot_be_written() {
    let script =
        "touch /sys/firmware/x 2> /dev/null || echo refused; rmdir /proc/scsi 2> /dev/null || echo refused
        stat -c %t:%T /proc/timer_list; grep -c ' /sys/firmware ro,nosuid,nodev,noexec' /proc/self/mountinfo";
    run("").sh(script).prints("refused\nrefused\n1:3\n1\n");
}

/// GHSA-6fw5-f8r9-fgfm.
fn thermal_counters_are_hidden() {
    run("")
        .sh("ls -A /sys/devices/system/cpu/cpu*/thermal_throttle 2> /dev/null | grep -v : | tr -d '\\n'")
        .exits(0)
        .assert_says("");
}

fn parameters_cannot_be_written() {
    for path in
        ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward"]
    {
        let before = std::fs::read(path).unwrap();
        run("--cap-add SYS_ADMIN")
            .sh(&format!("echo x 2> /dev/null > {path} || echo refused"))
            .prints("refused\n");
        assert_eq!(before, std::fs::read(path).unwrap());
    }
}

fn the_magic_key_cannot_be_pressed() {
    run("--cap-add SYS_ADMIN")
        .sh("echo h 2> /dev/null > /proc/sysrq-trigger || echo refused")
        .prints("refused\n");
    run("--cap-add SYS_ADMIN")
        .sh("for p in bus fs irq; do touch /proc/$p/x 2> /dev/null || echo $p; done")
        .prints("bus\nfs\nirq\n");
}

fn sysfs_cannot_be_written() {
    run("--cap-add SYS_ADMIN").sh("echo 1 2> /dev/null > /sys/kernel/uevent_seqnum || echo refused; mkdir /sys/fs/cgroup/x 2> /dev/null || echo refused").prints("refused\nrefused\n");
}

/// An image whose `name` is a link to a directory outside of it, and that directory.
fn linked(name: &str) -> (Folder, Folder) {
    let (image, outside) = (Folder::new(), Folder::new());
    for folder in ["proc", "sys", "dev", "etc"].into_iter().filter(|folder| *folder != name) {
        image.folder(folder);
    }
    std::os::unix::fs::symlink(outside.path(), image.join(name)).unwrap();
    (image, outside)
}

fn is_empty(folder: &Folder) -> bool {
    std::fs::read_dir(folder.path()).unwrap().next().is_none()
}

fn a_proc_that_is_a_link_is_refused() {
    let (image, outside) = linked("proc");
    run("").image(image.path()).command(&["/x"]).expect_refusal(&["/proc", "link"]);
    assert!(is_empty(&outside));
}

fn a_sys_that_is_a_link_is_refused() {
    let (image, outside) = linked("sys");
    run("").image(image.path()).command(&["/x"]).expect_refusal(&["/sys", "link"]);
    assert!(is_empty(&outside));
}

fn a_dev_that_is_a_link_leads_nowhere_outside() {
    let (image, outside) = linked("dev");
    run("").image(image.path()).command(&["/x"]).expect_refusal(&["/dev", "link"]);
    assert!(is_empty(&outside));
}

fn an_etc_that_is_a_link_leads_nowhere_outside() {
    let (image, outside) = linked("etc");
    outside.file("passwd", "cook:x:7:7::/:/bin/sh\n");
    let run = run("--net none -u cook").image(image.path());
    run.command(&["/x"]).expect_refusal(&["cook"]);
    std::fs::remove_file(outside.join("passwd")).unwrap();
    assert!(is_empty(&outside));
}

fn a_proc_that_is_a_file_is_refused() {
    let image = Folder::new();
    image.file("proc", "");
    run("").image(image.path()).command(&["/x"]).expect_refusal(&["/proc"]);
}
