//! The OCI runtime interface, as engines call it (OCI runtime-spec, runtime.md; runc's command line).
//!
//! Some verbs have the names of Pipkin's own. A call is an engine's when global options stand before the verb, when the
//! verb or one of its options is only an engine's, or when the id is one of an engine's container.
//!
//! | module | duty |
//! |---|---|
//! | `help` | the text that names the options |
//! | `create`, `start`, `state`, `exec`, `kill`, `delete`, `update`, `event` | the verbs, and those like them |
//! | `hook` | runs the engine's programs |
//! | `listener` | hands over what a filter asks |
//! | `scope`, `activation` | cgroups that systemd makes, and what it gives |
//! | `feature` | what `features` and `spec` print |

mod activation;
mod create;
mod delete;
mod event;
mod exec;
mod feature;
mod help;
mod hook;
mod kill;
mod listener;
mod scope;
mod start;
mod state;
mod update;

use super::argv::{self, Order, Sorted};
use super::json::Json;
use super::message::Failure;
use super::{ExitCode, Outcome};
use crate::oci::state::{Container, Record, Root};
use crate::store::now_ns;
use pipkin::spec::Id;
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

/// Exit code of a failure, as with runc.
const FAILED: u8 = 1;

/// Exit code of a verb that there is not, as with runc.
const NO_VERB: u8 = 3;

/// Exit code of a further process that could not be made, as with runc.
const EXEC_FAILED: u8 = 255;

/// What stood before the verb.
struct Global {
    root: Root,
    /// Whether cgroups are left alone.
    no_cgroup: bool,
    /// Whether systemd makes them.
    systemd: bool,
}

/// What carries out a verb.
type Run = fn(&Global, &Sorted<'_>) -> Outcome;

/// A verb: its name, its options, what does it, whether the name is an engine's alone, and how many operands it takes.
struct Verb(&'static str, &'static str, Run, bool, usize);

const VERBS: &[Verb] = &[
    Verb("create", help::CREATE, create::create, true, 1),
    Verb("run", help::CREATE, create::run, false, 1),
    Verb("exec", help::EXEC, exec::exec, false, usize::MAX),
    Verb("start", help::PLAIN, start::start, false, 1),
    Verb("state", help::PLAIN, state::state, true, 1),
    Verb("kill", help::KILL, kill::kill, false, 2),
    Verb("delete", help::DELETE, delete::delete, true, 1),
    Verb("list", help::LIST, state::list, true, 0),
    Verb("ps", help::PS, state::processes, false, usize::MAX),
    Verb("pause", help::PLAIN, kill::pause, false, 1),
    Verb("resume", help::PLAIN, kill::resume, false, 1),
    Verb("update", help::UPDATE, update::update, false, 1),
    Verb("events", help::EVENTS, event::events, false, 1),
    Verb("features", help::PLAIN, feature::features, true, 0),
    Verb("spec", help::SPEC, feature::spec, true, 0),
    Verb("checkpoint", help::PLAIN, unsupported, true, 1),
    Verb("restore", help::PLAIN, unsupported, true, 1),
];

/// Options of the shared verbs that only engines give.
const ONLY_ENGINES: [&str; 10] = [
    "--bundle",
    "--resources",
    "--process",
    "--pid-file",
    "--console-socket",
    "--pidfd-socket",
    "--preserve-fds",
    "--no-pivot",
    "--no-new-keyring",
    "--all",
];

/// Whether this call is an engine's.
pub(super) fn is_called(args: &[OsString]) -> bool {
    let Some((first, rest)) = args.split_first() else { return false };
    if matches!(first.to_str(), Some("--help" | "-h" | "--version")) && rest.is_empty() {
        return false;
    }
    if first.as_encoded_bytes().starts_with(b"-") {
        return true;
    }
    let Some(Verb(_, help, _, only, _)) = find(first) else { return false };
    if *only {
        return true;
    }
    // A word that is no option of the engines' verb is one of ours.
    let Ok(sorted) = argv::sort(help, Order::OptionsFirst, rest) else { return false };
    let theirs = sorted.options.iter().any(|(name, _)| ONLY_ENGINES.contains(name));
    theirs || sorted.operands.first().is_some_and(|id| Root::new(None).is_ok_and(|root| root.has(id)))
}

fn find(name: &OsStr) -> Option<&'static Verb> {
    VERBS.iter().find(|Verb(known, ..)| name == *known)
}

/// Answers the call.
pub(super) fn main(args: &[OsString]) -> ExitCode {
    let global = match argv::sort(help::GLOBAL, Order::OptionsFirst, args) {
        Ok(global) => global,
        Err(why) => {
            // What stood before it says where the engine looks for the reason.
            let before = |end| argv::sort(help::GLOBAL, Order::OptionsFirst, args.get(..end)?).ok();
            if let Some(understood) = (0..args.len()).rev().find_map(before) {
                log_as(&understood);
            }
            return tell(&Failure::usage("", &why).code(FAILED));
        }
    };
    let path = global.last("--log").filter(|path| !path.is_empty());
    // Nobody would hear of what fails later.
    if let Some(path) = path
        && let Err(error) = open_log(path)
    {
        return cannot_log(path, &error).code(FAILED).tell();
    }
    log_as(&global);
    answer(&global).unwrap_or_else(|failure| tell(&failure))
}

/// Sets where and how failures are told.
fn log_as(global: &Sorted<'_>) {
    let path = global.last("--log").filter(|path| !path.is_empty()).map(str::to_owned);
    LOG.get_or_init(|| Log { path, json: global.last("--log-format") == Some("json") });
}

/// Where failures are told beside standard error, and how.
struct Log {
    path: Option<String>,
    json: bool,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Tells of a failure as the engine asked for it, and gives its exit code.
fn tell(failure: &Failure) -> ExitCode {
    let Some(log) = LOG.get() else { return failure.tell() };
    match &log.path {
        Some(path) => {
            let written = open_log(path).and_then(|mut file| file.write_all(&log.line(failure)));
            if let Err(error) = written {
                cannot_log(path, &error).tell();
            }
        }
        None if log.json => {
            // As in [`Failure::tell`].
            drop(std::io::stderr().write_all(&log.line(failure)));
            return failure.exit_code();
        }
        None => {}
    }
    failure.tell()
}

fn answer(typed: &Sorted<'_>) -> Outcome {
    if typed.has("--version") {
        return super::help::show(super::help::VERSION);
    }
    let (name, _) = match typed.operands.split_first() {
        Some(split) if !is_help_wanted(typed) && *split.0 != "help" => split,
        _ => return super::help::show(help::GLOBAL),
    };
    let usage = |why: &str| Failure::usage(&name.to_string_lossy(), why).code(FAILED);
    let Some(Verb(_, help, run, _, most)) = find(name) else {
        return Err(usage("this is no verb of an OCI runtime").code(NO_VERB));
    };
    let rest: Vec<OsString> = typed.operands.iter().skip(1).map(|word| (*word).to_owned()).collect();
    // What follows the id of exec is the command's own, and that of ps the program's of this name.
    let order = if *name == "exec" || *name == "ps" { Order::OptionsFirst } else { Order::Mixed };
    let mut sorted = argv::sort(help, order, &rest).map_err(|why| usage(&why))?;
    // Engines give options that they have no value for, and mean the usual.
    sorted.options.retain(|(_, value)| *value != Some(""));
    if is_help_wanted(&sorted) {
        return super::help::show(help);
    }
    if let Some(word) = sorted.operands.get(*most) {
        return Err(usage(&["what is to be done with ", &word.to_string_lossy(), "?"].concat()));
    }
    let known = |option: &str, words: &[&'static str]| {
        let given = typed.last(option).unwrap_or(words[0]);
        words
            .iter()
            .find(|word| **word == given)
            .copied()
            .ok_or_else(|| usage(&[option, " ", given, ": give ", &words.join(", ")].concat()))
    };
    known("--log-format", &["text", "json"])?;
    let manager = known("--cgroup-manager", &["cgroupfs", "systemd", "disabled"])?;
    let systemd = typed.has("--systemd-cgroup") || manager == "systemd";
    let no_root = |error| Failure::io("find the directory of containers", b"", &error).code(FAILED);
    let root = Root::new(typed.last("--root").filter(|path| !path.is_empty())).map_err(no_root)?;
    run(&Global { root, no_cgroup: manager == "disabled", systemd }, &sorted).map_err(|failure| {
        failure.code(if *name == "exec" && !sorted.operands.is_empty() { EXEC_FAILED } else { FAILED })
    })
}

fn is_help_wanted(typed: &Sorted<'_>) -> bool {
    typed.help_wanted || typed.has("--help")
}

impl Log {
    /// A failure in logrus' words, which engines look for.
    fn line(&self, failure: &Failure) -> Vec<u8> {
        let stamp = super::time_stamp(now_ns());
        let message = failure.text();
        let mut out = Json::default();
        if self.json {
            out.open(b'{').key(b"level").string(b"error").key(b"msg").string(message.as_bytes());
            out.key(b"time").string(&stamp).close(b'}');
            return [&out.into_text()[..], b"\n"].concat();
        }
        out.string(message.as_bytes());
        [b"time=\"", &stamp[..], b"\" level=error msg=", &out.into_text(), b"\n"].concat()
    }
}

fn open_log(path: &str) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().append(true).create(true).open(path)
}

fn cannot_log(path: &str, error: &std::io::Error) -> Failure {
    Failure::io("write to the log", path.as_bytes(), error)
}

/// The id that is the verb's first operand.
fn id(typed: &Sorted<'_>) -> Result<Id, Failure> {
    let word = typed.operands.first().map_or(&b""[..], |word| word.as_encoded_bytes());
    Id::new(word).ok_or_else(|| {
        let why = b"an id is up to 128 letters, digits, '_', '+', '-' and '.', with no dot in front";
        Failure::new("use the id", word, why)
    })
}

/// Why a container cannot be had.
fn cannot_open(id: &Id, error: &std::io::Error) -> Failure {
    let why: &[u8] = match error.kind() {
        ErrorKind::NotFound => b"container does not exist",
        ErrorKind::AlreadyExists => b"this id is in use",
        ErrorKind::ResourceBusy => b"another call has held it for half a minute",
        _ => return Failure::io("open the container", id.as_str().as_bytes(), error),
    };
    Failure::new("open the container", id.as_str().as_bytes(), why)
}

/// The container of the first operand, locked, with its record.
fn lock(global: &Global, typed: &Sorted<'_>) -> Result<(Container, Record), Failure> {
    let id = id(typed)?;
    let container = global.root.lock(id).map_err(|error| cannot_open(&id, &error))?;
    let record = container.record();
    Ok((container, record))
}

fn unsupported(_: &Global, _: &Sorted<'_>) -> Outcome {
    Err(Failure::new("save or restore a running container", b"", b"this is not supported"))
}
