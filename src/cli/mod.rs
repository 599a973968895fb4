//! The command line: verbs, their options, and everything a person gets to read.
//!
//! Duty: understand what was typed, have it done, say what came of it. The only room that prints and that knows exit
//! codes. It makes no container itself.

mod argv;
mod doctor;
mod help;
pub(crate) mod init;
mod json;
mod kernel;
mod message;
mod probe;
mod report;

use argv::{Order, Sorted};
use message::Failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// What a verb ends with: its exit code, or what went wrong.
type Outcome = Result<ExitCode, Failure>;

/// A verb of the command line.
struct Verb {
    name: &'static str,
    /// Its help, which is also the table of its options.
    help: &'static str,
    order: Order,
    run: fn(&Sorted<'_>) -> Outcome,
}

const VERBS: &[Verb] = &[
    Verb { name: "doctor", help: help::DOCTOR, order: Order::Mixed, run: doctor::run },
    Verb { name: "probe", help: help::PROBE, order: Order::Mixed, run: probe::run },
];

/// Answers one call of the program; `args` are those after its name.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    if pipkin::sys::auxv::secure_execution() {
        let why = b"it was installed with more rights than its caller has";
        let remedy = "take away its set-user-id bit and file capabilities (chmod u-s,g-s; setcap -r)";
        return Failure::new("run", b"pipkin", why).remedy(remedy).tell();
    }
    dispatch(args).unwrap_or_else(|failure| failure.tell())
}

fn dispatch(args: &[OsString]) -> Outcome {
    let Some((first, rest)) = args.split_first() else {
        return Err(Failure::usage("", "a verb is needed"));
    };
    let name = first.to_string_lossy();
    match name.as_ref() {
        "--help" | "-h" => return help::show(help::PROGRAM),
        "--version" => return help::show(help::VERSION),
        "help" => return help::of(rest),
        _ => {}
    }
    let Some(verb) = find(&name) else {
        let what = if name.starts_with('-') { "unknown option " } else { "unknown verb " };
        return Err(Failure::usage("", &[what, &name].concat()));
    };
    let sorted = argv::sort(verb.help, verb.order, rest).map_err(|why| Failure::usage(verb.name, &why))?;
    if sorted.help { help::show(verb.help) } else { (verb.run)(&sorted) }
}

fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}
