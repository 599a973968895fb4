//! The host's program file and the first process's own secrets, as others in the container see them.

use crate::exec::Place;
use crate::harness::{Case, Folder, Running, cases, reap_orphans, run};
use crate::program;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            cve_2019_5736_an_entry_point_that_is_the_runtime,
            cve_2019_5736_a_link_to_the_runtime,
            cve_2019_5736_the_init_is_not_reached,
            cve_2019_5736_a_further_command_that_is_the_runtime,
            cve_2016_9962_nothing_is_seen_of_a_process_that_joins,
            cve_2015_8709_root_of_a_user_namespace_traces_nobody_who_enters,
        ]
    )
}

/// A program file of the host's that may be spoiled, and its bytes and mode as they were.
struct Victim {
    path: PathBuf,
    bytes: Vec<u8>,
    _folder: Folder,
}

impl Victim {
    fn new() -> Self {
        let folder = Folder::new();
        let bytes = fs::read(program::hooks()).unwrap();
        let path = folder.file("pipkin", &bytes);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { path, bytes, _folder: folder }
    }

    fn is_intact(&self) -> bool {
        let mode = fs::metadata(&self.path).unwrap().permissions().mode();
        mode & 0o7777 == 0o755 && fs::read(&self.path).unwrap() == self.bytes
    }
}

/// Runs `words` by a copy of the program, once with `absent` taken away, when the copy is spoiled, and once with each
/// of them alone taken away and with none, when it is not.
fn attack(absent: &[&str], options: &str, words: &[&str]) {
    let try_without = |absent: &str| {
        let victim = Victim::new();
        let outcome = run(options).without(absent).by(&victim.path).with_payload().command(words);
        (victim.is_intact(), outcome)
    };
    let (intact, outcome) = try_without(&absent.join(","));
    assert!(!intact, "the attack is none: {outcome}");
    let single: &[&str] = if absent.len() > 1 { absent } else { &[] };
    for absent in single.iter().chain(&[""]) {
        let (intact, outcome) = try_without(absent);
        assert!(intact, "without {absent:?}: {outcome}");
    }
}

fn cve_2019_5736_an_entry_point_that_is_the_runtime() {
    let words = ["/proc/self/exe", "init", "--", "/e2e", "--payload", "deface", "1"];
    attack(&["own-file"], "", &words);
    attack(&["own-file"], "--cap-add SYS_PTRACE", &words);
}

fn cve_2019_5736_a_link_to_the_runtime() {
    let layer = Folder::new();
    symlink("/proc/self/exe", layer.join("link")).unwrap();
    let options = format!("--layer {}", layer.path().display());
    attack(&["own-file"], &options, &["/link", "init", "--", "/e2e", "--payload", "deface", "1"]);
}

fn cve_2019_5736_the_init_is_not_reached() {
    let words = ["/e2e", "--payload", "deface", "1"];
    attack(&["own-file", "not-dumpable"], "--init", &words);
    // With the right to trace, only where the file is counts.
    attack(&["own-file"], "--init --cap-add SYS_PTRACE", &words);
}

fn cve_2019_5736_a_further_command_that_is_the_runtime() {
    let container = run("--name victim").with_payload().start_sh("echo here; exec sleep 1000");
    container.expect("here");
    for (absent, intact) in [("own-file", false), ("", true)] {
        let victim = Victim::new();
        let mut exec = Command::new(&victim.path);
        exec.env_clear().env("PIPKIN_WITHOUT", absent).args([
            "exec",
            "victim",
            "/proc/self/exe",
            "init",
            "-s",
            "--",
        ]);
        exec.args(["sh", "-c", "exec /e2e --payload deface $PPID"]);
        let outcome = Running::start(exec, None).wait();
        assert_eq!(victim.is_intact(), intact, "without {absent:?}: {outcome}");
    }
    container.kill_and_clean();
}

fn cve_2016_9962_nothing_is_seen_of_a_process_that_joins() {
    let first = run("").start_sh("echo here; exec sleep 1000");
    first.expect("here");
    let join = format!("--pid ns:/proc/{}/ns/pid", first.container_pid());
    let plan = run("--dry-run --json").option("--pid").option(join.split_at(6).1).sh("true").json();
    let last = plan["child"].as_array().unwrap().len() - 1;
    for (absent, seen) in [("not-dumpable", "exe root cwd fd/1 environ maps mem \n"), ("", "\n")] {
        let joining = run(&join).without(absent).paused("CHILD", last).start_sh("true");
        assert!(joining.tells("paused"));
        let status = fs::read_to_string(format!("/proc/{}/status", joining.container_pid())).unwrap();
        let pid = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
        let pid = pid.split_whitespace().last().unwrap();
        run(&join).payload(&format!("spy {pid}")).prints(seen);
        joining.kill_and_clean();
    }
    first.kill_and_clean();
}

/// The ids, as they are inside, of `pid` and its descendants that are in another pid namespace than ours.
fn inside(pid: i32) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let own = ids.split_whitespace().nth(1).map(str::to_owned);
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().flat_map(|child| inside(child.parse().unwrap()));
    own.into_iter().chain(children).collect()
}

/// Root of a user namespace may trace whoever is in it; but one who comes from outside was begun outside.
fn cve_2015_8709_root_of_a_user_namespace_traces_nobody_who_enters() {
    let own = std::env::current_exe().unwrap();
    let options = format!(
        "--userns auto --cap-add SYS_PTRACE --security-opt no-new-privileges=false -v {}:/e2e:ro",
        own.display()
    );
    let place = Place::new("entrant", &options);
    let seen = |absent: &str| {
        let mut seen = std::collections::BTreeSet::new();
        let mut looked_at = 0;
        for step in 0.. {
            let mut exec = Command::new(program::hooks());
            exec.env_clear().env("PIPKIN_WITHOUT", absent).env("PIPKIN_PAUSE_CHILD", step.to_string());
            exec.args(["exec", "entrant", "true"]);
            let entering = Running::start(exec, None);
            // It runs through when there is no such step.
            if !entering.tells("paused") {
                entering.wait().exits(0);
                break;
            }
            for pid in inside(entering.pid()) {
                looked_at += 1;
                seen.extend(place.exec("", &["/e2e", "--payload", "spy", &pid]).succeeds().words());
            }
            entering.kill();
            reap_orphans();
        }
        assert!(looked_at > 2, "only {looked_at} processes were inside");
        seen
    };
    // Whose program it runs, where it is, and by that what of the host it holds.
    let traced = seen("not-dumpable");
    assert!(["exe", "root", "cwd"].iter().all(|link| traced.contains(*link)), "{traced:?}");
    assert_eq!(seen("").into_iter().collect::<Vec<_>>(), [""; 0]);
    place.end();
}
