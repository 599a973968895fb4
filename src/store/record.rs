//! The record of one container: lines of `key=value`, values escaped.
//!
//! The keys of [`FIELDS`] have a place of their own in [`Record`]; every other key is kept, in order and as often as it
//! stands there, in the open section, so that other rooms add facts without touching this file and a record of a
//! later version loses nothing when it passes through here. What is zero or empty is not written. Keys of the open
//! section begin with what they are about:
//!
//! | key | what |
//! |---|---|
//! | `label` | one label, `NAME=VALUE`; any number of them |
//! | `mount` | one mount asked for, `SOURCE:TARGET:OPTIONS` |
//! | `reboot` | its first process called reboot(2) |
//! | `stopped` | somebody stopped it, and nobody has started it again since |
//! | `limit.FILE` | the value written to that file of its cgroup |
//! | `log.size`, `log.files` | when its log is rotated, in bytes, and how many files are kept |
//! | `network.NAME` | what it has on the network; `inspect` shows it by that name |
//! | `root.layer` | one directory under its writable layer, topmost first |
//! | `run.NAME` | what was typed to make it; lists repeat the key |
//! | `durable` | its copy in the data directory is written through to the disk |
//! | `exec.NAME` | what a further process in it is made of; lists repeat the key |
//!
//! Version 1 stays as long as a reader that does not know a new key is right without it.

use super::section::Section;
use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Version of the format; a record of a later one is left alone.
const VERSION: &[u8] = b"1";

/// Where a container is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Status {
    /// Being made.
    #[default]
    Creating,
    /// Its process runs.
    Running,
    /// Its processes stand still.
    Paused,
    /// Its process has ended, and will be started again.
    Restarting,
    /// Its process has ended.
    Exited,
}

impl Status {
    /// All of them, with their words.
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("creating", Self::Creating),
        ("running", Self::Running),
        ("paused", Self::Paused),
        ("restarting", Self::Restarting),
        ("exited", Self::Exited),
    ];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, status)| *status == self).map_or("", |(word, _)| word)
    }

    /// Whether it has processes.
    pub(crate) fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// What is kept of a container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Record {
    /// Its name; empty when it has none.
    pub(crate) name: String,
    /// The image as it was given.
    pub(crate) image: OsString,
    /// The command and its arguments, for showing, joined by spaces.
    pub(crate) command: OsString,
    /// Its host name; empty when it has that of the host.
    pub(crate) hostname: String,
    /// Where it is in its life.
    pub(crate) status: Status,
    /// Pid of its first process on the host; 0 before it has one.
    pub(crate) pid: i32,
    /// When that process was made, in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub(crate) pid_start: u64,
    /// Pid of its supervisor.
    pub(crate) supervisor: i32,
    /// When that was made, in clock ticks since boot.
    pub(crate) supervisor_start: u64,
    /// When it was made, in nanoseconds since 1970.
    pub(crate) created_ns: u64,
    /// When its process last began, in nanoseconds since 1970.
    pub(crate) started_ns: u64,
    /// When that ended, in nanoseconds since 1970.
    pub(crate) finished_ns: u64,
    /// Exit status once it has exited; `None` when nobody saw it.
    pub(crate) exit: Option<u8>,
    /// The signal that killed its process; 0 when none did.
    pub(crate) signal: i32,
    /// Why it could not be started again, or what went wrong with it.
    pub(crate) error: String,
    /// How many of its processes the kernel has killed for want of memory.
    pub(crate) oom_kills: u64,
    /// When it is started again: empty or `no`, `on-failure[:N]`, `always`, `unless-stopped`.
    pub(crate) restart: String,
    /// How often that was done.
    pub(crate) restarts: u64,
    /// The signal that asks it to end; 0 for TERM.
    pub(crate) stop_signal: i32,
    /// How long it may take after that, in milliseconds; `None` for the default.
    pub(crate) stop_timeout_ms: Option<u64>,
    /// What its health command last said: `starting`, `healthy`, `unhealthy`; empty when it has none.
    pub(crate) health: String,
    /// Bytes of output that could not be written to its log.
    pub(crate) lost_bytes: u64,
    /// Whether it runs without the command that made it, under a supervisor that keeps its log.
    pub(crate) detached: bool,
    /// Whether it goes away when it ends.
    pub(crate) remove: bool,
    /// The open section.
    pub(crate) others: Section,
}

/// The place of a value in a [`Record`].
enum Place<'r> {
    Text(&'r mut String),
    Bytes(&'r mut OsString),
    Status(&'r mut Status),
    Signed(&'r mut i32),
    Number(&'r mut u64),
    Code(&'r mut Option<u8>),
    Span(&'r mut Option<u64>),
    Switch(&'r mut bool),
}

/// A key and its place.
type Field = (&'static str, fn(&mut Record) -> Place<'_>);

/// In the order of writing.
const FIELDS: [Field; 25] = [
    ("name", |record| Place::Text(&mut record.name)),
    ("image", |record| Place::Bytes(&mut record.image)),
    ("command", |record| Place::Bytes(&mut record.command)),
    ("hostname", |record| Place::Text(&mut record.hostname)),
    ("status", |record| Place::Status(&mut record.status)),
    ("pid", |record| Place::Signed(&mut record.pid)),
    ("pid_start", |record| Place::Number(&mut record.pid_start)),
    ("supervisor", |record| Place::Signed(&mut record.supervisor)),
    ("supervisor_start", |record| Place::Number(&mut record.supervisor_start)),
    ("created_ns", |record| Place::Number(&mut record.created_ns)),
    ("started_ns", |record| Place::Number(&mut record.started_ns)),
    ("finished_ns", |record| Place::Number(&mut record.finished_ns)),
    ("exit", |record| Place::Code(&mut record.exit)),
    ("signal", |record| Place::Signed(&mut record.signal)),
    ("error", |record| Place::Text(&mut record.error)),
    ("oom_kills", |record| Place::Number(&mut record.oom_kills)),
    ("restart", |record| Place::Text(&mut record.restart)),
    ("restarts", |record| Place::Number(&mut record.restarts)),
    ("stop_signal", |record| Place::Signed(&mut record.stop_signal)),
    ("stop_timeout_ms", |record| Place::Span(&mut record.stop_timeout_ms)),
    ("health", |record| Place::Text(&mut record.health)),
    ("lost_bytes", |record| Place::Number(&mut record.lost_bytes)),
    ("detached", |record| Place::Switch(&mut record.detached)),
    ("remove", |record| Place::Switch(&mut record.remove)),
    // Without this last line the record is not whole.
    (END, |record| Place::Text(&mut record.name)),
];

/// The key of the last line.
const END: &str = "end";

impl Place<'_> {
    /// The line of `key` with the value, unless that is empty or 0.
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        let number = match self {
            Self::Text(text) => return text_line(out, key, text.as_bytes()),
            Self::Bytes(bytes) => return text_line(out, key, bytes.as_bytes()),
            Self::Status(status) => return text_line(out, key, status.as_str().as_bytes()),
            Self::Signed(value) => u64::try_from(**value).ok().filter(|value| *value != 0),
            Self::Number(value) => Some(**value).filter(|value| *value != 0),
            Self::Code(value) => value.map(u64::from),
            Self::Span(value) => **value,
            Self::Switch(value) => value.then_some(1),
        };
        if let Some(number) = number {
            line(out, key, number.to_string().as_bytes());
        }
    }

    /// Takes a value that was read, still escaped; `None` when it cannot be one.
    fn take(self, value: &[u8]) -> Option<()> {
        let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        match self {
            Self::Text(place) => *place = String::from_utf8(unescape(value).into_owned()).ok()?,
            Self::Bytes(place) => *place = OsString::from_vec(unescape(value).into_owned()),
            Self::Status(place) => *place = Status::ALL.iter().find(|(word, _)| word.as_bytes() == value)?.1,
            Self::Signed(place) => *place = i32::try_from(number()?).ok()?,
            Self::Number(place) => *place = number()?,
            Self::Code(place) => *place = Some(u8::try_from(number()?).ok()?),
            Self::Span(place) => *place = Some(number()?),
            Self::Switch(place) => *place = number()? != 0,
        }
        Some(())
    }
}

impl Record {
    /// As text.
    pub(crate) fn encode(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        line(&mut out, "version", VERSION);
        for (key, place) in FIELDS.iter().filter(|(key, _)| *key != END) {
            place(self).write(key, &mut out);
        }
        for (key, value) in self.others.iter() {
            line(&mut out, key, value);
        }
        line(&mut out, END, b"");
        out
    }

    /// From text; `None` for anything incomplete or of another version.
    pub(crate) fn decode(text: &[u8]) -> Option<Self> {
        let mut record = Self::default();
        let (first, mut rest) = cut(text, b'\n')?;
        if cut(first, b'=')? != (b"version", VERSION) {
            return None;
        }
        // The lines come in the order of the table: the search goes on where it last found something.
        let mut place = 0;
        loop {
            let (line, behind) = cut(rest, b'\n')?;
            let (key, value) = cut(line, b'=')?;
            // No key of the table has a dot.
            let found = if key.contains(&b'.') { None } else { find(key, place).or_else(|| find(key, 0)) };
            match found.and_then(|found| FIELDS.get(found).map(|field| (found, field))) {
                Some((_, (END, _))) => return Some(record),
                Some((found, (_, field))) => {
                    field(&mut record).take(value)?;
                    place = found + 1;
                }
                None => {
                    record.others.make_room(rest.len());
                    record.others.add(std::str::from_utf8(key).ok()?, &unescape(value));
                }
            }
            rest = behind;
        }
    }

    /// Whether its supervisor lives.
    pub(crate) fn supervisor_runs(&self) -> bool {
        super::process::open(self.supervisor, self.supervisor_start).is_some()
    }

    /// The signal that asks it to end.
    pub(crate) fn stop_signal(&self) -> i32 {
        const SIGTERM: i32 = 15;
        if self.stop_signal == 0 { SIGTERM } else { self.stop_signal }
    }

    /// The values of `key` in the open section, in order.
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.others.iter().filter(move |(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The first value of `key` in the open section.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.all(key).next()
    }

    /// Adds a line to the open section.
    pub(crate) fn add(&mut self, key: &str, value: &[u8]) {
        self.others.add(key, value);
    }

    /// Makes `value` the only one of `key` in the open section.
    pub(crate) fn set(&mut self, key: &str, value: &[u8]) {
        self.others.retain(|known| known != key);
        self.add(key, value);
    }
}

/// What stands before the first `mark`, and behind it.
fn cut(text: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let (before, behind) = text.split_at_checked(text.iter().position(|byte| *byte == mark)?)?;
    Some((before, behind.get(1..)?))
}

/// The place of a key in the table, from `place` on.
fn find(key: &[u8], place: usize) -> Option<usize> {
    FIELDS.iter().skip(place).position(|(known, _)| known.as_bytes() == key).map(|ahead| place + ahead)
}

fn line(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
    let mut rest = value;
    while let Some(place) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\\')) {
        let (plain, behind) = rest.split_at(place);
        out.extend_from_slice(plain);
        out.extend_from_slice(if behind.starts_with(b"\n") { b"\\n" } else { b"\\\\" });
        rest = behind.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.push(b'\n');
}

/// A line unless the value is empty.
fn text_line(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    if !value.is_empty() {
        line(out, key, value);
    }
}

fn unescape(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\\') {
        return value.into();
    }
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let mut others = Section::default();
        others.extend([("label", &b"a=b"[..]), ("label", b"\n")]);
        Record {
            name: "web".into(),
            image: OsString::from_vec(b"/tmp/\xff\n\\n=x".to_vec()),
            command: "sh -c 'a\nb'".into(),
            status: Status::Running,
            pid: 42,
            pid_start: 7,
            created_ns: u64::MAX,
            stop_timeout_ms: Some(0),
            remove: true,
            others,
            ..Record::default()
        }
    }

    #[test]
    fn records_survive_the_disk() {
        let mut running = record();
        assert_eq!(Record::decode(&running.encode()), Some(running.clone()));
        let mut exited = Record { status: Status::Exited, exit: Some(0), remove: false, ..running };
        assert_eq!(Record::decode(&exited.encode()), Some(exited));
        let mut empty = Record::default();
        assert_eq!(Record::decode(&empty.encode()), Some(empty));
    }

    #[test]
    fn every_field_has_its_own_key() {
        for (place, (key, _)) in FIELDS.iter().enumerate() {
            assert_eq!(FIELDS.iter().position(|(other, _)| other == key), Some(place), "{key}");
            assert!(!key.contains('.'), "{key}");
        }
    }

    #[test]
    fn half_a_record_is_none() {
        let whole = record().encode();
        for length in 0..whole.len() - 1 {
            assert_eq!(Record::decode(&whole[..length]), None, "{length}");
        }
    }

    #[test]
    fn another_version_is_left_alone() {
        let text = String::from_utf8_lossy(&record().encode()).replace("version=1", "version=2");
        assert_eq!(Record::decode(text.as_bytes()), None);
    }

    #[test]
    fn what_is_not_known_is_kept() {
        let text = b"version=1\nfuture=x\nname=web\nstatus=paused\nfuture=y=\\nz\nend=\n";
        let mut read = Record::decode(text).unwrap();
        assert_eq!((read.name.as_str(), read.status), ("web", Status::Paused));
        assert!(read.all("future").eq([&b"x"[..], b"y=\nz"]));
        assert_eq!(Record::decode(&read.encode()), Some(read.clone()));
        read.set("future", b"1");
        assert!(read.all("future").eq([&b"1"[..]]) && read.get("past").is_none());
    }

    #[test]
    fn a_value_that_cannot_be_is_no_record() {
        for bad in ["pid=x", "exit=256", "status=flying", "pid=-1", "no equals sign"] {
            assert_eq!(Record::decode(format!("version=1\n{bad}\nend=\n").as_bytes()), None, "{bad}");
        }
    }
}
