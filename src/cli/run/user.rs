//! The user namespace: which ids inside are which outside.
//!
//! | asked for | as root | as another user |
//! |---|---|---|
//! | nothing, `host` | none | nothing: as `auto`; `host` cannot be had |
//! | `auto` | 65536 ids of `pipkin` or `containers` in /etc/subuid, else of a range that nobody was allotted; no other container has them | root is the caller; the ids allotted to the caller follow, when there are some |
//! | `keep-id` | refused | the caller keeps the own id; the ids allotted to the caller are the others |
//! | maps | as they stand | as they stand, when they were allotted |

use super::privilege::{disjoint, id_map};
use super::{Checked, each, keep, refuse};
use crate::cli::argv::Sorted;
use crate::cli::message::Failure;
use crate::store::Claim;
use crate::store::allotment::{Allotment, Caller, Maps, Range, allotted, own, ranges};
use pipkin::spec::{Id, IdMap, UserNamespace};

/// How many ids a container gets of a range that is large enough: as many as images use.
const COUNT: u32 = 65_536;
/// Where ranges for containers are taken from when none were allotted: systemd leaves them to containers
/// (systemd.io/UIDS-GIDS, container UID range).
const FREE: Range = Range { first: 524_288, count: 1_878_523_904 };
/// Who a range for root's containers can be allotted to.
const OWNERS: [&str; 2] = ["pipkin", "containers"];

/// The user namespace of container `id`, if there is to be one; without a `claim` its ids may be another's too.
pub(super) fn namespace(
    typed: &Sorted<'_>,
    id: &Id,
    claim: Option<&mut Claim>,
) -> Checked<Option<UserNamespace<'static>>> {
    // A run by root that asks for nothing does not pay for files it has no use for.
    let asked = ["--userns", "--uidmap", "--gidmap"].into_iter().any(|name| typed.last(name).is_some());
    if !asked && pipkin::host::is_privileged() {
        return Ok(None);
    }
    let allotment = Allotment::read();
    let maps = choose(typed, (id, claim), allotment.caller(), allotment.texts())?;
    Ok(maps.map(|[uids, gids]| UserNamespace { path: None, uids: keep::list(uids), gids: keep::list(gids) }))
}

fn choose(
    typed: &Sorted<'_>,
    (id, claim): (&Id, Option<&mut Claim>),
    caller: Caller<'_>,
    texts: [&str; 2],
) -> Checked<Option<Maps>> {
    let given = [maps(typed, "--uidmap")?, maps(typed, "--gidmap")?];
    let mode = typed.last("--userns");
    let mapped = given.iter().any(|maps| !maps.is_empty());
    match mode {
        None if mapped => asked(typed, given, caller, texts).map(Some),
        Some(mode) if mapped => {
            let why = "--uidmap and --gidmap make the maps: leave out one of the two";
            Err(refuse("--userns", mode, why))
        }
        None | Some("auto") if !caller.root => Ok(Some(own(caller, texts, false))),
        None | Some("host") => Ok(None),
        Some("auto") => fresh(id, claim, texts).map(Some),
        Some("keep-id") if caller.root => {
            Err(refuse("--userns", "keep-id", "root inside would be root outside: give auto"))
        }
        Some("keep-id") => Ok(Some(own(caller, texts, true))),
        Some(other) => Err(refuse("--userns", other, "give auto, keep-id or host, or maps")),
    }
}

/// The maps as they were given.
fn asked(typed: &Sorted<'_>, given: Maps, caller: Caller<'_>, texts: [&str; 2]) -> Checked<Maps> {
    let [uids, gids] = given;
    if uids.is_empty() {
        return Err(refuse("--gidmap", typed.last("--gidmap").unwrap_or_default(), "give --uidmap too"));
    }
    let gids = if gids.is_empty() { uids.clone() } else { gids };
    let maps = [uids, gids];
    if caller.root {
        return Ok(maps);
    }
    let kinds = [
        ("--uidmap", "/etc/subuid allots other ids to you"),
        ("--gidmap", "/etc/subgid allots other ids to you"),
    ];
    for (((maps, text), own), (name, why)) in maps.iter().zip(texts).zip(caller.ids).zip(kinds) {
        let ranges = caller.ranges(text);
        let is_ours = |map: &IdMap| {
            let wanted = Range { first: map.outside, count: map.count };
            wanted == Range { first: own, count: 1 } || ranges.iter().any(|range| range.holds(wanted))
        };
        let has_own = maps.iter().any(|map| own.checked_sub(map.outside).is_some_and(|at| at < map.count));
        let why = match maps.iter().all(is_ours) {
            true if has_own => continue,
            true => "it must map your own id too: the image and the store are yours",
            false => why,
        };
        let typed = typed.last(name).or_else(|| typed.last("--uidmap"));
        return Err(refuse(name, typed.unwrap_or_default(), why));
    }
    Ok(maps)
}

/// Ids that belong to nobody but this container, as far as `claim` is there to see to it.
fn fresh(id: &Id, claim: Option<&mut Claim>, texts: [&str; 2]) -> Checked<Maps> {
    let random = u64::from_str_radix(id.as_str(), 16).unwrap_or(0);
    let others: Vec<Range> = texts.iter().flat_map(|text| ranges(text).map(|(_, range)| range)).collect();
    let from = texts.map(|text| allotted(text, &OWNERS).first().copied());
    let [mut users, mut groups] = from.map(|from| candidates(from, random, &others));
    let firsts = match claim {
        Some(claim) => claim.first_free([("u", &mut users), ("g", &mut groups)]),
        None => Ok(users.next().zip(groups.next()).map(<[u32; 2]>::from)),
    };
    let what = "give the container ids of its own";
    let none = || {
        Failure::new(what, b"", b"other containers have all that there are").remedy(
            "allot more to 'pipkin' in /etc/subuid and /etc/subgid, or 'pipkin rm' some of 'pipkin ps -a'",
        )
    };
    let firsts = firsts.map_err(|error| Failure::io(what, b"", &error))?.ok_or_else(none)?;
    let map = |from: Option<Range>, outside| {
        vec![IdMap { inside: 0, outside, count: from.unwrap_or(FREE).count.min(COUNT) }]
    };
    Ok([map(from[0], firsts[0]), map(from[1], firsts[1])])
}

/// The first ids of parts of the range `from`, or of what none of the `others` touches, from part `random` on.
fn candidates(from: Option<Range>, random: u64, others: &[Range]) -> impl Iterator<Item = u32> {
    let within = from.unwrap_or(FREE);
    (0..u64::from(within.count / COUNT).max(1))
        .map(move |step| part(within, random.wrapping_add(step)))
        .filter(move |range| from.is_some() || !others.iter().any(|other| other.touches(*range)))
        .map(|range| range.first)
}

/// One part of `range`, by number.
fn part(range: Range, number: u64) -> Range {
    let slots = u64::from(range.count / COUNT).max(1);
    // Below the number of slots, which is below 2^16.
    let offset = (number % slots) as u32 * COUNT;
    Range { first: range.first.saturating_add(offset), count: COUNT }
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
    use crate::store::allotment::around;

    const ROOT: Caller<'static> = Caller { ids: [0, 0], name: "root", root: true };
    const ANN: Caller<'static> = Caller { ids: [1000, 100], name: "ann", root: false };
    const NOTHING: [&str; 2] = ["", ""];

    fn of(text: &str, caller: Caller<'_>, allotted: [&str; 2]) -> Option<Option<Maps>> {
        choose(&sorted(&words(text)), (&Id::from_random(3), None), caller, allotted).ok()
    }

    fn map(inside: u32, outside: u32, count: u32) -> IdMap {
        IdMap { inside, outside, count }
    }

    #[test]
    fn root_has_none_unless_asked() {
        assert_eq!(of("", ROOT, NOTHING), Some(None));
        assert_eq!(of("--userns host", ROOT, NOTHING), Some(None));
        assert_eq!(of("--userns keep-id", ROOT, NOTHING), None);
        assert_eq!(of("--userns private", ROOT, NOTHING), None);
    }

    #[test]
    fn root_gets_what_was_allotted_or_what_is_nobodys() {
        let one = |first, count| Some(Some([vec![map(0, first, count)], vec![map(0, first, count)]]));
        assert_eq!(of("--userns auto", ROOT, NOTHING), one(524_288 + 3 * 65_536, 65_536));
        assert_eq!(of("--userns auto", ROOT, ["x:720896:1", ""]), one(524_288 + 4 * 65_536, 65_536));
        let both = |text| [text, text];
        assert_eq!(of("--userns auto", ROOT, both("a:1:2\ncontainers:100000:1000\n")), one(100_000, 1000));
        assert_eq!(of("--userns auto", ROOT, both("pipkin:100000:131072")), one(100_000 + 65_536, 65_536));
        assert!(u64::from(FREE.first) + u64::from(FREE.count) <= 0x7000_0000);
    }

    #[test]
    fn a_user_is_root_or_itself_inside() {
        let single = |inside| Some(Some([vec![map(inside, 1000, 1)], vec![map(inside, 100, 1)]]));
        assert_eq!(of("", ANN, NOTHING), single(0));
        assert_eq!(of("--userns auto", ANN, ["ann:5:5", ""]), single(0));
        let kept = of("--userns keep-id", ANN, NOTHING).unwrap().unwrap();
        assert_eq!(kept, [vec![map(1000, 1000, 1)], vec![map(100, 100, 1)]]);
        let range = Some(Range { first: 9000, count: 1500 });
        assert_eq!(around(1000, 0, range), [map(0, 1000, 1), map(1, 9000, 1500)]);
        let kept = [map(0, 9000, 1000), map(1000, 1000, 1), map(1001, 10_000, 500)];
        assert_eq!(around(1000, 1000, range), kept);
        assert_eq!(around(7, 7, Some(Range { first: 9, count: 2 })), [map(0, 9, 2), map(7, 7, 1)]);
    }

    #[test]
    fn maps_are_taken_as_far_as_they_are_allotted() {
        let both = |maps: Vec<IdMap>| Some(Some([maps.clone(), maps]));
        assert_eq!(of("--uidmap 0:1:2", ROOT, NOTHING), both(vec![map(0, 1, 2)]));
        let two = "--uidmap 0:1000:1 --uidmap 1:5000:10 --gidmap 0:100:1";
        assert!(of(two, ANN, ["ann:5000:10", ""]).unwrap().is_some());
        assert!(of(two, ANN, ["1000:4000:1010", ""]).unwrap().is_some());
        assert_eq!(of(two, ANN, ["ann:5000:9", ""]), None);
        assert_eq!(of(two, ANN, ["bob:5000:10", ""]), None);
        for bad in [
            "--gidmap 0:1:1",
            "--uidmap 0:1:2 --uidmap 1:9:1",
            "--userns host --uidmap 0:1:1",
            "--userns auto --uidmap 0:1:1",
        ] {
            assert_eq!(of(bad, ROOT, NOTHING), None, "{bad}");
        }
    }
}
