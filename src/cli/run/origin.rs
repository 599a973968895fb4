//! What a further process in a container is made of: kept in the record when the container is made, read by `exec`.
//!
//! Only what differs from the default is written, so what is missing is the default, which is never weaker than what
//! `run` gave. Keys: `exec.env` (repeated), `exec.cwd`, `exec.user`, `exec.group` (repeated), `exec.capabilities` (numbers in hex: bounding,
//! effective, permitted, inheritable, ambient, securebits), `exec.new-privileges`, `exec.filter` (`none`, or its instructions in
//! hex after two switches), `exec.limit` (repeated, as `--ulimit` has it), `exec.oom-score`, `exec.landlock` (repeated,
//! `ro:PATH` or `rw:PATH`), `exec.apparmor`, `exec.selinux`. Of its files: `root.layer` (repeated, topmost first), `root.uids`
//! and `root.gids` (repeated, as in `/proc/PID/uid_map`).

use super::privilege::rlimit;
use super::seccomp::{Choice, DEFAULT_ORIGIN};
use super::{Checked, keep, quantity};
use crate::cli::message::Failure;
use crate::store::Record;
use pipkin::spec::{
    Account, Capabilities, CapabilitySet, Confinement, DEFAULT_CAPABILITIES, Filter, IdMap, PathRule,
    Process, Rlimit, RootSource, Spec, Upper, User, UserNamespace,
};
use std::ffi::CStr;

/// Adds to `record` what another command in the container, or somebody who wants at its files when it has ended, has to
/// know of it.
pub(super) fn write(spec: &Spec<'_>, record: &mut Record) {
    if let RootSource::Layers { lower, upper: Upper::Directory(_), .. } = spec.root.source {
        lower.iter().for_each(|layer| record.add("root.layer", layer.to_bytes()));
        let user = spec.namespaces.user.unwrap_or(UserNamespace { path: None, uids: &[], gids: &[] });
        for (key, maps) in [("root.uids", user.uids), ("root.gids", user.gids)] {
            for IdMap { inside, outside, count } in maps {
                let numbers = [inside, outside, count].map(u32::to_string);
                record.add(key, numbers.join(" ").as_bytes());
            }
        }
    }
    write_process(&spec.process, record);
}

fn write_process(process: &Process<'_>, record: &mut Record) {
    for variable in process.env.list {
        record.add("exec.env", variable.to_bytes());
    }
    if process.cwd != c"/" {
        record.add("exec.cwd", process.cwd.to_bytes());
    }
    if (User { additional: &[], ..process.user }) != User::ROOT {
        record.add("exec.user", &user_text(&process.user));
    }
    process.user.additional.iter().for_each(|group| record.add("exec.group", &account_text(*group)));
    if process.capabilities != Capabilities::plain(DEFAULT_CAPABILITIES) {
        let sets = sets(&process.capabilities).map(hex);
        record.add("exec.capabilities", sets.join(" ").as_bytes());
    }
    if !process.no_new_privileges {
        record.add("exec.new-privileges", b"1");
    }
    match process.filter {
        None => record.add("exec.filter", b"none"),
        Some(filter) if filter.origin == DEFAULT_ORIGIN => {}
        Some(filter) => {
            let switches = [filter.log, filter.allow_speculation].map(|on| hex(on.into()));
            let words: Vec<String> =
                switches.into_iter().chain(filter.program.iter().map(|word| hex(*word))).collect();
            record.add("exec.filter", words.join(" ").as_bytes());
        }
    }
    for limit in process.rlimits {
        let value = |value: Option<u64>| value.map_or("-1".to_owned(), |value| value.to_string());
        let text = [limit.kind.name(), "=", &value(limit.soft), ":", &value(limit.hard)].concat();
        record.add("exec.limit", text.as_bytes());
    }
    let confinement = &process.confinement;
    for rule in confinement.paths {
        let mode: &[u8] = if rule.write { b"rw" } else { b"ro" };
        record.add("exec.landlock", &[mode, b":", rule.path.to_bytes()].concat());
    }
    for (key, label) in [("exec.apparmor", confinement.apparmor), ("exec.selinux", confinement.selinux)] {
        if let Some(label) = label {
            record.add(key, label.to_bytes());
        }
    }
    if let Some(score) = process.oom_score_adj {
        record.add("exec.oom-score", score.to_string().as_bytes());
    }
}

fn rule(text: &[u8]) -> Option<PathRule<'static>> {
    let (write, path) = match text.split_at_checked(3)? {
        (b"ro:", path) => (false, path),
        (b"rw:", path) => (true, path),
        _ => return None,
    };
    Some(PathRule { path: keep::text(path)?, write })
}

fn sets(capabilities: &Capabilities) -> [u64; 6] {
    let Capabilities { bounding, effective, permitted, inheritable, ambient, secure_bits } = *capabilities;
    [bounding.0, effective.0, permitted.0, inheritable.0, ambient.0, secure_bits.into()]
}

/// As `--user` has it.
fn user_text(user: &User<'_>) -> Vec<u8> {
    let group = user.group.map(|group| [b":", &*account_text(group)].concat()).unwrap_or_default();
    [account_text(user.user), group].concat()
}

fn account_text(account: Account<'_>) -> Vec<u8> {
    match account {
        Account::Id(id) => id.to_string().into_bytes(),
        Account::Name(name) => name.to_vec(),
    }
}

/// What the container's own process was made of.
pub(super) struct Origin<'a> {
    /// Its variables.
    pub(super) env: Vec<&'a [u8]>,
    /// Its working directory.
    pub(super) cwd: &'static CStr,
    /// Its user.
    pub(super) user: User<'a>,
    /// Its capabilities.
    pub(super) capabilities: Capabilities,
    /// Whether its exec can never raise privileges.
    pub(super) no_new_privileges: bool,
    /// Its filter.
    pub(super) filter: Option<Filter<'a>>,
    /// What security modules hold it to.
    pub(super) confinement: Confinement<'static>,
    /// Its limits of setrlimit(2).
    pub(super) rlimits: Vec<Rlimit>,
    /// Its `oom_score_adj`.
    pub(super) oom_score_adj: Option<i16>,
}

/// Reads it from `record`.
///
/// # Errors
/// Something in there is not what [`write`] writes: nothing is then guessed.
pub(super) fn read(record: &Record) -> Checked<Origin<'_>> {
    let damaged = || {
        let why = b"what it says of further commands is damaged";
        Failure::new("understand the record of", record.name.as_bytes(), why)
    };
    let mut origin = understand(record).ok_or_else(damaged)?;
    if record.get("exec.filter").is_none() {
        origin.filter = Choice::Default.filter(origin.capabilities.bounding)?;
    }
    Ok(origin)
}

fn understand(record: &Record) -> Option<Origin<'_>> {
    let text = |key: &str| record.get(key).map(std::str::from_utf8).transpose().ok();
    let cwd = record.get("exec.cwd").map_or(Some(c"/"), keep::text)?;
    let user = record.get("exec.user").map_or(Some(User::ROOT), User::parse)?;
    let groups = record.all("exec.group").map(Account::parse).collect::<Option<_>>()?;
    let capabilities = match text("exec.capabilities")? {
        None => Capabilities::plain(DEFAULT_CAPABILITIES),
        Some(sets) => {
            let mut numbers = sets.split(' ').map(number);
            let mut any = || numbers.next().flatten();
            let mut next = || any().map(CapabilitySet);
            Capabilities {
                bounding: next()?,
                effective: next()?,
                permitted: next()?,
                inheritable: next()?,
                ambient: next()?,
                secure_bits: u32::try_from(any()?).ok()?,
            }
        }
    };
    let filter = match text("exec.filter")? {
        None | Some("none") => None,
        Some(program) => Some(filter(program)?),
    };
    let limits = record.all("exec.limit").map(|limit| rlimit(std::str::from_utf8(limit).ok()?).ok());
    Some(Origin {
        env: record.all("exec.env").collect(),
        cwd,
        user: User { additional: keep::list(groups), ..user },
        capabilities,
        no_new_privileges: record.get("exec.new-privileges").is_none(),
        filter,
        confinement: Confinement {
            paths: keep::list(record.all("exec.landlock").map(rule).collect::<Option<_>>()?),
            // It was good enough for the first process.
            best_effort: true,
            apparmor: record.get("exec.apparmor").and_then(keep::text),
            selinux: record.get("exec.selinux").and_then(keep::text),
        },
        rlimits: limits.collect::<Option<_>>()?,
        oom_score_adj: match text("exec.oom-score")? {
            None => None,
            Some(score) => Some(quantity::oom_score(score).ok()?),
        },
    })
}

fn filter(words: &str) -> Option<Filter<'static>> {
    let mut words = words.split(' ').map(number);
    let (log, allow_speculation) = (words.next()?? != 0, words.next()?? != 0);
    let program = keep::list(words.collect::<Option<_>>()?);
    // A filter that asks is none of a container of ours.
    Some(Filter { program, origin: "the container", log, allow_speculation, asks: false })
}

/// In hex, as [`number`] reads it; nothing stands for 0.
fn hex(number: u64) -> String {
    let digits = (0..16).rev().map(|place| number >> (4 * place) & 15).skip_while(|digit| *digit == 0);
    digits.filter_map(|digit| char::from_digit(digit as u32, 16)).collect()
}

fn number(hex: &str) -> Option<u64> {
    let digit = |sum: u64, digit: char| Some(sum << 4 | u64::from(digit.to_digit(16)?));
    (hex.len() <= 16).then(|| hex.chars().try_fold(0, digit)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipkin::spec::{RlimitKind, Strings, Tuning};
    use pipkin::sys::process::StrArray;

    const PLAIN: Process<'static> = Process {
        args: Strings { list: &[c"sh"], array: StrArray::EMPTY },
        env: Strings { list: &[c"PATH=/bin", c"A=\n"], array: StrArray::EMPTY },
        path: b"/bin",
        home: None,
        cwd: c"/",
        user: User::ROOT,
        umask: 0o022,
        capabilities: Capabilities::plain(DEFAULT_CAPABILITIES),
        no_new_privileges: true,
        filter: None,
        rlimits: &[],
        oom_score_adj: None,
        tuning: Tuning::PLAIN,
        confinement: Confinement::NONE,
        terminal: None,
        stdin: false,
    };

    fn written(process: &Process<'_>) -> Record {
        let mut record = Record::default();
        write_process(process, &mut record);
        record
    }

    #[test]
    fn the_default_is_not_written() {
        let filter = Choice::Default.filter(DEFAULT_CAPABILITIES).unwrap();
        let record = written(&Process { filter, ..PLAIN });
        assert!(record.others.iter().all(|(key, _)| key == "exec.env"));
        let origin = read(&record).unwrap();
        assert_eq!(origin.env, [&b"PATH=/bin"[..], b"A=\n"]);
        assert_eq!((origin.cwd, origin.user, origin.capabilities), (c"/", User::ROOT, PLAIN.capabilities));
        assert!(origin.no_new_privileges && origin.rlimits.is_empty());
        assert_eq!(origin.filter, filter);
    }

    #[test]
    fn everything_else_is() {
        let program = &[0, 6, u64::MAX];
        let filter = Filter { program, origin: "x", log: true, allow_speculation: false, asks: false };
        let rlimits = [Rlimit { kind: RlimitKind::Core, soft: Some(0), hard: None }];
        let process = Process {
            cwd: c"/srv",
            user: User {
                additional: &[Account::Name(b"audio"), Account::Id(9)],
                ..User::parse(b"7:wheel").unwrap()
            },
            capabilities: Capabilities {
                ambient: CapabilitySet(1),
                secure_bits: 0xc3,
                ..Capabilities::default()
            },
            no_new_privileges: false,
            filter: Some(filter),
            rlimits: &rlimits,
            oom_score_adj: Some(-5),
            ..PLAIN
        };
        let record = written(&process);
        let origin = read(&record).unwrap();
        assert_eq!(
            (origin.cwd, origin.user, origin.capabilities),
            (c"/srv", process.user, process.capabilities)
        );
        assert_eq!(origin.filter, Some(Filter { origin: "the container", ..filter }));
        assert_eq!((origin.no_new_privileges, origin.oom_score_adj), (false, Some(-5)));
        assert_eq!(origin.rlimits, rlimits);
        assert_eq!(read(&written(&PLAIN)).unwrap().filter, None);
    }

    #[test]
    fn damage_is_not_guessed_over() {
        for (key, value) in [
            ("exec.user", "1:"),
            ("exec.group", ""),
            ("exec.capabilities", "1 2 3 4"),
            ("exec.capabilities", "x 2 3 4 5 6"),
            ("exec.capabilities", "1 2 3 4 5 123456789"),
            ("exec.filter", ""),
            ("exec.filter", "0 1 12345678123456789"),
            ("exec.limit", "x=1"),
            ("exec.oom-score", "9999"),
            ("exec.cwd", "a\0"),
        ] {
            let mut record = Record::default();
            record.add(key, value.as_bytes());
            assert!(read(&record).is_err(), "{key} {value}");
        }
    }
}
