//! `pipkin ps`: which containers there are.

use super::argv::Sorted;
use super::json::Json;
use super::launch::{end, errno_of};
use super::message::{Failure, escape};
use super::running::look_again;
use super::{Outcome, open_store, report};
use crate::store::{Record, Status, now_ns, time};
use pipkin::spec::Id;
use std::ffi::OsStr;

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
        let ids: Vec<u8> =
            found.iter().flat_map(|(id, _)| [id.as_str(), "\n"].concat().into_bytes()).collect();
        return report::write_list(&ids);
    }
    if format == "json" {
        let mut json = Json::default();
        json.open(b'[');
        found.iter().for_each(|(id, record)| object(&mut json, id, record));
        json.close(b']');
        return report::write(&json.into_text());
    }
    let mut out = Vec::new();
    row(&mut out, COLUMNS.map(|word| word.as_bytes().into()));
    let whole = sorted.has("--no-trunc");
    found.iter().for_each(|(id, record)| row(&mut out, cells(id, record, whole)));
    report::write_list(&out)
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

fn row(out: &mut Vec<u8>, cells: [Vec<u8>; 8]) {
    for (cell, width) in cells.iter().zip(WIDTHS) {
        out.extend_from_slice(cell);
        let shown = String::from_utf8_lossy(cell).chars().count();
        let pad = if width == 0 { 0 } else { width.saturating_sub(shown).max(1) };
        out.resize(out.len() + pad, b' ');
    }
    while out.last() == Some(&b' ') {
        out.pop();
    }
    out.push(b'\n');
}

fn cells(id: &Id, record: &Record, whole: bool) -> [Vec<u8>; 8] {
    let [pid, uptime] = if record.status.is_alive() {
        [record.pid.to_string(), span(uptime_ns(record))]
    } else {
        ["-".to_owned(), "-".to_owned()]
    };
    let most = |width| if whole { usize::MAX } else { width };
    [
        id.as_str().into(),
        shorten(&record.image, most(WIDTHS[1] - 2)),
        shorten(&record.command, most(COMMAND_WIDTH)),
        status(record).into(),
        pid.into(),
        [&span(now_ns().saturating_sub(record.created_ns)), " ago"].concat().into(),
        uptime.into(),
        record.name.as_bytes().into(),
    ]
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

fn shorten(text: &OsStr, most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    escape(text.as_encoded_bytes(), &mut out);
    let shown = String::from_utf8_lossy(&out).into_owned();
    match shown.char_indices().nth(most) {
        Some(_) => shown.chars().take(most - 3).chain("...".chars()).collect::<String>().into_bytes(),
        None => out,
    }
}

/// A length of time in the largest unit that fits.
pub(super) fn span(ns: u64) -> String {
    let seconds = ns / time::SECOND_NS;
    let units = [(86_400, " days"), (3_600, " hours"), (60, " minutes")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds >= 2 * size).unwrap_or((1, " seconds"));
    [&(seconds / size).to_string(), unit].concat()
}
