//! How long a container lives, what becomes of its output, and what is written down of it.

use super::quantity::{self, Why};
use super::request::Request;
use super::{Checked, each, given, line, origin};
use crate::cli::argv::Sorted;
use crate::cli::detach::{Check, Orders, Policy};
use crate::cli::message::Failure;
use crate::cli::signal;
use crate::store::log::Limits;
use crate::store::{Record, USERS, VOLUME, now_ns, time};
use pipkin::plan::{HostStep, Plan};
use pipkin::spec::Id;
use std::fs::File;
use std::io::{ErrorKind, Write};

/// Smallest log file: with less, hardly an entry would stay.
const SMALLEST_LOG: u64 = 4096;

/// Options that mean something to a supervisor only.
const NEED_DETACH: [&str; 4] = ["--restart", "--log-max-size", "--log-max-files", "--health-cmd"];

/// What the supervisor is told; `None` in the foreground.
pub(super) fn orders(typed: &Sorted<'_>) -> Checked<Option<Orders>> {
    let policy = given(typed, "--restart", policy)?.unwrap_or_default();
    let size = given(typed, "--log-max-size", log_size)?.unwrap_or(Limits::DEFAULT.size);
    let files = given(typed, "--log-max-files", log_files)?.unwrap_or(Limits::DEFAULT.files);
    let timeout_ms = timeout_ms(typed)?;
    if !typed.has("--detach") {
        let alone = NEED_DETACH.into_iter().find(|name| typed.has(name));
        let refused = alone.map(|name| Failure::usage("run", &[name, " needs --detach"].concat()));
        return refused.map_or(Ok(None), Err);
    }
    if policy != Policy::No && typed.has("--rm") {
        return Err(Failure::usage("run", "--restart and --rm contradict each other"));
    }
    Ok(Some(Orders { policy, limits: Limits { size, files }, timeout_ms, health: health(typed)? }))
}

/// The health command; what is said about one that is not given is refused.
fn health(typed: &Sorted<'_>) -> Checked<Option<Check>> {
    let span = |name, usual_ms| given(typed, name, span_ms).map(|given| given.unwrap_or(usual_ms));
    let check = Check {
        command: typed.last("--health-cmd").unwrap_or_default().to_owned(),
        interval_ms: span("--health-interval", 30_000)?,
        timeout_ms: span("--health-timeout", 30_000)?,
        retries: given(typed, "--health-retries", retries)?.unwrap_or(3),
        start_ms: span("--health-start-period", 0)?,
    };
    let told = ["--health-interval", "--health-timeout", "--health-retries", "--health-start-period"];
    if typed.has("--health-cmd") {
        return Ok(Some(check));
    }
    let alone = told.into_iter().find(|name| typed.has(name));
    let refused = alone.map(|name| Failure::usage("run", &[name, " needs --health-cmd"].concat()));
    refused.map_or(Ok(None), Err)
}

fn retries(text: &str) -> Result<u64, Why> {
    quantity::unsigned(text).filter(|count| *count > 0).ok_or("give a number from 1 on")
}

/// Writes the id of a new container where `--cidfile` says.
///
/// # Errors
/// The file is there already, or cannot be made.
pub(super) fn note_id(typed: &Sorted<'_>, id: &Id) -> Checked<()> {
    let Some(path) = typed.last("--cidfile") else { return Ok(()) };
    let noted = File::create_new(path).and_then(|mut file| file.write_all(id.as_str().as_bytes()));
    noted.map_err(|error| {
        let failure = Failure::io("note the id in", path.as_bytes(), &error);
        match error.kind() {
            ErrorKind::AlreadyExists => failure.remedy("give another, or take that one away"),
            _ => failure,
        }
    })
}

/// Takes that file away again: there is no such container. Best effort: what kept it from being made is the news.
pub(super) fn forget_id(typed: &Sorted<'_>) {
    if let Some(path) = typed.last("--cidfile") {
        std::fs::remove_file(path).unwrap_or(());
    }
}

/// The record of the container to be.
pub(super) fn record(typed: &Sorted<'_>, request: &Request<'_>, plan: &Plan<'_>) -> Checked<Record> {
    let spec = &request.spec;
    let mut record = Record {
        name: request.name.to_owned(),
        image: request.image.to_owned(),
        command: request.command(),
        hostname: spec.hostname.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        created_ns: now_ns(),
        restart: typed.last("--restart").unwrap_or_default().to_owned(),
        stop_signal: given(typed, "--stop-signal", stop_signal)?
            .unwrap_or(request.stop_signal.map_or(0, i32::from)),
        stop_timeout_ms: given(typed, "--stop-timeout", span_ms)?,
        detached: typed.has("--detach"),
        remove: request.remove,
        ..Record::default()
    };
    origin::write(spec, &mut record);
    for name in request.claim.iter().flat_map(|claim| &claim.names) {
        record.add(USERS, name.as_bytes());
    }
    if !request.remove {
        line::write(typed, &mut record);
    }
    if typed.has("--durable") {
        if request.remove {
            return Err(Failure::usage("run", "--durable and --rm contradict each other"));
        }
        record.add("durable", b"1");
    }
    for label in each(typed, "--label", label)? {
        record.add("label", label.as_bytes());
    }
    for name in ["--volume", "--mount", "--tmpfs"] {
        typed.all(name).for_each(|text| record.add("mount", text.as_bytes()));
    }
    for name in &request.volumes {
        record.add(VOLUME, name.as_bytes());
    }
    for step in &plan.host {
        if let HostStep::SetLimit { file, value } = step {
            record.add(&["limit.", file].concat(), value.as_bytes());
        }
    }
    Ok(record)
}

fn policy(text: &str) -> Result<Policy, Why> {
    Policy::parse(text).ok_or("give no, on-failure[:N], always or unless-stopped")
}

fn stop_signal(text: &str) -> Result<i32, Why> {
    signal::number(text).map(i32::from).ok_or("give a signal, as TERM or 15")
}

/// How long it may run, in milliseconds; without a limit by 0 too, as elsewhere.
pub(super) fn timeout_ms(typed: &Sorted<'_>) -> Checked<Option<u64>> {
    Ok(given(typed, "--timeout", span_ms)?.filter(|ms| *ms > 0))
}

/// A length of time, in seconds or with a unit, in milliseconds.
pub(super) fn span_ms(text: &str) -> Result<u64, Why> {
    let seconds = quantity::unsigned(text).and_then(|seconds| seconds.checked_mul(1000));
    seconds
        .or_else(|| Some(time::span_ns(text)? / 1_000_000))
        .ok_or("give seconds, or a time as 90s, 10m, 2h")
}

fn log_size(text: &str) -> Result<u64, Why> {
    let size = quantity::size(text)?;
    if size < SMALLEST_LOG { Err("give at least 4k") } else { Ok(size) }
}

fn log_files(text: &str) -> Result<u64, Why> {
    quantity::unsigned(text).filter(|files| (1..=1000).contains(files)).ok_or("give a number from 1 to 1000")
}

/// `NAME` or `NAME=VALUE`.
fn label(text: &str) -> Result<&str, Why> {
    let name = text.split('=').next().unwrap_or_default();
    if name.is_empty() { Err("give NAME or NAME=VALUE") } else { Ok(text) }
}
