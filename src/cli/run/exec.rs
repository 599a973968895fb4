//! `pipkin exec`: one more command in a container that runs.

use super::environment::{DEFAULT_PATH, Environment};
use super::origin::{self, Origin};
use super::request::{user, variables, window_size, workdir};
use super::{Checked, given, keep};
use crate::cli::argv::Sorted;
use crate::cli::launch::{errno_of, tell};
use crate::cli::message::Failure;
use crate::cli::operand::Found;
use crate::cli::{Outcome, open_store};
use pipkin::child::{Context, run as become_command};
use pipkin::host::{Host, parse_map};
use pipkin::plan::{EnterSpec, Groups, Plan, enter};
use pipkin::spec::{Process, Tuning};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Its help, and the table of its options.
pub(in super::super) const HELP: &str = "\
Usage: pipkin exec [OPTIONS] CONTAINER COMMAND [ARGUMENT ...]

Runs one more command in a running container: in its namespaces and its cgroup,
with its environment, capabilities and filter. Options end at CONTAINER. Ends with
the status of the command, as run does; what the command leaves running stays.

Options:
  -i, --interactive        let it read Pipkin's standard input
  -t, --tty                give it a terminal
  -d, --detach             leave it to itself once it runs; its output is lost
  -e, --env NAME[=VALUE]   set a variable, or pass on the caller's
      --env-file FILE      set variables from lines of NAME[=VALUE]
  -w, --workdir DIRECTORY  start in this directory
  -u, --user USER[:GROUP]  run as this user of the container, or number
      --help               show this help";

/// The verb.
pub(in super::super) fn run(typed: &Sorted<'_>) -> Outcome {
    let answer = exec(typed);
    answer.map_err(|failure| failure.of("exec"))
}

fn exec(typed: &Sorted<'_>) -> Outcome {
    let usage = |line| Failure::usage("exec", line);
    let (container, command) = typed.operands.split_first().ok_or_else(|| usage("a CONTAINER is needed"))?;
    if command.is_empty() {
        return Err(usage("a COMMAND is needed"));
    }
    let detached = typed.has("--detach");
    if detached && (typed.has("--tty") || typed.has("--interactive")) {
        return Err(usage("--detach leaves nobody to type: leave out --tty and --interactive"));
    }
    let store = open_store()?;
    let found = Found::find(&store, "run a command in", container)?;
    let target = found.target()?;
    let process = process(typed, command, &origin::read(&found.record)?)?;
    let (namespaces, cgroup) = (target.namespaces(), target.has_group());
    let mut plan = Box::<Plan>::default();
    let groups = groups(found.record.pid, namespaces)?;
    enter(
        &EnterSpec { process, groups, namespaces, cgroup, detached, silent: detached, alone: false },
        &mut plan,
    )?;
    let ended = Host::new()?.enter(&plan, target, process.stdin, &mut |channel, namespaces, sources| {
        become_command(Context {
            plan: &plan,
            process: &process,
            channel,
            namespaces,
            streams: None,
            start: None,
            sources,
            #[cfg(feature = "test-hooks")]
            pause_at: crate::cli::launch::pause("PIPKIN_PAUSE_CHILD"),
        })
    });
    match ended {
        // It has ended meanwhile, and its cgroup is gone.
        Err(error) if matches!(error.errno, Errno::SRCH | Errno::NOENT | Errno::NODEV) => {
            Err(found.not_running())
        }
        Err(error) if error.errno == Errno::BUSY => Err(found.paused()),
        // In a pid namespace whose first process is ending the kernel has no memory for another one (pid_namespaces(7)).
        Ok(ended) if ended.failure.is_some_and(|failure| failure.errno == Errno::NOMEM) => {
            found.any_target().and_then(|_| tell(&ended, &plan))
        }
        ended => tell(&ended?, &plan),
    }
}

/// `CLONE_NEWUSER`.
pub(in super::super) const NEWUSER: u64 = 0x1000_0000;

/// Which supplementary groups can be given in the user namespace of process `pid`, ours or another
/// (`/proc/PID/setgroups` in user_namespaces(7)).
pub(in super::super) fn groups(pid: i32, namespaces: u64) -> Checked<Groups<'static>> {
    // Missing where the kernel knows no user namespaces; and when the process is gone, which is found out on entering.
    let read = |name: &str| {
        let path = ["/proc/", &pid.to_string(), name].concat();
        match std::fs::read_to_string(&path) {
            Err(error) if matches!(errno_of(&error), Errno::NOENT | Errno::SRCH) => Ok(None),
            text => text.map(Some).map_err(|error| Failure::io("read", path.as_bytes(), &error)),
        }
    };
    if read("/setgroups")?.is_some_and(|text| text.trim() == "deny") {
        return Ok(Groups::Inherited);
    }
    let Some(maps) = (if namespaces & NEWUSER == 0 { None } else { read("/gid_map")? }) else {
        return Ok(Groups::All);
    };
    let maps = parse_map(maps.as_bytes());
    let maps = maps.ok_or_else(|| Failure::new("read the map of", b"group ids", b"it is no map"))?;
    Ok(Groups::Mapped(keep::list(maps.to_vec())))
}

/// The command as it was asked for, with what the container gives it.
fn process<'a>(typed: &Sorted<'a>, command: &[&OsStr], origin: &Origin<'a>) -> Checked<Process<'a>> {
    let mut environment = Environment::default();
    environment.set(b"PATH", DEFAULT_PATH);
    for variable in &origin.env {
        // It was looked through when it was set, and is there: nobody is asked for its value.
        environment.option(variable, &|_| None).unwrap_or(());
    }
    if typed.has("--tty") {
        environment.set(b"TERM", b"xterm");
    }
    variables(typed, &mut environment)?;
    let home = environment.get(b"HOME").is_none().then(keep::slot);
    let path = keep::list(environment.get(b"PATH").unwrap_or(DEFAULT_PATH).to_vec());
    let variables = environment.into_variables().into_iter().filter_map(keep::text).collect();
    // Arguments of a program hold no NUL.
    let words = command.iter().filter_map(|word| keep::text(word.as_bytes())).collect();
    Ok(Process {
        args: keep::strings(words, None),
        env: keep::strings(variables, home),
        path,
        home,
        cwd: given(typed, "--workdir", workdir)?.unwrap_or(origin.cwd),
        user: given(typed, "--user", user)?.unwrap_or(origin.user),
        umask: 0o022,
        capabilities: origin.capabilities,
        no_new_privileges: origin.no_new_privileges,
        filter: origin.filter,
        rlimits: keep::list(origin.rlimits.clone()),
        oom_score_adj: origin.oom_score_adj,
        tuning: Tuning::PLAIN,
        confinement: origin.confinement,
        terminal: typed.has("--tty").then(window_size),
        stdin: typed.has("--interactive"),
    })
}
