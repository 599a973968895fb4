//! User namespaces: who root inside is, and whose the files are.

use crate::harness::{Case, Folder, Run, Running, alpine, cases, detached, pipkin, run};
use crate::rootless::Over;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            root_inside_is_nobody_outside,
            a_range_is_chosen_and_told,
            a_range_has_one_container_at_a_time,
            a_range_is_kept_as_long_as_its_container,
            the_image_is_roots_inside_and_unchanged_outside,
            what_is_written_belongs_to_the_mapped_root,
            nothing_of_the_host_is_mounted_inside,
            the_host_is_seen_where_it_is_shared,
            devices_come_from_the_host,
            no_further_user_namespace,
            a_volume_has_its_owners_by_request_only,
            maps_as_they_are_typed,
            the_network_is_its_own,
            a_user_of_the_image_is_one_of_the_range,
            scratch_and_memory_work_too,
            parameters_of_its_namespaces_can_be_set,
            wrong_maps_are_told_in_a_line,
        ]
    )
}

/// The first id of the range that `mapped` gives.
const FIRST: u32 = 700_000;

/// In a range of ids that the case says.
fn mapped(options: &str) -> Run {
    run(&format!("--uidmap 0:{FIRST}:65536 {options}"))
}

fn root_inside_is_nobody_outside() {
    let container = mapped("").start_sh("echo ready; exec sleep 1000");
    container.expect("ready");
    let status = fs::read_to_string(format!("/proc/{}/status", container.container_pid())).unwrap();
    for kind in ["Uid", "Gid"] {
        assert!(status.contains(&format!("{kind}:\t{FIRST}\t{FIRST}\t{FIRST}\t{FIRST}\n")), "{status}");
    }
    container.kill_and_clean();
}

fn a_range_is_chosen_and_told() {
    let text = run("--userns auto").sh("cat /proc/self/uid_map").succeeds().text();
    let numbers: Vec<u32> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!((numbers[0], numbers[2]), (0, 65_536), "{text}");
    assert!(numbers[1] >= 100_000, "{text}");
    let told = run("--userns auto --dry-run").sh("true").succeeds().text();
    assert!(told.contains("+65536 as 0 and group ids "), "{told}");
}

/// With just two ranges for containers.
fn with_two_ranges() -> (Folder, [Over; 2]) {
    let folder = Folder::new();
    let allotted = folder.file("allotted", "pipkin:200000:131072\n");
    let over = ["/etc/subuid", "/etc/subgid"].map(|file| Over::lay(&allotted, file));
    (folder, over)
}

fn first_ids(container: &Running) -> [u32; 2] {
    container.expect("ready");
    let pid = container.container_pid();
    ["uid_map", "gid_map"].map(|file| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        text.split_whitespace().nth(1).unwrap().parse().unwrap()
    })
}

fn a_range_has_one_container_at_a_time() {
    let _ranges = with_two_ranges();
    let start =
        || run("--userns auto").start_sh("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    let (one, two) = (start(), start());
    let mut firsts = [first_ids(&one), first_ids(&two)];
    firsts.sort_unstable();
    assert_eq!(firsts, [[200_000; 2], [265_536; 2]]);
    let refused =
        || run("--userns auto").sh("true").expect_refusal(&["other containers have all", "/etc/subuid"]);
    refused();
    one.signal(15);
    one.wait().exits(0);
    let three = start();
    three.expect("ready");
    refused();
    // What a killed Pipkin held is free again.
    three.kill();
    two.kill();
    run("").sh("true").prints("");
    let (four, five) = (start(), start());
    four.expect("ready");
    five.expect("ready");
    four.kill_and_clean();
    five.kill_and_clean();
    assert_eq!(fs::read_dir("/run/pipkin/users").unwrap().count(), 0);
}

fn a_range_is_kept_as_long_as_its_container() {
    let _ranges = with_two_ranges();
    // Its files are of these ids until it is removed.
    let ended = detached("--userns auto", &["true"]);
    assert_eq!(ended.ended(), "0");
    run("--userns auto").sh("echo ran").prints("ran\n");
    let other = detached("--userns auto", &["sleep", "1000"]);
    run("--userns auto").sh("true").expect_refusal(&["other containers have all"]);
    // To tell of a container takes nothing from others, and a failed one keeps nothing.
    run("--userns auto --dry-run").sh("true").succeeds();
    drop((ended, other));
    for _ in 0..3 {
        run("--userns auto").command(&["/nowhere"]).exits(127);
        pipkin(&["run", "-d", "--userns", "auto", alpine().unwrap().to_str().unwrap(), "/nowhere"])
            .exits(127);
    }
    assert_eq!(fs::read_dir("/run/pipkin/users").unwrap().count(), 0);
}

fn the_image_is_roots_inside_and_unchanged_outside() {
    let busybox = alpine().unwrap().join("bin/busybox");
    let before = fs::metadata(&busybox).unwrap();
    mapped("").sh("stat -c %u:%g /bin/busybox /etc/shadow / /etc").prints("0:0\n0:42\n0:0\n0:0\n");
    let after = fs::metadata(&busybox).unwrap();
    assert_eq!((before.uid(), before.ctime_nsec()), (after.uid(), after.ctime_nsec()));
}

fn what_is_written_belongs_to_the_mapped_root() {
    let folder = Folder::new();
    chown(folder.path(), Some(FIRST), Some(FIRST)).unwrap();
    let script = "touch /v/a; chown 5:6 /v/a; touch /etc/b; chown 7 /bin/busybox; stat -c %u /bin/busybox";
    mapped("").volume(folder.path(), "/v").sh(script).prints("7\n");
    let made = fs::metadata(folder.join("a")).unwrap();
    assert_eq!((made.uid(), made.gid()), (FIRST + 5, FIRST + 6));
}

fn nothing_of_the_host_is_mounted_inside() {
    let outside = run("").sh("cut -d' ' -f5 /proc/self/mountinfo | sort").succeeds().text();
    let inside = mapped("").sh("cut -d' ' -f5 /proc/self/mountinfo | sort").succeeds().text();
    let devices = |point: &&str| {
        !["null", "zero", "full", "random", "urandom", "tty"]
            .iter()
            .any(|name| *point == format!("/dev/{name}"))
    };
    let without: Vec<&str> = inside.lines().filter(devices).collect();
    assert_eq!(without, outside.lines().collect::<Vec<_>>());
    mapped("").sh("ls -di /..; ls -di /").succeeds();
}

fn the_host_is_seen_where_it_is_shared() {
    let script =
        "grep -c '^Name' /proc/1/status; touch /sys/x 2>/dev/null; grep ' /sys' /proc/self/mountinfo";
    let told = mapped("--net host --pid host --ipc host --uts host --cgroupns host").sh(script).text();
    assert!(told.starts_with("1\n"), "{told}");
    for line in told.lines().skip(1) {
        let options = line.split(' ').nth(5).unwrap();
        assert!(options.starts_with("ro,"), "{line}");
    }
}

fn devices_come_from_the_host() {
    let script = "echo x > /dev/null; head -c 3 /dev/zero | wc -c; mknod /dev/x c 1 3 || echo refused";
    let told = mapped("--cap-add MKNOD").sh(script).exits(0);
    assert_eq!(told.text(), "3\nrefused\n", "{told}");
    mapped("--device /dev/null:/dev/nil").sh("stat -c %t:%T /dev/nil").prints("1:3\n");
}

fn no_further_user_namespace() {
    let script = "unshare -U true 2>/dev/null || echo refused; cat /proc/sys/user/max_user_namespaces";
    mapped("").sh(script).prints("refused\n0\n");
    mapped("--security-opt seccomp=unconfined").sh(script).prints("refused\n0\n");
}

fn a_volume_has_its_owners_by_request_only() {
    let folder = Folder::new();
    folder.file("a", "x");
    let look = "stat -c %u /v/a; touch /v/b 2>/dev/null || echo refused";
    mapped("").volume(folder.path(), "/v").sh(look).prints("65534\nrefused\n");
    mapped("").volume(folder.path(), "/v:idmap").sh(look).prints("0\n");
    assert_eq!(fs::metadata(folder.join("b")).unwrap().uid(), 0);
    mapped("").volume(folder.path(), "/v:idmap,ro").sh(look).prints("0\nrefused\n");
    run("").volume(folder.path(), "/v:idmap").sh(look).expect_refusal(&["user namespace"]);
}

fn maps_as_they_are_typed() {
    let maps = run("--uidmap 0:5000:10 --uidmap 10:9000:5 --gidmap 0:6000:20");
    maps.sh("cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '")
        .prints(" 0 5000 10\n 10 9000 5\n 0 6000 20\n");
    run("--uidmap 0:5000:1").sh("id -u; id -G; ls -ln /dev/pts | wc -l").prints("0\n0\n2\n");
}

fn the_network_is_its_own() {
    mapped("").sh("cat /sys/class/net/lo/flags; ls /sys/class/net").prints("0x9\neth0\nlo\n");
    mapped("--cap-add NET_ADMIN").sh("ip link set lo down && cat /sys/class/net/lo/flags").prints("0x8\n");
}

fn a_user_of_the_image_is_one_of_the_range() {
    mapped("-u nobody")
        .sh("id -u; grep CapEff /proc/self/status")
        .prints("65534\nCapEff:\t0000000000000000\n");
    run("--uidmap 0:5000:10 -u 11").sh("true").expect_refusal(&["place in the user namespace"]);
}

fn scratch_and_memory_work_too() {
    mapped("--ephemeral")
        .sh("mkdir /etc/x; rm -r /media; touch /media; ls -d /etc/x /media")
        .prints("/etc/x\n/media\n");
    let told = mapped("").image("scratch").command(&["/pipkin", "probe"]).succeeds().text();
    assert!(told.contains("uid                 0\n"), "{told}");
    mapped("--init --read-only").sh("echo $$; touch /x 2>/dev/null || echo refused").prints("2\nrefused\n");
}

fn parameters_of_its_namespaces_can_be_set() {
    mapped("--sysctl net.ipv4.ip_forward=1").sh("cat /proc/sys/net/ipv4/ip_forward").prints("1\n");
}

fn wrong_maps_are_told_in_a_line() {
    for (options, words) in [
        ("--uidmap 0:1:2 --uidmap 1:9:1", "overlaps"),
        ("--uidmap 0:1", "INSIDE:OUTSIDE:COUNT"),
        ("--uidmap 0:4294967295:1", "4294967294"),
        ("--uidmap 1:5000:10", "0 has no place"),
        ("--gidmap 0:1:1", "--uidmap too"),
        ("--userns keep-id", "root outside"),
        ("--userns private", "keep-id"),
        ("--userns auto --net ns:/proc/self/ns/net", "no rights over it"),
        ("--userns auto --uidmap 0:1:1", "leave out one"),
    ] {
        run(options).sh("true").expect_refusal(&[words]);
    }
}
