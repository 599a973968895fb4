//! Help: for the program and for each verb.
//!
//! These texts are also the tables that [`argv`](super::argv) sorts by: an option is a line that begins with a
//! dash, its last spelling is the name it goes by, a word after that stands for its value, two spaces end it.

use super::message::Failure;
use super::{Outcome, report};
use std::ffi::OsString;

/// The program's name and version.
pub(super) const VERSION: &str = concat!("pipkin version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.3.0");

/// The program's help, where it is the init alone.
#[cfg(not(feature = "runtime"))]
pub(super) const PROGRAM: &str = "\
Usage: pipkin VERB [OPTIONS] ...

The init of a container and PID 1 of a machine. This build leaves out the rest.

Verbs:
  init       start a command, forward signals to it, reap orphans, end with its
             code; called init, as PID 1 and without --, boot a machine
  probe      tell what this process can see and do

Options:
  -h, --help     show this help; after a verb, the help of that verb
      --version  show the version";

/// The program's help.
#[cfg(feature = "runtime")]
pub(super) const PROGRAM: &str = "\
Usage: pipkin VERB [OPTIONS] ...

Runs Linux containers from one static program, without a daemon.

Verbs:
  run        run a command in a new container
  attach     be in front of a detached container: see and type
  cp         copy files between the host and a container
  exec       run one more command in a running container
  ps         list containers
  inspect    tell all that is known of containers, as JSON
  logs       show what a detached container wrote
  stop       ask containers to end, and see to it that they do
  start      run containers that have ended once more
  restart    stop containers and start them again
  kill       send containers a signal
  wait       wait for the end of containers, print their exit codes
  rm         remove containers
  stats      show what containers use
  top        list the processes of a container
  pause      make containers stand still
  resume     let them go on
  update     change the limits of running containers
  prune      remove all containers that have ended
  port       show where the ports of a container are on the host
  rename     give a container another name
  events     tell what happens to containers, as it happens
  volume     list, make and remove volumes, which outlast containers
  doctor     tell what this machine and user can and cannot do, and what to do
             about it
  init       be the init of a container: start a command, forward signals to it,
             reap orphans, end with its code
  probe      inside a container: tell what this process can see and do

Options:
  -h, --help     show this help; after a verb, the help of that verb
      --version  show the version";

/// Help of `doctor`.
pub(super) const DOCTOR: &str = "\
Usage: pipkin doctor [OPTIONS]

Tells, one line each, what containers can have on this machine as this user, and
what to do about what they cannot. Changes nothing. Ends with 1 if a container
cannot run here at all.

Options:
      --json  print an array of objects: name, state, detail, remedy
      --help  show this help";

/// Help of `init`, under all its names.
pub(super) const INIT: &str = "\
Usage: pipkin init [OPTIONS] [--] COMMAND [ARG...]

Starts COMMAND, passes every signal on to it, reaps orphans and ends with its
exit code (128 + n when killed by signal n). Under the name tini, docker-init,
catatonit or dumb-init it does what that init does and takes its options. Called
init, as PID 1 and without --, it boots a machine: see the kernel arguments below.

Signals:
  -g, --group                 to the command's whole process group
  -c, --single-child          to the command alone, as without any option
      --scope WHOM            to child, group, or (as PID 1) all
  -r, --rewrite, --map S:R    pass on signal S as R; nothing when R is 0
      --delay MS              hold the first TERM back so long
  -p, --parent-death SIGNAL   when the parent ends, act as if SIGNAL came

The end:
      --orphans WHAT          when the command has ended: leave the others alone,
                              end them with TERM and later KILL, or wait for them
                              [end; as tini: leave]
      --grace MS              how long TERM may take [1000; as another init: 0]
  -e, --remap CODE[:NEW]      report exit code CODE as NEW [0]

Other:
  -w, --warn                  tell each orphan that is reaped
  -P, --pause                 no command: reap until TERM or INT comes
      --services FILE         also run each line of FILE, and again 1 s after it
                              ended; without a command until TERM or INT comes
  -s, --subreaper             adopt orphans without being PID 1, as always
  -v, --verbose               taken, and ignored
  -V, --version               show the version
  -l, -L, --license           show the license
  -h, --help                  show this help

Kernel arguments: pipkin.exec=PATH, pipkin.env.NAME=VALUE, pipkin.hostname=NAME,
pipkin.end=poweroff|reboot|halt, pipkin.grace=MS, pipkin.rescue,
pipkin.mount=SOURCE:DIR:TYPE[:OPTIONS], pipkin.vsock=PORT (told the status),
ip=ADDRESS::GATEWAY:MASK:NAME:LINK::DNS, root=, rootfstype=, rootflags=, rw,
init=; what follows ' -- ' is the command.";

/// Help of `ps`.
pub(super) const PS: &str = "\
Usage: pipkin ps [OPTIONS]
       pipkin ps CONTAINER

Lists the containers that run, newest first; of a CONTAINER that is named, its
processes, as top does. What a killed Pipkin left behind is cleaned up on the way.

Options:
  -a, --all               also those that have ended
  -q, --quiet             only the ids
  -n, --last NUMBER       the newest ones only, also those that have ended
  -l, --latest            the newest one only
      --no-trunc          images and commands at full length
      --format FORMAT     table, json or ids [table]
      --filter KEY=VALUE  only those that have it: name=TEXT (a part of it),
                          id=BEGINNING, status=WORD, health=WORD, exited=CODE,
                          ancestor=IMAGE, label=NAME or label=NAME=VALUE; one
                          of several of a key, all labels
      --help              show this help";

/// Help of `inspect`.
pub(super) const INSPECT: &str = "\
Usage: pipkin inspect [OPTIONS] CONTAINER ...

Tells all that is known of each container: one JSON object, or an array of them
when several are named.

Options:
      --pretty  a line for each value; --pretty=false puts all on one
      --help    show this help";

/// Help of `prune`.
pub(super) const PRUNE: &str = "\
Usage: pipkin prune [OPTIONS]

Removes all containers that have ended, with their writable layers and logs, and
prints their ids.

Options:
  -f, --force  taken, and ignored: nothing is asked
      --help   show this help";

/// Help of `rename`.
pub(super) const RENAME: &str = "\
Usage: pipkin rename [OPTIONS] CONTAINER NAME

Gives a container another name, or its first one.

Options:
      --help  show this help";

/// Help of `events`.
pub(super) const EVENTS: &str = "\
Usage: pipkin events [OPTIONS]

Prints what happens to detached containers, each event a JSON object on a line of
its own: start, oom, health, disconnect (pasta has died), stop (somebody asks for
its end), die (with its cause), restart.

Options:
      --since TIME        also what happened since then: 2026-01-02T03:04:05Z, 10m
      --until TIME        nothing that comes later; ends then
      --filter KEY=VALUE  only event=TYPE, container=NAME or =ID; one of several
                          of a key
      --no-follow         do not wait for more; without --since, tell all
      --help              show this help";

/// Help of `logs`.
pub(super) const LOGS: &str = "\
Usage: pipkin logs [OPTIONS] CONTAINER

Shows what a detached container wrote: its standard output on ours, its standard
error on ours.

Options:
  -f, --follow       go on as it writes, until it ends
  -n, --tail NUMBER  only so many lines from the end, or all
  -t, --timestamps   with the time at which each line was read
      --since TIME   only what is not older than 2026-01-02T03:04:05Z (or in a
                     zone, as +02:00), or than 90s, 10m, 1h30m, 1d ago
      --until TIME   only what is not newer; --follow ends then
      --stdout       only standard output
      --stderr       only standard error
      --help         show this help";

/// Help of `stop`.
pub(super) const STOP: &str = "\
Usage: pipkin stop [OPTIONS] CONTAINER ...

Sends the stop signal of each container (TERM unless told otherwise), waits, and
kills it when it has not ended by then. It is not started again.

Options:
  -t, --timeout, --time SECONDS  how long to wait, -1: for ever [its
                                 --stop-timeout, or 10]
  -f, --force                    kill at once
      --help                     show this help";

/// Help of `kill`.
pub(super) const KILL: &str = "\
Usage: pipkin kill [OPTIONS] CONTAINER ...

Sends a signal to the first process of each container. After KILL or its stop
signal it is not started again.

Options:
  -s, --signal SIGNAL  which: KILL, 9, RTMIN+3 [KILL]
      --help           show this help";

/// Help of `wait`.
pub(super) const WAIT: &str = "\
Usage: pipkin wait [OPTIONS] CONTAINER ...

Waits until each container has ended for good, and prints its exit code.

Options:
      --help  show this help";

/// Help of `rm`.
pub(super) const RM: &str = "\
Usage: pipkin rm [OPTIONS] CONTAINER ...

Removes containers that have ended, with their writable layers. CONTAINER is a
name, an id, or the beginning of just one id. What a killed Pipkin left behind is
cleaned up on the way.

Options:
  -f, --force    kill running ones first; one that does not exist is no error
  -v, --volumes  taken, and ignored: a container has no volumes of its own
      --help     show this help";

/// Help of `probe`.
pub(super) const PROBE: &str = "\
Usage: pipkin probe [OPTIONS]

Tells what the process that runs it can see and do: ids, namespaces, capabilities,
filter, mounts, hidden and read-only paths, limits, addresses. Meant to be run
inside a container; changes nothing.

Options:
      --attempt  try instead what a container must not be able to do: calls,
                 files, devices, in ways that do no harm where they succeed;
                 ends with 0 when all is refused, with 1 otherwise
      --json     print one object
      --help     show this help";

/// Prints a help text.
pub(super) fn show(text: &str) -> Outcome {
    report::write_list(&[text, "\n"].concat().into_bytes())
}

/// `pipkin help [VERB]`.
pub(super) fn of(args: &[OsString]) -> Outcome {
    let Some(first) = args.first() else {
        return show(PROGRAM);
    };
    let name = first.to_string_lossy();
    match super::find(&name) {
        Some(verb) => show(&verb.help()),
        None => Err(Failure::usage("", &["unknown verb ", &name].concat())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_told_and_fits_a_terminal() {
        for verb in super::super::VERBS {
            assert!(PROGRAM.contains(&["\n  ", verb.name, " "].concat()), "{}", verb.name);
            let help = verb.help();
            assert!(help.starts_with(&["Usage: pipkin ", verb.name, " "].concat()), "{}", verb.name);
            assert!(help.contains("--help  "), "{}", verb.name);
            assert!(help.lines().all(|line| line.len() <= 82), "{}", verb.name);
        }
    }
}
