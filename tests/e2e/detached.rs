//! Containers in the background: their start, their end, and the verbs that bring it about.

use crate::harness::{
    Case, Folder, Running, WAITS, alpine, cases, detached, detached_sh, eventually, pipkin, reap_orphans,
    run, sockets, try_detached,
};
use pipkin::sys::signal::kill;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            the_id_comes_when_it_runs,
            an_error_leaves_nothing,
            the_id_is_written_where_it_is_wanted,
            one_that_nobody_was_told_of_does_not_stay,
            a_supervisor_stands_apart,
            nothing_happens_while_idle,
            stop_asks_first,
            stop_kills_what_does_not_listen,
            stop_by_another_signal,
            a_stopped_one_stays_stopped,
            kill_sends_any_signal,
            wait_tells_the_exit_code,
            whoever_asks_before_the_end_is_told,
            rm_wants_force_for_what_runs,
            rm_removes_it_at_the_end,
            several_are_removed_at_once,
            foreground_ones_are_stopped_too,
            a_timeout_ends_it,
            failures_are_restarted,
            health_is_found_out,
            a_killed_supervisor_takes_it_along,
            a_killed_first_process_is_told,
            mistakes_are_told,
        ]
    )
}

fn the_id_comes_when_it_runs() {
    let container = detached("--name pot", &["sleep", "1000"]);
    let pid = container.pid("pid");
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(command, b"sleep\x001000\0");
    assert_eq!(container.fact("status"), "running");
    let prefix = &container.id[..6];
    for name in ["pot", &container.id, prefix] {
        pipkin(&["kill", "-s", "0x", name]).exits(125);
        pipkin(&["kill", "-s", "CONT", name]).prints(&format!("{}\n", container.id));
    }
}

fn an_error_leaves_nothing() {
    try_detached("", &["nosuch"]).fails(127, &["nosuch", "not found"]);
    try_detached("", &["/etc/passwd"]).fails(126, &["/etc/passwd"]);
    try_detached("-u nobody-at-all", &["true"]).expect_refusal(&["nobody-at-all"]);
    let first = detached("--name pot", &["sleep", "1000"]);
    try_detached("--name pot", &["true"]).expect_refusal(&["pot", "in use"]);
    drop(first);
    reap_orphans();
}

fn the_id_is_written_where_it_is_wanted() {
    let folder = Folder::new();
    let file = folder.join("id");
    let option = format!("--cidfile {}", file.display());
    let container = detached(&option, &["sleep", "1000"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), container.id);
    // Whoever waits for it must not find another one's.
    run(&option).sh("true").expect_refusal(&["id", "exists"]);
    container.verb("stop -t 0").succeeds();
    container.verb("start").succeeds();
    std::fs::remove_file(&file).unwrap();
    run(&option).command(&["nosuch"]).fails(127, &["nosuch"]);
    try_detached(&option, &["nosuch"]).fails(127, &["nosuch"]);
    assert!(!file.exists());
    run(&option).sh("exit 3").exits(3);
    assert_eq!(std::fs::read_to_string(&file).unwrap().len(), 16);
}

fn one_that_nobody_was_told_of_does_not_stay() {
    let line = run("-d").line(&["sleep", "1000"]);
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "\"$0\" \"$@\" > /dev/full"]).arg(line.get_program()).args(line.get_args());
    Running::start(shell, None).wait().fails(125, &["cannot write to standard output"]);
    pipkin(&["ps", "-aq"]).prints("");
    reap_orphans();
}

fn a_supervisor_stands_apart() {
    let container = detached("", &["sleep", "1000"]);
    let supervisor = container.pid("supervisor");
    let link = |name: &str| std::fs::read_link(format!("/proc/{supervisor}/{name}")).unwrap();
    assert_eq!(link("cwd"), std::path::Path::new("/"));
    for stream in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(link(stream), std::path::Path::new("/dev/null"));
    }
    let session = rustix::process::getsid(rustix::process::Pid::from_raw(supervisor)).unwrap();
    assert_eq!(session.as_raw_nonzero().get(), supervisor);
    let socket = std::fs::metadata(format!("/run/pipkin/containers/{}.sock", container.id)).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&socket.permissions()) & 0o777, 0o600);
}

/// Context switches of an idle supervisor: none. It is looked at only after the second in which it may still be awake,
/// which is longer on a busy machine.
fn nothing_happens_while_idle() {
    let container = detached("", &["sleep", "1000"]);
    let supervisor = container.pid("supervisor");
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
        status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned).collect::<Vec<_>>()
    };
    let still = || {
        let before = switches();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        switches() == before
    };
    eventually("it sleeps", &mut || still());
    assert!(still());
}

fn stop_asks_first() {
    let container =
        detached_sh("", "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.1; done");
    container.expect("ready");
    container.verb("stop").prints(&format!("{}\n", container.id));
    assert_eq!((container.fact("status"), container.fact("exit")), ("exited".into(), "7".into()));
    assert_eq!(container.output(), "ready\nasked\n");
    // Once more is no error.
    container.verb("stop").succeeds();
}

fn stop_kills_what_does_not_listen() {
    let container = detached("", &["sleep", "1000"]);
    container.verb("stop -t 0").succeeds();
    assert_eq!((container.fact("exit"), container.fact("signal")), ("137".into(), "9".into()));
    let container = detached("--stop-timeout 100ms", &["sleep", "1000"]);
    container.verb("stop").succeeds();
    assert_eq!(container.fact("exit"), "137");
    let container = detached("", &["sleep", "1000"]);
    container.verb("stop -f").succeeds();
    assert_eq!(container.fact("exit"), "137");
}

fn stop_by_another_signal() {
    let script = "trap 'exit 9' USR1; trap 'exit 8' TERM; echo ready; while :; do sleep 0.1; done";
    let container = detached_sh("--stop-signal USR1", script);
    container.expect("ready");
    container.verb("stop").succeeds();
    assert_eq!(container.ended(), "9");
}

fn a_stopped_one_stays_stopped() {
    let container = detached("--restart always", &["sleep", "1000"]);
    container.verb("stop -t 0").succeeds();
    assert_eq!((container.fact("status"), container.fact("restarts")), ("exited".into(), String::new()));
    let container = detached("--restart always", &["sleep", "1000"]);
    container.verb("kill").succeeds();
    assert_eq!(container.ended(), "137");
    assert_eq!(container.fact("restarts"), "");
}

fn kill_sends_any_signal() {
    let container = detached_sh("", "trap 'echo hup' HUP; echo ready; while :; do sleep 0.1; done");
    container.expect("ready");
    container.verb("kill -s HUP").succeeds();
    container.expect("hup");
    container.verb("kill").succeeds();
    assert_eq!(container.ended(), "137");
    container.verb("kill").fails(125, &["does not run"]);
}

fn wait_tells_the_exit_code() {
    let container = detached_sh("", "sleep 0.3; exit 42");
    container.verb("wait").prints("42\n");
    container.verb("wait").prints("42\n");
    // Also of one that is gone by then.
    let short = detached_sh("--rm", &[WAITS, "exit 43"].concat());
    short.expect("ready");
    let waiter = short.clients(&["wait"], None, 1).remove(0);
    short.verb("kill -s USR1").succeeds();
    waiter.wait().prints("43\n");
}

/// The supervisor finds the end and the question at the same time.
fn whoever_asks_before_the_end_is_told() {
    let container = detached("--rm", &["sleep", "1000"]);
    let (supervisor, pid) = (container.pid("supervisor"), container.pid("pid"));
    kill(supervisor, 19).unwrap();
    let mut command = crate::program::pipkin();
    command.args(["wait", &container.id]);
    let waiter = Running::start(command, None);
    eventually("it has asked", &mut || waiter.state() == 'S' && sockets(waiter.pid()) == 1);
    kill(pid, 9).unwrap();
    let stat = format!("/proc/{pid}/stat");
    eventually("it is dead", &mut || std::fs::read_to_string(&stat).unwrap().contains(") Z "));
    kill(supervisor, 18).unwrap();
    waiter.wait().prints("137\n");
}

fn rm_wants_force_for_what_runs() {
    let container = detached("", &["sleep", "1000"]);
    container.verb("rm").fails(125, &["it is running", "--force"]);
    container.verb("rm -f").succeeds();
    container.verb("rm -f").succeeds();
    container.verb("rm").fails(125, &["there is none"]);
}

fn rm_removes_it_at_the_end() {
    let container = detached("--rm --name pot", &["sleep", "1000"]);
    container.verb("kill").succeeds();
    eventually("it is gone", &mut || !std::path::Path::new("/run/pipkin/names/pot").exists());
}

fn foreground_ones_are_stopped_too() {
    let container = run("--name pot").start_sh("trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done");
    container.expect("ready");
    pipkin(&["stop", "pot"]).succeeds();
    container.wait().exits(5);
}

fn a_timeout_ends_it() {
    let container = detached("--timeout 200ms --stop-timeout 100ms", &["sleep", "1000"]);
    assert_eq!(container.ended(), "137");
    let events = std::fs::read_to_string("/run/pipkin/events").unwrap();
    let about = events.lines().filter(|line| line.contains(&container.id)).collect::<Vec<_>>();
    assert!(about.last().unwrap().contains(r#""cause":"timeout""#), "{about:#?}");
}

fn failures_are_restarted() {
    let container = detached_sh("--restart on-failure:2", "echo try; exit 3");
    assert_eq!(container.ended(), "3");
    assert_eq!((container.fact("restarts"), container.output()), ("2".into(), "try\ntry\ntry\n".into()));
    let container = detached_sh("--restart on-failure", "test -e /second && exit 0; touch /second; exit 1");
    assert_eq!(container.ended(), "0");
    assert_eq!(container.fact("restarts"), "1");
}

fn several_are_removed_at_once() {
    let all = ["", "--restart always", "--restart no"].map(|options| detached(options, &["sleep", "1000"]));
    let mut line = vec!["rm", "-f", "nosuch"];
    line.extend(all.iter().map(|one| one.id.as_str()));
    pipkin(&line).succeeds();
    assert_eq!(pipkin(&["ps", "-aq"]).succeeds().text(), "");
}

fn health_is_found_out() {
    let options = "--name pot --health-cmd test\u{a0}-e\u{a0}/well --health-interval 50ms --health-retries 2";
    let words: Vec<String> = options.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
    let image = alpine().unwrap();
    let mut line: Vec<&str> = vec!["run", "-d"];
    line.extend(words.iter().map(String::as_str));
    line.extend([image.to_str().unwrap(), "sleep", "1000"]);
    let id = pipkin(&line).succeeds().text();
    let shown = || pipkin(&["ps"]).succeeds().text();
    assert!(shown().contains("running (starting)") || shown().contains("running (unhealthy)"), "{}", shown());
    eventually("it is unhealthy", &mut || shown().contains("running (unhealthy)"));
    pipkin(&["exec", "pot", "touch", "/well"]).succeeds();
    eventually("it is healthy", &mut || shown().contains("running (healthy)"));
    // One that hangs is killed, with what it left inside.
    pipkin(&["rm", "-f", "pot"]).succeeds();
    let events = pipkin(&["events", "--no-follow"]).succeeds().text();
    let about = events.lines().filter(|line| line.contains(id.trim()) && line.contains("health"));
    assert!(about.count() >= 2, "{events}");
    let hanging =
        detached("--health-cmd sleep --health-timeout 100ms --health-interval 50ms", &["sleep", "1000"]);
    hanging.verb("stop -t 0").succeeds();
    eventually("all is reaped", &mut || {
        reap_orphans();
        !crate::harness::has_children()
    });
}

fn a_killed_supervisor_takes_it_along() {
    let container = detached("--name pot", &["sleep", "1000"]);
    let (supervisor, pid) = (container.pid("supervisor"), container.pid("pid"));
    kill(supervisor, 9).unwrap();
    eventually("it is dead", &mut || {
        reap_orphans();
        !std::path::Path::new(&format!("/proc/{pid}")).exists()
    });
    let listed = pipkin(&["ps", "-a"]).succeeds().text();
    assert!(listed.contains("exited (?)"), "{listed}");
    container.verb("stop").succeeds();
    container.verb("logs").succeeds();
    assert!(container.fact("error").contains("supervisor"));
}

fn a_killed_first_process_is_told() {
    let container = detached("", &["sleep", "1000"]);
    kill(container.pid("pid"), 9).unwrap();
    assert_eq!(container.ended(), "137");
    assert_eq!(container.fact("signal"), "9");
}

fn mistakes_are_told() {
    let image = alpine().unwrap();
    let image = image.to_str().unwrap();
    for (options, words) in [
        (&["--restart", "sometimes"][..], "give no, on-failure[:N]"),
        (&["-d", "--rm", "--restart", "always"], "contradict"),
        (&["--restart", "always"], "needs --detach"),
        (&["-d", "--log-max-size", "1"], "at least 4k"),
        (&["-d", "--log-max-files", "0"], "give a number from 1"),
        (&["-d", "--stop-signal", "FOO"], "give a signal"),
        (&["-d", "--label", "=x"], "give NAME"),
    ] {
        let line = [&["run"], options, &[image, "true"]].concat();
        pipkin(&line).fails(125, &[words]);
    }
    for verb in ["stop", "kill", "wait", "logs"] {
        pipkin(&[verb]).exits(125);
        pipkin(&[verb, "no-such"]).fails(125, &["no-such", "there is no such container"]);
    }
}
