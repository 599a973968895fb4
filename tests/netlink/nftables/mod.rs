//! Transactions in the running kernel, and packets through them.

use crate::{Need, kernel_case, tool};
use libtest_mimic::Trial;
use pipkin::error::{Error, Subject};
use pipkin::netlink::link;
use pipkin::netlink::nftables::{
    Transaction, fold_chains, fold_elements, fold_rules, fold_sets, fold_tables, generation,
};
use pipkin::netlink::socket::{Protocol, Socket};
use pipkin::netlink::wire::nftables::Family;
use pipkin::netlink::wire::nftables::chain::{self, Chain, Hook};
use pipkin::netlink::wire::nftables::data::{Data, Register, Verdict};
use pipkin::netlink::wire::nftables::expression::{self, Base, Comparison, Expression, Fib, Meta, Side};
use pipkin::netlink::wire::nftables::rule::Rule;
use pipkin::netlink::wire::nftables::set::{DataSpec, Element, Elements, Set, Type};
use pipkin::netlink::wire::nftables::table::Table;
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

mod element;
mod translation;

pub(crate) fn cases() -> Vec<Trial> {
    vec![
        kernel_case("nftables::what_was_added_is_listed_and_deleted", Need::Nftables, added_listed_deleted),
        kernel_case("nftables::a_refused_transaction_changes_nothing", Need::Nftables, refused),
        kernel_case(
            "nftables::without_privilege_it_is_refused_as_a_whole",
            Need::Nftables,
            without_privilege,
        ),
        kernel_case("nftables::a_stale_generation_is_refused", Need::Nftables, stale),
        kernel_case("nftables::of_two_makers_one_makes", Need::Nftables, two_makers),
        translation::case(),
        element::thousands(),
        element::ranges(),
        kernel_case("nftables::a_dropping_forward_chain_is_found", Need::Nftables, dropping_chain),
    ]
}

const INET: Family = Family::INET;
const TABLE: &[u8] = b"pipkin";
const R1: Register = Register::FIRST;
const R2: Register = Register::word(1);
const PORTS: Elements<'static> = Elements { family: INET, table: TABLE, set: b"ports", set_id: 0 };

fn netfilter() -> Socket {
    Socket::open(Protocol::Netfilter).unwrap()
}

fn base_chain<'a>(name: &'a [u8], kind: &'a [u8], number: u32, priority: i32) -> Chain<'a> {
    Chain {
        hook: Some(Hook { kind, number, priority, policy: chain::ACCEPT }),
        ..Chain::new(INET, TABLE, name)
    }
}

const THIS_HOST: &[u8] = &expression::LOCAL.to_ne_bytes();

/// Packets for an address of this host go to the place that the map `ports` holds for their port.
fn to_ports() -> [Expression<'static>; 6] {
    [
        Expression::Fib { flags: expression::FIB_DESTINATION, result: Fib::ADDRESS_TYPE, to: R1 },
        Expression::Compare { from: R1, comparison: Comparison::Equal, value: THIS_HOST },
        Expression::Meta { key: Meta::PROTOCOL, to: R1 },
        Expression::Payload { base: Base::TRANSPORT, offset: 2, len: 2, to: R2 },
        Expression::Lookup { from: R1, set: b"ports", set_id: 1, to: Some(R1), inverted: false },
        Expression::Nat {
            side: Side::Destination,
            family: Family::IPV4,
            address: Some((R1, None)),
            port: Some((R2, None)),
            flags: 0,
        },
    ]
}

/// Packets from 172.20.0.0/16 to elsewhere leave with this host's address.
fn masquerade() -> [Expression<'static>; 7] {
    let network = |offset, comparison| {
        [
            Expression::Payload { base: Base::NETWORK, offset, len: 2, to: R1 },
            Expression::Compare { from: R1, comparison, value: &[172, 20] },
        ]
    };
    let [source, from_here] = network(12, Comparison::Equal);
    let [destination, to_elsewhere] = network(16, Comparison::NotEqual);
    let family = Expression::Meta { key: Meta::FAMILY, to: R1 };
    let ipv4 = Expression::Compare { from: R1, comparison: Comparison::Equal, value: &[2] };
    [family, ipv4, source, from_here, destination, to_elsewhere, Expression::Masquerade { flags: 0 }]
}

fn ports() -> Set<'static> {
    Set {
        data: Some(DataSpec { kind: Type::IPV4.and(Type::PORT), len: 8 }),
        id: 1,
        ..Set::new(INET, TABLE, b"ports", Type::PROTOCOL.and(Type::PORT), 8)
    }
}

const WEB_KEY: &[u8] = &[6, 0, 0, 0, 0x1f, 0x90, 0, 0];
const WEB: Element<'static> = Element {
    data: Some(Data::Value(&[172, 20, 0, 2, 0, 80, 0, 0])),
    comment: b"c1",
    ..Element::new(WEB_KEY)
};

/// The table with a port map, masquerade and one published port: 8080 to 172.20.0.2:80.
fn add_all(socket: &mut Socket) -> Result<(), Error> {
    let mut buffer = [0; 8192];
    let mut transaction = Transaction::new(&mut buffer);
    transaction.create_table(&Table { comment: b"made by pipkin", ..Table::new(INET, TABLE) });
    transaction.add_set(&ports());
    transaction.add_elements(&PORTS, &[WEB]);
    let chains: [(&[u8], u32, i32); 3] = [
        (b"prerouting", chain::PREROUTING, chain::NAT_DESTINATION),
        (b"output", chain::OUTPUT, chain::NAT_DESTINATION),
        (b"postrouting", chain::POSTROUTING, chain::NAT_SOURCE),
    ];
    for (name, number, priority) in chains {
        transaction.add_chain(&base_chain(name, b"nat", number, priority));
    }
    transaction.add_rule(&Rule::new(INET, TABLE, b"prerouting"), &to_ports());
    transaction.add_rule(&Rule::new(INET, TABLE, b"output"), &to_ports());
    transaction.add_rule(&Rule { comment: b"c1", ..Rule::new(INET, TABLE, b"postrouting") }, &masquerade());
    transaction.commit(socket)
}

fn tables(socket: &mut Socket) -> Vec<Vec<u8>> {
    fold_tables(socket, Family::ANY, &Vec::new(), |names, table| names.push(table.name.to_vec())).unwrap()
}

fn keys(socket: &mut Socket) -> Vec<Vec<u8>> {
    fold_elements(socket, &PORTS, &Vec::new(), |keys, element| keys.push(element.key.to_vec())).unwrap()
}

fn added_listed_deleted() {
    let mut socket = netfilter();
    add_all(&mut socket).unwrap();
    assert_eq!(tables(&mut socket), [TABLE]);
    let chains = fold_chains(&mut socket, INET, &Vec::new(), |names: &mut Vec<_>, chain| {
        names.push((chain.name.to_vec(), chain.hook.unwrap().number));
    })
    .unwrap();
    assert_eq!(chains, [(b"prerouting".to_vec(), 0), (b"output".to_vec(), 3), (b"postrouting".to_vec(), 4)]);
    let sets = fold_sets(&mut socket, &Table::new(INET, TABLE), &0, |count, set| {
        assert_eq!((set.name, set.key, set.key_len, set.data), (&b"ports"[..], ports().key, 8, ports().data));
        *count += 1;
    });
    assert_eq!(sets, Ok(1));
    let elements = fold_elements(&mut socket, &PORTS, &0, |count, element| {
        assert_eq!((*element, *count), (WEB, 0));
        *count += 1;
    });
    assert_eq!(elements, Ok(1));
    told_by_nft();

    let handle = rules_come_back_as_written(&mut socket);
    let mut buffer = [0; 1024];
    let mut transaction = Transaction::new(&mut buffer);
    transaction.delete_rule(&Rule { handle: Some(handle), ..Rule::new(INET, TABLE, b"postrouting") });
    transaction.delete_elements(&PORTS, &[Element::new(WEB_KEY)]);
    transaction.commit(&mut socket).unwrap();
    let of = Rule::new(INET, TABLE, b"postrouting");
    assert_eq!(
        fold_rules(&mut socket, &of, &0, |count, _, _| {
            *count += 1;
            Ok(())
        }),
        Ok(0)
    );
    assert_eq!(keys(&mut socket), Vec::<Vec<u8>>::new());

    let mut buffer = [0; 1024];
    let mut transaction = Transaction::new(&mut buffer);
    transaction.delete_table(&Table::new(INET, TABLE));
    transaction.commit(&mut socket).unwrap();
    assert_eq!(tables(&mut socket), Vec::<Vec<u8>>::new());
}

/// Checks the expressions of every rule against those written; gives the handle of the one marked `c1`.
fn rules_come_back_as_written(socket: &mut Socket) -> u64 {
    let marked = fold_rules(socket, &Rule::new(INET, TABLE, b""), &Vec::new(), |marked, rule, payload| {
        let read = Rule::parse_expressions(payload)?.collect::<Result<Vec<_>, _>>()?;
        let written = if rule.chain == b"postrouting" { masquerade().to_vec() } else { to_ports().to_vec() };
        assert_eq!(read.len(), written.len());
        for (read, written) in read.iter().zip(&written) {
            match (read, written) {
                // The kernel tells sets by name, ends of ranges and flags explicitly.
                (Expression::Lookup { set, to, .. }, Expression::Lookup { set: s, to: t, .. }) => {
                    assert_eq!((set, to), (s, t));
                }
                (Expression::Nat { side, address, port, .. }, Expression::Nat { .. }) => {
                    assert_eq!((*side, address.unwrap().0, port.unwrap().0), (Side::Destination, R1, R2));
                }
                _ => assert_eq!(read, written),
            }
        }
        if rule.comment == b"c1" {
            marked.push(rule.handle.unwrap());
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(marked.len(), 1);
    marked[0]
}

/// What nft reads in the kernel is what was meant.
fn told_by_nft() {
    let Some(told) = tool::json("nft", &["-j", "list", "ruleset"]) else { return };
    let all = told["nftables"].as_array().unwrap();
    let rules: Vec<_> = all.iter().filter_map(|entry| entry.get("rule")).collect();
    assert_eq!(rules.len(), 3);
    let map = all.iter().find_map(|entry| entry.get("map")).unwrap();
    let expected = serde_json::json!([[
        {"elem": {"val": {"concat": ["tcp", 8080]}, "comment": "c1"}},
        {"concat": ["172.20.0.2", 80]}
    ]]);
    assert_eq!(map["elem"], expected, "{map}");
    let masquerade = rules.iter().find(|rule| rule["comment"] == "c1").unwrap();
    assert_eq!(
        masquerade["expr"].as_array().unwrap().last().unwrap(),
        &serde_json::json!({"masquerade": null})
    );
}

fn subject(error: &Error) -> String {
    match &error.subject {
        Subject::Text(text) => String::from_utf8(text.as_bytes().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn refused() {
    let mut socket = netfilter();
    let mut buffer = [0; 2048];
    let mut transaction = Transaction::new(&mut buffer);
    transaction.add_table(&Table::new(INET, TABLE));
    transaction.add_chain(&Chain::new(INET, TABLE, b"web"));
    transaction.add_rule(&Rule::new(INET, TABLE, b"absent"), &masquerade());
    transaction.add_chain(&Chain::new(INET, TABLE, b"later"));
    let error = transaction.commit(&mut socket).unwrap_err();
    assert_eq!((error.stage, error.errno), ("add a rule to the nftables chain", Errno::NOENT));
    assert!(subject(&error).starts_with("absent"), "{error:?}");
    assert_eq!(tables(&mut socket), Vec::<Vec<u8>>::new());

    add_all(&mut socket).unwrap();
    let error = add_all(&mut socket).unwrap_err();
    assert_eq!((error.stage, error.errno), ("create the nftables table", Errno::EXIST));
    let mut buffer = [0; 2048];
    let mut transaction = Transaction::new(&mut buffer);
    transaction.delete_elements(&PORTS, &[Element::new(&[17, 0, 0, 0, 0, 53, 0, 0])]);
    transaction.empty_set(&PORTS);
    let error = transaction.commit(&mut socket).unwrap_err();
    assert_eq!((error.stage, error.errno), ("delete from the nftables set", Errno::NOENT));
    assert_eq!(keys(&mut socket), [WEB_KEY]);

    // A verdict that leads in a circle is found when all else is done.
    let circle =
        [Expression::Immediate { to: Register::VERDICT, data: Data::Verdict(Verdict::Jump(b"circle")) }];
    let mut buffer = [0; 2048];
    let mut transaction = Transaction::new(&mut buffer);
    transaction.add_chain(&Chain::new(INET, TABLE, b"circle"));
    transaction.add_rule(&Rule::new(INET, TABLE, b"circle"), &circle);
    transaction.add_rule(&Rule::new(INET, TABLE, b"output"), &circle);
    let error = transaction.commit(&mut socket).unwrap_err();
    assert!([Errno::LOOP, Errno::MLINK].contains(&error.errno), "{error:?}");

    // Nothing to do is done without a word to the kernel, and the socket still answers.
    assert_eq!(Transaction::new(&mut [0; 64]).commit(&mut socket), Ok(()));
    assert_eq!(Transaction::new(&mut [0; 0]).commit(&mut socket), Ok(()));
    assert_eq!(tables(&mut socket), [TABLE]);
}

/// The kernel answers under the number of the beginning, and for no other message.
fn without_privilege() {
    let mut socket = netfilter();
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).unwrap();
    let error = add_all(&mut socket).unwrap_err();
    assert_eq!((error.stage, error.errno), ("change the nftables rules", Errno::PERM));
    let error = link::raise_loopback().unwrap_err();
    assert_eq!((error.stage, error.errno), ("bring up the link", Errno::PERM));
}

fn stale() {
    let mut socket = netfilter();
    let before = generation(&mut socket).unwrap();
    add_all(&mut socket).unwrap();
    assert_ne!(generation(&mut socket).unwrap(), before);
    let delete = |socket: &mut Socket, generation| {
        let mut buffer = [0; 512];
        let mut transaction = Transaction::since(generation, &mut buffer);
        transaction.delete_table(&Table::new(INET, TABLE));
        transaction.commit(socket)
    };
    let error = delete(&mut socket, before).unwrap_err();
    assert_eq!((error.stage, error.errno.raw_os_error()), ("change the nftables rules", 85));
    let now = generation(&mut socket).unwrap();
    assert_eq!(delete(&mut socket, now), Ok(()));
}

/// Two processes that both come first: the table is made once, the other is told.
fn two_makers() {
    for _ in 0..20 {
        let mut sockets = [netfilter(), netfilter()];
        let results = std::thread::scope(|scope| {
            sockets
                .each_mut()
                .map(|socket| scope.spawn(|| add_all(socket)))
                .map(|maker| maker.join().unwrap())
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(results.iter().all(|result| !result.is_err_and(|error| error.errno != Errno::EXIST)));
        let mut buffer = [0; 512];
        let mut transaction = Transaction::new(&mut buffer);
        transaction.delete_table(&Table::new(INET, TABLE));
        transaction.commit(&mut sockets[0]).unwrap();
    }
}

fn dropping_chain() {
    let mut socket = netfilter();
    let dropping = |socket: &mut Socket| {
        fold_chains(socket, Family::ANY, &Vec::new(), |found: &mut Vec<Vec<u8>>, chain| {
            if chain.policy_of_forwarded() == Some(chain::DROP) {
                found.push([chain.table, b"/", chain.name].concat());
            }
        })
        .unwrap()
    };
    add_all(&mut socket).unwrap();
    assert_eq!(dropping(&mut socket), Vec::<Vec<u8>>::new());
    let mut buffer = [0; 1024];
    let mut transaction = Transaction::new(&mut buffer);
    transaction.add_table(&Table::new(Family::IPV4, b"filter"));
    let hook = Hook { kind: b"filter", number: chain::FORWARD, priority: chain::FILTER, policy: chain::DROP };
    transaction.add_chain(&Chain { hook: Some(hook), ..Chain::new(Family::IPV4, b"filter", b"FORWARD") });
    let input = Hook { number: chain::INPUT, ..hook };
    transaction.add_chain(&Chain { hook: Some(input), ..Chain::new(Family::IPV4, b"filter", b"INPUT") });
    transaction.commit(&mut socket).unwrap();
    assert_eq!(dropping(&mut socket), [b"filter/FORWARD"]);
}
