//! Bad input, and a machine that cannot give what is asked: one clear line, the right code, nothing left.

use crate::harness::{Case, Folder, cases, pipkin, run};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs;
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            an_unknown_verb,
            an_unknown_option,
            an_option_without_its_value,
            a_switch_with_a_value,
            no_image,
            no_command_is_a_shell,
            an_image_that_is_not_there,
            an_image_that_is_a_file,
            an_image_name_that_is_none,
            an_image_without_anything,
            bad_names,
            a_bad_mode,
            names_longer_than_the_kernel_takes,
            control_characters_are_not_shown,
            help_for_all,
            a_full_disk,
            a_disk_full_from_the_start,
            a_read_only_disk,
            a_store_that_is_a_file,
            errors_of_the_kernel_name_their_subject,
        ]
    )
}

fn an_unknown_verb() {
    let outcome = pipkin(&["cook"]).exits(125);
    assert!(outcome.told().contains("cook") && outcome.told().lines().count() <= 2, "{outcome}");
}

fn an_unknown_option() {
    for option in ["--colour", "--colour=red", "-Z", "-iZ", "---", "--no-rm"] {
        run("").option(option).sh("true").expect_refusal(&[]);
    }
    run("--colour").sh("true").expect_refusal(&["--colour", "--help"]);
}

fn an_option_without_its_value() {
    pipkin(&["run", "--hostname"]).expect_refusal(&["--hostname"]);
    pipkin(&["run", "-e"]).expect_refusal(&["-e"]);
    run("--hostname=").sh("true").expect_refusal(&["hostname"]);
}

fn a_switch_with_a_value() {
    run("--read-only=x").sh("true").expect_refusal(&["--read-only"]);
}

fn no_image() {
    pipkin(&["run"]).expect_refusal(&["IMAGE"]);
    pipkin(&["run", "--rm"]).expect_refusal(&["IMAGE"]);
}

fn no_command_is_a_shell() {
    run("-i").input(*b"echo $0 $$").command::<&str>(&[]).prints("/bin/sh 1\n");
    run("--rm").image("scratch").command::<&str>(&[]).exits(0);
}

fn an_image_that_is_not_there() {
    for image in ["/nonexistent", "./nonexistent", "nonexistent", "../nonexistent"] {
        run("").image(image).sh("true").expect_refusal(&[image]);
    }
}

fn an_image_that_is_a_file() {
    run("").image("/etc/passwd").sh("true").expect_refusal(&["/etc/passwd"]);
}

fn an_image_name_that_is_none() {
    for image in ["", " ", "a b", "-x", "\u{fc}", "%2F"] {
        run("--").image(image).sh("true").expect_refusal(&[image]);
    }
}

fn an_image_without_anything() {
    let image = Folder::new();
    run("").image(image.path()).sh("true").expect_refusal(&["empty"]);
    assert!(fs::read_dir(image.path()).unwrap().next().is_none());
}

fn bad_names() {
    for name in ["-x", "a b", "a/b", "..", "", "é", &"x".repeat(300)] {
        run("").option(format!("--name={name}")).sh("true").expect_refusal(&["name"]);
    }
}

fn a_bad_mode() {
    for option in ["--net", "--pid", "--ipc", "--uts", "--cgroupns", "--userns"] {
        run(option).option("side/ways").sh("true").expect_refusal(&[option, "side/ways"]);
        run(option).option("ns:/nonexistent/ns").sh("true").expect_refusal(&[]);
    }
    run("--security-opt sideways").sh("true").expect_refusal(&["sideways"]);
    run("--uidmap 0:0").sh("true").expect_refusal(&["0:0"]);
    run("--net ns:/etc/passwd").sh("true").expect_refusal(&["/etc/passwd"]);
}

fn names_longer_than_the_kernel_takes() {
    let long = "x".repeat(65);
    run("--hostname").option(&long).sh("true").expect_refusal(&["hostname"]);
    run("--domainname").option(&long).sh("true").expect_refusal(&["domainname"]);
    let long = format!("/{}", "x".repeat(256));
    run("-w").option(&long).sh("true").expect_refusal(&[]);
    run("-v").option(format!("/etc:{long}")).sh("true").expect_refusal(&[]);
    run("").image(&long).sh("true").expect_refusal(&[]);
}

fn control_characters_are_not_shown() {
    let outcome = run("-u nobody").image("/no\x1b[2Jne").sh("true").exits(125);
    assert!(!outcome.stderr.contains(&0x1b), "{outcome}");
    let outcome = run("").command(&["/no\x1b[2Jne"]).exits(127);
    assert!(!outcome.stderr.contains(&0x1b), "{outcome}");
}

fn help_for_all() {
    for words in [
        &["--help"][..],
        &["run", "--help"],
        &["doctor", "--help"],
        &["probe", "--help"],
        &["init", "--help"],
    ] {
        let text = pipkin(words).succeeds().text();
        assert!(text.starts_with("Usage: pipkin"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 90), "{text}");
    }
}

/// A small disk in the place of the data directory's containers.
struct SmallDisk;

const CONTAINERS: &str = "/var/lib/pipkin/containers";

impl SmallDisk {
    fn new(flags: MountFlags, size: &std::ffi::CStr) -> Self {
        fs::create_dir_all(CONTAINERS).unwrap();
        mount("tmpfs", CONTAINERS, "tmpfs", flags, size).unwrap();
        Self
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            unmount(CONTAINERS, UnmountFlags::DETACH).unwrap();
        });
    }
}

fn a_full_disk() {
    let disk = SmallDisk::new(MountFlags::empty(), c"size=256k");
    let outcome = run("").sh("dd if=/dev/zero of=/big bs=64k count=100 2>&1 | grep -c 'No space'; df -k / | tail -1 | awk '{print $2}'");
    drop(disk);
    outcome.prints("1\n256\n");
}

fn a_disk_full_from_the_start() {
    // One inode is the root's own.
    for options in [
        c"size=4k,nr_inodes=1",
        c"size=4k,nr_inodes=2",
        c"nr_inodes=3",
        c"nr_inodes=4",
        c"nr_inodes=5",
        c"nr_inodes=6",
    ] {
        let disk = SmallDisk::new(MountFlags::empty(), options);
        let outcome = run("").sh("true");
        let left = fs::read_dir(CONTAINERS).unwrap().count();
        drop(disk);
        assert_eq!(left, 0, "{options:?}");
        if outcome.status.success() { outcome.prints("") } else { outcome.expect_refusal(&["room"]) }
    }
}

fn a_read_only_disk() {
    let disk = SmallDisk::new(MountFlags::RDONLY, c"");
    let outcome = run("").sh("true");
    drop(disk);
    outcome.expect_refusal(&["Read-only"]);
}

fn a_store_that_is_a_file() {
    let layers = Path::new(CONTAINERS);
    let aside = layers.with_file_name("aside");
    fs::create_dir_all(layers).unwrap();
    fs::rename(layers, &aside).unwrap();
    fs::write(layers, "").unwrap();
    let outcome = run("").sh("true");
    fs::remove_file(layers).unwrap();
    fs::rename(&aside, layers).unwrap();
    outcome.expect_refusal(&[]);
}

fn errors_of_the_kernel_name_their_subject() {
    run("--layer /proc").image("scratch").command(&["/pipkin"]).expect_refusal(&["--layer"]);
}
