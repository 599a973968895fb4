//! The command line: verbs, their options, and everything a person gets to read.
//!
//! Duty: understand what was typed, have it done, say what came of it. The only room that prints and that knows exit
//! codes. It makes no container itself.

mod argv;
#[cfg(feature = "runtime")]
mod attach;
#[cfg(feature = "runtime")]
mod copy;
#[cfg(feature = "runtime")]
mod detach;
#[cfg(feature = "runtime")]
mod doctor;
#[cfg(feature = "runtime")]
mod event;
mod help;
mod init;
mod input;
#[cfg(feature = "runtime")]
mod inspect;
mod json;
mod kernel;
#[cfg(feature = "runtime")]
mod launch;
#[cfg(feature = "runtime")]
mod list;
#[cfg(feature = "runtime")]
mod listen;
#[cfg(feature = "runtime")]
mod logs;
mod message;
mod nearest;
#[cfg(feature = "oci")]
mod oci;
#[cfg(feature = "runtime")]
mod operand;
#[cfg(feature = "runtime")]
mod pause;
#[cfg(feature = "runtime")]
mod port;
mod probe;
#[cfg(feature = "runtime")]
mod prune;
#[cfg(feature = "runtime")]
mod remove;
#[cfg(feature = "runtime")]
mod rename;
mod report;
#[cfg(feature = "runtime")]
mod run;
#[cfg(feature = "runtime")]
mod running;
mod signal;
#[cfg(feature = "runtime")]
mod start;
#[cfg(feature = "runtime")]
mod stats;
#[cfg(feature = "runtime")]
mod stop;
mod text;
#[cfg(feature = "runtime")]
mod top;
#[cfg(feature = "runtime")]
mod volume;

#[cfg(feature = "runtime")]
use crate::store::Store;
use argv::{Order, Sorted};
use message::Failure;
use pipkin::sys::signal::{Action, set_action};
use pipkin::sys::stdio::Stream;
use std::borrow::Cow;
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

impl Verb {
    #[cfg(feature = "runtime")]
    fn help(&self) -> Cow<'static, str> {
        run::update::whole(self.help)
    }

    #[cfg(not(feature = "runtime"))]
    fn help(&self) -> Cow<'static, str> {
        self.help.into()
    }
}

const VERBS: &[Verb] = &[
    #[cfg(feature = "runtime")]
    Verb { name: "attach", help: attach::HELP, order: Order::Mixed, run: attach::run },
    #[cfg(feature = "runtime")]
    Verb { name: "cp", help: copy::HELP, order: Order::Mixed, run: copy::run },
    #[cfg(feature = "runtime")]
    Verb { name: "doctor", help: help::DOCTOR, order: Order::Mixed, run: doctor::run },
    #[cfg(feature = "runtime")]
    Verb { name: "exec", help: run::exec::HELP, order: Order::OptionsFirst, run: run::exec::run },
    Verb { name: "init", help: help::INIT, order: Order::OptionsFirst, run: init::run },
    #[cfg(feature = "runtime")]
    Verb { name: "events", help: help::EVENTS, order: Order::Mixed, run: listen::run },
    #[cfg(feature = "runtime")]
    Verb { name: "inspect", help: help::INSPECT, order: Order::Mixed, run: inspect::run },
    #[cfg(feature = "runtime")]
    Verb { name: "kill", help: help::KILL, order: Order::Mixed, run: stop::kill },
    #[cfg(feature = "runtime")]
    Verb { name: "logs", help: help::LOGS, order: Order::Mixed, run: logs::run },
    #[cfg(feature = "runtime")]
    Verb { name: "port", help: port::HELP, order: Order::Mixed, run: port::run },
    #[cfg(feature = "runtime")]
    Verb { name: "ps", help: help::PS, order: Order::Mixed, run: list::run },
    #[cfg(feature = "runtime")]
    Verb { name: "rm", help: help::RM, order: Order::Mixed, run: remove::run },
    Verb { name: "probe", help: help::PROBE, order: Order::Mixed, run: probe::run },
    #[cfg(feature = "runtime")]
    Verb { name: "prune", help: help::PRUNE, order: Order::Mixed, run: prune::run },
    #[cfg(feature = "runtime")]
    Verb { name: "rename", help: help::RENAME, order: Order::Mixed, run: rename::run },
    #[cfg(feature = "runtime")]
    Verb { name: "restart", help: start::RESTART, order: Order::Mixed, run: start::restart },
    #[cfg(feature = "runtime")]
    Verb { name: "start", help: start::START, order: Order::Mixed, run: start::start },
    #[cfg(feature = "runtime")]
    Verb { name: "stop", help: help::STOP, order: Order::Mixed, run: stop::stop },
    #[cfg(feature = "runtime")]
    Verb { name: "wait", help: help::WAIT, order: Order::Mixed, run: stop::wait },
    #[cfg(feature = "runtime")]
    Verb { name: "pause", help: pause::PAUSE, order: Order::Mixed, run: pause::pause },
    #[cfg(feature = "runtime")]
    Verb { name: "resume", help: pause::RESUME, order: Order::Mixed, run: pause::resume },
    #[cfg(feature = "runtime")]
    Verb { name: "stats", help: stats::HELP, order: Order::Mixed, run: stats::run },
    #[cfg(feature = "runtime")]
    Verb { name: "top", help: top::HELP, order: Order::Mixed, run: top::run },
    #[cfg(feature = "runtime")]
    Verb { name: "update", help: run::update::HELP, order: Order::Mixed, run: run::update::run },
    #[cfg(feature = "runtime")]
    Verb { name: "volume", help: volume::HELP, order: Order::Mixed, run: volume::run },
    #[cfg(feature = "runtime")]
    Verb { name: "run", help: run::help::RUN, order: Order::OptionsFirst, run: run::run },
];

/// What an unknown verb may be, where this build leaves faces out.
const LEFT_OUT: &str = if cfg!(feature = "oci") {
    ""
} else if cfg!(feature = "runtime") {
    " (this build has no OCI interface)"
} else {
    " (this build is the init alone)"
};

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
        None => prepare(args).and_then(|()| dispatch(args)),
    };
    answered.unwrap_or_else(|failure| failure.tell())
}

/// What every verb but `init` can rely on: three open standard streams, an error instead of a signal for writing to a
/// closed pipe, and children that can be waited for, whatever the caller ignored. An init changes nothing, since its
/// payload would inherit it.
fn prepare(args: &[OsString]) -> Result<(), Failure> {
    const SIGPIPE: i32 = 13;
    const SIGCHLD: i32 = 17;
    if args.first().is_some_and(|verb| verb == "init") {
        return Ok(());
    }
    Stream::open_closed().map_err(|errno| Failure::errno("open", b"/dev/null", errno))?;
    set_action(SIGPIPE, Action::Ignore)
        .and_then(|()| set_action(SIGCHLD, Action::Default))
        .map_err(|errno| Failure::errno("set what SIGPIPE and SIGCHLD do", b"", errno))
}

fn dispatch(args: &[OsString]) -> Outcome {
    #[cfg(feature = "test-hooks")]
    go_without("PIPKIN_WITHOUT")?;
    #[cfg(feature = "oci")]
    if oci::is_called(args) {
        return Ok(oci::main(args));
    }
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
        return Err(Failure::usage("", &[what, &name, LEFT_OUT].concat()));
    };
    let help = verb.help();
    let sorted = argv::sort(&help, verb.order, rest).map_err(|why| Failure::usage(verb.name, &why))?;
    if sorted.help_wanted { help::show(&help) } else { (verb.run)(&sorted) }
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
#[cfg(feature = "runtime")]
fn time_stamp(ns: u64) -> [u8; 30] {
    crate::store::time::stamp(ns)
}

/// `pipkin exec` with these arguments, for callers within: its exit code.
#[cfg(feature = "runtime")]
fn exec(args: &[OsString]) -> u8 {
    let sorted = argv::sort(run::exec::HELP, Order::OptionsFirst, args);
    let sorted = sorted.map_err(|why| Failure::usage("exec", &why));
    sorted.and_then(|sorted| run::exec::run(&sorted)).map_or(message::FAILED, |code| code.0)
}

/// The store of whoever calls.
#[cfg(feature = "runtime")]
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
