//! The ids that are a user's own: the one it has, and those that /etc/subuid and /etc/subgid allot to it (subuid(5)).

use pipkin::spec::IdMap;
use std::fs;

/// The files that allot, of users and of groups.
const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// Lines of a map of user ids and of one of group ids.
pub(crate) type Maps = [Vec<IdMap>; 2];

/// What this machine's files say of ids, and who asks.
pub(crate) struct Allotment {
    ids: [u32; 2],
    passwd: String,
    texts: [String; 2],
}

impl Allotment {
    /// Reads them; a file that is not there allots nothing.
    pub(crate) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let ids = [rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()];
        Self { ids, passwd: text("/etc/passwd"), texts: FILES.map(text) }
    }

    /// This process's user.
    pub(crate) fn caller(&self) -> Caller<'_> {
        let [uid, _] = self.ids;
        Caller { ids: self.ids, name: name(&self.passwd, uid), root: pipkin::host::is_privileged() }
    }

    /// The two files.
    pub(crate) fn texts(&self) -> [&str; 2] {
        let [uids, gids] = &self.texts;
        [uids, gids]
    }
}

/// Ids one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Range {
    /// Whether every id of `other` is in it.
    pub(crate) fn holds(self, other: Self) -> bool {
        let end = |range: Self| u64::from(range.first) + u64::from(range.count);
        self.first <= other.first && end(other) <= end(self)
    }

    /// Whether any is.
    pub(crate) fn touches(self, other: Self) -> bool {
        let before =
            |one: Self, two: Self| u64::from(one.first) + u64::from(one.count) <= u64::from(two.first);
        !before(self, other) && !before(other, self)
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    /// User and group.
    pub(crate) ids: [u32; 2],
    /// Name in passwd; empty without one.
    pub(crate) name: &'a str,
    /// Whether any id may be mapped.
    pub(crate) root: bool,
}

impl Caller<'_> {
    /// What `text` allots to it.
    pub(crate) fn ranges(&self, text: &str) -> Vec<Range> {
        let [uid, _] = self.ids;
        allotted(text, &[self.name, &uid.to_string()])
    }
}

/// The name of user `uid`, or nothing.
pub(crate) fn name(passwd: &str, uid: u32) -> &str {
    let named = |line: &&str| line.split(':').nth(2).is_some_and(|id| id.parse() == Ok(uid));
    passwd.lines().find(named).and_then(|line| line.split(':').next()).unwrap_or_default()
}

/// The caller's own id, as root inside or as itself, and around it what was allotted, if newuidmap can map it.
pub(crate) fn own(caller: Caller<'_>, texts: [&str; 2], keep: bool) -> Maps {
    let ranges = texts.map(|text| caller.ranges(text).first().copied());
    let all = ranges.iter().all(Option::is_some) && pipkin::host::maps_ranges();
    let ([uid, gid], [uids, gids]) = (caller.ids, ranges);
    let one = |id: u32, range: Option<Range>| around(id, if keep { id } else { 0 }, range.filter(|_| all));
    [one(uid, uids), one(gid, gids)]
}

/// Maps `outside` to `inside`, and around it the ids of `range` below and above it.
pub(crate) fn around(outside: u32, inside: u32, range: Option<Range>) -> Vec<IdMap> {
    let Range { first, count } = range.unwrap_or(Range { first: 0, count: 0 });
    let below = inside.min(count);
    let above = (count - below).min(u32::MAX - 1 - inside);
    let maps = [
        IdMap { inside: 0, outside: first, count: below },
        IdMap { inside, outside, count: 1 },
        IdMap { inside: inside + 1, outside: first.saturating_add(below), count: above },
    ];
    maps.into_iter().filter(|map| map.count > 0).collect()
}

/// The lines of /etc/subuid or /etc/subgid (subuid(5)).
pub(crate) fn ranges(text: &str) -> impl Iterator<Item = (&str, Range)> {
    text.lines().filter_map(|line| {
        let mut parts = line.split(':');
        let (owner, first, count) = (parts.next()?, parts.next()?, parts.next()?);
        let range = Range { first: first.parse().ok()?, count: count.trim_end().parse().ok()? };
        (range.count > 0 && range.first.checked_add(range.count).is_some()).then_some((owner, range))
    })
}

/// What `text` allots to any of `owners`, names or numbers.
pub(crate) fn allotted(text: &str, owners: &[&str]) -> Vec<Range> {
    let owned = |(owner, _): &(&str, Range)| !owner.is_empty() && owners.contains(owner);
    ranges(text).filter(owned).map(|(_, range)| range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:100::/:/bin/sh\n";
        assert_eq!((name(passwd, 1000), name(passwd, 5)), ("ann", ""));
        let lines = "ann:1:2\n\n#x\nbob:1\nann:4294967295:9\nann:7:0\n1000:8:1\n";
        let range = |first, count| Range { first, count };
        assert_eq!(allotted(lines, &["ann", "1000"]), [range(1, 2), range(8, 1)]);
        assert_eq!(allotted(":1:2", &[""]), []);
    }
}
