//! What steers the kernel, laid over, linked away or aimed at something else.

use crate::harness::{Case, Folder, Run, cases, run};
use std::fs;
use std::os::unix::fs::symlink;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            cve_2019_16884_nothing_lies_over_proc,
            cve_2025_52881_a_parameter_written_elsewhere,
            cve_2025_31133_a_mask_made_of_something_else,
            cve_2019_19921_a_proc_that_is_a_link,
            cve_2023_27561_a_proc_that_is_a_link_to_a_volume,
            cve_2025_54867_a_sys_that_is_a_link,
            cve_2025_52565_a_console_that_is_a_link,
            cve_2022_0811_parameters_of_the_machine_are_refused,
        ]
    )
}

/// An image whose `name` says `target`.
fn linked(name: &str, target: &str) -> Folder {
    let image = Folder::new();
    for folder in ["proc", "sys", "dev", "real"].into_iter().filter(|folder| *folder != name) {
        image.folder(folder);
    }
    symlink(target, image.join(name)).unwrap();
    image
}

fn cve_2019_16884_nothing_lies_over_proc() {
    let (layer, fake) = (Folder::new(), Folder::new());
    symlink("/proc/self/attr", layer.join("link")).unwrap();
    let fake = fake.file("fake", "nothing of the kernel's\n");
    let attack = || run("--layer").option(layer.path()).volume(&fake, "/link/exec");
    attack()
        .without("whole-proc")
        .command(&["cat", "/proc/self/attr/exec"])
        .prints("nothing of the kernel's\n");
    attack().sh("true").expect_refusal(&["/link/exec"]);
    for place in ["/proc", "/proc/self/attr/exec", "/proc/../proc/sys", "//proc/./sys/kernel"] {
        run("").volume(&fake, place).sh("true").expect_refusal(&[]);
    }
}

/// runc. The same in youki, CVE-2025-62596.
fn cve_2025_52881_a_parameter_written_elsewhere() {
    const NAME: &str = "net.ipv4.ip_default_ttl";
    let layer = Folder::new();
    symlink("/proc/sys/net/ipv4", layer.join("link")).unwrap();
    let folder = Folder::new();
    for (absent, written) in [("whole-proc,own-proc", "77"), ("whole-proc", ""), ("own-proc", ""), ("", "")] {
        let file = folder.file("victim", "");
        let run = run("--sysctl").option(format!("{NAME}=77")).option("--layer").option(layer.path());
        let outcome = run.without(absent).volume(&file, "/link/ip_default_ttl").sh("true");
        assert_eq!(fs::read_to_string(&file).unwrap(), written, "without {absent:?}: {outcome}");
    }
}

/// runc. The same in youki, CVE-2025-62161.
fn cve_2025_31133_a_mask_made_of_something_else() {
    // A /dev of the attacker's, whose null is what it wants to reach by the name of a file that is masked.
    let dev = Folder::new();
    symlink("/proc/sys/kernel/core_pattern", dev.join("null")).unwrap();
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let attack = || run("-i").volume(dev.path(), "/dev");
    let aimed = attack().without("verified-null").command(&["cat", "/proc/timer_list"]);
    assert_eq!(aimed.succeeds().text(), pattern);
    attack().sh("cat /proc/timer_list; stat -c %t:%T /proc/timer_list").prints("1:3\n");
}

/// Starts a container of `image` whose `name` is no directory of its own: refused, but for one without `absent`.
fn refused_unless(absent: &str, image: &Folder, name: &str) {
    let run = || run("").image(image.path());
    run().without(absent).payload("list /real").exits(0);
    run().payload("list /real").expect_refusal(&[name, "link"]);
}

fn cve_2019_19921_a_proc_that_is_a_link() {
    refused_unless("real-directory", &linked("proc", "/real"), "/proc");
    refused_unless("real-directory", &linked("proc", "real"), "/proc");
    let (image, outside) = (linked("proc", "/nowhere"), Folder::new());
    run("").image(image.path()).volume(outside.path(), "/nowhere").payload_refused("/proc");
}

/// runc: CVE-2019-19921 again, and with it AppArmor's profile for nothing, CVE-2023-28642.
fn cve_2023_27561_a_proc_that_is_a_link_to_a_volume() {
    let (shared, other) = (Folder::new(), Folder::new());
    shared.folder("proc");
    let image = linked("proc", "/shared/proc");
    let attack = || run("").image(image.path());
    let orders = [[(&shared, "/shared"), (&other, "/other")], [(&other, "/other"), (&shared, "/shared")]];
    for [(one, first), (two, second)] in orders {
        attack().volume(one.path(), first).volume(two.path(), second).payload_refused("/proc");
        assert!(fs::read_dir(shared.join("proc")).unwrap().next().is_none());
    }
}

/// youki.
fn cve_2025_54867_a_sys_that_is_a_link() {
    refused_unless("real-directory", &linked("sys", "/real"), "/sys");
}

/// runc and youki.
fn cve_2025_52565_a_console_that_is_a_link() {
    // The terminal's name is never looked up, so what lies there does not matter; and the console is laid over nothing
    // but a file.
    let dev = Folder::new();
    dev.folder("pts");
    symlink("/etc/passwd", dev.join("console")).unwrap();
    symlink("/etc/passwd", dev.join("pts/0")).unwrap();
    symlink("/proc/sys/kernel/core_pattern", dev.join("pts/ptmx")).unwrap();
    run("-t").volume(dev.path(), "/dev").sh("true").expect_refusal(&[]);
    fs::remove_file(dev.join("console")).unwrap();
    dev.file("console", "");
    // A terminal's major number, 136 (Documentation/admin-guide/devices.txt).
    for run in [run("-t"), run("-t").volume(dev.path(), "/dev")] {
        let told = run.sh("stat -c %t /dev/console").exits(0).text();
        assert_eq!(told.trim(), "88");
    }
}

fn cve_2022_0811_parameters_of_the_machine_are_refused() {
    for parameter in [
        "kernel.core_pattern=|/bin/sh",
        "kernel.modprobe=/x",
        "kernel.shm_rmid_forced=1+kernel.core_pattern=|/x",
        "net.ipv4.ip_forward=1\nx",
        "net/../kernel/core_pattern=x",
        "net.../kernel.core_pattern=x",
        "vm.overcommit_memory=1",
    ] {
        run("--sysctl").option(parameter).sh("true").expect_refusal(&[]);
    }
    run("--net host --sysctl net.ipv4.ip_default_ttl=77")
        .sh("true")
        .expect_refusal(&["net.ipv4.ip_default_ttl"]);
}

impl Run {
    /// Is refused because of `name`.
    #[track_caller]
    fn payload_refused(self, name: &str) {
        self.command(&["/x"]).expect_refusal(&[name, "link"]);
    }
}
