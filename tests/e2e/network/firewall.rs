//! Rules of others on the same host.

use super::payload::{LONG, SHORT, ask};
use super::{place, server};
use crate::harness::{Case, Elsewhere, HERE, cases, pipkin};
use pipkin::netlink::nftables::Transaction;
use pipkin::netlink::socket::{Protocol, Socket};
use pipkin::netlink::wire::nftables::Family;
use pipkin::netlink::wire::nftables::chain::{self, Chain, Hook};
use pipkin::netlink::wire::nftables::table::Table;

pub(crate) fn cases() -> Vec<Case> {
    cases!(Nothing, [one_that_drops_is_named])
}

const THEIRS: Table<'static> = Table::new(Family::IPV4, b"filter");

fn commit(fill: impl FnOnce(&mut Transaction<'_>)) {
    let mut buffer = [0; 1024];
    let mut transaction = Transaction::new(&mut buffer);
    fill(&mut transaction);
    Socket::open(Protocol::Netfilter).and_then(|mut socket| transaction.commit(&mut socket)).expect("a rule");
}

/// As a script for iptables leaves it: forwarding is dropped unless allowed.
fn one_that_drops_is_named() {
    let elsewhere = Elsewhere::new();
    let firewall = |checks: &serde_json::Value| {
        let named = checks.as_array().expect("checks").iter().filter(|check| check["name"] == "firewall");
        named.cloned().collect::<Vec<_>>()
    };
    let doctor = || pipkin(&["doctor", "--json"]).exits(0).json();
    assert_eq!(firewall(&doctor()), [] as [serde_json::Value; 0]);
    let _web = server("-p 8080:7", "7");
    assert_eq!(firewall(&doctor()), [] as [serde_json::Value; 0]);
    elsewhere.run(|| assert!(ask("tcp", place(HERE[0], 8080), LONG).is_ok()));

    let hook = Hook { kind: b"filter", number: chain::FORWARD, priority: chain::FILTER, policy: chain::DROP };
    commit(|transaction| {
        transaction.create_table(&THEIRS);
        transaction.add_chain(&Chain { hook: Some(hook), ..Chain::new(Family::IPV4, b"filter", b"FORWARD") });
    });
    let checks = firewall(&doctor());
    let told = elsewhere.run(|| ask("tcp", place(HERE[0], 8080), SHORT));
    commit(|transaction| transaction.delete_table(&THEIRS));
    assert_eq!(told, Err(std::io::ErrorKind::TimedOut));
    let [check] = &checks[..] else { panic!("{checks:?}") };
    assert_eq!(check["state"], "limited");
    assert!(check["detail"].as_str().is_some_and(|text| text.contains("ip filter FORWARD")), "{check}");
    let remedy = "nft insert rule ip filter FORWARD iifname pipkin0 accept; \
                  nft insert rule ip filter FORWARD oifname pipkin0 accept";
    assert_eq!(check["remedy"], remedy);
    elsewhere.run(|| assert!(ask("tcp", place(HERE[0], 8080), LONG).is_ok()));
}
