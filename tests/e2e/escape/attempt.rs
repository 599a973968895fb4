//! `pipkin probe --attempt` inside: what reaches the kernel's code, and what does not.

use crate::harness::{Case, Run, cases, run};
use crate::program;
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            all_is_refused_by_default,
            all_is_refused_to_anybody_anywhere,
            the_filter_is_what_keeps_system_calls_out,
            capabilities_are_what_keeps_the_machine_out,
            masks_and_read_only_mounts_are_what_keeps_files_out,
        ]
    )
}

fn attempt(run: Run) -> Run {
    run.volume(Path::new(&program::path()), "/pipkin:ro")
}

const WORDS: [&str; 4] = ["/pipkin", "probe", "--attempt", "--json"];

/// The attempts under this heading that got through.
fn through(run: Run, heading: &str) -> Vec<String> {
    let report = attempt(run).command(&WORDS).exits(1).json();
    assert_ne!(report["got_through"], 0);
    let entries = report[heading].as_object().expect("a heading").iter();
    let got = |how: &serde_json::Value| how.as_str().is_some_and(|how| how.starts_with("GOT THROUGH"));
    entries.filter(|(_, how)| got(how)).map(|(name, _)| name.clone()).collect()
}

#[track_caller]
fn assert_among(found: &[String], expected: &[&str]) {
    for name in expected {
        assert!(found.iter().any(|found| found == name), "{name} among {found:?}");
    }
}

fn all_is_refused_by_default() {
    let report = attempt(run("")).command(&WORDS).exits(0).json();
    assert_eq!(report["got_through"], 0);
    assert!(report["calls"].as_object().unwrap().len() > 60);
    assert_eq!(report["climb out of a chroot"], "refused");
    let told = run("").image("scratch").command(&["/pipkin", "probe", "--attempt"]).exits(0).text();
    assert!(told.contains("io_uring_setup") && !told.contains("GOT THROUGH"), "{told}");
}

fn all_is_refused_to_anybody_anywhere() {
    for options in [
        "-u nobody",
        "--init",
        "--read-only",
        "--ephemeral",
        "--userns auto",
        "--security-opt no-new-privileges=false",
        "--net host --pid host --ipc host --uts host --cgroupns host",
    ] {
        attempt(run(options)).command(&WORDS).exits(0);
    }
}

/// CVE-2021-22555, CVE-2022-0185, CVE-2023-2640 and CVE-2023-32629, CVE-2023-32233, CVE-2024-1086 and CVE-2026-53362 by a
/// user namespace; CVE-2016-0728 by keys; CVE-2022-3176 by io_uring; CVE-2023-28100 by a terminal; by families of
/// sockets CVE-2026-31431 (AF_ALG), CVE-2026-43494 (AF_RDS), CVE-2026-31635 and CVE-2026-43500 (AF_RXRPC), and
/// CVE-2026-43284 and CVE-2026-46300 (xfrm).
fn the_filter_is_what_keeps_system_calls_out() {
    let found = through(run("--security-opt seccomp=unconfined"), "calls");
    let expected = [
        "unshare user",
        "clone user",
        "clone3 user",
        "keyctl",
        "add_key",
        "request_key",
        "io_uring_setup",
        "personality",
        "ioctl TIOCLINUX",
        "ioctl TIOCSETD",
        "ioctl TIOCSETD wide",
        "vmsplice",
        "cachestat",
        "pidfd_getfd",
        "kcmp",
        "socketpair AF_ALG",
        "socket netlink netfilter",
    ];
    assert_among(&found, &expected);
    // Run by the test's own build of the program, so that the shipped one is seen to have the filter.
    assert_among(&through(run("").without("filter"), "calls"), &expected);
}

/// CVE-2023-0386, CVE-2025-38498 and others by mounts; Shocker by handles; CVE-2020-14386 by packets; CVE-2022-0492 by
/// hierarchies.
fn capabilities_are_what_keeps_the_machine_out() {
    const CAPABILITIES: &str = "--cap-add SYS_ADMIN --cap-add SYS_BOOT --cap-add NET_RAW --cap-add SYS_PACCT --cap-add SYSLOG \
        --cap-add DAC_READ_SEARCH --cap-add MKNOD --cap-add SYS_TIME";
    let expected = [
        "mount",
        "umount2",
        "pivot_root",
        "fsopen",
        "open_tree",
        "move_mount",
        "mount_setattr",
        "unshare mount",
        "unshare network",
        "unshare cgroup",
        "unshare pid",
        "unshare uts",
        "unshare ipc",
        "setns",
        "open_by_handle_at",
        "fanotify_init",
        "bpf",
        "perf_event_open",
        "reboot",
        "acct",
        "syslog",
        "sethostname",
        "socket AF_PACKET",
        "socket AF_INET raw",
    ];
    // The filter lets through what a granted capability is for, and each was granted.
    assert_among(&through(run(CAPABILITIES), "calls"), &expected);
    assert_among(&through(run(CAPABILITIES), "nodes"), &["device 8:0", "device 1:1"]);
}

/// CVE-2025-31133, CVE-2022-0492 by groups; what tells of others by time and heat, GHSA-6fw5-f8r9-fgfm and
/// GHSA-jq35-85cj-fj4p, where the machine has such files.
fn masks_and_read_only_mounts_are_what_keeps_files_out() {
    let opened = run("").without("masks");
    assert_among(&through(opened.clone(), "reads"), &["/proc/interrupts", "/proc/timer_list"]);
    assert_among(
        &through(opened, "writes"),
        &["/proc/sys/kernel/core_pattern", "/proc/irq/default_smp_affinity"],
    );
}
