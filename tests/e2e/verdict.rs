//! What only the test machine can show of a container's life: its end by the kernel, and every verb on another kernel.

use crate::harness::{Case, Folder, cases, detached, detached_sh, eventually, pipkin};

pub(crate) fn cases() -> Vec<Case> {
    [
        cases!(
            Limits,
            [
                an_end_for_want_of_memory_is_told,
                each_run_has_its_own_kills,
                limits_are_told_as_they_are,
                limits_that_were_changed_last
            ]
        ),
        cases!(Machine, [a_reboot_is_told, every_verb_works]),
    ]
    .concat()
}

/// The causes of the ends of a container, and the kinds of what was told of it.
fn told(id: &str) -> Vec<serde_json::Value> {
    let events = pipkin(&["events", "--no-follow"]).succeeds().text();
    let about = events.lines().filter(|line| line.contains(id));
    about.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn an_end_for_want_of_memory_is_told() {
    let script = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    let container = detached_sh("--memory 16m --memory-swap 16m", script);
    assert_eq!(container.ended(), "137");
    let facts = container.verb("inspect").succeeds().json();
    assert_eq!((&facts["OOMKilled"], &facts["Signal"]), (&true.into(), &9.into()), "{facts}");
    assert!(facts["OOMKills"].as_u64() >= Some(1));
    let told = told(&container.id);
    assert!(
        told.iter().any(|event| event["type"] == "oom" && event["kills"].as_u64() >= Some(1)),
        "{told:?}"
    );
    assert_eq!(told.last().unwrap()["cause"], "oom", "{told:?}");
    // One that loses a child goes on, and it is told all the same.
    let script = format!("sh -c '{script}'; echo survived; exec sleep 1000");
    let container = detached_sh("--memory 16m --memory-swap 16m", &script);
    container.expect("survived");
    eventually("it is told", &mut || container.verb("inspect").json()["OOMKills"].as_u64() >= Some(1));
    assert_eq!(
        pipkin(&["stats", "--no-stream", "--format", "json", &container.id]).json()[0]["oom_kills"],
        1
    );
}

fn limits_are_told_as_they_are() {
    let container = detached("--memory 64m --pids 40", &["sleep", "1000"]);
    let limit = |name: &str| container.verb("inspect").succeeds().json()["Resources"][name].clone();
    assert_eq!((limit("Memory"), limit("PIDs")), ("67108864".into(), "40".into()));
    container.verb("update --memory 32m --cpus 0.5 --memory-swap -1").succeeds();
    assert_eq!((limit("Memory"), limit("PIDs")), ("33554432".into(), "40".into()));
    assert_eq!((limit("CPU"), limit("Swap")), ("50000 100000".into(), "max".into()));
    container.verb("update --memory 16m --cpuset-cpus 4000").expect_refusal(&["cpuset"]);
    assert_eq!(limit("Memory"), "33554432");
}

fn each_run_has_its_own_kills() {
    let script = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    let container = detached_sh("--memory 16m --memory-swap 16m --restart on-failure:2", script);
    assert_eq!(container.ended(), "137");
    let kinds =
        |wanted: &str| told(&container.id).into_iter().filter(|event| event["type"] == wanted).count();
    assert_eq!((kinds("start"), kinds("oom"), kinds("die")), (3, 3, 3), "{:?}", told(&container.id));
    assert!(told(&container.id).iter().all(|event| event["type"] != "oom" || event["kills"] == 1));
    assert_eq!(container.verb("inspect").json()["OOMKills"], 1);
}

fn limits_that_were_changed_last() {
    let script = "trap 'exit 1' HUP; echo ready; while :; do sleep 0.05; done";
    let container = detached_sh("--memory 64m --restart always", script);
    container.expect("ready");
    container.verb("update --memory 32m --memory-swap -1").succeeds();
    container.verb("update --pids 40 --memory 48m").succeeds();
    let limit = |name: &str| container.verb("inspect").succeeds().json()["Resources"][name].clone();
    // By its policy, and by hand.
    container.verb("kill -s HUP").succeeds();
    container.expect("ready\nready\n");
    assert_eq!(
        (limit("Memory"), limit("Swap"), limit("PIDs")),
        ("50331648".into(), "50331648".into(), "40".into())
    );
    container.verb("restart -t 0").succeeds();
    container.expect("ready\nready\nready\n");
    assert_eq!((limit("Memory"), limit("PIDs")), ("50331648".into(), "40".into()));
}

fn a_reboot_is_told() {
    for (program, word, code) in [("reboot", "restart", "129"), ("poweroff", "halt", "130")] {
        let container = detached("--cap-add SYS_BOOT", &[program, "-f"]);
        assert_eq!(container.ended(), code);
        let facts = container.verb("inspect").succeeds().json();
        assert_eq!(facts["Reboot"], word, "{facts}");
        assert_eq!(told(&container.id).last().unwrap()["cause"], "reboot");
    }
    // A signal of the same number is something else.
    let container = detached_sh("", "trap 'exit 7' HUP; echo ready; while :; do sleep 0.05; done");
    container.expect("ready");
    container.verb("kill -s HUP").succeeds();
    container.ended();
    assert_eq!(container.verb("inspect").json()["Reboot"], "");
}

fn every_verb_works() {
    let folder = Folder::new();
    let path = folder.file("file", "copied\n");
    let container =
        detached_sh("--name pot -i", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    container.expect("ready");
    assert!(pipkin(&["ps"]).succeeds().text().contains("pot"));
    pipkin(&["exec", "pot", "echo", "inside"]).prints("inside\n");
    pipkin(&["cp", path.to_str().unwrap(), "pot:/tmp/"]).succeeds();
    pipkin(&["exec", "pot", "cat", "/tmp/file"]).prints("copied\n");
    assert!(pipkin(&["top", "pot"]).succeeds().text().contains("sleep"));
    pipkin(&["pause", "pot"]).succeeds();
    assert_eq!(container.verb("inspect").json()["State"], "paused");
    pipkin(&["resume", "pot"]).succeeds();
    pipkin(&["update", "--pids", "30", "pot"]).succeeds();
    let used = &pipkin(&["stats", "--no-stream", "--format", "json", "pot"]).succeeds().json()[0];
    assert!(used["memory_bytes"].as_u64() > Some(0) && used["pids_limit"] == 30, "{used}");
    assert!(used["cpu_pressure_percent"].is_number() && used["cache_bytes"].is_number(), "{used}");
    pipkin(&["rename", "pot", "pan"]).succeeds();
    pipkin(&["stop", "pan"]).succeeds();
    pipkin(&["wait", "pan"]).prints("0\n");
    pipkin(&["start", "pan"]).succeeds();
    container.expect("ready\nready\n");
    pipkin(&["restart", "pan"]).succeeds();
    pipkin(&["kill", "pan"]).succeeds();
    pipkin(&["wait", "pan"]).prints("137\n");
    pipkin(&["attach", "pan"]).fails(125, &["does not run"]);
    pipkin(&["prune"]).prints(&format!("{}\n", container.id));
    pipkin(&["rm", "-f", "pan"]).succeeds();
    let kinds: Vec<_> = told(&container.id).into_iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, ["start", "stop", "die", "start", "stop", "die", "start", "stop", "die"]);
}
