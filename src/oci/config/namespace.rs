//! The namespaces, and the maps and clocks of two of them (config-linux.md, namespaces).

use super::c_text;
use crate::oci::json::{Fault, Value};
use crate::oci::keep;
use pipkin::spec::{ClockOffset, IdMap, Join, Namespaces, UserNamespace};

/// Most lines of an id map (user_namespaces(7)).
const MOST_MAPS: usize = 340;

/// The words for types of namespaces.
pub(crate) const TYPES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// Why the host's mount namespace, or another container's, is none for a container.
const MOUNT_NEEDED: &str =
    "a new mount namespace is needed, or the container's mounts and root would be those of others";

/// Reads them. One that is not named is the caller's.
pub(super) fn namespaces(value: &Value<'_>) -> Result<Namespaces<'static>, Fault> {
    let mut joins = [Join::Host; TYPES.len()];
    for given in value.elements("linux.namespaces") {
        let word = given.text_at("type").unwrap_or_default();
        let Some(place) = TYPES.iter().position(|known| *known == word) else {
            return Err(given.fault([word, " is not a namespace"].concat()));
        };
        if joins[place] != Join::Host {
            return Err(given.fault(["the ", word, " namespace was given before"].concat()));
        }
        joins[place] = match given.at("path") {
            None => Join::New,
            Some(path) => Join::Path(c_text(path)?),
        };
    }
    let [cgroup, ipc, mount, network, pid, time, user, uts] = joins;
    let Some(list) = value.at("linux.namespaces") else {
        return Err(value.fault(["linux.namespaces is missing: ", MOUNT_NEEDED].concat()));
    };
    if mount != Join::New {
        return Err(list.fault(MOUNT_NEEDED));
    }
    let user = match user {
        // Its maps are the kernel's to tell: engines fill in what they like where it has a path.
        Join::Path(path) => Some(UserNamespace { path: Some(path), uids: &[], gids: &[] }),
        other => user_namespace(value, other == Join::New)?,
    };
    let clocks = clocks(value, time == Join::New)?;
    Ok(Namespaces { pid, network, ipc, uts, cgroup, user, time, clocks })
}

fn user_namespace(value: &Value<'_>, new: bool) -> Result<Option<UserNamespace<'static>>, Fault> {
    let (uids, gids) = (maps(value, "linux.uidMappings")?, maps(value, "linux.gidMappings")?);
    match (new, value.at("linux.uidMappings").or(value.at("linux.gidMappings"))) {
        (false, Some(given)) if !uids.is_empty() || !gids.is_empty() => {
            Err(given.fault("id mappings need a new user namespace"))
        }
        (true, _) if uids.is_empty() || gids.is_empty() => {
            Err(value.fault("a new user namespace needs linux.uidMappings and linux.gidMappings"))
        }
        (true, _) => Ok(Some(UserNamespace { path: None, uids, gids })),
        (false, _) => Ok(None),
    }
}

/// The lines of an id map.
pub(super) fn maps(value: &Value<'_>, path: &str) -> Result<&'static [IdMap], Fault> {
    let mut maps = Vec::new();
    for given in value.elements(path) {
        let number = |name| given.number_at(name).unwrap_or_default() as u32;
        if number("size") == 0 {
            return Err(given.fault("size must not be 0"));
        }
        maps.push(IdMap { inside: number("containerID"), outside: number("hostID"), count: number("size") });
    }
    match value.at(path) {
        Some(list) if maps.len() > MOST_MAPS => Err(list.fault("the kernel takes 340 of these")),
        _ => Ok(keep::list(maps)),
    }
}

fn clocks(value: &Value<'_>, new: bool) -> Result<&'static [ClockOffset], Fault> {
    let Some(offsets) = value.at("linux.timeOffsets") else { return Ok(&[]) };
    let mut clocks = Vec::new();
    for (name, given) in offsets.members() {
        let Some(clock) = ["monotonic", "boottime"].into_iter().find(|clock| clock == name) else {
            return Err(given.fault("only monotonic and boottime can be offset"));
        };
        let nanoseconds = given.number_at("nanosecs").unwrap_or_default() as u32;
        if nanoseconds >= 1_000_000_000 {
            return Err(given.fault("nanosecs must be below 1000000000"));
        }
        clocks.push(ClockOffset { clock, seconds: given.signed_at("secs").unwrap_or_default(), nanoseconds });
    }
    if !clocks.is_empty() && !new {
        return Err(offsets.fault("offsets of clocks need a new time namespace"));
    }
    Ok(keep::list(clocks))
}
