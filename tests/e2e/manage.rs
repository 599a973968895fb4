//! Looking at containers that run, stopping them for a while, and changing their limits.

use crate::exec::{Place, wait_until};
use crate::harness::{Case, Running, alpine, cases, pipkin};
use crate::program;

pub(crate) fn cases() -> Vec<Case> {
    [
        cases!(
            Nothing,
            [
                stats_show_what_runs,
                stats_are_refreshed,
                stats_are_asked_for_properly,
                the_processes_are_listed,
                a_pause_stops_everything,
                what_is_paused_can_be_removed,
                what_is_held_up_can_be_removed,
                what_does_not_run_is_told,
            ]
        ),
        cases!(NoLimits, [limits_that_cannot_be_had_are_told]),
        cases!(Limits, [limits_change, a_change_is_whole_or_none, stats_show_limits]),
    ]
    .concat()
}

fn stats(name: &str) -> serde_json::Value {
    pipkin(&["stats", "--no-stream", "--format=json", name]).succeeds().json()[0].clone()
}

fn stats_show_what_runs() {
    let idle = Place::new("stats-idle", "");
    let busy = Place::of("stats-busy", "", "echo ready; sleep 1000 & while :; do :; done");
    let of_busy = stats("stats-busy");
    assert!(of_busy["cpu_percent"].as_f64().expect("a share") > 0.5, "{of_busy}");
    assert_eq!((&of_busy["pids"], &of_busy["status"]), (&2.into(), &"running".into()));
    let of_idle = stats("stats-idle");
    assert!(of_idle["cpu_percent"].as_f64().expect("a share") < 0.5, "{of_idle}");
    assert_eq!(of_idle["network_received_bytes"], 0);
    let table = pipkin(&["stats", "--no-stream"]).succeeds().text();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("ID ") && lines.len() == 3, "{table}");
    // The newest comes first.
    assert!(lines[1].contains("stats-busy") && lines[2].contains("stats-idle"), "{table}");
    busy.end();
    idle.end();
}

fn stats_are_refreshed() {
    let place = Place::new("stats-stream", "");
    let mut command = program::pipkin();
    command.args(["stats", "--interval", "20", "--format", "json", "stats-stream"]);
    let stream = Running::start(command, None);
    stream.expect("]\n[");
    stream.kill();
    place.end();
}

fn stats_are_asked_for_properly() {
    pipkin(&["stats", "--interval", "1"]).expect_refusal(&["--interval"]);
    pipkin(&["stats", "--interval", "soon"]).expect_refusal(&["--interval"]);
    pipkin(&["stats", "--format", "xml"]).expect_refusal(&["--format"]);
    pipkin(&["stats", "--no-stream", "no-such"]).expect_refusal(&["no-such"]);
    assert!(pipkin(&["stats", "--no-stream"]).succeeds().text().starts_with("ID "));
    pipkin(&["stats", "--no-stream", "--format", "json"]).prints("[]\n");
}

fn the_processes_are_listed() {
    let place = Place::of("top", "", "sleep 1234 & echo ready; exec sleep 1235");
    let list = || pipkin(&["top", "top"]).succeeds().text();
    wait_until(|| list().contains("0:00  sleep 1234\n") && list().contains("0:00  sleep 1235\n"));
    let table = list();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert_eq!(rows[0], ["PID", "INSIDE", "PARENT", "USER", "TIME", "COMMAND"]);
    let first = rows.iter().find(|row| row[1] == "1").expect("the first process");
    assert_eq!(first[3..], ["0", "0:00", "sleep", "1235"]);
    let second = rows.iter().find(|row| row[6..] == ["1234"]).expect("the second process");
    assert_eq!(second[2], first[0]);
    place.end();
    pipkin(&["top", "top"]).expect_refusal(&["top"]);
    pipkin(&["top"]).expect_refusal(&["CONTAINER"]);
}

fn a_pause_stops_everything() {
    let place = Place::of("pause", "", "echo ready; while :; do date +%s%N > /tmp/now; done");
    pipkin(&["pause", "pause"]).succeeds();
    // Its record is its command's, which knows nothing of this.
    assert!(pipkin(&["ps", "--filter", "status=paused"]).succeeds().text().contains(" paused "));
    assert_eq!(pipkin(&["inspect", "pause"]).succeeds().json()["State"], "paused");
    place.exec("", &["true"]).expect_refusal(&["paused", "resume"]);
    assert_eq!(stats("pause")["cpu_percent"].as_f64(), Some(0.0));
    pipkin(&["pause", "pause"]).succeeds();
    pipkin(&["resume", "pause"]).succeeds();
    let now = || place.exec("", &["cat", "/tmp/now"]).text();
    let then = now();
    wait_until(|| now() != then);
    pipkin(&["resume", "pause"]).succeeds();
    place.end();
}

fn what_is_paused_can_be_removed() {
    let place = Place::new("pause-rm", "");
    pipkin(&["pause", "pause-rm"]).succeeds();
    place.end();
}

/// As by Ctrl-Z, or by a pager that reads no further.
fn what_is_held_up_can_be_removed() {
    let mut command = program::pipkin();
    let image = alpine().expect("an image");
    command.args(["run", "--net", "none", "--name", "held-up"]).arg(image);
    command.args(["sh", "-c", "echo ready; exec sleep 1000"]);
    let held_up = Running::start(command, None);
    held_up.expect("ready");
    held_up.signal(19);
    pipkin(&["rm", "-f", "held-up"]).succeeds();
    held_up.wait();
    pipkin(&["ps", "-aq"]).prints("");
}

fn what_does_not_run_is_told() {
    for verb in ["pause", "resume", "top", "stats"] {
        pipkin(&[verb, "no-such"]).expect_refusal(&["no-such", "there is no such container"]);
    }
    pipkin(&["pause"]).expect_refusal(&["pause"]);
    pipkin(&["update", "--memory", "x", "no-such"]).expect_refusal(&["pipkin update: --memory"]);
    pipkin(&["update", "no-such"]).expect_refusal(&["limits"]);
}

fn limits_that_cannot_be_had_are_told() {
    let place = Place::new("update-none", "");
    pipkin(&["update", "--memory", "64m", "update-none"]).expect_refusal(&["memory", "controller"]);
    place.end();
}

/// What a file of the container's cgroup says, seen from inside.
fn limit(place: &Place, file: &str) -> String {
    place.exec("", &["cat", &format!("/sys/fs/cgroup/{file}")]).succeeds().text().trim().to_owned()
}

fn limits_change() {
    // One that began without any limit: its controllers come with the first.
    let place = Place::new("update", "");
    pipkin(&["update", "--memory", "64m", "--pids", "50", "--cpus", "0.5", "update"]).succeeds();
    assert_eq!(limit(&place, "memory.max"), "67108864");
    assert_eq!(limit(&place, "memory.swap.max"), "67108864");
    assert_eq!(limit(&place, "pids.max"), "50");
    assert_eq!(limit(&place, "cpu.max"), "50000 100000");
    pipkin(&["update", "--pids=-1", "update"]).succeeds();
    assert_eq!(limit(&place, "pids.max"), "max");
    assert_eq!(limit(&place, "memory.max"), "67108864");
    place.end();
}

fn a_change_is_whole_or_none() {
    let place = Place::new("update-whole", "--pids 40 --memory 64m");
    // Refused by the kernel, after the memory was changed.
    pipkin(&["update", "--memory", "32m", "--cpuset-cpus", "4000", "update-whole"])
        .expect_refusal(&["cpuset"]);
    assert_eq!(limit(&place, "memory.max"), "67108864");
    // Refused before anything happens.
    pipkin(&["update", "--pids", "0", "--memory", "32m", "update-whole"]).expect_refusal(&["--pids-limit 0"]);
    assert_eq!(limit(&place, "memory.max"), "67108864");
    place.end();
}

fn stats_show_limits() {
    let place = Place::new("stats-limits", "--pids 40 --memory 64m");
    place.sh("", "head -c 10000000 /dev/zero > /tmp/file").prints("");
    let seen = stats("stats-limits");
    assert_eq!(seen["memory_limit_bytes"], 64 << 20);
    assert_eq!(seen["pids_limit"], 40);
    assert_eq!(seen["pids"], 1);
    assert_eq!(seen["oom_kills"], 0);
    assert!(seen["memory_bytes"].as_u64().expect("bytes") > 9_000_000, "{seen}");
    assert!(seen["cache_bytes"].as_u64().expect("bytes") > 9_000_000, "{seen}");
    place.end();
}
