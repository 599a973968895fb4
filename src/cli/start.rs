//! `pipkin start` and `restart`: a container that has ended runs again, with what it wrote to its files.
//!
//! What it is made of is what was typed when it was first run, kept in its record, with the variables that it had then.
//! It always comes back in the background, under a supervisor of its own, whose log goes on where the former one ended.

use super::argv::Sorted;
use super::attach::{Ways, sit};
use super::detach::wants_boot;
use super::launch::{end, errno_of};
use super::logs::{Follower, Wanted};
use super::message::Failure;
use super::operand::{Found, all, named};
use super::run::again;
use super::stop::{bring_to_end, grace_ms};
use super::{ExitCode, Outcome, open_store, report};
use crate::store::{Status, Store};
use std::ffi::OsStr;

/// Help of `start`.
pub(super) const START: &str = "\
Usage: pipkin start [OPTIONS] CONTAINER ...
       pipkin start --boot

Runs containers that have ended once more, in the background, as they were made:
with the options, the variables and the command that they were given, and with
what has become of their files. One that runs already is left alone.

Options:
  -a, --attach       show what it writes, and end with its exit code
  -i, --interactive  the same, and pass on to it what is typed
      --boot         for whatever runs when the machine has come up: start those
                     that their --restart wants: always; unless-stopped that
                     nobody stopped; on-failure that ran when it went down
      --help         show this help";

/// Help of `restart`.
pub(super) const RESTART: &str = "\
Usage: pipkin restart [OPTIONS] CONTAINER ...

Stops containers as stop does, and runs them again as start does.

Options:
  -t, --timeout, --time SECONDS  how long to wait [its --stop-timeout, or 10]
      --help                     show this help";

const WHAT: &str = "start the container";

/// `start`.
pub(super) fn start(typed: &Sorted<'_>) -> Outcome {
    // Nothing is open yet but what the caller left open; a supervisor would keep it so.
    pipkin::sys::spawn::close_inherited(0, &[]);
    let input = typed.has("--interactive");
    if typed.has("--boot") {
        return boot(typed);
    }
    if !input && !typed.has("--attach") {
        let names = named(typed, "start")?;
        return one_by_one(&open_store()?, names, &mut unless_it_runs);
    }
    let [name] = typed.operands.as_slice() else {
        return Err(Failure::usage("start", "the name or id of one container is needed to attach to it"));
    };
    let store = open_store()?;
    let found = Found::find(&store, WHAT, name)?;
    // Opened before it runs, so that nothing that it writes is missed.
    let fail = |error: std::io::Error| found.errno(errno_of(&error));
    let mut follower = Follower::open(&found, Wanted::all()).map_err(fail)?;
    let unfinished = follower.skip().map_err(fail)?;
    if found.record.status != Status::Exited {
        return sit(&found, follower, &unfinished, Ways::usual(input));
    }
    match run_again(&found)? {
        ExitCode::SUCCESS => sit(&Found::find(&store, WHAT, name)?, follower, b"", Ways::usual(input)),
        code => Ok(code),
    }
}

/// Starts those that their policy wants, the oldest first: a later one may join its namespaces.
fn boot(typed: &Sorted<'_>) -> Outcome {
    if !typed.operands.is_empty() || typed.has("--attach") || typed.has("--interactive") {
        return Err(Failure::usage("start", "--boot goes with nothing else"));
    }
    let store = open_store()?;
    let mut found =
        store.survey(end).map_err(|error| Failure::errno("list the containers", b"", errno_of(&error)))?;
    found.retain(|(_, record)| record.status == Status::Exited && wants_boot(record));
    found.sort_by_key(|(_, record)| record.created_ns);
    let ids: Vec<&OsStr> = found.iter().map(|(id, _)| id.as_str().as_ref()).collect();
    one_by_one(&store, &ids, &mut unless_it_runs)
}

/// `restart`.
pub(super) fn restart(typed: &Sorted<'_>) -> Outcome {
    pipkin::sys::spawn::close_inherited(0, &[]);
    let given_ms = grace_ms(typed, "restart")?;
    one_by_one(&open_store()?, named(typed, "restart")?, &mut |found| {
        if found.record.get("run.operand").is_none() {
            return Err(unknown(found));
        }
        bring_to_end(found, given_ms)?;
        let name = found.id.as_str().as_ref();
        run_again(&Found::find(found.store, WHAT, name)?)
    })
}

/// Does `act` with each container, prints those with which it went well, and remembers the last bad code.
fn one_by_one(store: &Store, names: &[&OsStr], act: &mut dyn FnMut(&Found<'_>) -> Outcome) -> Outcome {
    let mut last = ExitCode::SUCCESS;
    all(names, &mut |name| {
        let found = Found::find(store, WHAT, name)?;
        match act(&found)? {
            ExitCode::SUCCESS => report::write(found.id.as_str().as_bytes()).map(drop)?,
            code => last = code,
        }
        Ok(())
    })?;
    Ok(last)
}

fn unless_it_runs(found: &Found<'_>) -> Outcome {
    if found.record.status == Status::Exited { run_again(found) } else { Ok(ExitCode::SUCCESS) }
}

/// Runs a container that has ended.
fn run_again(found: &Found<'_>) -> Outcome {
    again(found.store, found.id, &found.record).unwrap_or_else(|| Err(unknown(found)))
}

fn unknown(found: &Found<'_>) -> Failure {
    let failure = found.fail("it was made to be removed when it ends, or before this could be asked for");
    failure.remedy("make another one: pipkin run")
}
