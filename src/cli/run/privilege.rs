//! What the process may do and be: capabilities, limits of setrlimit(2), id maps.
//!
//! Pure.

use super::quantity::{Why, unsigned};
use super::seccomp::Choice;
use crate::cli::nearest::nearest;
use pipkin::spec::{CAPABILITY_NAMES, CapabilitySet, DEFAULT_CAPABILITIES, IdMap, Rlimit, RlimitKind};

/// A name that cannot be, and why.
type Wrong<'a> = (&'a str, String);

/// The capabilities left after `--cap-add` and `--cap-drop`, as docker reckons: ALL first, then single names. ALL adds
/// `every` one.
///
/// # Errors
/// The offending name, and why.
pub(super) fn capabilities<'a>(
    add: &[&'a str],
    drop: &[&'a str],
    every: fn() -> CapabilitySet,
) -> Result<CapabilitySet, Wrong<'a>> {
    let both = |name| (name, "it is both added and dropped".to_owned());
    let (all_added, added) = set(add)?;
    let (all_dropped, dropped) = set(drop)?;
    if all_added && all_dropped {
        return Err(both("ALL"));
    }
    if let Some(name) = CapabilitySet(added.0 & dropped.0).names().next() {
        return Err(both(name));
    }
    let start = match (all_added, all_dropped) {
        (true, _) => every(),
        (_, true) => CapabilitySet::EMPTY,
        _ => DEFAULT_CAPABILITIES,
    };
    Ok(CapabilitySet(start.0 | added.0).without(dropped))
}

/// Whether ALL is among `names`, and the others.
fn set<'a>(names: &[&'a str]) -> Result<(bool, CapabilitySet), Wrong<'a>> {
    let (mut all, mut set) = (false, CapabilitySet::EMPTY);
    for name in names {
        if name.eq_ignore_ascii_case("ALL") {
            all = true;
            continue;
        }
        let number = CapabilitySet::number(name.as_bytes());
        set = set.with(number.ok_or_else(|| unknown(name))?);
    }
    Ok((all, set))
}

/// No capability is called `name`.
fn unknown(name: &str) -> Wrong<'_> {
    let bare = name.strip_prefix("CAP_").or_else(|| name.strip_prefix("cap_")).unwrap_or(name);
    let meant = nearest(bare, &CAPABILITY_NAMES).unwrap_or("a name such as NET_ADMIN, or ALL");
    (name, ["it is no capability: give ", meant].concat())
}

/// What capabilities(7) calls securebits, each with its lock.
const SECURE_BITS: [(&str, u32); 3] =
    [("noroot", 0x3), ("no-setuid-fixup", 0xc), ("no-cap-ambient-raise", 0xc0)];

/// Names between commas.
fn secure_bits(text: &str) -> Result<u32, Why> {
    let bits = |name: &str| SECURE_BITS.iter().find(|(known, _)| *known == name).map(|(_, bits)| *bits);
    let all = text.split(',').try_fold(0, |all, name| Some(all | bits(name)?));
    all.ok_or("give securebits=noroot, no-setuid-fixup or no-cap-ambient-raise, or several with commas")
}

/// `--ulimit NAME=SOFT[:HARD]`; -1 and `unlimited` are no limit.
pub(super) fn rlimit(text: &str) -> Result<Rlimit, Why> {
    let (name, values) = text.split_once('=').ok_or("give NAME=SOFT[:HARD], as nofile=1024")?;
    let known = RlimitKind::ALL.into_iter().find(|(known, _)| *known == name);
    let (_, kind) = known.ok_or("the name is unknown: give one such as nofile, nproc, core or memlock")?;
    let value = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        _ => unsigned(text).map(Some).ok_or("give numbers, or -1 for no limit"),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (value(soft)?, value(hard)?);
    if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
        return Err("the first limit must not be above the second");
    }
    Ok(Rlimit { kind, soft, hard })
}

/// `--uidmap INSIDE:OUTSIDE:COUNT`.
pub(super) fn id_map(text: &str) -> Result<IdMap, Why> {
    const WHY: Why = "give INSIDE:OUTSIDE:COUNT, as 0:100000:65536";
    let mut parts = text.split(':').map(|part| unsigned(part).and_then(|number| u32::try_from(number).ok()));
    let mut next = || parts.next().flatten().ok_or(WHY);
    let map = IdMap { inside: next()?, outside: next()?, count: next()? };
    // The last id means "none" to the kernel.
    let fits = |first: u32| first.checked_add(map.count).is_some();
    match parts.next() {
        Some(_) => Err(WHY),
        None if map.count == 0 => Err("the count must be more than 0"),
        None if !fits(map.inside) || !fits(map.outside) => Err("it goes beyond the highest id, 4294967294"),
        None => Ok(map),
    }
}

/// Whether no two of `maps` overlap, inside or outside.
pub(super) fn disjoint(maps: &[IdMap]) -> bool {
    let apart = |one: u32, other: u32, count: u32, other_count: u32| {
        one.saturating_add(count) <= other || other.saturating_add(other_count) <= one
    };
    maps.iter().enumerate().all(|(place, one)| {
        maps.iter().skip(place + 1).all(|other| {
            apart(one.inside, other.inside, one.count, other.count)
                && apart(one.outside, other.outside, one.count, other.count)
        })
    })
}

/// What `--security-opt` settles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Security<'a> {
    no_new_privileges: Option<bool>,
    seccomp: Option<Choice<'a>>,
    /// Whether `/proc` and `/sys` are shown whole, and as they are.
    pub(super) open: bool,
    /// Securebits to set and lock.
    pub(super) secure_bits: u32,
}

impl<'a> Security<'a> {
    /// Takes one option; one that settles otherwise what another has settled is an error.
    pub(super) fn take(&mut self, text: &'a str) -> Result<(), Why> {
        let (name, value) = text.split_once(['=', ':']).unwrap_or((text, "true"));
        match (name, value) {
            ("no-new-privileges", "true") => settle(&mut self.no_new_privileges, true)?,
            ("no-new-privileges", "false") => settle(&mut self.no_new_privileges, false)?,
            ("seccomp", word) if !matches!(word, "" | "true") => {
                settle(&mut self.seccomp, Choice::new(word))?;
            }
            ("systempaths", "unconfined") | ("unmask", "ALL" | "all") => self.open = true,
            ("securebits", names) => self.secure_bits |= secure_bits(names)?,
            _ => {
                return Err(
                    "give no-new-privileges=true or =false, seccomp=default, =unconfined or =FILE, landlock=, apparmor=, label=, securebits= or systempaths=unconfined",
                );
            }
        }
        Ok(())
    }

    /// Whether exec can never raise privileges.
    pub(super) fn no_new_privileges(&self) -> bool {
        self.no_new_privileges.unwrap_or(true)
    }

    /// The seccomp filter.
    pub(super) fn seccomp(&self) -> Choice<'a> {
        self.seccomp.unwrap_or(Choice::Default)
    }
}

/// Of two options that cannot both hold.
pub(super) const CONTRADICTION: Why = "another one says otherwise: give one of them";

/// Settles what `slot` is for, unless that was settled otherwise.
pub(super) fn settle<T: PartialEq>(slot: &mut Option<T>, value: T) -> Result<(), Why> {
    if slot.as_ref().is_some_and(|former| *former != value) {
        return Err(CONTRADICTION);
    }
    *slot = Some(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(texts: &[&'a str]) -> Result<Security<'a>, Why> {
        let mut security = Security::default();
        texts.iter().try_for_each(|text| security.take(text)).map(|()| security)
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for texts in [
            &["seccomp=default", "unmask=ALL", "seccomp=unconfined"][..],
            &["no-new-privileges", "no-new-privileges=false"],
            &["seccomp=/a", "seccomp=/b"],
        ] {
            assert_eq!(with(texts), Err(CONTRADICTION), "{texts:?}");
        }
        assert!(with(&["seccomp=/a", "seccomp=/a", "no-new-privileges", "no-new-privileges:true"]).is_ok());
        let bits = with(&["securebits=noroot", "securebits=no-setuid-fixup", "seccomp=default"]).unwrap();
        assert_eq!(bits.secure_bits, 0xf);
    }

    fn kept(add: &[&str], drop: &[&str]) -> Result<CapabilitySet, String> {
        capabilities(add, drop, || CapabilitySet::ALL).map_err(|(name, why)| [name, ": ", &why].concat())
    }

    #[test]
    fn capabilities_are_reckoned_as_docker_does() {
        let one = |name: &str| CapabilitySet::EMPTY.with(CapabilitySet::number(name.as_bytes()).unwrap());
        assert_eq!(kept(&[], &[]), Ok(DEFAULT_CAPABILITIES));
        assert_eq!(kept(&["ALL"], &[]), Ok(CapabilitySet::ALL));
        assert_eq!(kept(&[], &["all"]), Ok(CapabilitySet::EMPTY));
        assert_eq!(kept(&["net_raw"], &["ALL"]), Ok(one("NET_RAW")));
        assert_eq!(kept(&["ALL"], &["CAP_SYS_ADMIN"]), Ok(CapabilitySet::ALL.without(one("SYS_ADMIN"))));
        assert_eq!(kept(&[], &["CHOWN"]), Ok(DEFAULT_CAPABILITIES.without(one("CHOWN"))));
        assert!(kept(&["NET_RAW"], &["cap_net_raw"]).unwrap_err().starts_with("NET_RAW: "));
        assert!(kept(&["ALL"], &["ALL"]).is_err());
        assert!(kept(&["FLY"], &[]).unwrap_err().ends_with("such as NET_ADMIN, or ALL"));
        assert!(kept(&["CAP_SYSADMIN"], &[]).unwrap_err().ends_with("give SYS_ADMIN"));
        assert!(kept(&[""], &[]).is_err());
    }

    #[test]
    fn limits_of_a_process() {
        let limit = |soft, hard| Ok(Rlimit { kind: RlimitKind::Nofile, soft, hard });
        assert_eq!(rlimit("nofile=1024"), limit(Some(1024), Some(1024)));
        assert_eq!(rlimit("nofile=1:2"), limit(Some(1), Some(2)));
        assert_eq!(rlimit("nofile=1:-1"), limit(Some(1), None));
        assert_eq!(rlimit("nofile=unlimited"), limit(None, None));
        for text in [
            "",
            "nofile",
            "nofile=",
            "files=1",
            "nofile=2:1",
            "nofile=-1:1",
            "nofile=1:2:3",
            "nofile=+1",
            "=1",
        ] {
            assert!(rlimit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn maps_stay_within_the_ids() {
        assert_eq!(id_map("0:100000:65536"), Ok(IdMap { inside: 0, outside: 100_000, count: 65_536 }));
        assert!(id_map("0:0:4294967295").is_ok());
        for text in [
            "",
            "0",
            "0:1",
            "0:1:2:3",
            "0:1:0",
            "1:0:4294967295",
            "0:4294967295:1",
            "-1:0:1",
            "a:0:1",
            "0:0:4294967296",
        ] {
            assert!(id_map(text).is_err(), "{text}");
        }
        let map = |inside, outside, count| IdMap { inside, outside, count };
        assert!(disjoint(&[map(0, 1000, 1), map(1, 100_000, 65_535)]));
        assert!(!disjoint(&[map(0, 1000, 2), map(1, 100_000, 1)]));
        assert!(!disjoint(&[map(0, 1000, 2), map(5, 1001, 1)]));
    }

    #[test]
    fn only_what_is_enforced_can_be_asked_for() {
        let none = Security::default();
        assert!(none.no_new_privileges() && none.seccomp() == Choice::Default);
        assert!(with(&["no-new-privileges"]).unwrap().no_new_privileges());
        assert!(with(&["no-new-privileges:true"]).unwrap().no_new_privileges());
        assert!(!with(&["no-new-privileges=false"]).unwrap().no_new_privileges());
        assert_eq!(with(&["seccomp=unconfined"]).unwrap().seccomp(), Choice::Unconfined);
        assert!(with(&["unmask=ALL"]).unwrap().open && with(&["systempaths=unconfined"]).unwrap().open);
        assert_eq!(with(&["securebits=noroot,no-setuid-fixup"]).unwrap().secure_bits, 0xf);
        for text in [
            "",
            "seccomp",
            "seccomp=",
            "no-new-privileges=1",
            "label=disable",
            "securebits",
            "securebits=x,",
            "unmask=/proc/kcore",
            "systempaths=",
        ] {
            assert!(with(&[text]).is_err(), "{text}");
        }
    }
}
