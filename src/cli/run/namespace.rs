//! Which namespaces the container has of its own.

use super::privilege::{disjoint, id_map};
use super::quantity::Why;
use super::{Checked, each, given, keep, refuse};
use crate::cli::argv::Sorted;
use pipkin::spec::{IdMap, Join, Namespaces, UserNamespace};
use rustix::process::{getegid, geteuid};

/// All of them.
pub(super) fn namespaces(typed: &Sorted<'_>) -> Checked<Namespaces<'static>> {
    let of = |name| given(typed, name, join).map(|join| join.unwrap_or(Join::New));
    Ok(Namespaces {
        pid: of("--pid")?,
        network: given(typed, "--network", network)?.unwrap_or(Join::New),
        ipc: of("--ipc")?,
        uts: of("--uts")?,
        cgroup: of("--cgroupns")?,
        user: user(typed)?,
        time: typed.has("--time-ns"),
        clocks: &[],
    })
}

/// `private`, `host` or `ns:PATH`.
fn join(text: &str) -> Result<Join<'static>, Why> {
    const WHY: Why = "give private, host or ns:PATH";
    match text.split_once(':') {
        None if text == "private" => Ok(Join::New),
        None if text == "host" => Ok(Join::Host),
        Some(("ns", path)) if path.starts_with('/') => keep::text(path).map(Join::Path).ok_or(WHY),
        _ => Err(WHY),
    }
}

fn network(text: &str) -> Result<Join<'static>, Why> {
    match text {
        "none" => Ok(Join::New),
        "private" => Err("give none, host or ns:PATH"),
        _ => join(text).map_err(|_| "give none, host or ns:PATH"),
    }
}

/// The user namespace, if there is to be one. A map asks for one; `auto` maps root inside to the caller.
fn user(typed: &Sorted<'_>) -> Checked<Option<UserNamespace<'static>>> {
    let (uids, gids) = (maps(typed, "--uidmap")?, maps(typed, "--gidmap")?);
    let mode = typed.last("--userns");
    let (uids, gids) = match mode {
        None | Some("host") if uids.is_empty() && gids.is_empty() => return Ok(None),
        None if uids.is_empty() => return Err(refuse("--gidmap", "", "give --uidmap too")),
        None if gids.is_empty() => (uids.clone(), uids),
        None => (uids, gids),
        Some("auto") if !uids.is_empty() || !gids.is_empty() => {
            return Err(refuse(
                "--userns",
                "auto",
                "it makes the maps itself: leave out --uidmap and --gidmap",
            ));
        }
        Some("auto") if geteuid().is_root() => {
            return Err(refuse(
                "--userns",
                "auto",
                "root has to say which ids: give --uidmap, as 0:100000:65536",
            ));
        }
        Some("auto") => {
            let one = |outside| vec![IdMap { inside: 0, outside, count: 1 }];
            (one(geteuid().as_raw()), one(getegid().as_raw()))
        }
        Some("host") => return Err(refuse("--userns", "host", "--uidmap and --gidmap ask for another")),
        Some(other) => return Err(refuse("--userns", other, "give host or auto, or maps")),
    };
    Ok(Some(UserNamespace { uids: keep::list(uids), gids: keep::list(gids) }))
}

fn maps(typed: &Sorted<'_>, name: &'static str) -> Checked<Vec<IdMap>> {
    let maps = each(typed, name, id_map)?;
    if disjoint(&maps) {
        return Ok(maps);
    }
    Err(refuse(name, typed.last(name).unwrap_or_default(), "it overlaps with another map"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sorted, words};
    use super::*;

    fn of(text: &str) -> Option<Namespaces<'static>> {
        namespaces(&sorted(&words(text))).ok()
    }

    #[test]
    fn everything_is_its_own_unless_asked() {
        assert_eq!(of(""), Some(Namespaces::DEFAULT));
        assert_eq!(of("--net none --userns host"), Some(Namespaces::DEFAULT));
        assert_eq!(of("--network host").unwrap().network, Join::Host);
        assert_eq!(of("--pid ns:/proc/7/ns/pid").unwrap().pid, Join::Path(c"/proc/7/ns/pid"));
        assert_eq!(of("--ipc private").unwrap().ipc, Join::New);
        assert!(of("--time-ns").unwrap().time);
        for bad in [
            "--net bridge",
            "--net private",
            "--pid none",
            "--uts ns:",
            "--uts ns:x",
            "--ipc container:x",
            "--cgroupns=",
            "--userns keep-id",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn maps_make_a_user_namespace() {
        let user = of("--uidmap 0:1000:1 --uidmap 1:100000:9").unwrap().user.unwrap();
        assert_eq!((user.uids.len(), user.gids), (2, user.uids));
        let user = of("--uidmap 0:1:1 --gidmap 0:2:1").unwrap().user.unwrap();
        assert_eq!((user.uids[0].outside, user.gids[0].outside), (1, 2));
        for bad in [
            "--gidmap 0:1:1",
            "--uidmap 0:1:2 --uidmap 1:9:1",
            "--userns host --uidmap 0:1:1",
            "--userns auto --uidmap 0:1:1",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
