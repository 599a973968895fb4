//! Cgroups that systemd makes, for engines that leave that to it.

use super::super::message::{Failure, reason};
use crate::oci::state::Record;
use crate::oci::systemd::{Manager, Scope, Why};
use pipkin::host::Placeholder;
use pipkin::plan::Plan;
use pipkin::spec::Id;

fn cannot(what: &str, unit: &[u8], why: Why) -> Failure {
    match why {
        Why::Kernel(errno) => Failure::new(what, unit, reason(errno).as_bytes()),
        Why::Words(words) => Failure::new(what, unit, &words),
    }
}

fn connect() -> Result<Manager, Failure> {
    Manager::connect().map_err(|why| cannot("reach systemd", b"", why))
}

/// The scope that a configuration names.
pub(super) fn name(path: &str, id: &Id) -> Result<Scope, Failure> {
    Scope::new(path, id.as_str()).ok_or_else(|| {
        let why = b"linux.cgroupsPath must be SLICE:PREFIX:NAME for systemd, as machine.slice:engine:name";
        Failure::new("name the scope", path.as_bytes(), why)
    })
}

/// Has systemd make `scope` with the limits of `plan`, and notes where it is. It goes when the placeholder goes, unless
/// somebody else is in it by then.
pub(super) fn start(
    scope: &Scope,
    id: &Id,
    plan: &Plan<'_>,
    record: &mut Record,
) -> Result<Placeholder, Failure> {
    let placeholder = Placeholder::new()?;
    let pid = placeholder.pid().as_raw_nonzero().get().cast_unsigned();
    let unit = scope.unit.as_bytes();
    connect()?
        .start(scope, pid, id.as_str(), &plan.host)
        .map_err(|why| cannot("have systemd make", unit, why))?;
    record.cgroup = placeholder.cgroup()?.to_vec();
    if !record.cgroup.ends_with(unit) {
        return Err(Failure::new("use the scope", unit, b"systemd did not put a process into it"));
    }
    Ok(placeholder)
}

/// Tells systemd of the limits of `plan`.
pub(super) fn update(record: &Record, plan: &Plan<'_>) -> Result<(), Failure> {
    if record.unit.is_empty() {
        return Ok(());
    }
    connect()?
        .update(&record.unit, &plan.host)
        .map_err(|why| cannot("have systemd change", &record.unit, why))
}

/// Has systemd forget the scope of a container whose processes are gone. Where there is no systemd any more nothing of
/// it is left.
pub(super) fn forget(record: &Record) -> Result<(), Failure> {
    if record.unit.is_empty() {
        return Ok(());
    }
    let Ok(mut manager) = Manager::connect() else { return Ok(()) };
    manager.forget(&record.unit).map_err(|why| cannot("have systemd forget", &record.unit, why))
}
