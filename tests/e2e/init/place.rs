//! Where an init can live: any pid, any user, any root, any name, and next to nothing.

use super::{Folder, Running, children, init, shell, until};
use crate::program::pipkin;
use crate::role::play;
use libtest_mimic::{Completion, Failed, Trial};
use std::os::unix::fs::symlink;
use std::process::Command;

pub(super) fn cases() -> Vec<Trial> {
    vec![
        Trial::ignorable_test("init::pid_1_reaches_its_whole_namespace", pid_1_reaches_its_whole_namespace),
        Trial::ignorable_test("init::pid_1_asks_everybody_to_end", pid_1_asks_everybody_to_end),
        Trial::ignorable_test("init::killing_pid_1_ends_its_namespace", killing_pid_1_ends_its_namespace),
        Trial::test("init::others_may_not_reach_everybody", others_may_not_reach_everybody),
        Trial::ignorable_test("init::a_bare_root_and_any_user_will_do", a_bare_root_and_any_user_will_do),
        Trial::test("init::closed_streams_will_do", closed_streams_will_do),
        Trial::test("init::nothing_is_held_open", nothing_is_held_open),
        Trial::ignorable_test("init::standing_takes_little_memory", standing_takes_little_memory),
        Trial::test("init::sockets_are_handed_on", sockets_are_handed_on),
        Trial::test("init::other_inits_are_played", other_inits_are_played),
    ]
}

/// As PID 1 of a new pid namespace.
fn first(command: &Command) -> Command {
    let mut first = Command::new("unshare");
    first.args(["-p", "-f"]).arg(command.get_program()).args(command.get_args());
    first
}

fn needs_root() -> Option<Completion> {
    let root = rustix::process::geteuid().is_root();
    (!root).then(|| Completion::ignored_with("needs root"))
}

/// The process that is PID 1 in there, by its id out here.
fn inside(unshare: &Running) -> Result<i32, Failed> {
    let mut found = None;
    until("PID 1", || {
        found = children(unshare.pid()).first().map(|(pid, _)| *pid);
        found.is_some()
    })?;
    found.ok_or_else(|| "no PID 1".into())
}

/// A process in a session of its own that says when it is ready and when it is asked to end.
const OTHER: &str =
    r#"setsid sh -c 'trap "echo other; exit" TERM; echo ready; while :; do sleep 0.1; done' &"#;

fn pid_1_reaches_its_whole_namespace() -> Result<Completion, Failed> {
    if let Some(ignored) = needs_root() {
        return Ok(ignored);
    }
    let script = format!("trap 'wait; echo main; exit 3' TERM; {OTHER} wait");
    let mut running = Running::start(&mut first(&init(&["--scope=all"], &shell(&script))))?;
    running.tells("ready")?;
    pipkin::sys::signal::kill(inside(&running)?, 15).map_err(|errno| format!("kill: {errno}"))?;
    running.tells("other")?;
    running.tells("main")?;
    running.ends_with(3)?;
    Ok(Completion::Completed)
}

fn pid_1_asks_everybody_to_end() -> Result<Completion, Failed> {
    if let Some(ignored) = needs_root() {
        return Ok(ignored);
    }
    let script = format!("{OTHER} read -r go; exit 5");
    let mut running = Running::start(&mut first(&init(&["--grace=60000"], &shell(&script))))?;
    running.tells("ready")?;
    drop(running.input.take());
    running.tells("other")?;
    running.ends_with(5)?;
    Ok(Completion::Completed)
}

fn killing_pid_1_ends_its_namespace() -> Result<Completion, Failed> {
    if let Some(ignored) = needs_root() {
        return Ok(ignored);
    }
    let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    let mut running = Running::start(&mut first(&init(&[], &shell(script))))?;
    running.tells("ready")?;
    let first = inside(&running)?;
    pipkin::sys::signal::kill(first, 9).map_err(|errno| format!("kill: {errno}"))?;
    // unshare has words of its own for how it ended.
    if running.end()?.success() {
        return Err("it ended well".into());
    }
    let told = running.rest()?;
    if told.is_empty() { Ok(Completion::Completed) } else { Err(format!("{told:?}").into()) }
}

fn others_may_not_reach_everybody() -> Result<(), Failed> {
    let output = init(&["--scope=all"], &shell("exit 0")).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let right = output.status.code() == Some(125) && told.contains("PID 1");
    if right { Ok(()) } else { Err(format!("{output:?}").into()) }
}

/// A read-only root that holds the program and nothing else, and a user who owns none of it.
fn a_bare_root_and_any_user_will_do() -> Result<Completion, Failed> {
    if let Some(ignored) = needs_root() {
        return Ok(ignored);
    }
    if std::env::var_os("PIPKIN").is_none() {
        return Ok(Completion::ignored_with("needs a static program, in PIPKIN"));
    }
    let folder = Folder::make("bare")?;
    let script = "mount -t tmpfs -o mode=755 none \"$1\" && cp \"$2\" \"$1/pipkin\" && \
                  mount -o remount,ro none \"$1\" && shift 2 && exec \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c", script, "sh"]).arg(&folder.0).arg(pipkin().get_program());
    let bare = play("bare");
    unshare.arg(bare.get_program()).args(bare.get_args()).arg(&folder.0);
    unshare.args(["/pipkin", "init", "--", "/pipkin", "init", "--", "/pipkin", "--version"]);
    let mut running = Running::start(&mut unshare)?;
    running.tells(&format!("pipkin version {}", env!("CARGO_PKG_VERSION")))?;
    running.ends_with(0)?;
    Ok(Completion::Completed)
}

fn closed_streams_will_do() -> Result<(), Failed> {
    let contained = init(&[], &shell("exit 3"));
    let mut closing = shell("exec \"$@\" <&- >&- 2>&-");
    closing.arg("sh").arg(contained.get_program()).args(contained.get_args());
    let status = closing.status()?;
    if status.code() == Some(3) { Ok(()) } else { Err(status.to_string().into()) }
}

/// Init holds its streams and its signals, is in `/`, and leaves what it was given to the payload.
fn nothing_is_held_open() -> Result<(), Failed> {
    let contained = init(&[], &play("signals"));
    let mut giving = shell("exec 7</dev/null; cd /proc; exec \"$@\"");
    giving.arg("sh").arg(contained.get_program()).args(contained.get_args());
    let mut running = Running::start(&mut giving)?;
    running.tells("ready")?;
    let open = |pid: i32| -> Result<Vec<String>, Failed> {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    };
    let pid = running.pid();
    until("init to let go", || open(pid).is_ok_and(|names| names.len() == 4))?;
    let cwd = std::fs::read_link(format!("/proc/{pid}/cwd"))?;
    let payloads = children(pid);
    let [(payload, _)] = payloads.as_slice() else { return Err("no payload".into()) };
    let payload_cwd = std::fs::read_link(format!("/proc/{payload}/cwd"))?;
    if cwd.to_str() != Some("/")
        || payload_cwd.to_str() != Some("/proc")
        || !open(*payload)?.contains(&"7".into())
    {
        return Err(format!("init in {}, payload in {}", cwd.display(), payload_cwd.display()).into());
    }
    running.kill(64)?;
    running.tells("64")?;
    running.ends_with(0)
}

/// Its share of memory while it waits, after it has been woken before: at most 150 KiB.
fn standing_takes_little_memory() -> Result<Completion, Failed> {
    if std::env::var_os("PIPKIN").is_none() {
        return Ok(Completion::ignored_with("needs the shipped program, in PIPKIN"));
    }
    let mut running = Running::start(&mut init(&[], &play("signals")))?;
    running.tells("ready")?;
    running.kill(1)?;
    running.tells("1")?;
    let share = || -> Option<u32> {
        let memory = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", running.pid())).ok()?;
        let line = memory.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    until("init to take no more than 150 KiB", || share().is_some_and(|kib| kib <= 150))?;
    running.kill(64)?;
    running.ends_with(0)?;
    Ok(Completion::Completed)
}

fn sockets_are_handed_on() -> Result<(), Failed> {
    let contained = init(&[], &shell("test \"$LISTEN_PID\" = $$ && test \"$LISTEN_FDS\" = 1"));
    let mut listening = play("listener");
    listening.arg(contained.get_program()).args(contained.get_args());
    Running::start(&mut listening)?.ends_with(0)
}

fn other_inits_are_played() -> Result<(), Failed> {
    let folder = Folder::make("names")?;
    for (name, words) in
        [("tini", "tini version "), ("docker-init", "tini version "), ("dumb-init", "dumb-init v")]
    {
        let path = folder.0.join(name);
        symlink(std::fs::canonicalize(pipkin().get_program())?, &path)?;
        let output = Command::new(&path).arg("--version").output()?;
        if !output.status.success() || !output.stdout.starts_with(words.as_bytes()) {
            return Err(format!("{name}: {output:?}").into());
        }
    }
    let mut tini = Command::new(folder.0.join("tini"));
    tini.args(["-s", "-vvv", "-g", "-e", "143", "--", "sh", "-c", "kill -TERM $$"]).env("TINI_SUBREAPER", "");
    Running::start(&mut tini)?.ends_with(0)?;
    let mut dumb = Command::new(folder.0.join("dumb-init"));
    let script = "trap 'echo quit; exit 7' QUIT; echo ready; while :; do sleep 0.1; done";
    let mut running = Running::start(dumb.args(["-r", "15:3", "sh", "-c", script]))?;
    running.tells("ready")?;
    running.kill(15)?;
    running.tells("quit")?;
    running.ends_with(7)
}
