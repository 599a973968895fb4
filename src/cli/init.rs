//! The faces of init: `pipkin init`, the inits whose name this program is called by, and PID 1 of a machine.
//!
//! One table of options serves them all, since tini's, dumb-init's and catatonit's never contradict one another; they
//! differ in what they do without any.

use super::argv::{self, Order, Sorted};
use super::message::Failure;
use super::{ExitCode, Outcome, help, input, signal};
use pipkin::error::Error;
use pipkin::init::boot::cmdline::Words;
use pipkin::init::contain::Init;
use pipkin::init::option::{Answer, Answers, Options, Orphan, Scope};
use pipkin::init::service::{CAPACITY, Services};
use pipkin::init::{payload, state};
use pipkin::sys::process::{StrArray, StrPtr, StrSlot};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Where commands are looked for without a PATH, as musl's execvp(3) does.
const PATH: &[u8] = b"/usr/local/bin:/bin:/usr/bin";
/// Docker asks its init for its version and wants to read these two words (daemon/info_unix.go).
const VERSION: &str = concat!("tini version 0.19.0 - pipkin ", env!("CARGO_PKG_VERSION"));

/// Which init to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Face {
    /// `pipkin init`.
    Own,
    /// tini, and catatonit, which does the same.
    Tini,
    /// dumb-init.
    Dumb,
}

/// The init this program is called as.
pub(super) fn face(called_as: &OsStr) -> Option<Face> {
    match file_name(called_as) {
        b"tini" | b"tini-static" | b"docker-init" | b"podman-init" | b"catatonit" => Some(Face::Tini),
        b"dumb-init" => Some(Face::Dumb),
        b"init" => Some(Face::Own),
        _ => None,
    }
}

fn file_name(path: &OsStr) -> &[u8] {
    Path::new(path).file_name().unwrap_or_default().as_bytes()
}

/// Whether this is PID 1 of a machine: called `init`, and not followed by the `--` by which container engines set
/// off the command.
pub(super) fn boots(called_as: &OsStr, args: &[OsString]) -> bool {
    let command_follows = args.first().is_some_and(|first| first == "--");
    std::process::id() == 1 && file_name(called_as) == b"init" && !command_follows
}

/// Boots with the arguments and the environment of this program; see [`pipkin::init::boot`].
pub(super) fn boot(called_as: &OsStr, args: &[OsString]) -> ! {
    let args = strings([called_as].into_iter().chain(args.iter().map(OsString::as_os_str)));
    let env = environment();
    pipkin::init::boot::run(&borrowed(&args), &borrowed(&env))
}

/// What the kernel passed as an argument has no NUL inside: none is left out.
fn strings<'a>(given: impl Iterator<Item = &'a OsStr>) -> Vec<CString> {
    given.filter_map(|string| CString::new(string.as_bytes()).ok()).collect()
}

fn environment() -> Vec<CString> {
    let pair = |(mut pair, value): (OsString, OsString)| {
        pair.push("=");
        pair.push(value);
        CString::new(pair.into_vec()).ok()
    };
    std::env::vars_os().filter_map(pair).collect()
}

fn borrowed(strings: &[CString]) -> Vec<&CStr> {
    strings.iter().map(CString::as_c_str).collect()
}

/// Answers a call under the name of an init.
pub(super) fn main(face: Face, args: &[OsString]) -> Outcome {
    let sorted = argv::sort(help::INIT, Order::OptionsFirst, args).map_err(|why| usage(&why))?;
    if sorted.help_wanted { help::show(help::INIT) } else { answer(face, &sorted) }
}

/// `pipkin init`.
pub(super) fn run(typed: &Sorted<'_>) -> Outcome {
    answer(Face::Own, typed)
}

fn usage(why: &str) -> Failure {
    Failure::usage("init", why)
}

fn answer(face: Face, typed: &Sorted<'_>) -> Outcome {
    if typed.has("--help") {
        return help::show(help::INIT);
    }
    if typed.has("--version") {
        return help::show(if face == Face::Dumb { "dumb-init v1.2.5" } else { VERSION });
    }
    if typed.has("--license") {
        return help::show(concat!("pipkin ", env!("CARGO_PKG_VERSION"), ": MIT license"));
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let mut options = understand(face, &typed.options, variable)?;
    let services = match typed.last("--services") {
        Some(path) => read_services(path)?,
        None => Vec::new(),
    };
    options.serves = !services.is_empty();
    if typed.has("--pause") || typed.operands.is_empty() && options.serves {
        return serve(&options, &services);
    }
    if typed.operands.is_empty() {
        return Err(usage("a command is needed"));
    }
    start(&options, &typed.operands, &services)
}

/// The services in a file: a command in each line, its words separated by blanks, in double quotes where they have
/// some, as on the kernel's command line. `#` begins a comment line.
fn read_services(path: &str) -> Result<Vec<Vec<CString>>, Failure> {
    const READ: &str = "read the services in";
    let text = input::file(path).map_err(|error| Failure::io(READ, path.as_bytes(), &error))?;
    let mut services = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut line = line.trim_ascii().to_vec();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if line.contains(&0) {
            return Err(Failure::new(READ, path.as_bytes(), b"it holds a NUL byte"));
        }
        let length = line.len();
        line.push(0);
        services.push(Words::split(&mut line, length).iter().map(CStr::to_owned).collect());
    }
    match services.len() {
        0 => Err(Failure::new(READ, path.as_bytes(), b"there are none")),
        1..=CAPACITY => Ok(services),
        _ => Err(Failure::new(READ, path.as_bytes(), b"there are more than 16")),
    }
}

/// What the options and the variables of the other inits ask for.
fn understand(
    face: Face,
    typed: &[argv::Typed<'_>],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Options, Failure> {
    let mut options = Options { subreaper: true, ..Options::PLAIN };
    match face {
        Face::Own => (options.orphan, options.grace_ms) = (Orphan::End, 1000),
        Face::Tini => {}
        Face::Dumb => (options.scope, options.orphan) = (Scope::Group, Orphan::End),
    }
    let single = variable("DUMB_INIT_SETSID").is_some_and(|value| value == "0");
    if face == Face::Dumb && single {
        (options.scope, options.orphan) = (Scope::Child, Orphan::Leave);
    }
    if variable("TINI_KILL_PROCESS_GROUP").is_some() {
        options.scope = Scope::Group;
    }
    for (name, value) in typed {
        apply(face, &mut options, name, value.unwrap_or_default())
            .ok_or_else(|| usage(&["cannot understand ", name, " ", value.unwrap_or_default()].concat()))?;
    }
    Ok(options)
}

/// Applies one option; none when its value has no meaning.
fn apply(face: Face, options: &mut Options, name: &str, value: &str) -> Option<()> {
    match name {
        "--group" => options.scope = Scope::Group,
        "--single-child" => {
            options.scope = Scope::Child;
            if face == Face::Dumb {
                options.orphan = Orphan::Leave;
            }
        }
        "--scope" => {
            options.scope = match value {
                "child" => Scope::Child,
                "group" => Scope::Group,
                "all" => Scope::All,
                _ => return None,
            }
        }
        "--map" => {
            let (from, to) = value.split_once(':')?;
            let answer = if to == "0" { Answer::Drop } else { Answer::Forward(signal::number(to)?) };
            options.answers = Answers::with(options.answers, i32::from(signal::number(from)?), answer)?;
        }
        "--remap" => {
            let (from, to) = value.split_once(':').unwrap_or((value, "0"));
            options.remap = options.remap.with(from.parse().ok()?, to.parse().ok()?);
        }
        "--orphans" => {
            options.orphan = match value {
                "leave" => Orphan::Leave,
                "end" => Orphan::End,
                "wait" => Orphan::Wait,
                _ => return None,
            }
        }
        "--grace" => options.grace_ms = value.parse().ok()?,
        "--delay" => options.delay_ms = value.parse().ok()?,
        "--parent-death" => options.parent_death = Some(signal::number(value)?),
        "--warn" => options.verbose = true,
        // Asked for in any case, or without any effect here.
        _ => {}
    }
    Some(())
}

/// Is the init of services alone, or of nobody.
fn serve(options: &Options, services: &[Vec<CString>]) -> Outcome {
    let init = Init::new(options)?;
    let env = environment();
    let pairs = pointers(&env);
    let envp = StrArray::new(&pairs).unwrap_or(StrArray::EMPTY);
    let outcome =
        with_services(services, envp, path_of(&env), &mut |services| Ok(init.supervise(None, services)))?;
    Ok(ExitCode(outcome.code))
}

/// The strings as an array for execve(2).
fn pointers(strings: &[CString]) -> Vec<StrPtr<'_>> {
    strings.iter().map(|string| StrPtr::new(string)).chain([StrPtr::END]).collect()
}

fn path_of(env: &[CString]) -> &[u8] {
    env.iter().find_map(|pair| pair.as_bytes().strip_prefix(b"PATH=")).unwrap_or(PATH)
}

/// Has `run` be the init of these services.
fn with_services(
    services: &[Vec<CString>],
    envp: StrArray<'_>,
    path: &[u8],
    run: &mut dyn FnMut(&mut Services<'_>) -> Result<state::Outcome, Error>,
) -> Result<state::Outcome, Error> {
    let lists: Vec<_> = services.iter().map(|words| pointers(words)).collect();
    // A line that says something has a first word.
    let names: Vec<&CStr> =
        services.iter().filter_map(|words| words.first()).map(CString::as_c_str).collect();
    let exec =
        |number: usize| match (names.get(number), lists.get(number).and_then(|list| StrArray::new(list))) {
            (Some(name), Some(argv)) => payload::exec(name, argv, envp, path),
            _ => Error::new("find the service", Errno::NOENT),
        };
    match Services::new(&names, &exec) {
        Some(mut services) => run(&mut services),
        None => Err(Error::new("count the services", Errno::TOOBIG)),
    }
}

/// Starts the command and is its init, and that of the services.
fn start(options: &Options, words: &[&OsStr], services: &[Vec<CString>]) -> Outcome {
    let words = strings(words.iter().copied());
    let env = environment();
    let program = words.first().map(CString::as_c_str).unwrap_or_default();
    // Socket activation names the process it is meant for (sd_listen_fds(3)): no longer us, but the command.
    let listener = StrSlot::<32>::new();
    let ours = format!("LISTEN_PID={}", std::process::id());
    let takes_over = env.iter().any(|pair| pair.as_bytes() == ours.as_bytes());
    let pointer = |pair| {
        if CStr::to_bytes(pair) == ours.as_bytes() { StrPtr::slot(&listener) } else { StrPtr::new(pair) }
    };
    let argv = pointers(&words);
    let envp: Vec<_> = env.iter().map(|pair| pointer(pair)).chain([StrPtr::END]).collect();
    let (Some(argv), Some(envp)) = (StrArray::new(&argv), StrArray::new(&envp)) else {
        return Err(Failure::errno("start", program.to_bytes(), Errno::INVAL));
    };
    let exec = || {
        if takes_over && let Err(errno) = payload::name_listener(&listener) {
            return Error::new("set LISTEN_PID", errno);
        }
        payload::exec(program, argv, envp, path_of(&env))
    };
    let init = Init::new(options)?;
    let outcome =
        with_services(services, envp, path_of(&env), &mut |services| init.run_beside(services, exec))?;
    Ok(ExitCode(outcome.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(face: Face, args: &[&str], variables: &[(&str, &str)]) -> Result<Options, Failure> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let sorted = argv::sort(help::INIT, Order::OptionsFirst, &args).map_err(|why| usage(&why))?;
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        understand(face, &sorted.options, variable)
    }

    #[test]
    fn names_of_inits_are_known_by_any_path() {
        assert_eq!(face(OsStr::new("/sbin/docker-init")), Some(Face::Tini));
        assert_eq!(face(OsStr::new("tini")), Some(Face::Tini));
        assert_eq!(face(OsStr::new("/usr/bin/dumb-init")), Some(Face::Dumb));
        assert_eq!(face(OsStr::new("/dev/init")), Some(Face::Own));
        assert_eq!(face(OsStr::new("/usr/bin/pipkin")), None);
        assert_eq!(face(OsStr::new("")), None);
    }

    #[test]
    fn tini_is_understood() {
        let plain = understood(Face::Tini, &["--", "x"], &[]).unwrap();
        assert_eq!((plain.scope, plain.orphan), (Scope::Child, Orphan::Leave));
        let asked =
            understood(Face::Tini, &["-svvgw", "-pSIGKILL", "-e143", "-e", "7", "x", "-y"], &[]).unwrap();
        assert_eq!((asked.scope, asked.parent_death, asked.verbose), (Scope::Group, Some(9), true));
        assert_eq!((asked.remap.of(143), asked.remap.of(7), asked.remap.of(8)), (0, 0, 8));
        let variables = [("TINI_SUBREAPER", "1"), ("TINI_KILL_PROCESS_GROUP", "1")];
        assert_eq!(understood(Face::Tini, &["x"], &variables).unwrap().scope, Scope::Group);
    }

    #[test]
    fn dumb_init_is_understood() {
        let plain = understood(Face::Dumb, &["x"], &[]).unwrap();
        assert_eq!((plain.scope, plain.orphan, plain.grace_ms), (Scope::Group, Orphan::End, 0));
        for single in [
            understood(Face::Dumb, &["-c", "x"], &[]),
            understood(Face::Dumb, &["x"], &[("DUMB_INIT_SETSID", "0")]),
        ] {
            assert_eq!(
                single.map(|options| (options.scope, options.orphan)),
                Ok((Scope::Child, Orphan::Leave))
            );
        }
        let asked = understood(Face::Dumb, &["-v", "-r", "15:3", "--rewrite=1:0", "x"], &[]).unwrap();
        assert_eq!((asked.answers.to(15), asked.answers.to(1)), (Answer::Forward(3), Answer::Drop));
    }

    #[test]
    fn our_own_options_are_understood() {
        let options = understood(
            Face::Own,
            &[
                "--scope=all",
                "--orphans=wait",
                "--grace=5",
                "--delay",
                "7",
                "--map",
                "TERM:RTMIN+3",
                "--remap=143:1",
            ],
            &[],
        )
        .unwrap();
        assert_eq!((options.scope, options.orphan), (Scope::All, Orphan::Wait));
        assert_eq!((options.grace_ms, options.delay_ms), (5, 7));
        assert_eq!(options.answers.to(15), Answer::Forward(37));
        assert_eq!(options.remap.of(143), 1);
    }

    #[test]
    fn values_without_a_meaning_are_refused() {
        for word in [
            "--scope=machine",
            "--map=15",
            "--map=0:1",
            "--map=TERM:NOPE",
            "--remap=256",
            "--remap=1:x",
            "--grace=-1",
            "--delay=1s",
            "--orphans=kill",
            "-pNOPE",
            "--unknown",
        ] {
            assert!(understood(Face::Own, &[word, "x"], &[]).is_err(), "{word}");
        }
    }
}
