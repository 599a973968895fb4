//! Help: for the program and for each verb.
//!
//! These texts are also the tables that [`argv`](super::argv) sorts by: an option is a line that begins with a
//! dash, its last spelling is the name it goes by, a word after that stands for its value, two spaces end it.

use super::message::Failure;
use super::{Outcome, report};
use std::ffi::OsString;

/// The program's name and version.
pub(super) const VERSION: &str = concat!("pipkin ", env!("CARGO_PKG_VERSION"));

/// The program's help.
pub(super) const PROGRAM: &str = "\
Usage: pipkin VERB [OPTIONS] ...

Runs Linux containers from one static program, without a daemon.

Verbs:
  doctor     tell what this machine and user can and cannot do, and what to do
             about it
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

/// Help of `probe`.
pub(super) const PROBE: &str = "\
Usage: pipkin probe [OPTIONS]

Tells what the process that runs it can see and do: ids, namespaces, capabilities,
filter, mounts, hidden and read-only paths, limits, addresses. Meant to be run
inside a container; changes nothing.

Options:
      --json  print one object
      --help  show this help";

/// Prints a help text.
pub(super) fn show(text: &str) -> Outcome {
    report::write(&[text, "\n"].concat().into_bytes())
}

/// `pipkin help [VERB]`.
pub(super) fn of(args: &[OsString]) -> Outcome {
    let Some(first) = args.first() else {
        return show(PROGRAM);
    };
    let name = first.to_string_lossy();
    match super::find(&name) {
        Some(verb) => show(verb.help),
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
            assert!(verb.help.starts_with(&["Usage: pipkin ", verb.name, " "].concat()), "{}", verb.name);
            assert!(verb.help.contains("--help  "), "{}", verb.name);
            assert!(verb.help.lines().all(|line| line.len() <= 82), "{}", verb.name);
        }
    }
}
