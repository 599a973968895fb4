//! `pipkin ps`: which containers there are.

use super::argv::Sorted;
use super::json::Json;
use super::launch::{end, errno_of};
use super::message::{Failure, escape};
use super::running::look_again;
use super::{Outcome, open_store, report};
use crate::store::{Record, Status, now_ns, time};
use pipkin::spec::Id;

/// Longest command shown.
const COMMAND_WIDTH: usize = 30;

/// Lists running containers, or all, newest first; of one that is named, its processes.
///
/// # Errors
/// A store that cannot be read, and filters and formats that do not exist.
pub(super) fn run(sorted: &Sorted<'_>) -> Outcome {
    if !sorted.operands.is_empty() {
        return super::top::run(sorted);
    }
    let usage =
        |name: &str, text: &str, why: &str| Failure::usage("ps", &[name, " ", text, ": ", why].concat());
    let format = sorted.last("--format").unwrap_or("table");
    let filters: Vec<&str> = sorted.all("--filter").collect();
    if !["table", "json", "ids"].contains(&format) {
        return Err(usage("--format", format, "give table, json or ids"));
    }
    if let Some(wrong) = filters.iter().find(|filter| !is_filter(filter)) {
        let why = "give id=, name=, status=, health=, exited=, ancestor= or label=NAME[=VALUE]";
        return Err(usage("--filter", wrong, why));
    }
    let store = open_store()?;
    let unreadable = |error: &std::io::Error| Failure::errno("list the containers", b"", errno_of(error));
    let mut found = store.survey(end).map_err(|error| unreadable(&error))?;
    found.iter_mut().for_each(|(id, record)| look_again(id, record));
    let last = last(sorted)?;
    // Whoever asks for a status means it.
    let all = sorted.has("--all")
        || last.is_some()
        || filters.iter().any(|filter| ["status", "exited"].contains(&key(filter)));
    found.retain(|(_, record)| all || record.status != Status::Exited);
    // Of several words for one thing one holds; labels hold all.
    let like = |one: &str, other: &str| one == other || key(one) == key(other) && key(one) != "label";
    found.retain(|(id, record)| {
        filters
            .iter()
            .all(|filter| filters.iter().any(|other| like(filter, other) && passes(id, record, other)))
    });
    found.sort_by_key(|(_, record)| std::cmp::Reverse(record.created_ns));
    found.truncate(last.unwrap_or(usize::MAX));
    if sorted.has("--quiet") || format == "ids" {
        let mut ids = Vec::new();
        found.iter().for_each(|(id, _)| ids.extend([id.as_str().as_bytes(), b"\n"].concat()));
        return report::write_list(&ids);
    }
    if format == "json" {
        let mut json = Json::default();
        json.open(b'[');
        found.iter().for_each(|(id, record)| object(&mut json, id, record));
        json.close(b']');
        return report::write_list(&json.into_text());
    }
    let mut table = Table::default();
    COLUMNS.iter().for_each(|word| table.cell(&[word.as_bytes()], usize::MAX));
    let whole = sorted.has("--no-trunc");
    found.iter().for_each(|(id, record)| table.row(id, record, whole));
    report::write_list(&table.out)
}

/// How many are listed, when not all are.
fn last(sorted: &Sorted<'_>) -> Result<Option<usize>, Failure> {
    if sorted.has("--latest") {
        return Ok(Some(1));
    }
    let Some(text) = sorted.last("--last").filter(|text| *text != "-1") else { return Ok(None) };
    let count = text.parse().map(Some);
    count.map_err(|_| Failure::usage("ps", &["--last ", text, ": give a number"].concat()))
}

/// What a filter is about.
fn key(filter: &str) -> &str {
    match filter.split_once('=') {
        Some(("state", _)) => "status",
        Some((key, _)) => key,
        None => filter,
    }
}

fn is_filter(filter: &str) -> bool {
    match filter.split_once('=') {
        Some(("id" | "name" | "ancestor" | "label", text)) => !text.is_empty(),
        Some(("health", word)) => ["starting", "healthy", "unhealthy", "none"].contains(&word),
        Some(("exited", code)) => code.parse::<u8>().is_ok(),
        Some(("status" | "state", word)) => Status::ALL.iter().any(|(known, _)| *known == word),
        _ => false,
    }
}

fn passes(id: &Id, record: &Record, filter: &str) -> bool {
    match filter.split_once('=') {
        Some(("id", text)) => id.as_str().starts_with(text),
        Some(("health", word)) => record.health == if word == "none" { "" } else { word },
        Some(("exited", code)) => record.exit.is_some_and(|exit| code.parse() == Ok(exit)),
        Some(("ancestor", image)) => record.image == image,
        Some(("name", text)) => record.name.contains(text),
        Some(("label", wanted)) => record.all("label").any(|label| {
            let name = label.split(|byte| *byte == b'=').next().unwrap_or_default();
            label == wanted.as_bytes() || name == wanted.as_bytes()
        }),
        Some((_, word)) => record.status.as_str() == word,
        None => false,
    }
}

/// Names and widths of the columns; the last takes what it needs.
const COLUMNS: [&str; 8] = ["ID", "IMAGE", "COMMAND", "STATUS", "PID", "CREATED", "UPTIME", "NAME"];
const WIDTHS: [usize; 8] = [18, 20, COMMAND_WIDTH + 2, 20, 9, 16, 13, 0];

/// The lines of the table, each cell written in place: there may be ten thousand.
#[derive(Default)]
struct Table {
    out: Vec<u8>,
    /// Where the present cell began, and its column.
    start: usize,
    column: usize,
}

impl Table {
    /// Writes a cell, of which `most` characters are shown, and fills it up to the width of its column.
    fn cell(&mut self, parts: &[&[u8]], most: usize) {
        parts.iter().for_each(|part| escape(part, &mut self.out));
        if self.cut(most) {
            self.cut(most - 3);
            self.out.extend_from_slice(b"...");
        }
        let shown = self.characters().count();
        let width = WIDTHS.get(self.column).copied().unwrap_or_default();
        if width == 0 {
            while self.out.last() == Some(&b' ') {
                self.out.pop();
            }
            self.out.push(b'\n');
            self.column = 0;
        } else {
            self.out.resize(self.out.len() + width.saturating_sub(shown).max(1), b' ');
            self.column += 1;
        }
        self.start = self.out.len();
    }

    /// Where the characters of the present cell begin: at every byte that does not continue one of UTF-8.
    fn characters(&self) -> impl Iterator<Item = usize> {
        let bytes = self.out.iter().enumerate().skip(self.start);
        bytes.filter(|(_, byte)| **byte & 0xc0 != 0x80).map(|(place, _)| place)
    }

    /// Leaves `most` characters of the present cell; whether there were more.
    fn cut(&mut self, most: usize) -> bool {
        let more = self.characters().nth(most);
        self.out.truncate(more.unwrap_or(self.out.len()));
        more.is_some()
    }

    fn row(&mut self, id: &Id, record: &Record, whole: bool) {
        let most = |width| if whole { usize::MAX } else { width };
        let any = usize::MAX;
        self.cell(&[id.as_str().as_bytes()], any);
        self.cell(&[record.image.as_encoded_bytes()], most(WIDTHS[1] - 2));
        self.cell(&[record.command.as_encoded_bytes()], most(COMMAND_WIDTH));
        self.cell(&[status(record).as_bytes()], any);
        let created = span(now_ns().saturating_sub(record.created_ns));
        let alive = record.status.is_alive();
        let [pid, uptime] = if alive {
            [record.pid.to_string(), span(uptime_ns(record))]
        } else {
            ["-".to_owned(), "-".to_owned()]
        };
        self.cell(&[pid.as_bytes()], any);
        self.cell(&[created.as_bytes(), b" ago"], any);
        self.cell(&[uptime.as_bytes()], any);
        self.cell(&[record.name.as_bytes()], any);
    }
}

/// The status with what is known of the end, or of the health.
fn status(record: &Record) -> String {
    let word = record.status.as_str();
    match (record.status, record.exit) {
        (Status::Exited, Some(exit)) => [word, " (", &exit.to_string(), ")"].concat(),
        (Status::Exited, None) => [word, " (?)"].concat(),
        _ if record.health.is_empty() => word.to_owned(),
        _ => [word, " (", &record.health, ")"].concat(),
    }
}

/// How long its process has run, or ran; 0 when it never did.
pub(super) fn uptime_ns(record: &Record) -> u64 {
    let end = if record.status.is_alive() { now_ns() } else { record.finished_ns };
    if record.started_ns == 0 { 0 } else { end.saturating_sub(record.started_ns) }
}

fn object(json: &mut Json, id: &Id, record: &Record) {
    json.open(b'{').key(b"ID").string(id.as_str().as_bytes());
    json.key(b"Name").string(record.name.as_bytes());
    json.key(b"Image").string(record.image.as_encoded_bytes());
    json.key(b"Command").string(record.command.as_encoded_bytes());
    json.key(b"Status").string(record.status.as_str().as_bytes());
    json.key(b"PID").number(if record.status.is_alive() { record.pid.into() } else { 0 });
    json.key(b"ExitCode");
    exit_code(json, record);
    json.key(b"Health").string(record.health.as_bytes());
    json.key(b"CreatedAt").string(&time::stamp(record.created_ns));
    json.key(b"Uptime").string(span(uptime_ns(record)).as_bytes());
    labels(json, record);
    json.close(b'}');
}

/// The exit code, or null.
pub(super) fn exit_code(json: &mut Json, record: &Record) {
    match record.exit {
        Some(exit) => json.number(exit.into()),
        None => json.literal("null"),
    };
}

/// `"Labels":{…}`.
pub(super) fn labels(json: &mut Json, record: &Record) {
    json.key(b"Labels").open(b'{');
    for label in record.all("label") {
        let mut parts = label.splitn(2, |byte| *byte == b'=');
        json.key(parts.next().unwrap_or_default()).string(parts.next().unwrap_or_default());
    }
    json.close(b'}');
}

/// A length of time in the largest unit that fits.
pub(super) fn span(ns: u64) -> String {
    let seconds = ns / time::SECOND_NS;
    let units = [(86_400, " days"), (3_600, " hours"), (60, " minutes")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds >= 2 * size).unwrap_or((1, " seconds"));
    [&(seconds / size).to_string(), unit].concat()
}
