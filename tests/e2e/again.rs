//! Containers that have ended run again: `start` and `restart`.

use crate::harness::{
    Case, Detached, Folder, Running, Terminal, alpine, cases, detached, detached_sh, eventually, pipkin,
    reap_orphans, try_detached,
};
use crate::program;
use pipkin::sys::signal::kill;
use std::io::Read;
use std::process::Stdio;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            it_comes_back_as_it_was,
            one_from_the_foreground_comes_back_too,
            restart_ends_and_starts,
            one_that_cannot_start_stays_as_it_was,
            its_output_and_code_are_shown,
            the_end_of_the_last_run_is_not_in_the_way,
            its_terminal_is_there_again,
            one_of_many_starts_it,
            after_a_killed_supervisor_it_starts,
            with_ids_of_its_own_it_starts,
            commands_at_once_take_turns,
            two_of_one_kind_at_once_both_succeed,
            what_cannot_be_started_is_told,
        ]
    )
}

const SCRIPT: &str =
    "echo run $X in $(pwd) as $(id -u) $(cat /tmp/kept 2>/dev/null); echo before > /tmp/kept;
    trap 'exit 0' TERM; while :; do sleep 0.05; done";

fn it_comes_back_as_it_was() {
    let variables = Folder::new();
    variables.file("env", "X=file\n");
    let path = variables.path().join("env").to_str().unwrap().to_owned();
    let options =
        format!("--name pot --env-file {path} -w /var -u 7 --tmpfs /x -l a=b --hostname jar --restart no");
    let container = detached_sh(&options, SCRIPT);
    container.expect("run file in /var as 7\n");
    container.verb("stop").succeeds();
    drop(variables);
    let before = container.verb("inspect").succeeds().json();
    pipkin(&["rename", "pot", "pan"]).succeeds();
    container.verb("start").prints(&format!("{}\n", container.id));
    container.expect("run file in /var as 7\nrun file in /var as 7 before\n");
    let after = container.verb("inspect").succeeds().json();
    for key in ["ID", "CreatedAt", "Labels", "Hostname", "Env", "Image", "Command"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!((&after["State"], &after["Name"]), (&"running".into(), &"pan".into()));
    assert_ne!(before["StartedAt"], after["StartedAt"]);
    // One that runs is left alone.
    let pid = container.fact("pid");
    container.verb("start").prints(&format!("{}\n", container.id));
    assert_eq!(container.fact("pid"), pid);
    let events = pipkin(&["events", "--no-follow"]).succeeds().text();
    let starts = events.lines().filter(|line| line.contains(&container.id) && line.contains(r#""start""#));
    assert_eq!(starts.count(), 2, "{events}");
}

fn one_from_the_foreground_comes_back_too() {
    let image = alpine().unwrap();
    let line = ["run", "--name", "front", image.to_str().unwrap(), "sh", "-c", "echo again; exit 3"];
    pipkin(&line).exits(3);
    let id = pipkin(&["ps", "-aq"]).succeeds().text();
    pipkin(&["start", "front"]).prints(&id);
    pipkin(&["wait", "front"]).prints("3\n");
    pipkin(&["logs", "front"]).prints("again\n");
    pipkin(&["rm", "front"]).succeeds();
    eventually("all is reaped", &mut || {
        reap_orphans();
        !crate::harness::has_children()
    });
}

fn restart_ends_and_starts() {
    let container = detached_sh("", SCRIPT);
    container.expect("run");
    let pid = container.fact("pid");
    container.verb("restart").prints(&format!("{}\n", container.id));
    assert_ne!(container.fact("pid"), pid);
    container.expect("before");
    container.verb("restart -t 0").succeeds();
    assert_eq!(container.fact("status"), "running");
    container.verb("stop").succeeds();
    // Also what had ended.
    container.verb("restart").succeeds();
    assert_eq!(container.fact("status"), "running");
}

fn one_that_cannot_start_stays_as_it_was() {
    let folder = Folder::new();
    folder.file("there/file", "x");
    let there = folder.path().join("there");
    let options = format!("--name pot --mount type=bind,src={},dst=/data", there.display());
    let container = detached_sh(&options, "cat /data/file; touch /kept; exit 4");
    assert_eq!(container.ended(), "4");
    let away = folder.path().join("away");
    std::fs::rename(&there, &away).unwrap();
    for verb in ["start", "restart"] {
        let told = container.verb(verb).exits(125).told();
        assert!(told.contains("there"), "{told}");
    }
    assert_eq!((container.fact("status"), container.fact("exit")), ("exited".into(), "4".into()));
    container.verb("logs").prints("x");
    assert!(std::path::Path::new("/run/pipkin/names/pot").is_symlink());
    std::fs::rename(&away, &there).unwrap();
    container.verb("start").succeeds();
    assert_eq!(container.ended(), "4");
    container.verb("logs").prints("xx");
}

fn its_output_and_code_are_shown() {
    let container = detached_sh("-i", "echo begun; read -r line; echo got $line; exit 6");
    container.expect("begun");
    container.verb("stop -t 0").succeeds();
    let mut command = program::pipkin();
    command.args(["start", "-i", &container.id]);
    let seen = Running::start(command, Some(b"it\n".to_vec())).wait().exits(6);
    assert_eq!(seen.text(), "begun\ngot it\n");
    // So soon over that nobody can be attached to it any more.
    let short = detached_sh("", "echo short; exit 8");
    short.ended();
    assert_eq!(short.verb("start -a").exits(8).text(), "short\n");
    short.verb("start -a no-such").fails(125, &["one container"]);
}

/// The kernel takes a network namespace apart behind everybody's back.
fn the_end_of_the_last_run_is_not_in_the_way() {
    let container = detached_sh("--net bridge", "exit 8");
    for _ in 0..12 {
        container.ended();
        container.verb("start").succeeds();
    }
}

fn its_terminal_is_there_again() {
    let container = detached("-it", &["/bin/sh", "-i"]);
    container.expect("/ # ");
    container.verb("stop -t 0").succeeds();
    let mut terminal = Terminal::open();
    let seat = terminal.start_program(&["start", "-ai", &container.id]);
    terminal.expect("/ # ");
    terminal.enter("echo $((40+2)); exit 5\r");
    terminal.expect("42");
    seat.wait().exits(5);
}

fn one_of_many_starts_it() {
    let container = detached("", &["sleep", "1000"]);
    container.verb("stop -t 0").succeeds();
    let starters: Vec<Running> = (0..8)
        .map(|_| {
            let mut command = program::pipkin();
            command.args(["start", &container.id]);
            Running::start(command, None)
        })
        .collect();
    let outcomes: Vec<_> = starters.into_iter().map(Running::wait).collect();
    assert!(outcomes.iter().any(|outcome| outcome.status.success()), "{:?}", outcomes.len());
    for outcome in outcomes.into_iter().filter(|outcome| !outcome.status.success()) {
        outcome.fails(125, &["busy"]);
    }
    assert_eq!(container.fact("status"), "running");
    reap_all(&container);
}

/// Reaps the supervisors that have given up, which are ours once their starter has ended.
fn reap_all(container: &Detached) {
    eventually("only its supervisor is left", &mut || {
        reap_orphans();
        let own = std::process::id();
        let path = format!("/proc/{own}/task/{own}/children");
        let children = std::fs::read_to_string(path).unwrap();
        children.split_whitespace().all(|pid| pid == container.fact("supervisor"))
    });
}

fn after_a_killed_supervisor_it_starts() {
    let container = detached_sh("--name pot", SCRIPT);
    container.expect("run");
    kill(container.pid("supervisor"), 9).unwrap();
    container.verb("wait").fails(125, &["nobody saw"]);
    container.verb("start").succeeds();
    assert_eq!((container.fact("status"), container.fact("error")), ("running".into(), String::new()));
    container.expect("before");
}

fn with_ids_of_its_own_it_starts() {
    let container = detached_sh("--userns auto", "id -u; touch /root/mine; ls /root; stat -c %u /root/mine");
    assert_eq!(container.ended(), "0");
    container.verb("start").succeeds();
    assert_eq!(container.ended(), "0");
    container.verb("logs").prints("0\nmine\n0\n0\nmine\n0\n");
}

/// One command holds a container that has ended; another waits until it lets go.
fn commands_at_once_take_turns() {
    let (container, folder) = (detached_sh("", "truncate -s 4M /big; echo ran"), Folder::new());
    assert_eq!(container.ended(), "0");
    let copy = ["cp", &format!("{}:/etc/passwd", container.id), folder.path().to_str().unwrap()];
    for (words, prints) in [(&copy[..], ""), (&["start", &container.id], &format!("{}\n", container.id))] {
        let mut holder = program::pipkin();
        holder.args(["cp", &format!("{}:/big", container.id), "-"]).stdout(Stdio::piped());
        let mut holder = holder.spawn().unwrap();
        let (mut out, mut bytes) = (holder.stdout.take().unwrap(), vec![0; 1]);
        out.read_exact(&mut bytes).unwrap();
        // Nobody reads on: it stands in the middle.
        let mut command = program::pipkin();
        command.args(words);
        let other = Running::start(command, None);
        eventually("it waits", &mut || matches!(other.state(), 'S' | 'Z'));
        out.read_to_end(&mut bytes).unwrap();
        assert!(holder.wait().unwrap().success());
        other.wait().prints(prints);
    }
    assert_eq!(container.ended(), "0");
    container.verb("logs").prints("ran\nran\n");
    assert!(folder.join("passwd").exists());
}

fn two_of_one_kind_at_once_both_succeed() {
    let container = detached("", &["sleep", "1000"]);
    let at_once = |first: &[&str], second: &[&str]| {
        let [first, second] = [first, second].map(|words| {
            let mut command = program::pipkin();
            command.args(words).arg(&container.id);
            Running::start(command, None)
        });
        for running in [first, second] {
            running.wait().prints(&format!("{}\n", container.id));
        }
    };
    let (start, stop, restart) = (["start"], ["stop", "-t", "0"], ["restart", "-t", "0"]);
    for _ in 0..20 {
        at_once(&restart, &restart);
        at_once(&stop, &stop);
        at_once(&start, &start);
        assert_eq!(container.fact("status"), "running");
        container.verb("stop -t 0").succeeds();
        // Whichever comes first.
        at_once(&start, &stop);
    }
}

fn what_cannot_be_started_is_told() {
    pipkin(&["start"]).fails(125, &["is needed"]);
    pipkin(&["start", "no-such"]).fails(125, &["no-such", "there is no such container"]);
    pipkin(&["restart", "-t", "x", "no-such"]).fails(125, &["--time x"]);
    let temporary = detached("--rm", &["sleep", "1000"]);
    temporary.verb("restart -t 0").fails(125, &["made to be removed"]);
    assert_eq!(temporary.fact("status"), "running");
    try_detached("", &["nosuch"]).exits(127);
    reap_orphans();
}
