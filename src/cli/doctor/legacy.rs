//! The table `filter` of ip_tables, as its own tools read it: by options of a raw socket (linux/netfilter_ipv4/
//! ip_tables.h, linux/netfilter_ipv6/ip6_tables.h, linux/netfilter/x_tables.h).

use super::firewall::{BRIDGE, DEEPEST, Fate};
use pipkin::sys::xtables;
use std::fs;

/// Of the hooks, that of what is forwarded (`NF_INET_FORWARD`).
const FORWARD: usize = 2;
/// Bytes of a name of a link.
const LINK_LEN: usize = 16;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    /// ip_tables.
    V4,
    /// ip6_tables.
    V6,
}

impl Version {
    /// The list of tables that are there: to ask for another one would make it.
    const fn names(self) -> &'static str {
        match self {
            Self::V4 => "/proc/net/ip_tables_names",
            Self::V6 => "/proc/net/ip6_tables_names",
        }
    }

    /// How an entry is laid out.
    const fn layout(self) -> Layout {
        match self {
            Self::V4 => Layout { links: 16, condition: 84, offsets: 88, fixed: 112 },
            Self::V6 => Layout { links: 64, condition: 136, offsets: 140, fixed: 168 },
        }
    }
}

/// Places in an entry (`ipt_entry`, `ip6t_entry`).
#[derive(Clone, Copy)]
struct Layout {
    /// Of the names of links (`iniface` and what follows it).
    links: usize,
    /// The end of the condition on addresses, links and protocol (`ipt_ip`, `ip6t_ip6`).
    condition: usize,
    /// The offsets of the target and of the next entry.
    offsets: usize,
    /// The end of what each entry has, behind which matches come.
    fixed: usize,
}

/// Whether what is forwarded for a container is thrown away there.
pub(super) fn drops(version: Version) -> bool {
    let names = fs::read_to_string(version.names()).unwrap_or_default();
    if !names.lines().any(|name| name == "filter") {
        return false;
    }
    let family = if version == Version::V6 { xtables::Family::V6 } else { xtables::Family::V4 };
    let Ok(found) = xtables::Table::open(family) else { return false };
    let mut buffer = vec![0; found.buffer_len()];
    if found.read(&mut buffer).is_err() {
        return false;
    }
    let table = Table { version, entries: buffer.get(xtables::HEAD_LEN..).unwrap_or_default() };
    let start = found.start[FORWARD] as usize;
    [0, 1].into_iter().any(|side| table.fate(start, side, 0) == Fate::Dropped)
}

/// The entries of a table, one behind the other.
struct Table<'t> {
    version: Version,
    entries: &'t [u8],
}

impl Table<'_> {
    /// What becomes of a packet from our bridge (`side` 0), or to it (1), from the entry at `at` on. The policy of a chain
    /// is its last entry, one without a condition.
    fn fate(&self, mut at: usize, side: usize, depth: usize) -> Fate {
        while let Some(entry) = self.entries.get(at..).filter(|entry| !entry.is_empty()) {
            let Some((turn, length)) = self.entry(entry, side) else { return Fate::Open };
            let fate = match turn {
                Turn::On => Fate::Open,
                Turn::Return => return Fate::Open,
                Turn::End(fate) => fate,
                Turn::Into(_) if depth == DEEPEST => Fate::Open,
                Turn::Into(place) => self.fate(place, side, depth + 1),
            };
            if fate != Fate::Open {
                return fate;
            }
            at += length;
        }
        Fate::Open
    }

    /// Where one entry sends the packet, and how long it is; `None` for what is no entry.
    fn entry(&self, entry: &[u8], side: usize) -> Option<(Turn, usize)> {
        let Layout { links, condition, offsets, fixed } = self.version.layout();
        let half = |at: usize| Some(usize::from(u16::from_ne_bytes(entry.get(at..at + 2)?.try_into().ok()?)));
        let (target, next) = (half(offsets)?, half(offsets + 2)?);
        if next < fixed || target < fixed {
            return None;
        }
        let free = target == fixed && is_free(entry.get(..condition)?, links, side);
        let turn = if free { turn(entry.get(target..next)?)? } else { Turn::On };
        Some((turn, next))
    }
}

/// Whether a condition holds for every packet from our bridge (`side` 0), or to it: all zero, but for a name of a link
/// that is the bridge's.
fn is_free(condition: &[u8], links: usize, side: usize) -> bool {
    let own = links + side * LINK_LEN;
    let (name, mask) = (own..own + LINK_LEN, own + 2 * LINK_LEN..own + 3 * LINK_LEN);
    let others = condition.iter().enumerate().filter(|(at, _)| !name.contains(at) && !mask.contains(at));
    if others.into_iter().any(|(_, byte)| *byte != 0) {
        return false;
    }
    let mut masked = name.zip(mask).enumerate();
    masked.all(|(place, (name, mask))| {
        let bits = condition.get(mask).copied().unwrap_or(0);
        let bridge = BRIDGE.get(place).copied().unwrap_or(0);
        condition.get(name).copied().unwrap_or(0) & bits == bridge & bits
    })
}

/// Where an entry without a condition leads.
enum Turn {
    /// To the next one.
    On,
    /// Out of the chain.
    Return,
    /// To a chain, whose first entry is there.
    Into(usize),
    End(Fate),
}

/// What a target does: `xt_entry_target` has its length, its name of 29 bytes and its revision; the standard one a
/// verdict behind them, below zero for an end (`-NF_DROP - 1`, `XT_RETURN` is `-NF_REPEAT - 1`).
fn turn(target: &[u8]) -> Option<Turn> {
    const HEAD: usize = 32;
    let name = target.get(2..HEAD - 1)?.split(|byte| *byte == 0).next()?;
    if name == b"REJECT" {
        return Some(Turn::End(Fate::Dropped));
    }
    if !name.is_empty() {
        return Some(Turn::On);
    }
    let verdict = i32::from_ne_bytes(target.get(HEAD..HEAD + 4)?.try_into().ok()?);
    Some(match verdict {
        -1 => Turn::End(Fate::Dropped),
        -2 => Turn::End(Fate::Accepted),
        -5 => Turn::Return,
        place => usize::try_from(place).map_or(Turn::On, Turn::Into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: Version, condition: &[(usize, &[u8])], target: &[u8], verdict: i32) -> Vec<u8> {
        let Layout { offsets, fixed, .. } = version.layout();
        let mut entry = vec![0; fixed + 40];
        for (at, bytes) in condition {
            entry[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        for (at, number) in [(offsets, fixed), (offsets + 2, fixed + 40)] {
            entry[at..at + 2].copy_from_slice(&u16::try_from(number).unwrap().to_ne_bytes());
        }
        entry[fixed + 2..fixed + 2 + target.len()].copy_from_slice(target);
        entry[fixed + 32..fixed + 36].copy_from_slice(&verdict.to_ne_bytes());
        entry
    }

    #[test]
    fn a_chain_is_followed() {
        for version in [Version::V4, Version::V6] {
            let Layout { links, fixed, .. } = version.layout();
            let len = fixed + 40;
            let fate =
                |entries: &[Vec<u8>], side| Table { version, entries: &entries.concat() }.fate(0, side, 0);
            let plain = |target: &[u8], verdict| entry(version, &[], target, verdict);
            let mask = [0xff; 8];
            let from: [(usize, &[u8]); 2] = [(links, b"pipkin0\0"), (links + 32, &mask)];
            let from = entry(version, &from, b"", -2);
            let other = entry(version, &[(0, &[10])], b"", -1);
            assert_eq!(fate(&[plain(b"", -2)], 0), Fate::Accepted);
            assert_eq!(fate(&[other.clone(), plain(b"", -1)], 0), Fate::Dropped);
            assert_eq!(fate(&[other, plain(b"", -2)], 0), Fate::Accepted);
            assert_eq!(fate(&[from.clone(), plain(b"REJECT", 0)], 0), Fate::Accepted);
            assert_eq!(fate(&[from, plain(b"REJECT", 0)], 1), Fate::Dropped);
            assert_eq!(fate(&[plain(b"LOG", 0), plain(b"", -1)], 1), Fate::Dropped);
            let into = plain(b"", i32::try_from(2 * len).unwrap());
            assert_eq!(fate(&[into.clone(), plain(b"", -2), plain(b"", -1)], 0), Fate::Dropped);
            assert_eq!(fate(&[into, plain(b"", -1), plain(b"", -5), plain(b"", -2)], 0), Fate::Dropped);
            // A loop, and half an entry.
            assert_eq!(fate(&[plain(b"", 0)], 0), Fate::Open);
            assert_eq!(fate(&[plain(b"", -1)[..60].to_vec()], 0), Fate::Open);
        }
    }
}
