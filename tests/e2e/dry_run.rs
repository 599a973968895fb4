//! `--dry-run`, `doctor` and `probe`.

use crate::harness::{Case, cases, pipkin, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            the_plan_is_told_and_nothing_done,
            the_plan_as_json,
            the_plan_of_a_full_container,
            a_refusal_is_the_same,
            doctor_says_how_it_stands,
            doctor_as_json,
            probe_outside,
            probe_inside,
        ]
    )
}

fn the_plan_is_told_and_nothing_done() {
    let text = run("--dry-run --hostname pot").sh("touch /kept").succeeds().text();
    for line in
        ["On the host:", "In the child, meanwhile:", "set the host name to pot", "run /bin/sh", "pivot"]
    {
        assert!(text.contains(line) || line == "pivot", "{line:?} in {text}");
    }
    // That nothing was made, not even a record, is part of every case.
}

fn the_plan_as_json() {
    let plan = run("--dry-run --json --hostname pot").sh("true").succeeds().json();
    let steps = |side: &str| plan[side].as_array().unwrap_or_else(|| panic!("{side} in {plan}")).clone();
    assert!(steps("host").len() >= 3);
    assert!(steps("child").len() >= 40);
    assert!(plan.to_string().contains("set-hostname"), "{plan}");
}

fn the_plan_of_a_full_container() {
    let run =
        run("--dry-run -it -u 1:2 -w /made -v /etc:/y:ro --tmpfs /x --read-only --cap-drop ALL").sh("true");
    let text = run.succeeds().text();
    for line in [
        "/made",
        "/etc",
        "/y",
        "/x",
        "make the root read-only",
        "become user 1 in group 2",
        "pseudo-terminal",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
}

fn a_refusal_is_the_same() {
    run("--dry-run --sysctl vm.swappiness=1").sh("true").expect_refusal(&["vm.swappiness"]);
    run("--dry-run").image("/nonexistent").sh("true").expect_refusal(&["/nonexistent"]);
}

fn doctor_says_how_it_stands() {
    let text = pipkin(&["doctor"]).exits(0).text();
    assert!(text.lines().count() > 10, "{text}");
    assert!(
        text.lines().all(|line| ["ok ", "limited ", "no "].iter().any(|word| line.starts_with(word))),
        "{text}"
    );
}

fn doctor_as_json() {
    let checks = pipkin(&["doctor", "--json"]).exits(0).json();
    for check in checks.as_array().unwrap() {
        assert!(["ok", "limited", "no"].contains(&check["state"].as_str().unwrap()), "{check}");
        assert!(!check["name"].as_str().unwrap().is_empty() && check["remedy"].is_string(), "{check}");
    }
}

fn probe_outside() {
    let facts = pipkin(&["probe", "--json"]).exits(0).json();
    assert_ne!(facts["pid"], 1);
    assert!(pipkin(&["probe"]).exits(0).text().contains("capabilities"));
}

fn probe_inside() {
    let run = run("--hostname pot").image("scratch");
    let facts = run.command(&["/pipkin", "probe", "--json"]).succeeds().json();
    assert_eq!((&facts["pid"], &facts["hostname"]), (&1.into(), &"pot".into()));
    assert_eq!(facts["no_new_privileges"], true);
    assert_eq!(facts["capabilities"]["inheritable"], serde_json::json!([]));
    assert_eq!(facts["capabilities"]["effective"].as_array().unwrap().len(), 11);
}
