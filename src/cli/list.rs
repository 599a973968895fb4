//! `pipkin ps`: which containers there are.

use super::argv::Sorted;
use super::launch::{end, errno_of};
use super::message::{Failure, escape};
use super::{ExitCode, Outcome, open_store};
use crate::store::{Record, Status, now_ns};
use pipkin::spec::Id;
use std::ffi::OsStr;
use std::io::Write;

/// Longest command shown.
const COMMAND_WIDTH: usize = 30;

/// Lists running containers, or all, newest first.
///
/// # Errors
/// A store that cannot be read.
pub(super) fn run(sorted: &Sorted<'_>) -> Outcome {
    let store = open_store()?;
    let unreadable = |error: &std::io::Error| Failure::errno("list the containers", b"", errno_of(error));
    // Best effort: what cannot be cleaned up is listed.
    store.reclaim(usize::MAX, end).unwrap_or(());
    let mut found = Vec::new();
    for id in store.ids().map_err(|error| unreadable(&error))? {
        let record = store.read(&id).map_err(|error| unreadable(&error))?;
        found.extend(record.map(|record| (id, record)));
    }
    found.retain(|(_, record)| sorted.has("--all") || record.status.is_alive());
    found.sort_by_key(|(_, record)| std::cmp::Reverse(record.created_ns));
    let mut out = Vec::new();
    if !sorted.has("--quiet") {
        row(
            &mut out,
            ["ID", "IMAGE", "COMMAND", "STATUS", "PID", "CREATED", "NAME"].map(|word| word.as_bytes().into()),
        );
    }
    for (id, record) in &found {
        if sorted.has("--quiet") {
            out.extend_from_slice(id.as_str().as_bytes());
            out.push(b'\n');
        } else {
            row(&mut out, cells(id, record));
        }
    }
    // Nobody reads any more when the pipe is closed.
    drop(std::io::stdout().write_all(&out));
    Ok(ExitCode::SUCCESS)
}

/// Widths of the columns; the last takes what it needs.
const WIDTHS: [usize; 7] = [18, 20, COMMAND_WIDTH + 2, 14, 9, 16, 0];

fn row(out: &mut Vec<u8>, cells: [Vec<u8>; 7]) {
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

fn cells(id: &Id, record: &Record) -> [Vec<u8>; 7] {
    let status = match (record.status, record.exit) {
        (Status::Exited, Some(exit)) => ["exited (", &exit.to_string(), ")"].concat(),
        (Status::Exited, None) => "exited (?)".to_owned(),
        (status, _) => status.as_str().to_owned(),
    };
    let pid = if record.status.is_alive() { record.pid.to_string() } else { "-".to_owned() };
    [
        id.as_str().into(),
        shorten(&record.image, WIDTHS[1] - 2),
        shorten(&record.command, COMMAND_WIDTH),
        status.into(),
        pid.into(),
        age(record.created_ns).into(),
        record.name.as_bytes().into(),
    ]
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

/// How long ago, in the largest unit that fits.
fn age(created_ns: u64) -> String {
    let seconds = now_ns().saturating_sub(created_ns) / 1_000_000_000;
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds >= 2 * size).unwrap_or((1, "seconds"));
    [&(seconds / size).to_string(), " ", unit, " ago"].concat()
}
