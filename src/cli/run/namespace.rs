//! Which namespaces the container has of its own.

use super::options::Options;
use super::privilege::{disjoint, id_map};
use super::quantity::Why;
use super::{Checked, given, keep, refuse};
use pipkin::spec::{IdMap, Join, Namespaces, UserNamespace};
use rustix::process::{getegid, geteuid};

/// All of them.
pub(super) fn namespaces(options: &Options) -> Checked<Namespaces<'static>> {
    let join =
        |name, values| -> Checked<Join<'static>> { Ok(given(name, values, join)?.unwrap_or(Join::New)) };
    Ok(Namespaces {
        pid: join("--pid", &options.pid)?,
        network: given("--network", &options.network, network)?.unwrap_or(Join::New),
        ipc: join("--ipc", &options.ipc)?,
        uts: join("--uts", &options.uts)?,
        cgroup: join("--cgroupns", &options.cgroupns)?,
        user: user(options)?,
        time: options.time_ns,
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
fn user(options: &Options) -> Checked<Option<UserNamespace<'static>>> {
    let maps = |name, texts: &[String]| -> Checked<Vec<IdMap>> {
        let parse = |text: &String| id_map(text).map_err(|why| refuse(name, text, why));
        let maps: Vec<IdMap> = texts.iter().map(parse).collect::<Checked<_>>()?;
        let last = texts.last().map_or("", String::as_str);
        if disjoint(&maps) { Ok(maps) } else { Err(refuse(name, last, "it overlaps with another map")) }
    };
    let uids = maps("--uidmap", &options.uidmap)?;
    let gids = maps("--gidmap", &options.gidmap)?;
    let mode = options.userns.last().map(String::as_str);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[(&'static str, &'static str)]) -> Result<Namespaces<'static>, ()> {
        let words: Vec<_> = words.iter().map(|(name, value)| (*name, Some(*value))).collect();
        namespaces(&Options::new(&words).unwrap()).map_err(|_| ())
    }

    #[test]
    fn everything_is_its_own_unless_asked() {
        assert_eq!(of(&[]), Ok(Namespaces::DEFAULT));
        assert_eq!(of(&[("--network", "none"), ("--userns", "host")]), Ok(Namespaces::DEFAULT));
        assert_eq!(of(&[("--network", "host")]).unwrap().network, Join::Host);
        assert_eq!(of(&[("--pid", "ns:/proc/7/ns/pid")]).unwrap().pid, Join::Path(c"/proc/7/ns/pid"));
        assert_eq!(of(&[("--ipc", "private")]).unwrap().ipc, Join::New);
        for bad in [
            ("--network", "bridge"),
            ("--network", "private"),
            ("--pid", "none"),
            ("--uts", "ns:"),
            ("--uts", "ns:x"),
            ("--ipc", "container:x"),
            ("--cgroupns", ""),
            ("--userns", "keep-id"),
        ] {
            assert!(of(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn maps_make_a_user_namespace() {
        let user = of(&[("--uidmap", "0:1000:1"), ("--uidmap", "1:100000:9")]).unwrap().user.unwrap();
        assert_eq!((user.uids.len(), user.gids), (2, user.uids));
        let user = of(&[("--uidmap", "0:1:1"), ("--gidmap", "0:2:1")]).unwrap().user.unwrap();
        assert_eq!((user.uids[0].outside, user.gids[0].outside), (1, 2));
        for bad in [
            &[("--gidmap", "0:1:1")][..],
            &[("--uidmap", "0:1:2"), ("--uidmap", "1:9:1")],
            &[("--userns", "host"), ("--uidmap", "0:1:1")],
            &[("--userns", "auto"), ("--uidmap", "0:1:1")],
        ] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
