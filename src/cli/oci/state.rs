//! `state`, `list` and `ps`: what containers are up to.

use super::super::json::Json;
use super::super::message::Failure;
use super::super::{Outcome, report};
use super::{Global, Sorted, argv, cannot_open, help, id};
use crate::oci::config;
use crate::oci::json::Value;
use crate::oci::state::{Container, Record, Status};
use crate::store::allotment;
use pipkin::spec::Id;

/// The version of the specification whose state this is.
pub(super) const VERSION: &[u8] = b"1.3.0";

/// A container as it is told of.
pub(super) struct View<'v> {
    pub(super) id: &'v Id,
    pub(super) status: &'v [u8],
    pub(super) record: &'v Record,
    /// Its configuration; `None` when it cannot be read any more.
    pub(super) config: Option<&'v Value<'v>>,
}

/// The word for what it is up to.
pub(super) fn word(container: &Container, record: &Record) -> &'static [u8] {
    match container.status(record) {
        Status::Creating => b"creating",
        Status::Stopped => b"stopped",
        _ if is_frozen(container, record) => b"paused",
        Status::Created => b"created",
        Status::Running => b"running",
    }
}

/// Whether its processes are frozen, which is what the kernel says, not what we remember.
pub(super) fn is_frozen(container: &Container, record: &Record) -> bool {
    let group = pipkin::host::open_group(&container.id, record.cgroup()).ok().flatten();
    group.and_then(|group| group.occupancy().ok()).is_some_and(|now| now.frozen)
}

/// The state as runtime.md has it, and what runc tells beside.
pub(super) fn write(view: &View<'_>, json: &mut Json) {
    write_open(view, json);
    json.close(b'}');
}

/// The same, to which more may be added.
fn write_open(view: &View<'_>, json: &mut Json) {
    let stopped = view.status == b"stopped";
    json.open(b'{').key(b"ociVersion").string(VERSION).key(b"id").string(view.id.as_str().as_bytes());
    json.key(b"pid").number(if stopped { 0 } else { view.record.pid.into() });
    json.key(b"status").string(view.status).key(b"bundle").string(&view.record.bundle);
    if let Some(config) = view.config {
        if let Some(root) = config.text_at("root.path") {
            let above: &[&[u8]] = if root.starts_with('/') { &[] } else { &[&view.record.bundle, b"/"] };
            json.key(b"rootfs").string(&[&above.concat(), root.as_bytes()].concat());
        }
        json.key(b"annotations").open(b'{');
        for (name, value) in config.at("annotations").map(Value::members).unwrap_or_default() {
            json.key(name.as_bytes()).string(value.text().unwrap_or_default().as_bytes());
        }
        json.close(b'}');
    }
    if view.record.created_ns != 0 {
        json.key(b"created").string(&super::super::time_stamp(view.record.created_ns));
    }
}

/// The name of user `uid` in the text of passwd(5), or `#` and the number where there is none, as runc tells it.
fn owner(passwd: &str, uid: u32) -> String {
    match allotment::name(passwd, uid) {
        "" => ["#", &uid.to_string()].concat(),
        name => name.to_owned(),
    }
}

fn accounts() -> String {
    std::fs::read_to_string("/etc/passwd").unwrap_or_default()
}

/// The same as a text.
pub(super) fn json(view: &View<'_>) -> Vec<u8> {
    let mut json = Json::default();
    write(view, &mut json);
    json.into_text()
}

/// Looks at one container, and calls `tell` with what is seen and whose it is.
fn look(global: &Global, id: &Id, tell: &mut dyn FnMut(&View<'_>, u32)) -> Result<(), Failure> {
    let container = global.root.look(*id).map_err(|error| cannot_open(id, &error))?;
    let record = container.record();
    let text = container.config().unwrap_or_default();
    let config = config::read(&text).ok();
    let status = word(&container, &record);
    tell(&View { id, status, record: &record, config: config.as_ref() }, container.uid());
    Ok(())
}

/// `state ID`.
pub(super) fn state(global: &Global, typed: &Sorted<'_>) -> Outcome {
    let mut json = Json::default();
    look(global, &id(typed)?, &mut |view, uid| {
        write_open(view, &mut json);
        json.key(b"owner").string(owner(&accounts(), uid).as_bytes()).close(b'}');
    })?;
    report::write(&json.into_text())
}

/// `list`.
pub(super) fn list(global: &Global, typed: &Sorted<'_>) -> Outcome {
    let ids = global.root.ids().map_err(|error| Failure::io("list", b"containers", &error))?;
    let as_json = is_json(typed)? && !typed.has("--quiet");
    let mut json = Json::default();
    json.open(b'[');
    let mut lines = Vec::new();
    if !typed.has("--quiet") {
        lines.extend_from_slice(b"ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n");
    }
    let accounts = accounts();
    for id in &ids {
        let tell = &mut |view: &View<'_>, uid: u32| {
            let owner = owner(&accounts, uid);
            write_open(view, &mut json);
            json.key(b"owner").string(owner.as_bytes()).close(b'}');
            lines.extend_from_slice(id.as_str().as_bytes());
            if !typed.has("--quiet") {
                let pid = if view.status == b"stopped" { 0 } else { view.record.pid }.to_string();
                let created = super::super::time_stamp(view.record.created_ns);
                for field in [pid.as_bytes(), view.status, &view.record.bundle, &created, owner.as_bytes()] {
                    lines.push(b'\t');
                    super::super::message::escape(field, &mut lines);
                }
            }
            lines.push(b'\n');
        };
        // One that was taken away meanwhile is not listed.
        look(global, id, tell).unwrap_or(());
    }
    json.close(b']');
    if as_json {
        return report::write(&json.into_text());
    }
    if lines.is_empty() { Ok(super::super::ExitCode::SUCCESS) } else { report::write(&lines) }
}

fn is_json(typed: &Sorted<'_>) -> Result<bool, Failure> {
    match typed.last("--format").unwrap_or("table") {
        "json" => Ok(true),
        "table" => Ok(false),
        other => Err(Failure::new("print as", other.as_bytes(), b"give table or json")),
    }
}

/// Whether the pids are wanted as JSON, which options of ps(1) behind the id change nothing about.
///
/// # Errors
/// A table with such options: that program is not run here.
fn ps_is_json(typed: &Sorted<'_>) -> Result<bool, Failure> {
    let behind: Vec<_> = typed.operands.iter().skip(1).map(|word| (*word).to_owned()).collect();
    match argv::sort(help::PS, argv::Order::Mixed, &behind) {
        Ok(ours) if ours.operands.is_empty() => is_json(if ours.options.is_empty() { typed } else { &ours }),
        _ if is_json(typed)? => Ok(true),
        _ => {
            let why = b"this tells pids, and runs no ps(1): give --format json, and the pids to ps -p";
            let words = behind.join(std::ffi::OsStr::new(" "));
            Err(Failure::new("list processes with", words.as_encoded_bytes(), why))
        }
    }
}

/// `ps ID`: the pids of all its processes.
pub(super) fn processes(global: &Global, typed: &Sorted<'_>) -> Outcome {
    let (id, as_json) = (id(typed)?, ps_is_json(typed)?);
    let container = global.root.look(id).map_err(|error| cannot_open(&id, &error))?;
    let record = container.record();
    let mut pids = Vec::new();
    if let Some(group) = pipkin::host::open_group(&id, record.cgroup())? {
        group.visit(&mut |group| {
            group.processes(&mut |pid| {
                pids.push(pid.as_raw_nonzero().get());
                Ok(())
            })?;
            Ok(())
        })?;
    } else if record.process().is_some() {
        pids.push(record.pid);
    }
    pids.sort_unstable();
    let mut json = Json::default();
    json.open(b'[');
    let mut lines = b"PID\n".to_vec();
    for pid in pids {
        json.number(pid.into());
        lines.extend_from_slice(pid.to_string().as_bytes());
        lines.push(b'\n');
    }
    json.close(b']');
    report::write(&if as_json { json.into_text() } else { lines })
}
