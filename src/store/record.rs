//! The record of one container: lines of `key=value`, keys known, values escaped.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Version of the format; a record of a later one is left alone.
const VERSION: &[u8] = b"1";

/// Where a container is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Being made.
    Creating,
    /// Its process runs.
    Running,
    /// Its process has ended.
    Exited,
}

impl Status {
    const ALL: [(&'static str, Self); 3] =
        [("creating", Self::Creating), ("running", Self::Running), ("exited", Self::Exited)];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, status)| *status == self).map_or("", |(word, _)| word)
    }
}

/// What is kept of a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// Its name; empty when it has none.
    pub(crate) name: String,
    /// The image as it was given.
    pub(crate) image: OsString,
    /// The command and its arguments, for showing, joined by spaces.
    pub(crate) command: OsString,
    /// Where it is in its life.
    pub(crate) status: Status,
    /// Pid of its first process on the host; 0 before it has one.
    pub(crate) pid: i32,
    /// When it was made, in nanoseconds since 1970.
    pub(crate) created_ns: u128,
    /// Exit status once it has exited; `None` when nobody saw it.
    pub(crate) exit: Option<u8>,
    /// Whether it goes away when it ends.
    pub(crate) remove: bool,
}

impl Record {
    /// As text.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let mut line = |key: &str, value: &[u8]| {
            out.extend_from_slice(key.as_bytes());
            out.push(b'=');
            for byte in value {
                match byte {
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    _ => out.push(*byte),
                }
            }
            out.push(b'\n');
        };
        line("version", VERSION);
        line("name", self.name.as_bytes());
        line("image", self.image.as_bytes());
        line("command", self.command.as_bytes());
        line("status", self.status.as_str().as_bytes());
        line("pid", self.pid.to_string().as_bytes());
        line("created_ns", self.created_ns.to_string().as_bytes());
        line("exit", self.exit.map(|exit| exit.to_string()).unwrap_or_default().as_bytes());
        line("remove", if self.remove { b"1" } else { b"0" });
        // Without this last line the record is not whole.
        line("end", b"");
        out
    }

    /// From text; `None` for anything incomplete or of another version.
    pub(crate) fn decode(text: &[u8]) -> Option<Self> {
        let fields: Vec<(&[u8], Vec<u8>)> = text
            .split(|byte| *byte == b'\n')
            .filter_map(|line| {
                let cut = line.iter().position(|byte| *byte == b'=')?;
                Some((line.get(..cut)?, unescape(line.get(cut + 1..)?)))
            })
            .collect();
        let bytes =
            |key: &str| fields.iter().find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value);
        let text = |key: &str| bytes(key).and_then(|value| String::from_utf8(value.clone()).ok());
        bytes("end")?;
        if bytes("version")? != VERSION {
            return None;
        }
        let status = text("status")?;
        let exit = text("exit")?;
        Some(Self {
            name: text("name")?,
            image: OsString::from_vec(bytes("image")?.clone()),
            command: OsString::from_vec(bytes("command")?.clone()),
            status: Status::ALL.iter().find(|(word, _)| *word == status)?.1,
            pid: text("pid")?.parse().ok()?,
            created_ns: text("created_ns")?.parse().ok()?,
            exit: if exit.is_empty() { None } else { Some(exit.parse().ok()?) },
            remove: text("remove")? == "1",
        })
    }
}

fn unescape(value: &[u8]) -> Vec<u8> {
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
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            name: "web".into(),
            image: OsString::from_vec(b"/tmp/\xff\n\\n=x".to_vec()),
            command: "sh -c 'a\nb'".into(),
            status: Status::Running,
            pid: 42,
            created_ns: u128::MAX,
            exit: None,
            remove: true,
        }
    }

    #[test]
    fn records_survive_the_disk() {
        let running = record();
        assert_eq!(Record::decode(&running.encode()), Some(running.clone()));
        let exited = Record { status: Status::Exited, exit: Some(137), remove: false, ..running };
        assert_eq!(Record::decode(&exited.encode()), Some(exited));
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
}
