//! The command line: verbs, their options, and everything a person gets to read.
//!
//! Duty: understand what was typed, have it done, say what came of it. The only room that prints and that knows exit
//! codes. It makes no container itself.

mod argv;
mod attach;
mod copy;
mod detach;
mod doctor;
mod event;
mod help;
mod init;
mod inspect;
mod json;
mod kernel;
mod launch;
mod list;
mod listen;
mod logs;
mod message;
mod nearest;
mod oci;
mod operand;
mod pause;
mod probe;
mod prune;
mod remove;
mod rename;
mod report;
mod run;
mod running;
mod signal;
mod start;
mod stats;
mod stop;
mod text;
mod top;

use crate::store::Store;
use argv::{Order, Sorted};
use message::Failure;
use pipkin::sys::signal::{Action, set_action};
use pipkin::sys::stdio::Stream;
use std::ffi::{OsStr, OsString};

/// The code this program ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ExitCode(u8);

impl ExitCode {
    const SUCCESS: Self = Self(0);

    /// As exit(3) takes it.
    pub(crate) fn number(self) -> i32 {
        i32::from(self.0)
    }
}

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
    Verb { name: "attach", help: attach::HELP, order: Order::Mixed, run: attach::run },
    Verb { name: "cp", help: copy::HELP, order: Order::Mixed, run: copy::run },
    Verb { name: "doctor", help: help::DOCTOR, order: Order::Mixed, run: doctor::run },
    Verb { name: "exec", help: run::exec::HELP, order: Order::OptionsFirst, run: run::exec::run },
    Verb { name: "init", help: help::INIT, order: Order::OptionsFirst, run: init::run },
    Verb { name: "events", help: help::EVENTS, order: Order::Mixed, run: listen::run },
    Verb { name: "inspect", help: help::INSPECT, order: Order::Mixed, run: inspect::run },
    Verb { name: "kill", help: help::KILL, order: Order::Mixed, run: stop::kill },
    Verb { name: "logs", help: help::LOGS, order: Order::Mixed, run: logs::run },
    Verb { name: "ps", help: help::PS, order: Order::Mixed, run: list::run },
    Verb { name: "rm", help: help::RM, order: Order::Mixed, run: remove::run },
    Verb { name: "probe", help: help::PROBE, order: Order::Mixed, run: probe::run },
    Verb { name: "prune", help: help::PRUNE, order: Order::Mixed, run: prune::run },
    Verb { name: "rename", help: help::RENAME, order: Order::Mixed, run: rename::run },
    Verb { name: "restart", help: start::RESTART, order: Order::Mixed, run: start::restart },
    Verb { name: "start", help: start::START, order: Order::Mixed, run: start::start },
    Verb { name: "stop", help: help::STOP, order: Order::Mixed, run: stop::stop },
    Verb { name: "wait", help: help::WAIT, order: Order::Mixed, run: stop::wait },
    Verb { name: "pause", help: pause::PAUSE, order: Order::Mixed, run: pause::pause },
    Verb { name: "resume", help: pause::RESUME, order: Order::Mixed, run: pause::resume },
    Verb { name: "stats", help: stats::HELP, order: Order::Mixed, run: stats::run },
    Verb { name: "top", help: top::HELP, order: Order::Mixed, run: top::run },
    Verb { name: "update", help: run::update::HELP, order: Order::Mixed, run: run::update::run },
    Verb { name: "run", help: run::help::RUN, order: Order::OptionsFirst, run: run::run },
];

/// Answers one call of the program by the name `called_as`; `args` are those after it.
pub(crate) fn main(called_as: &OsStr, args: &[OsString]) -> ExitCode {
    if init::boots(called_as, args) {
        init::boot(called_as, args);
    }
    if pipkin::sys::auxv::secure_execution() {
        let why = b"it was installed with more rights than its caller has";
        let remedy = "take away its set-user-id bit and file capabilities (chmod u-s,g-s; setcap -r)";
        return Failure::new("run", b"pipkin", why).remedy(remedy).tell();
    }
    let answered = match init::face(called_as) {
        Some(face) => init::main(face, args),
        None => prepare(args)
            .and_then(|()| if oci::is_called(args) { Ok(oci::main(args)) } else { dispatch(args) }),
    };
    answered.unwrap_or_else(|failure| failure.tell())
}

/// What every verb but `init` can rely on: three open standard streams, and an error instead of a signal for writing
/// to a closed pipe. An init changes nothing, since its payload would inherit it.
fn prepare(args: &[OsString]) -> Result<(), Failure> {
    const SIGPIPE: i32 = 13;
    if args.first().is_some_and(|verb| verb == "init") {
        return Ok(());
    }
    Stream::open_closed().map_err(|errno| Failure::errno("open", b"/dev/null", errno))?;
    set_action(SIGPIPE, Action::Ignore).map_err(|errno| Failure::errno("ignore SIGPIPE", b"", errno))
}

fn dispatch(args: &[OsString]) -> Outcome {
    #[cfg(feature = "test-hooks")]
    go_without("PIPKIN_WITHOUT")?;
    let Some((first, rest)) = args.split_first() else {
        return Err(Failure::usage("", "a verb is needed"));
    };
    let name = first.to_string_lossy();
    match name.as_ref() {
        "--help" | "-h" => return help::show(help::PROGRAM),
        "--version" | "version" => return help::show(help::VERSION),
        "help" => return help::of(rest),
        _ => {}
    }
    let Some(verb) = find(&name) else {
        let what = if name.starts_with('-') { "unknown option " } else { "unknown verb " };
        return Err(Failure::usage("", &[what, &name].concat()));
    };
    let sorted = argv::sort(verb.help, verb.order, rest).map_err(|why| Failure::usage(verb.name, &why))?;
    if sorted.help_wanted { help::show(verb.help) } else { (verb.run)(&sorted) }
}

/// Takes away the defences that a test names, between commas.
#[cfg(feature = "test-hooks")]
fn go_without(variable: &str) -> Result<(), Failure> {
    let names = std::env::var(variable).unwrap_or_default();
    let unknown =
        names.split(',').find(|name| !name.is_empty() && !pipkin::sys::defence::Defence::take_away(name));
    unknown.map_or(Ok(()), |name| Err(Failure::new("go without", name.as_bytes(), b"no such defence")))
}

fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}

/// A time as engines and people read it (RFC 3339).
fn time_stamp(ns: u64) -> [u8; 30] {
    crate::store::time::stamp(ns)
}

/// `pipkin exec` with these arguments, for callers within: its exit code.
fn exec(args: &[OsString]) -> u8 {
    let sorted = argv::sort(run::exec::HELP, Order::OptionsFirst, args);
    let sorted = sorted.map_err(|why| Failure::usage("exec", &why));
    sorted.and_then(|sorted| run::exec::run(&sorted)).map_or(message::FAILED, |code| code.0)
}

/// The store of whoever calls.
fn open_store() -> Result<Store, Failure> {
    let store =
        Store::open().map_err(|error| Failure::io("find the directories of the store", b"", &error))?;
    match store.recover() {
        Ok(()) => Ok(store),
        Err(error) => {
            let failure = Failure::io("recover what was before the machine went down", b"", &error);
            Err(launch::with_room(failure, launch::errno_of(&error)))
        }
    }
}
