//! Logs: what was written is what is read, however it is written, and whoever reads it when.

use crate::harness::{Case, Running, WAITS, cases, detached, detached_sh, eventually, pipkin};
use crate::program;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            streams_are_kept_apart,
            a_last_line_without_newline_is_kept,
            bytes_are_intact,
            a_terminal_is_logged,
            nothing_is_lost_over_rotation,
            a_follower_misses_nothing,
            a_follower_sees_the_end_of_what_is_removed,
            only_the_tail,
            only_what_is_new,
            only_until_then,
            timestamps_stand_before_lines,
            what_was_written_is_read_to_the_byte,
        ]
    )
}

fn streams_are_kept_apart() {
    let container = detached_sh("", "echo out; echo err >&2");
    container.ended();
    let all = container.verb("logs");
    assert_eq!((all.text(), all.told()), ("out\n".into(), "err\n".into()));
    container.verb("logs --stdout").prints("out\n");
    let error = container.verb("logs --stderr");
    assert_eq!((error.text(), error.told()), (String::new(), "err\n".into()));
}

fn a_last_line_without_newline_is_kept() {
    let container = detached_sh("", "printf 'one\\ntwo'");
    container.ended();
    container.verb("logs").prints("one\ntwo");
}

fn bytes_are_intact() {
    let script = "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done";
    let container = detached_sh("", script);
    container.ended();
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(container.verb("logs").stdout, all);
}

fn a_terminal_is_logged() {
    let container = detached_sh("-t", "tty; echo err >&2");
    container.ended();
    container.verb("logs").prints("/dev/pts/0\r\nerr\r\n");
}

/// Numbered lines of both streams, more than one file holds, and all of them read.
fn nothing_is_lost_over_rotation() {
    let script = "seq 1 20000 & seq 30001 50000 >&2; wait";
    let container = detached_sh("--log-max-size 64k --log-max-files 100", script);
    container.ended();
    let numbers = |from: i32, to: i32| (from..=to).map(|number| format!("{number}\n")).collect::<String>();
    let all = container.verb("logs");
    assert!(all.text() == numbers(1, 20_000) && all.told() == numbers(30_001, 50_000));
    let folder = std::fs::read_dir(format!("/var/lib/pipkin/containers/{}", container.id)).unwrap();
    let files = folder.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("log"));
    assert!(files.count() > 10);
    // Only the last files are kept when they are to be few.
    let container = detached_sh("--log-max-size 64k --log-max-files 2", "seq 1 20000");
    container.ended();
    let kept = container.output();
    assert!(kept.ends_with(&numbers(19_000, 20_000)) && !kept.starts_with("1\n"));
}

fn follower(id: &str) -> Running {
    let mut command = program::pipkin();
    command.args(["logs", "-f", id]);
    Running::start(command, None)
}

fn a_follower_misses_nothing() {
    let script = [WAITS, "i=0; while [ $i -lt 20 ]; do seq 1 2000; i=$((i+1)); done; echo last"].concat();
    let container = detached_sh("--log-max-size 64k --log-max-files 50", &script);
    let reader = follower(&container.id);
    // Begun on both sides: what comes now is followed.
    reader.expect("ready");
    container.verb("kill -s USR1").succeeds();
    let read = reader.wait().succeeds();
    let once: String = (1..=2000).map(|number| format!("{number}\n")).collect();
    assert!(read.text() == ["ready\n", &once.repeat(20), "last\n"].concat(), "{} bytes", read.stdout.len());
}

fn a_follower_sees_the_end_of_what_is_removed() {
    let container = detached_sh("--rm", &[WAITS, "echo last"].concat());
    let reader = follower(&container.id);
    reader.expect("ready");
    container.verb("kill -s USR1").succeeds();
    reader.wait().prints("ready\nlast\n");
}

fn only_the_tail() {
    let container = detached_sh("--log-max-size 4k --log-max-files 9", "seq 1 300; printf end");
    container.ended();
    container.verb("logs --tail 3").prints("299\n300\nend");
    container.verb("logs -n 0").prints("");
    container.verb("logs --tail all --stderr").prints("");
    container.verb("logs --tail x").fails(125, &["--tail x"]);
}

fn only_what_is_new() {
    let container = detached("", &["echo", "old"]);
    container.ended();
    container.verb("logs --since 1h").prints("old\n");
    container.verb("logs --since 0s").prints("");
    container.verb("logs --since 2020-01-01").prints("old\n");
    container.verb("logs --since yesterday").fails(125, &["--since yesterday"]);
}

fn only_until_then() {
    let container = detached_sh("", "echo one; sleep 1000");
    container.expect("one\n");
    container.verb("logs --until 1h").prints("");
    container.verb("logs --until 2100-01-01").prints("one\n");
    // It follows no longer than that, though the container goes on.
    container.verb("logs -f --until 1h").prints("");
    container.verb("logs --until nonsense").fails(125, &["--until nonsense"]);
}

fn timestamps_stand_before_lines() {
    let container = detached_sh("", "printf half; sleep 0.2; echo ' line'; echo next");
    container.ended();
    let shown = container.verb("logs --timestamps").succeeds().text();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(lines[0].ends_with("Z half line") && lines[1].ends_with("Z next"), "{shown}");
    assert!(lines.iter().all(|line| line.find(' ') == Some(30)), "{shown}");
    let foreground = pipkin(&["logs", "no-such"]);
    foreground.fails(125, &["no-such"]);
}

/// Random bytes in chunks of random sizes, by two writers at once, over many files.
fn what_was_written_is_read_to_the_byte() {
    let writer = "w() { i=0; while [ $i -lt 60 ]; do
            head -c $(($(od -An -N2 -tu2 /dev/urandom) % 20000 + 1)) /dev/urandom; i=$((i+1)); done | tee $1; }
        w /tmp/out & w /tmp/err >&2 & wait; echo done > /tmp/done; exec sleep 1000";
    let container = detached_sh("--log-max-size 64k --log-max-files 1000", writer);
    eventually("it is written", &mut || {
        pipkin(&["exec", &container.id, "test", "-e", "/tmp/done"]).status.success()
    });
    let inside = |path: &str| pipkin(&["exec", &container.id, "cat", path]).succeeds().stdout;
    let (out, err) = (inside("/tmp/out"), inside("/tmp/err"));
    assert!(out.len() > 60 && err.len() > 60);
    // The last of it is read by the supervisor a moment later.
    eventually("it is logged", &mut || container.verb("logs").stdout.len() >= out.len());
    assert!(container.verb("logs --stdout").stdout == out);
    assert!(container.verb("logs --stderr").stderr == err);
    assert_eq!(container.verb("inspect").json()["LostLogBytes"], 0);
}
