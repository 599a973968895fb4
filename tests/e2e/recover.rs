//! What is known of containers after the machine went down. That is brought about here by what it does: processes are
//! dead, `/run` is empty, the boot id is another one.

use crate::harness::{
    Case, Running, alpine, cases, detached, detached_sh, eventually, has_children, pipkin, reap_orphans,
};
use crate::program;
use pipkin::sys::signal::kill;
use std::fs;
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            what_was_known_comes_back,
            many_at_once_find_the_same,
            without_a_new_start_what_runs_goes_on,
            a_damaged_copy_is_taken_away,
            its_ids_stay_its_own,
            durable_ones_stay,
            a_policy_says_who_runs_after_a_new_start,
        ]
    )
}

/// Makes the machine forget what is in memory.
fn forget() {
    fs::remove_dir_all("/run/pipkin").unwrap();
}

/// The same, as one that starts anew.
fn reboot() {
    forget();
    fs::write("/var/lib/pipkin/boot", "another\n").unwrap();
}

fn all_die() {
    eventually("all is dead", &mut || {
        reap_orphans();
        !has_children()
    });
}

/// A new start takes cgroups along.
fn remove_group(id: &str) {
    fs::remove_dir(crate::harness::cgroup_root().unwrap().join("pipkin").join(id)).unwrap();
}

fn layer(id: &str) -> String {
    format!("/var/lib/pipkin/containers/{id}")
}

fn what_was_known_comes_back() {
    let ended = detached_sh("--net none --name ended -l a=b", "echo said; touch /kept; exit 3");
    ended.ended();
    let running = detached_sh("--net none --name running", "echo alive; exec sleep 1000");
    running.expect("alive");
    let gone = detached("--net none --rm --name gone", &["sleep", "1000"]);
    let image = alpine().unwrap();
    pipkin(&["run", "--name", "front", image.to_str().unwrap(), "sh", "-c", "exit 7"]).exits(7);
    let before = ended.verb("inspect").succeeds().json();
    let supervisors = [&running, &gone].map(|container| container.pid("supervisor"));
    supervisors.iter().for_each(|supervisor| kill(*supervisor, 9).unwrap());
    all_die();
    for container in [&running, &gone] {
        remove_group(&container.id);
    }
    reboot();
    let listed = pipkin(&["ps", "-a", "--format", "json"]).succeeds().json();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap()).collect();
    assert_eq!(names, ["front", "running", "ended"], "{listed}");
    assert!(listed.as_array().unwrap().iter().all(|one| one["Status"] == "exited"), "{listed}");
    assert_eq!(ended.verb("inspect").succeeds().json(), before);
    assert_eq!(pipkin(&["inspect", "front"]).succeeds().json()["ExitCode"], 7);
    let facts = pipkin(&["inspect", "running"]).succeeds().json();
    assert_eq!((&facts["ExitCode"], &facts["PID"]), (&serde_json::Value::Null, &0.into()));
    assert!(facts["Error"].as_str().unwrap().contains("the machine went down"), "{facts}");
    assert!(!Path::new(&layer(&gone.id)).exists());
    ended.verb("logs").prints("said\n");
    running.verb("logs").prints("alive\n");
    pipkin(&["start", "ended"]).succeeds();
    assert_eq!(ended.ended(), "3");
    ended.verb("logs").prints("said\nsaid\n");
    pipkin(&["rm", "front", "running"]).succeeds();
    assert!(!Path::new(&layer(&running.id)).exists());
}

/// `start --boot` starts what its policy wants, once, and nothing else.
fn a_policy_says_who_runs_after_a_new_start() {
    let begin = |name: &str, policy: &str| {
        detached(&format!("--net none --name {name} --restart {policy}"), &["sleep", "1000"])
    };
    let made: Vec<_> = ["no", "on-failure:2", "unless-stopped", "always"]
        .iter()
        .flat_map(|policy| ["up", "stopped"].map(|state| (format!("{}-{state}", &policy[..2]), policy)))
        .map(|(name, policy)| (begin(&name, policy), name))
        .collect();
    for (_, name) in made.iter().filter(|(_, name)| name.ends_with("stopped")) {
        pipkin(&["stop", "-t", "0", name]).succeeds();
    }
    for (container, _) in made.iter().filter(|(_, name)| name.ends_with("up")) {
        kill(container.pid("supervisor"), 9).unwrap();
    }
    all_die();
    for (container, _) in made.iter().filter(|(_, name)| name.ends_with("up")) {
        remove_group(&container.id);
    }
    pipkin(&["start", "--boot", "al-up"]).exits(125);
    reboot();
    let started = pipkin(&["start", "--boot"]).succeeds().words();
    let id = |name: &str| made.iter().find(|(_, known)| known == name).unwrap().0.id.clone();
    assert_eq!(started, ["on-up", "un-up", "al-up", "al-stopped"].map(id));
    let running = pipkin(&["ps", "--format", "json"]).succeeds().json();
    let names: Vec<_> = running.as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap()).collect();
    assert_eq!(names, ["al-stopped", "al-up", "un-up", "on-up"]);
    // All of them run.
    pipkin(&["start", "--boot"]).prints("");
    // One that was started again is not stopped any more.
    pipkin(&["start", "un-stopped"]).succeeds();
    for (container, name) in &made {
        if !["no-up", "no-stopped", "on-stopped"].contains(&name.as_str()) {
            kill(container.pid("supervisor"), 9).unwrap();
        }
    }
    all_die();
    let again = pipkin(&["start", "--boot"]).succeeds().words();
    assert_eq!(again, ["on-up", "un-up", "un-stopped", "al-up", "al-stopped"].map(id));
}

fn many_at_once_find_the_same() {
    let containers: Vec<_> = (0..10).map(|_| detached("", &["true"])).collect();
    containers.iter().for_each(|container| drop(container.ended()));
    for _ in 0..5 {
        reboot();
        let listers: Vec<Running> = (0..8)
            .map(|_| {
                let mut command = program::pipkin();
                command.args(["ps", "-aq"]);
                Running::start(command, None)
            })
            .collect();
        for lister in listers {
            assert_eq!(lister.wait().succeeds().words().len(), containers.len());
        }
    }
}

/// A user's run directory goes when the user logs out.
fn without_a_new_start_what_runs_goes_on() {
    let running = detached("--net none --name pot", &["sleep", "1000"]);
    let temporary = detached("--net none --rm", &["sleep", "1000"]);
    pipkin(&["ps"]).succeeds();
    let (pid, temporary_pid) = (running.fact("pid"), temporary.pid("pid"));
    forget();
    let listed = pipkin(&["ps"]).succeeds().text();
    assert!(listed.contains("running") && listed.contains(&pid) && listed.contains("pot"), "{listed}");
    assert!(Path::new(&layer(&temporary.id)).exists());
    pipkin(&["exec", "pot", "true"]).succeeds();
    pipkin(&["stop", "-t", "0", "pot"]).succeeds();
    kill(temporary_pid, 9).unwrap();
    eventually("it goes", &mut || !Path::new(&layer(&temporary.id)).exists());
    all_die();
}

fn a_damaged_copy_is_taken_away() {
    let whole = detached("", &["true"]);
    let torn = detached("", &["true"]);
    whole.ended();
    torn.ended();
    pipkin(&["ps"]).succeeds();
    let copy = layer(&torn.id) + "/record";
    let text = fs::read(&copy).unwrap();
    fs::write(&copy, &text[..text.len() / 2]).unwrap();
    reboot();
    pipkin(&["ps", "-aq"]).prints(&format!("{}\n", whole.id));
    assert!(!Path::new(&layer(&torn.id)).exists());
}

/// Files of its writable layer are of ids that no other container may get.
fn its_ids_stay_its_own() {
    let container = detached_sh("--net none --userns auto", "touch /mine; cat /proc/self/uid_map");
    assert_eq!(container.ended(), "0");
    let held = || {
        fs::read_dir("/run/pipkin/users")
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect::<Vec<_>>()
    };
    let before = held();
    assert_eq!(before.len(), 2);
    reboot();
    container.verb("start").succeeds();
    assert_eq!(container.ended(), "0");
    assert_eq!(held(), before);
    let log = container.output();
    let (first, second) = log.split_once('\n').unwrap();
    assert_eq!(first, second.trim_end());
}

fn durable_ones_stay() {
    let container = detached_sh("--durable", "exit 2");
    assert_eq!(container.ended(), "2");
    assert_eq!(container.verb("inspect").succeeds().json()["Durable"], true);
    reboot();
    assert_eq!(container.verb("inspect").succeeds().json()["ExitCode"], 2);
    container.verb("start").succeeds();
    assert_eq!(container.ended(), "2");
    let image = alpine().unwrap();
    let line = ["run", "--durable", "--rm", image.to_str().unwrap(), "true"];
    pipkin(&line).fails(125, &["--durable and --rm"]);
}
