//! Rights, groups and terminals that a process inside could have from outside.

use crate::exec::Place;
use crate::harness::{Case, Folder, Terminal, cases, pipkin, run};
use rustix::fs::{XattrFlags, setxattr};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            cve_2022_29162_no_inheritable_capabilities,
            cve_2022_36109_the_groups_are_the_images,
            cve_2016_3697_a_number_is_a_number,
            cve_2026_30892_users_are_read_strictly,
            cve_2024_40635_a_user_beyond_the_last,
            cve_2017_5226_nothing_is_typed_for_the_caller,
            cve_2023_25809_the_hosts_groups_cannot_be_written,
            cve_2022_0492_no_hierarchy_of_version_1,
            cve_2020_15257_no_abstract_socket,
            cve_2021_41091_state_is_for_its_owner,
            cve_2024_3056_every_file_system_in_memory_is_bounded,
        ]
    )
}

/// `security.capability` that lets a process with inheritable DAC_OVERRIDE (1) have it (vfs_cap_data, revision 2).
const MAY_INHERIT: [u8; 20] = [1, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// runc. The same in crun, CVE-2022-27650, and in docker, CVE-2022-24769.
fn cve_2022_29162_no_inheritable_capabilities() {
    let layer = Folder::new();
    let secret = layer.file("secret", "root's alone\n");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    let own = layer.join("e2e");
    fs::copy(std::env::current_exe().unwrap(), &own).unwrap();
    setxattr(&own, "security.capability", &MAY_INHERIT, XattrFlags::empty()).unwrap();
    let options =
        "-u nobody --security-opt no-new-privileges=false --security-opt seccomp=unconfined --layer";
    let attack = || run(options).option(layer.path());
    let words = ["/e2e", "--payload", "show", "/secret"];
    attack().without("no-inheritable").command(&words).prints("root's alone\n");
    assert!(!attack().command(&words).status.success());
    attack().sh("grep CapInh /proc/self/status").prints("CapInh:\t0000000000000000\n");
}

/// docker. The same in podman, CVE-2022-2989, in buildah, CVE-2022-2990, and in CRI-O, CVE-2022-2995.
fn cve_2022_36109_the_groups_are_the_images() {
    const KITCHEN: u32 = 4242;
    let layer = Folder::new();
    layer.file("etc/passwd", "cook:x:1000:1000::/:/bin/sh\n");
    layer.file("etc/group", "kitchen:x:4242:cook\n");
    let secret = layer.file("secret", "not for the kitchen\n");
    chown(&secret, Some(0), Some(KITCHEN)).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o604)).unwrap();
    let attack = || run("-u cook --layer").option(layer.path());
    attack().without("groups").command(&["cat", "/secret"]).prints("not for the kitchen\n");
    assert!(!attack().command(&["cat", "/secret"]).status.success());
}

fn cve_2016_3697_a_number_is_a_number() {
    let layer = Folder::new();
    layer.file("etc/passwd", "1000:x:0:0:trap:/:/bin/sh\n01000:x:0:0:trap:/:/bin/sh\n");
    run("-u 1000 --layer").option(layer.path()).sh("id -u").prints("1000\n");
}

/// crun's exec made root of `-u 1` (GHSA-4vg2-xjqj-7chj).
fn cve_2026_30892_users_are_read_strictly() {
    let place = Place::new("escape-user", "");
    for (user, ids) in [("1", "1\n1\n"), ("01", "1\n1\n"), ("7:8", "7\n8\n")] {
        run("-u").option(user).sh("id -u; id -g").prints(ids);
        place.sh(&format!("-u {user}"), "id -u; id -g").prints(ids);
    }
    for user in ["1:", ":1", "1:2:3", "4294967295", "-1", "+1", "0x1", "1 ", "", ":"] {
        run("-u").option(user).sh("true").expect_refusal(&[]);
        pipkin(&["exec", "-u", user, "escape-user", "true"]).expect_refusal(&[]);
    }
    place.end();
}

fn cve_2024_40635_a_user_beyond_the_last() {
    for user in ["4294967296", "4294967295", "18446744073709551616", "0:4294967296"] {
        run("-u").option(user).sh("true").expect_refusal(&[]);
    }
}

/// bubblewrap; by another command, CVE-2023-28100 and the 33rd bit, CVE-2019-10063, in flatpak.
fn cve_2017_5226_nothing_is_typed_for_the_caller() {
    // As number of 32 bits and, as in CVE-2019-7303, with a 33rd that the kernel does not look at.
    for width in ["narrow", "wide"] {
        let typed = |absent: &str| {
            let mut terminal = Terminal::open();
            let run = run("-i").without(absent).with_payload();
            let container = terminal.start(&run, &["/e2e", "--payload", "type", "evil", width]);
            terminal.expect("tried");
            container.wait().exits(0);
            terminal.passed().contains("evil")
        };
        assert!(typed("filter,own-session"));
        assert!(!typed("filter") && !typed("own-session") && !typed(""));
    }
}

fn cve_2023_25809_the_hosts_groups_cannot_be_written() {
    for options in ["", "--cap-add SYS_ADMIN", "--cgroupns host", "--cgroupns host --cap-add SYS_ADMIN"] {
        let script = "mkdir /sys/fs/cgroup/escaped 2> /dev/null && echo made
            for file in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
                [ -e $file ] && echo $$ 2> /dev/null > $file && echo moved; done; true";
        run(options).sh(script).prints("");
    }
}

fn cve_2022_0492_no_hierarchy_of_version_1() {
    let script =
        "mkdir /tmp/v1; mount -t cgroup -o rdma,none,name=x cgroup /tmp/v1 2> /dev/null && echo mounted
        unshare -UrmC sh -c 'mount -t cgroup -o none,name=x cgroup /tmp/v1' 2> /dev/null && echo mounted
        find / -name release_agent 2> /dev/null";
    run("").sh(script).prints("");
    // The capability and calls that it takes, and it works: the attack is one.
    let granted =
        "mkdir /tmp/v1; mount -t cgroup -o none,name=pipkin-e2e cgroup /tmp/v1 && ls /tmp/v1/release_agent
        umount /tmp/v1";
    run("--cap-add SYS_ADMIN --cgroupns host").sh(granted).prints("/tmp/v1/release_agent\n");
}

fn cve_2020_15257_no_abstract_socket() {
    let container = run("--net host --name pot").start_sh("echo here; exec sleep 1000");
    container.expect("here");
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    container.kill_and_clean();
    assert!(!sockets.contains("pipkin"), "{sockets}");
}

/// docker. The same in containerd, CVE-2021-41103 and CVE-2024-25621.
fn cve_2021_41091_state_is_for_its_owner() {
    let container = run("").start_sh("echo here; exec sleep 1000");
    container.expect("here");
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let modes = ["/run/pipkin", "/var/lib/pipkin/containers"].map(mode);
    container.kill_and_clean();
    assert_eq!(modes, [0o700, 0o700]);
}

fn cve_2024_3056_every_file_system_in_memory_is_bounded() {
    let script =
        "awk '$4 == \"/\"' /proc/self/mountinfo | grep ' - tmpfs ' | grep -v ' ro,' | grep -v 'size='; true";
    run("").sh(script).prints("");
    run("").image("scratch").payload("unbounded").prints("");
    for options in ["--tmpfs /x --mount type=tmpfs,dst=/y", "--ephemeral", "--userns auto --tmpfs /x"] {
        run(options).payload("unbounded").prints("");
    }
}
