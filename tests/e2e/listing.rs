//! What is told of containers: `ps`, `inspect`, `events`; and `rename` and `prune`.

use crate::harness::{Case, Running, alpine, cases, detached, detached_sh, eventually, pipkin, try_detached};
use crate::program;
use pipkin::sys::signal::kill;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            ps_lists_newest_first,
            ps_shows_what_has_ended_on_demand,
            ps_filters,
            ps_of_the_newest,
            an_id_means_no_other_that_is_named_so,
            inspect_tells_what_is_known,
            a_name_can_be_changed,
            prune_takes_the_ended_ones,
            events_are_told_as_they_happen,
            events_of_one_kind_and_time,
            a_stop_is_told_apart_from_a_death,
            what_cannot_be_written_is_an_error,
        ]
    )
}

fn ids(words: &[&str]) -> Vec<String> {
    pipkin(words).succeeds().words()
}

fn ps_lists_newest_first() {
    let containers = [1, 2, 3].map(|number| detached(&format!("--name pot{number}"), &["sleep", "1000"]));
    let newest_first: Vec<&str> = containers.iter().rev().map(|container| container.id.as_str()).collect();
    assert_eq!(ids(&["ps", "-q"]), newest_first);
    assert_eq!(ids(&["ps", "--format", "ids"]), newest_first);
    let table = pipkin(&["ps"]).succeeds().text();
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["ID", "IMAGE", "COMMAND", "STATUS", "PID", "CREATED", "UPTIME", "NAME"]);
    let pid = containers[2].fact("pid");
    let first = table.lines().nth(1).unwrap();
    assert!(first.contains("running") && first.contains(&pid) && first.ends_with("pot3"), "{table}");
    let json = pipkin(&["ps", "--format", "json"]).succeeds().json();
    assert_eq!((&json[0]["Name"], &json[0]["Status"]), (&"pot3".into(), &"running".into()));
    assert_eq!(json.as_array().unwrap().len(), 3);
    // One that is named is looked into.
    let processes = pipkin(&["ps", "pot3"]).succeeds().text();
    assert!(processes.contains("sleep 1000") && processes.contains(&pid), "{processes}");
    assert_eq!(processes, pipkin(&["top", "pot3"]).succeeds().text());
    pipkin(&["ps", "nosuch"]).expect_refusal(&["nosuch"]);
}

fn ps_shows_what_has_ended_on_demand() {
    let container = detached_sh("", "exit 3");
    container.ended();
    assert!(ids(&["ps", "-q"]).is_empty());
    let table = pipkin(&["ps", "-a"]).succeeds().text();
    assert!(table.contains("exited (3)"), "{table}");
    let json = pipkin(&["ps", "-a", "--format", "json"]).succeeds().json();
    assert_eq!((&json[0]["ExitCode"], &json[0]["PID"]), (&3.into(), &0.into()));
}

fn ps_filters() {
    let container = detached("--name pot --label tier=web -l plain", &["sleep", "1000"]);
    for filter in
        ["name=po", "status=running", "state=running", "label=tier", "label=tier=web", "label=plain"]
    {
        assert_eq!(ids(&["ps", "-q", "--filter", filter]), [container.id.as_str()], "{filter}");
    }
    for filter in ["name=pan", "status=exited", "label=tier=db", "label=ti"] {
        assert!(ids(&["ps", "-q", "--filter", filter]).is_empty(), "{filter}");
    }
    let none = ["ps", "-q", "--filter", "name=po", "--filter", "label=none"];
    assert!(ids(&none).is_empty());
    let other = detached("--name pan -l plain", &["sleep", "1000"]);
    let both = [other.id.as_str(), container.id.as_str()];
    for (filters, wanted) in [
        ("name=pot name=pan", &both[..]),
        ("status=running status=exited", &both),
        ("status=paused status=exited", &[]),
        ("name=pot name=pan label=tier", &both[1..]),
        ("label=plain label=tier", &both[1..]),
        (&format!("id={} name=pan", &other.id[..8]), &both[..1]),
        ("health=healthy", &[]),
    ] {
        let words = filters.split(' ').flat_map(|filter| ["--filter", filter]);
        let line: Vec<&str> = ["ps", "-q"].into_iter().chain(words).collect();
        assert_eq!(ids(&line), wanted, "{filters}");
    }
    pipkin(&["ps", "--filter", "status=flying"]).fails(125, &["--filter status=flying"]);
    pipkin(&["ps", "--format", "xml"]).fails(125, &["--format xml"]);
}

fn ps_of_the_newest() {
    let old = detached("--name old", &["sleep", "1000"]);
    let new = detached_sh("", "exit 7");
    new.ended();
    for (words, wanted) in [
        ("-l", &[new.id.as_str()][..]),
        ("-n 1", &[new.id.as_str()]),
        ("--last 2", &[new.id.as_str(), old.id.as_str()]),
        ("-n -1", &[old.id.as_str()]),
        ("--filter exited=7", &[new.id.as_str()]),
        ("--filter exited=0", &[]),
        ("--filter health=none", &[old.id.as_str()]),
        ("-a --filter ancestor=scratch", &[]),
    ] {
        let line: Vec<&str> = ["ps", "-q"].into_iter().chain(words.split(' ')).collect();
        assert_eq!(ids(&line), wanted, "{words}");
    }
    let image = format!("ancestor={}", alpine().unwrap().display());
    assert_eq!(ids(&["ps", "-q", "--filter", &image]), [old.id.as_str()]);
    let long = format!("exit 7; {}", "#".repeat(60));
    let last = detached_sh("", &long);
    last.ended();
    assert!(!pipkin(&["ps", "-l"]).succeeds().text().contains(&long));
    assert!(pipkin(&["ps", "-l", "--no-trunc"]).succeeds().text().contains(&long));
    for wrong in ["--filter health=fine", "--filter exited=x", "--last x"] {
        let line: Vec<&str> = ["ps"].into_iter().chain(wrong.split(' ')).collect();
        pipkin(&line).fails(125, &[wrong]);
    }
}

fn an_id_means_no_other_that_is_named_so() {
    let container = detached("--name pot", &["sleep", "1000"]);
    let other = detached("--name pan", &["sleep", "1000"]);
    pipkin(&["rename", "pan", &container.id]).prints("");
    assert_eq!(container.verb("inspect").succeeds().json()["Name"], "pot");
    container.verb("rm -f").prints("");
    assert_eq!(ids(&["ps", "-q"]), [other.id.as_str()]);
    // Of one that is gone it is a name as any other.
    assert_eq!(pipkin(&["inspect", &container.id]).succeeds().json()["ID"], other.id.as_str());
    pipkin(&["rename", &container.id, "pan"]).prints("");
}

fn inspect_tells_what_is_known() {
    let options = "--name pot --hostname jar -l a=b -v /etc:/data:ro -e X=1 --restart on-failure:3 --stop-signal INT \
         -u guest -w /tmp --cap-add SYS_TIME --cap-drop KILL";
    let container = detached(options, &["sleep", "1000"]);
    let told = pipkin(&["inspect", "pot"]).succeeds();
    let facts = told.json();
    assert!(told.text().lines().count() > 20, "pretty by default");
    let image = alpine().unwrap();
    for (key, value) in [
        ("ID", container.id.as_str()),
        ("Name", "pot"),
        ("Image", image.to_str().unwrap()),
        ("Command", "sleep 1000"),
        ("Hostname", "jar"),
        ("State", "running"),
        ("RestartPolicy", "on-failure:3"),
        ("User", "guest"),
        ("WorkingDir", "/tmp"),
        ("Error", ""),
        ("FinishedAt", ""),
    ] {
        assert_eq!(facts[key], value, "{key}");
    }
    assert_eq!(facts["PID"], container.pid("pid"));
    assert_eq!(facts["Supervisor"], container.pid("supervisor"));
    assert_eq!((&facts["StopSignal"], &facts["ExitCode"]), (&2.into(), &serde_json::Value::Null));
    assert_eq!((&facts["Labels"]["a"], &facts["Mounts"][0]), (&"b".into(), &"/etc:/data:ro".into()));
    let holds = |key: &str, word: &str| facts[key].as_array().unwrap().contains(&word.into());
    assert!(holds("Env", "X=1") && holds("Options", "--workdir=/tmp"));
    assert!(holds("Capabilities", "CAP_SYS_TIME") && holds("Capabilities", "CAP_CHOWN"));
    assert!(!holds("Capabilities", "CAP_KILL") && !holds("Capabilities", "CAP_SYS_ADMIN"));
    let log = facts["Paths"]["StdoutLog"].as_str().unwrap();
    assert!(std::path::Path::new(log).is_file() && facts["StartedAt"].as_str().unwrap().ends_with('Z'));
    let flat = pipkin(&["inspect", "--pretty=false", "pot", &container.id]).succeeds();
    assert_eq!(flat.text().lines().count(), 1);
    assert_eq!(flat.json()[1]["ID"], container.id.as_str());
    pipkin(&["inspect", "no-such"]).fails(125, &["no-such"]);
    container.verb("kill").succeeds();
    container.verb("wait").succeeds();
    let facts = container.verb("inspect").succeeds().json();
    assert_eq!((&facts["State"], &facts["Signal"], &facts["PID"]), (&"exited".into(), &9.into(), &0.into()));
}

fn a_name_can_be_changed() {
    let container = detached("--name pot", &["sleep", "1000"]);
    pipkin(&["rename", "pot", "jar"]).prints("");
    pipkin(&["inspect", "pot"]).fails(125, &["pot"]);
    assert_eq!(pipkin(&["inspect", "jar"]).succeeds().json()["ID"], container.id.as_str());
    let other = detached("--name pot", &["sleep", "1000"]);
    pipkin(&["rename", "pot", "jar"]).fails(125, &["in use"]);
    pipkin(&["rename", "pot", "-x"]).exits(125);
    drop(other);
    container.verb("stop -t 0").succeeds();
    pipkin(&["rename", &container.id, "pot"]).prints("");
    assert_eq!(container.fact("name"), "pot");
}

fn prune_takes_the_ended_ones() {
    let running = detached("", &["sleep", "1000"]);
    let ended = try_detached("", &["true"]).succeeds().text();
    pipkin(&["wait", ended.trim()]).prints("0\n");
    pipkin(&["prune"]).prints(&ended);
    pipkin(&["prune"]).prints("");
    assert_eq!(ids(&["ps", "-a", "-q"]), [running.id.as_str()]);
}

fn events_are_told_as_they_happen() {
    let mut command = program::pipkin();
    command.args(["events"]);
    let listener = Running::start(command, None);
    // It has begun when it hears of something.
    eventually("it listens", &mut || {
        let _container = detached("", &["sleep", "1000"]);
        listener.has(r#""type":"start""#)
    });
    let container = detached_sh("--name pot --restart on-failure:1", "exit 3");
    container.ended();
    listener.expect(r#""cause":"exit","exit":3"#);
    eventually("its end is told", &mut || listener.has("restart"));
    kill(listener.pid(), 9).unwrap();
    let told = listener.wait().text();
    let kinds: Vec<String> = told
        .lines()
        .filter(|line| line.contains(&container.id))
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    assert!(kinds.starts_with(&["start".into(), "die".into(), "restart".into()]), "{told}");
    let again = pipkin(&["events", "--no-follow", "--since", "1h"]).succeeds().text();
    assert!(again.lines().filter(|line| line.contains(&container.id)).count() == 5, "{again}");
}

fn events_of_one_kind_and_time() {
    let container = detached_sh("--name pot", "exit 3");
    container.ended();
    let other = detached_sh("--name pan", "exit 4");
    other.ended();
    let told = |words: &str| {
        let line: Vec<&str> = ["events", "--since", "1h"].into_iter().chain(words.split(' ')).collect();
        let text = pipkin(&line).succeeds().text();
        // Other cases have containers too.
        text.lines().filter(|line| [&container, &other].iter().any(|ours| line.contains(&ours.id))).count()
    };
    for (words, wanted) in [
        ("--no-follow --filter container=pot", 2),
        (&format!("--no-follow --filter container={} --filter event=die", container.id), 1),
        ("--no-follow --filter event=die --filter event=oom --filter type=container", 2),
        ("--no-follow --filter container=pot --filter event=oom", 0),
        ("--no-follow --until 30m", 0),
        // It ends by itself then.
        ("--until 0s", 4),
    ] {
        assert_eq!(told(words), wanted, "{words}");
    }
    pipkin(&["events", "--filter", "image=x"]).fails(125, &["--filter image=x"]);
    pipkin(&["events", "--until", "x"]).fails(125, &["--until x"]);
}

fn a_stop_is_told_apart_from_a_death() {
    let container = detached("", &["sleep", "1000"]);
    container.verb("stop -t 0").succeeds();
    container.verb("stop -t 0").succeeds();
    let told = pipkin(&["events", "--no-follow"]).succeeds().text();
    let about = told.lines().filter(|line| line.contains(&container.id));
    let kinds: Vec<String> = about
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["start", "stop", "die"], "{told}");
}

/// A full disk behind standard output must not look like success, a reader that has read enough not like a failure.
fn what_cannot_be_written_is_an_error() {
    let container = detached_sh("", "echo x; exec sleep 1000");
    container.expect("x");
    let id = container.id.as_str();
    for words in [
        &["ps"][..],
        &["ps", "-q"],
        &["ps", "--format", "json"],
        &["ps", id],
        &["top", id],
        &["inspect", id],
        &["logs", id],
        &["stats", "--no-stream"],
        &["events", "--no-follow"],
        &["doctor"],
        &["--help"],
        &["run", "--dry-run", "scratch"],
        &["run", "--dry-run", "--json", "scratch"],
    ] {
        let mut command = program::pipkin();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command.args(words).stdout(full).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{words:?}: {told}");
        assert!(told.contains("No space left"), "{words:?}: {told}");
    }
    for words in [
        &["ps"][..],
        &["ps", "-q"],
        &["ps", "--format", "json"],
        &["ps", id],
        &["inspect", id],
        &["logs", id],
        &["stats", "--no-stream"],
        &["events", "--no-follow"],
        &["volume", "ls"],
        &["doctor"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program::pipkin().args(words).stdout(writer).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    }
}
