//! Limits of resources.

use crate::harness::{Case, Outcome, cases, run};

pub(crate) fn cases() -> Vec<Case> {
    let everywhere = cases!(Nothing, [nonsense_is_refused]);
    let without = cases!(NoLimits, [a_limit_that_cannot_be_had_is_refused]);
    let with = cases!(
        Limits,
        [
            memory_runs_out,
            memory_runs_out_for_a_child_only,
            the_whole_group_dies_when_asked_for,
            memory_and_swap_are_the_kernels_two,
            a_total_below_the_memory_is_refused,
            a_reservation_is_kept,
            a_fork_bomb_stops_at_its_bound,
            a_burner_is_throttled,
            weights_as_asked,
            cpus_as_asked,
            several_limits_at_once,
            a_limit_is_there_before_the_first_instruction,
            two_containers_have_their_own,
            tiny_memory_hangs_nobody,
            no_limit_is_none,
            limits_cannot_be_raised_from_inside,
        ]
    );
    let disk = cases!(Machine, [a_disk_is_limited]);
    [everywhere, without, with, disk].concat()
}

/// What the container's own cgroup files hold, by a payload that reads them as its first act.
fn limits(options: &str, files: &str) -> Vec<String> {
    let text = run(options).payload(&format!("limits {files}")).succeeds().text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("/"), "its group is the root of what it sees");
    lines.map(|line| line.split_once(' ').map_or("", |(_, value)| value).to_owned()).collect()
}

#[track_caller]
fn assert_out_of_memory(outcome: Outcome) {
    let outcome = outcome.exits(137);
    let told = outcome.told();
    assert!(told.starts_with("pipkin: killed by the kernel: out of memory"), "{outcome}");
    assert_eq!(told.lines().count(), 1, "{outcome}");
}

fn memory_runs_out() {
    let outcome = run("--memory 10m --swap 10m").payload("hungry 64");
    assert!(!outcome.words().contains(&"12".to_owned()), "{outcome}");
    assert_out_of_memory(outcome);
    run("--memory 64m --memory-swap 64m").payload("hungry 4").exits(0);
}

fn memory_runs_out_for_a_child_only() {
    let script = "/e2e --payload hungry 64 > /dev/null; echo code $?; grep -c 'oom_kill 1' /sys/fs/cgroup/memory.events";
    let outcome = run("--memory 10m --memory-swap 10m").with_payload().sh(script).exits(0);
    assert_eq!(outcome.text(), "code 137\n1\n", "{outcome}");
}

fn the_whole_group_dies_when_asked_for() {
    let script = "/e2e --payload hungry 64 > /dev/null; echo survived";
    let outcome = run("--memory 10m --memory-swap 10m --oom-group").with_payload().sh(script);
    assert_eq!(outcome.text(), "");
    assert_out_of_memory(outcome);
    assert_eq!(limits("--memory 64m --oom-group", "memory.oom.group"), ["1"]);
}

fn memory_and_swap_are_the_kernels_two() {
    let files = "memory.max memory.swap.max";
    assert_eq!(limits("--memory 64m", files)[0], "67108864");
    // docker's total, and what of it is swap.
    assert_eq!(limits("--memory 64m --memory-swap 80m", files), ["67108864", "16777216"]);
    assert_eq!(limits("--memory 64m --swap 64m", files), ["67108864", "0"]);
    assert_eq!(limits("--memory 64m --memory-swap -1", files), ["67108864", "max"]);
}

fn a_total_below_the_memory_is_refused() {
    run("--memory 64m --memory-swap 32m").sh("true").expect_refusal(&["memory-swap"]);
    run("--memory-swap 32m").sh("true").expect_refusal(&["memory"]);
}

fn a_reservation_is_kept() {
    assert_eq!(limits("--memory-reservation 16m", "memory.low"), ["16777216"]);
}

fn a_fork_bomb_stops_at_its_bound() {
    let outcome = run("--pids 50").payload("bomb");
    let text = outcome.exits(0).text();
    assert!(text.contains("pids.max 50\npids.current 50\npids.events max "), "{text}");
}

fn a_burner_is_throttled() {
    let text = run("--cpu 0.5").payload("burn").succeeds().text();
    let counts: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(counts.len() == 2 && counts.iter().all(|count| *count > 0), "{text}");
}

fn weights_as_asked() {
    assert_eq!(limits("--cpu-weight 33", "cpu.weight"), ["33"]);
    assert_eq!(limits("--cpu 0.25", "cpu.max"), ["25000 100000"]);
    assert_eq!(limits("--cpus 1.5", "cpu.max"), ["150000 100000"]);
    assert_eq!(limits("--cpu-quota 20000 --cpu-period 50000", "cpu.max"), ["20000 50000"]);
    assert_eq!(limits("--cpu-shares 2048", "cpu.weight"), ["173"]);
}

fn cpus_as_asked() {
    assert_eq!(limits("--cpuset-cpus 0", "cpuset.cpus cpuset.cpus.effective"), ["0", "0"]);
    assert_eq!(limits("--cpuset-mems 0", "cpuset.mems.effective"), ["0"]);
    run("--cpuset-cpus 0").sh("grep Cpus_allowed_list /proc/self/status").prints("Cpus_allowed_list:\t0\n");
    run("--cpuset-cpus 4000").sh("true").expect_refusal(&["cpuset.cpus"]);
}

const SEVERAL: &str = "--memory 96m --memory-swap 96m --cpu 0.5 --cpu-weight 50 --pids 77";
const FILES: &str = "memory.max memory.swap.max cpu.max cpu.weight pids.max";
const VALUES: [&str; 5] = ["100663296", "0", "50000 100000", "50", "77"];

fn several_limits_at_once() {
    assert_eq!(limits(SEVERAL, FILES), VALUES);
}

fn a_limit_is_there_before_the_first_instruction() {
    // The emulated machine takes about a second for each.
    for _ in 0..50 {
        assert_eq!(limits(SEVERAL, FILES), VALUES);
    }
}

fn two_containers_have_their_own() {
    let wait = "echo ready; until [ -e /gate/open ]; do sleep 0.05; done; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max";
    let gate = crate::harness::Folder::new();
    let start = |options: &str| {
        let container = run(options).volume(gate.path(), "/gate").start_sh(wait);
        container.expect("ready");
        container
    };
    let (first, second) = (start("--pids 20 --memory 32m"), start("--pids 30 --memory 48m"));
    // The one that spends all it has takes nothing from the others.
    let bomb = run("--pids 10 --memory 64m").start_payload("bomb");
    bomb.wait().exits(0);
    gate.file("open", "now\n");
    first.wait().prints("ready\n20\n33554432\n");
    second.wait().prints("ready\n30\n50331648\n");
}

fn tiny_memory_hangs_nobody() {
    for size in ["512k", "1m", "2m", "4m"] {
        let outcome = run(&format!("--memory {size} --memory-swap {size}")).sh("echo ran");
        match outcome.status.code() {
            Some(0) => outcome.prints("ran\n"),
            Some(137) => assert_out_of_memory(outcome),
            _ => outcome.expect_refusal(&[]),
        }
    }
}

fn no_limit_is_none() {
    assert_eq!(limits("", "memory.max pids.max cpu.max"), ["max", "max", "max 100000"]);
    assert_eq!(limits("--pids -1", "pids.max"), ["max"]);
}

fn limits_cannot_be_raised_from_inside() {
    let script = "echo max 2> /dev/null > /sys/fs/cgroup/pids.max || echo refused
        mount -o remount,rw /sys/fs/cgroup 2> /dev/null || echo refused";
    run("--pids 20").sh(script).prints("refused\nrefused\n");
}

fn a_limit_that_cannot_be_had_is_refused() {
    for (option, controller) in [
        ("--memory 64m", "memory"),
        ("--memory 64m --swap 64m", "memory"),
        ("--memory-reservation 16m", "memory"),
        ("--cpu 0.5", "cpu"),
        ("--cpu-weight 50", "cpu"),
        ("--cpuset-cpus 0", "cpuset"),
        ("--pids 50", "pids"),
        ("--io-weight 50", "io"),
    ] {
        run(option).sh("true").expect_refusal(&[&format!("controller {controller}"), "v1"]);
    }
}

fn nonsense_is_refused() {
    for (option, value) in [
        ("--memory", "lots"),
        ("--memory", "-5"),
        ("--memory", "0"),
        ("--memory", "5x"),
        ("--memory", "99999999999999999999"),
        ("--cpu", "0"),
        ("--cpu", "-1"),
        ("--cpu", "half"),
        ("--cpu", "0.001"),
        ("--cpu-weight", "0"),
        ("--cpu-weight", "10001"),
        ("--cpuset-cpus", "first"),
        ("--cpuset-cpus", "3-1"),
        ("--pids", "0"),
        ("--pids", "-2"),
        ("--io-weight", "x"),
        ("--device-read-bps", "/dev/null:1m"),
        ("--device-read-bps", "/dev/vda"),
    ] {
        run("")
            .option(option)
            .option(value)
            .sh("true")
            .expect_refusal(&[option.trim_start_matches('-'), value]);
    }
}

fn a_disk_is_limited() {
    let Some(disk) = ["/dev/vda", "/dev/loop0"].into_iter().find(|disk| std::path::Path::new(disk).exists())
    else {
        panic!("the machine has no disk");
    };
    let number = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata(disk).unwrap());
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let options = format!("--device-read-bps {disk}:1m --device-write-iops {disk}:77");
    let line = &limits(&options, "io.max")[0];
    assert_eq!(line, &format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=77"));
}
