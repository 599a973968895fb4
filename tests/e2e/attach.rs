//! Attached to a container that runs in the background.

use crate::harness::{
    Case, Detached, Running, Terminal, WAITS, cases, detached, detached_sh, eventually, pipkin, reap_orphans,
};
use crate::program;
use pipkin::sys::signal::kill;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            what_it_writes_from_now_on_is_shown,
            what_is_typed_reaches_it,
            its_terminal_can_be_used_and_left,
            it_stays_when_the_container_runs_again,
            other_keys_and_none,
            signals_go_to_the_command,
            one_that_is_removed_is_seen_to_its_end,
            several_at_once_see_the_same,
            without_a_supervisor_it_ends,
            what_cannot_be_attached_to_is_refused,
        ]
    )
}

fn attached(words: &[&str], input: Option<&str>) -> Running {
    let mut command = program::pipkin();
    command.arg("attach").args(words);
    Running::start(command, input.map(|text| text.as_bytes().to_vec()))
}

fn seat(container: &Detached) -> Running {
    container.clients(&["attach"], None, 1).remove(0)
}

fn what_it_writes_from_now_on_is_shown() {
    let container = detached_sh("", &[WAITS, "echo new; echo wrong >&2; printf end; exit 7"].concat());
    container.expect("ready");
    let seen = seat(&container);
    container.verb("kill -s USR1").succeeds();
    let seen = seen.wait().exits(7);
    assert_eq!((seen.text(), seen.told()), ("new\nend".into(), "wrong\n".into()));
}

fn what_is_typed_reaches_it() {
    let container = detached_sh("-i", "read -r one; echo got $one; read -r two; echo got $two; exit 3");
    // Standard input that ends does not end the container's.
    let first = attached(&[&container.id], Some("first line\n"));
    first.expect("got first line");
    let second = attached(&[&container.id], Some("second\n"));
    second.wait().exits(3);
    first.wait().exits(3);
    assert_eq!(container.output(), "got first line\ngot second\n");
    // One that was made without -i reads nothing.
    for (options, words) in [("", &["attach"][..]), ("-i", &["attach", "--no-stdin"])] {
        let container = detached_sh(options, &[WAITS, "read -r -t 1 line; echo \"<$line>\""].concat());
        container.expect("ready");
        let silent = container.clients(words, Some("lost\n"), 1).remove(0);
        container.verb("kill -s USR1").succeeds();
        silent.wait().succeeds();
        assert_eq!(container.output(), "ready\n<>\n");
    }
}

fn its_terminal_can_be_used_and_left() {
    let container = detached("-it", &["/bin/sh", "-i"]);
    container.expect("/ # ");
    let mut terminal = Terminal::open();
    terminal.resize(33, 99);
    let before = terminal.mode();
    let seat = terminal.start_program(&["attach", &container.id]);
    // The prompt that stands there already.
    terminal.expect("/ # ");
    terminal.enter("stty size\r");
    terminal.expect("33 99");
    terminal.enter("echo $((40+2))\r");
    terminal.expect("42");
    terminal.enter("\x10\x11");
    terminal.expect("left it running");
    seat.wait().exits(0);
    assert_eq!(terminal.mode(), before);
    assert_eq!(container.fact("status"), "running");
    let seat = terminal.start_program(&["attach", &container.id]);
    terminal.expect("/ # ");
    terminal.enter("exit 9\r");
    seat.wait().exits(9);
    assert_eq!(terminal.mode(), before);
    assert_eq!(container.ended(), "9");
}

fn it_stays_when_the_container_runs_again() {
    let container = detached("-it --restart always", &["/bin/sh", "-i"]);
    container.expect("/ # ");
    let mut terminal = Terminal::open();
    terminal.resize(33, 99);
    let seat = terminal.start_program(&["attach", &container.id]);
    terminal.expect("/ # ");
    for run in 0..=3 {
        // What is shown comes by way of the log: the prompt may be there before the client has the new run's terminal,
        // and what is typed until then went to the former one.
        eventually("it reaches the new run", &mut || {
            terminal.enter(&format!("echo $(({run}+40)) $(stty size)\r"));
            terminal.shows(&format!("{} 33 99", run + 40))
        });
        if run < 3 {
            terminal.enter("exit 3\r");
            eventually("it runs again", &mut || container.fact("restarts") == (run + 1).to_string());
        }
    }
    container.verb("stop -t 0").succeeds();
    seat.wait().exits(137);
    // A pipe is the same for all runs.
    let container = detached_sh("-i --restart always", "read -r line; echo got $line");
    let seat = attached(&[&container.id], Some("one\ntwo\n"));
    seat.expect("got one\n");
    seat.expect("got two\n");
    container.verb("stop -t 0").succeeds();
    assert!(seat.wait().status.code().is_some());
}

fn other_keys_and_none() {
    let container = detached("-i", &["cat"]);
    let id = container.id.as_str();
    let left = attached(&["--detach-keys", "a,ctrl-x", id], Some("aab\na\x18unread"));
    left.wait().exits(0);
    container.expect("aab\n");
    let stays = attached(&["--detach-keys", "", id], Some("\x10\x11x\n"));
    stays.expect("x\n");
    container.verb("kill").succeeds();
    stays.wait().exits(137);
    for wrong in ["ctrl-", "xy", "a,,b"] {
        attached(&["--detach-keys", wrong, id], None).wait().expect_refusal(&["--detach-keys", wrong]);
    }
}

fn signals_go_to_the_command() {
    let script = "trap 'echo int' INT; trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let container = detached_sh("", script);
    container.expect("ready");
    let deaf = container.clients(&["attach", "--sig-proxy=false"], None, 1).remove(0);
    let seat = seat(&container);
    eventually("it is interrupted", &mut || {
        seat.signal(2);
        seat.has("int")
    });
    deaf.signal(15);
    assert_eq!(deaf.wait().status.code(), None);
    seat.signal(15);
    seat.wait().exits(5);
}

fn one_that_is_removed_is_seen_to_its_end() {
    let container = detached_sh("--rm", &[WAITS, "seq 1 1000; exit 4"].concat());
    container.expect("ready");
    let seat = seat(&container);
    container.verb("kill -s USR1").succeeds();
    let all: String = (1..=1000).map(|number| format!("{number}\n")).collect();
    assert_eq!(seat.wait().exits(4).text(), all);
}

fn several_at_once_see_the_same() {
    let script = [WAITS, "i=0; while [ $i -lt 20 ]; do seq 1 500; i=$((i+1)); done"].concat();
    let container = detached_sh("--log-max-size 16k --log-max-files 50", &script);
    container.expect("ready");
    let seats = container.clients(&["attach"], None, 5);
    container.verb("kill -s USR1").succeeds();
    let once: String = (1..=500).map(|number| format!("{number}\n")).collect();
    for seat in seats {
        assert!(seat.wait().succeeds().text() == once.repeat(20));
    }
}

fn without_a_supervisor_it_ends() {
    let container = detached("-i", &["cat"]);
    let seat = seat(&container);
    kill(container.pid("supervisor"), 9).unwrap();
    seat.wait().fails(125, &["its supervisor is gone"]);
    reap_orphans();
}

fn what_cannot_be_attached_to_is_refused() {
    pipkin(&["attach"]).fails(125, &["one container is needed"]);
    pipkin(&["attach", "no-such"]).fails(125, &["no-such", "there is no such container"]);
    let container = detached("", &["true"]);
    container.ended();
    container.verb("attach").fails(125, &["it does not run"]);
    let front = crate::harness::run("--name front").start_sh("echo ready; exec sleep 1000");
    front.expect("ready");
    pipkin(&["attach", "front"]).fails(125, &["foreground"]);
    pipkin(&["stop", "-t", "0", "front"]).succeeds();
    front.wait().exits(137);
}
