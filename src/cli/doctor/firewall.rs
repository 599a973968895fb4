//! Firewalls of others that throw away what containers on a bridge send and get: nf_tables' chains, and those of the
//! older ip_tables, which nf_tables does not know.
//!
//! Judged is what every forwarded packet meets: the policy of a chain, and rules without a condition, also where such
//! rules lead. What a rule with a condition throws away is its maker's wish.

use super::Check;
use super::legacy::{self, Version};
use pipkin::netlink::nftables::{fold_chains, fold_rules};
use pipkin::netlink::socket::{Protocol, Socket};
use pipkin::netlink::wire::nftables::Family;
use pipkin::netlink::wire::nftables::chain::DROP;
use pipkin::netlink::wire::nftables::data::{Data, Register, Verdict};
use pipkin::netlink::wire::nftables::expression::{Comparison, Expression, Meta};
use pipkin::netlink::wire::nftables::rule::Rule;

/// The bridge that rules are to let through.
pub(super) const BRIDGE: &[u8] = b"pipkin0";
/// Our own table.
const OWN: &[u8] = b"pipkin";
/// How many chains deep rules are followed.
pub(super) const DEEPEST: usize = 8;

/// A chain entered by what is forwarded.
#[derive(Clone)]
struct Entered {
    family: Family,
    table: Vec<u8>,
    name: Vec<u8>,
    drops: bool,
}

/// What becomes of a packet of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// A rule lets it through.
    Accepted,
    /// Whatever it is, it is thrown away.
    Dropped,
    /// No rule decides.
    Open,
}

pub(super) fn checks() -> Vec<Check> {
    // Whoever may not ask is told so by the check of nf_tables.
    let mut found = nftables().unwrap_or_default();
    found.extend(
        [Version::V4, Version::V6].into_iter().filter(|version| legacy::drops(*version)).map(legacy_check),
    );
    found
}

fn nftables() -> pipkin::error::Result<Vec<Check>> {
    let mut socket = Socket::open(Protocol::Netfilter)?;
    let chains = fold_chains(&mut socket, Family::ANY, &Vec::new(), |found: &mut Vec<Entered>, chain| {
        let policy = chain.policy_of_forwarded().filter(|_| chain.table != OWN);
        found.extend(policy.map(|policy| Entered {
            family: chain.family,
            table: chain.table.to_vec(),
            name: chain.name.to_vec(),
            drops: policy == DROP,
        }));
    })?;
    let mut checks = Vec::new();
    for chain in chains {
        let fates =
            [Meta::IN_NAME, Meta::OUT_NAME].map(|side| fate(&mut socket, &chain, &chain.name, side, 0));
        let lost = |fate: &Fate| *fate == Fate::Dropped || (*fate == Fate::Open && chain.drops);
        if fates.iter().any(lost) {
            checks.push(check(&chain));
        }
    }
    Ok(checks)
}

/// A step that a rule takes whatever the packet is, or that it takes for our bridge.
#[derive(Clone)]
enum Turn {
    End(Fate),
    Into(Vec<u8>),
}

/// What becomes in the chain called `name` of a packet that comes from our bridge, or goes there: `side` says which.
fn fate(socket: &mut Socket, base: &Entered, name: &[u8], side: Meta, depth: usize) -> Fate {
    let of = Rule::new(base.family, &base.table, name);
    let turns = fold_rules(socket, &of, &Vec::new(), |turns: &mut Vec<Turn>, _, payload| {
        turns.extend(turn(payload, side));
        Ok(())
    });
    for turn in turns.unwrap_or_default() {
        let fate = match turn {
            Turn::End(fate) => fate,
            Turn::Into(_) if depth == DEEPEST => Fate::Open,
            Turn::Into(name) => fate(socket, base, &name, side, depth + 1),
        };
        if fate != Fate::Open {
            return fate;
        }
    }
    Fate::Open
}

/// Where the rule in `payload` sends the packet; `None` for one with another condition, or that decides nothing.
fn turn(payload: &[u8], side: Meta) -> Option<Turn> {
    let mut loaded = None;
    for expression in Rule::parse_expressions(payload).ok()? {
        match expression.ok()? {
            Expression::Counter { .. } | Expression::Other { name: b"log" | b"LOG" } => {}
            Expression::Meta { key, to } if key == side => loaded = Some(to),
            Expression::Compare { from, comparison: Comparison::Equal, value } if loaded == Some(from) => {
                if !is_bridge(value) {
                    return None;
                }
            }
            Expression::Other { name: b"reject" | b"REJECT" } => return Some(Turn::End(Fate::Dropped)),
            Expression::Immediate { to: Register::VERDICT, data: Data::Verdict(verdict) } => {
                return match verdict {
                    Verdict::Accept => Some(Turn::End(Fate::Accepted)),
                    Verdict::Drop => Some(Turn::End(Fate::Dropped)),
                    Verdict::Jump(name) | Verdict::Goto(name) => Some(Turn::Into(name.to_vec())),
                    _ => None,
                };
            }
            _ => return None,
        }
    }
    None
}

/// Whether a link's name as a rule has it, whole or the beginning of one, is our bridge's.
fn is_bridge(name: &[u8]) -> bool {
    match name.iter().position(|byte| *byte == 0) {
        Some(end) => name.get(..end) == Some(BRIDGE),
        None => BRIDGE.starts_with(name),
    }
}

fn check(chain: &Entered) -> Check {
    let family = [(Family::INET, "inet "), (Family::IPV4, "ip "), (Family::IPV6, "ip6 ")];
    let family = family.iter().find(|(family, _)| *family == chain.family).map_or("", |(_, name)| *name);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let place = [family, &text(&chain.table), " ", &text(&chain.name)].concat();
    let rule = |side: &str| ["nft insert rule ", &place, " ", side, "name pipkin0 accept"].concat();
    let remedy = if chain.table == b"firewalld" {
        // It takes no rules of others in its table.
        "firewall-cmd --permanent --zone=trusted --add-interface=pipkin0; firewall-cmd --reload".to_owned()
    } else {
        [&rule("iif"), "; ", &rule("oif")].concat()
    };
    lost(&["chain ", &place].concat(), &remedy)
}

fn legacy_check(version: Version) -> Check {
    let program = match version {
        Version::V4 => "iptables-legacy",
        Version::V6 => "ip6tables-legacy",
    };
    let rule = |side: &str| [program, " -I FORWARD -", side, " pipkin0 -j ACCEPT"].concat();
    lost(&[program, "'s chain FORWARD"].concat(), &[&rule("i"), "; ", &rule("o")].concat())
}

fn lost(who: &str, remedy: &str) -> Check {
    let detail = [who, " drops what is forwarded to and from containers on a bridge"].concat();
    Check::limited("firewall", &detail, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_links_may_be_cut() {
        for good in [&b"pipkin0\0\0\0\0\0\0\0\0\0"[..], b"pipkin0", b"pip", b""] {
            assert!(is_bridge(good), "{good:?}");
        }
        for bad in [&b"pipkin\0\0"[..], b"eth0\0", b"pipkin01"] {
            assert!(!is_bridge(bad), "{bad:?}");
        }
    }
}
