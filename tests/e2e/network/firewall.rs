//! Rules of others on the same host.

use super::payload::{LONG, SHORT, answer, ask};
use super::{place, question, server};
use crate::harness::{Case, Elsewhere, Footprint, HERE, THERE, cases, detached_sh, pipkin, run};
use pipkin::netlink::nftables::Transaction;
use pipkin::netlink::socket::{Protocol, Socket};
use pipkin::netlink::wire::nftables::Family;
use pipkin::netlink::wire::nftables::chain::{self, Chain, Hook};
use pipkin::netlink::wire::nftables::data::{Data, Register, Verdict};
use pipkin::netlink::wire::nftables::expression::{Comparison, Expression, Meta};
use pipkin::netlink::wire::nftables::rule::Rule;
use pipkin::netlink::wire::nftables::table::Table;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            one_that_drops_is_named,
            one_that_drops_in_the_end_is_named,
            the_older_tables_are_read,
            our_table_is_made_anew_where_others_were_at_it,
        ]
    )
}

/// One that is there before the first container, and one that is taken away under a running one.
fn our_table_is_made_anew_where_others_were_at_it() {
    const OURS: Table<'static> = Table::new(Family::INET, b"pipkin");
    let elsewhere = Elsewhere::new();
    elsewhere.run(|| answer("router", &[7]));
    let is_masked = || {
        let asked = run("").payload(&question("tcp", THERE[0], 7, "long"));
        asked.prints(&format!("router sees {}\n", HERE[0]));
    };
    let before = Footprint::take();
    commit(|transaction| transaction.create_table(&OURS));
    is_masked();
    before.assert_unchanged();
    let standing = detached_sh("", "exec sleep 1000");
    commit(|transaction| transaction.delete_table(&OURS));
    is_masked();
    commit(|transaction| transaction.delete_table(&OURS));
    drop(standing);
    before.assert_unchanged();
}

const THEIRS: Table<'static> = Table::new(Family::IPV4, b"filter");

fn commit(fill: impl FnOnce(&mut Transaction<'_>)) {
    let mut buffer = [0; 1024];
    let mut transaction = Transaction::new(&mut buffer);
    fill(&mut transaction);
    Socket::open(Protocol::Netfilter).and_then(|mut socket| transaction.commit(&mut socket)).expect("a rule");
}

/// The checks of `doctor` that are about firewalls.
#[track_caller]
fn firewalls() -> Vec<serde_json::Value> {
    let told = pipkin(&["doctor", "--json"]).exits(0).json();
    let all = told.as_array().expect("checks").iter();
    all.filter(|check| check["name"] == "firewall").cloned().collect()
}

/// As firewalld does it: the policy accepts, and behind all rules, some of which lead elsewhere, stands one that throws the
/// rest away.
fn one_that_drops_in_the_end_is_named() {
    const OTHERS: Table<'static> = Table::new(Family::INET, b"others");
    let elsewhere = Elsewhere::new();
    let _web = server("-p 8080:7", "7");
    let hook =
        Hook { kind: b"filter", number: chain::FORWARD, priority: chain::FILTER + 10, policy: chain::ACCEPT };
    let rule = |chain| Rule::new(Family::INET, b"others", chain);
    let verdict = |verdict| Expression::Immediate { to: Register::VERDICT, data: Data::Verdict(verdict) };
    let loaded = |key| Expression::Meta { key, to: Register::word(0) };
    let is = |value| Expression::Compare { from: Register::word(0), comparison: Comparison::Equal, value };
    let make = |let_through: &[Meta], patience| {
        commit(|transaction| {
            transaction.create_table(&OTHERS);
            transaction.add_chain(&Chain { hook: Some(hook), ..Chain::new(Family::INET, b"others", b"all") });
            transaction.add_chain(&Chain::new(Family::INET, b"others", b"rest"));
            for side in let_through {
                let words = [loaded(*side), is(b"pipkin0\0\0\0\0\0\0\0\0\0"), verdict(Verdict::Accept)];
                transaction.add_rule(&rule(b"all"), &words);
            }
            // One with a condition is its maker's wish.
            let strange = [loaded(Meta::IN_NAME), is(b"strange0\0"), verdict(Verdict::Drop)];
            transaction.add_rule(&rule(b"all"), &strange);
            transaction.add_rule(&rule(b"all"), &[verdict(Verdict::Jump(b"rest"))]);
            let counter = Expression::Counter { packets: 0, bytes: 0 };
            transaction.add_rule(&rule(b"rest"), &[counter, verdict(Verdict::Drop)]);
        });
        let told = elsewhere.run(move || ask("tcp", place(HERE[0], 8080), patience));
        let checks = firewalls();
        commit(|transaction| transaction.delete_table(&OTHERS));
        (told.is_ok(), checks)
    };
    for some in [&[][..], &[Meta::IN_NAME], &[Meta::OUT_NAME]] {
        let (passed, checks) = make(some, SHORT);
        let [check] = &checks[..] else { panic!("{some:?}: {checks:?}") };
        assert!(check["detail"].as_str().is_some_and(|text| text.contains("inet others all")), "{check}");
        assert!(!passed, "{some:?}");
    }
    let (passed, checks) = make(&[Meta::IN_NAME, Meta::OUT_NAME], LONG);
    assert_eq!(checks, [] as [serde_json::Value; 0]);
    assert!(passed);
}

/// By `iptables` as it was before nf_tables, and what `doctor` says is to be done helps.
fn the_older_tables_are_read() {
    let elsewhere = Elsewhere::new();
    let _web = server("-p 8080:7", "7");
    let tables = |program: &str, words: &str| {
        let mut command = std::process::Command::new(program);
        command.args(words.split_whitespace()).env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
        // Its lock would stay behind on this machine.
        command.env("XTABLES_LOCKFILE", "/dev/null");
        let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let answers = |patience| elsewhere.run(move || ask("tcp", place(HERE[0], 8080), patience)).is_ok();
    tables("iptables-legacy", "-A FORWARD -s 198.51.100.1 -j DROP");
    assert_eq!(firewalls(), [] as [serde_json::Value; 0]);
    for (program, words) in [
        ("iptables-legacy", "-P FORWARD DROP"),
        ("iptables-legacy", "-A FORWARD -j REJECT"),
        ("iptables-legacy", "-N rest; -A rest -j DROP; -A FORWARD -j rest"),
        ("ip6tables-legacy", "-P FORWARD DROP"),
        ("ip6tables-legacy", "-A FORWARD -j DROP"),
    ] {
        words.split(';').for_each(|words| tables(program, words));
        let checks = firewalls();
        let [check] = &checks[..] else { panic!("{program} {words}: {checks:?}") };
        assert!(check["detail"].as_str().is_some_and(|text| text.starts_with(program)), "{check}");
        let other = program == "ip6tables-legacy";
        assert_eq!(answers(if other { LONG } else { SHORT }), other, "{program} {words}");
        for remedy in check["remedy"].as_str().unwrap_or_default().split("; ") {
            tables(program, remedy.strip_prefix(program).unwrap_or_default());
        }
        assert_eq!(firewalls(), [] as [serde_json::Value; 0], "{program} {words}");
        assert!(answers(LONG), "{program} {words}");
        ["-P FORWARD ACCEPT", "-F", "-X"].iter().for_each(|words| tables(program, words));
    }
}

/// As a script for iptables leaves it: forwarding is dropped unless allowed.
fn one_that_drops_is_named() {
    let elsewhere = Elsewhere::new();
    assert_eq!(firewalls(), [] as [serde_json::Value; 0]);
    let _web = server("-p 8080:7", "7");
    assert_eq!(firewalls(), [] as [serde_json::Value; 0]);
    elsewhere.run(|| assert!(ask("tcp", place(HERE[0], 8080), LONG).is_ok()));

    let hook = Hook { kind: b"filter", number: chain::FORWARD, priority: chain::FILTER, policy: chain::DROP };
    commit(|transaction| {
        transaction.create_table(&THEIRS);
        transaction.add_chain(&Chain { hook: Some(hook), ..Chain::new(Family::IPV4, b"filter", b"FORWARD") });
    });
    let checks = firewalls();
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
