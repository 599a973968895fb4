//! Transactions against nft.

use super::{Nest, built, meaning, sends};
use crate::case;
use libtest_mimic::Trial;
use pipkin::netlink::batch::{Batch, Step};
use pipkin::netlink::nftables::Transaction;
use pipkin::netlink::wire::Malformed;
use pipkin::netlink::wire::builder::Builder;
use pipkin::netlink::wire::message::{Message, Messages};
use pipkin::netlink::wire::nftables::chain::{self, Chain, Hook};
use pipkin::netlink::wire::nftables::data::{Data, Register, Verdict};
use pipkin::netlink::wire::nftables::expression::{
    self, Base, Comparison, Conntrack, Expression, Fib, Meta, Side,
};
use pipkin::netlink::wire::nftables::rule::{self, Rule};
use pipkin::netlink::wire::nftables::set::{self, DataSpec, Element, Elements, Set, Type};
use pipkin::netlink::wire::nftables::table::{self, Table};
use pipkin::netlink::wire::nftables::{self, Family};

const FILE: &str = include_str!("nftables.txt");
const INET: Family = Family::INET;
const TABLE: &[u8] = b"pipkin";

pub(super) fn cases() -> Vec<Trial> {
    vec![
        case("captured::nftables::every_record_reads_back", every_record_reads_back),
        case("captured::nftables::tables_and_chains", tables_and_chains),
        case("captured::nftables::sets", sets),
        case("captured::nftables::address_translation", address_translation),
        case("captured::nftables::filters", filters),
        case("captured::nftables::elements", elements),
        case("captured::nftables::deletions", deletions),
    ]
}

fn fixed(_: u16) -> usize {
    nftables::HEADER_LEN
}

/// Which attributes of nf_tables' messages hold attributes: lists of expressions, elements and key parts in order,
/// everything else as it comes.
fn nests(kind: u16, path: &[u16]) -> Nest {
    match (kind, path) {
        (chain::NEW, [4]) => Nest::Set,
        (rule::NEW, [4]) | (set::NEW, [9, 2]) | (set::NEW_ELEMENT | set::DELETE_ELEMENT, [3]) => Nest::List,

        (rule::NEW, [4, _] | [4, _, 2]) => Nest::Set,
        (set::NEW, [9] | [9, 2, _]) => Nest::Set,
        (set::NEW_ELEMENT | set::DELETE_ELEMENT, [3, _] | [3, _, 1 | 2 | 10] | [3, _, 2, 2]) => Nest::Set,
        _ => Nest::No,
    }
}

/// The recorded messages of `command`, each told apart by [`meaning`].
fn recorded(command: &str) -> Vec<super::Meaning> {
    meaning(&sends(FILE, command).concat(), fixed, nests)
}

/// Checks that each message of the transaction that `fill` builds is among those recorded for `command`, in order.
fn among(command: &str, fill: impl for<'a> FnOnce(&mut Transaction<'a>)) {
    let mut buffer = [0; 8192];
    let mut transaction = Transaction::new(&mut buffer);
    fill(&mut transaction);
    let bytes = transaction.into_batch().bytes(1, None).unwrap().to_vec();
    let ours = meaning(&bytes, fixed, nests);
    assert!(ours.len() > 2);
    let mut theirs = recorded(command).into_iter();
    for message in ours {
        assert!(theirs.any(|other| other == message), "{message:?} is not among those of {command}");
    }
}

fn every_record_reads_back() {
    let mut read = 0;
    for command in FILE.lines().filter_map(|line| line.strip_prefix("$ ")) {
        for send in sends(FILE, command) {
            let mut buffer = [0; 16384];
            let ours = built(&mut buffer, |batch: &mut Batch<'_>| {
                for message in Messages::new(&send) {
                    let message = message.unwrap();
                    let step = Step { stage: "test", subject: b"" };
                    batch.push(step, message.header.kind, message.header.flags, |payload| {
                        rewrite(&message, payload).unwrap();
                    });
                    read += 1;
                }
            });
            let (ours, theirs) = (meaning(&ours, fixed, nests), recorded(command));
            assert_eq!(ours.len(), theirs.len());
            ours.into_iter().zip(theirs).for_each(|(ours, theirs)| assert_eq!(ours, theirs, "{command}"));
        }
    }
    assert!(read > 60, "{read} messages");
}

fn rewrite(message: &Message<'_>, payload: &mut Builder<'_>) -> Result<(), Malformed> {
    let read = message.payload;
    match message.header.kind {
        nftables::BATCH_BEGIN | nftables::BATCH_END => nftables::emit_boundary(payload, None),
        table::NEW => Table::parse(read)?.emit(payload),
        table::DELETE => Table::parse(read)?.emit_name(payload),
        chain::NEW => Chain::parse(read)?.emit(payload),
        chain::DELETE => Chain::parse(read)?.emit_name(payload),
        rule::NEW | rule::DELETE => {
            let expressions: Result<Vec<_>, _> = Rule::parse_expressions(read)?.collect();
            Rule::parse(read)?.emit(&expressions?, payload);
        }
        set::NEW => Set::parse(read)?.emit(payload),
        set::NEW_ELEMENT | set::DELETE_ELEMENT => {
            let elements: Result<Vec<_>, _> = Elements::parse_list(read)?.collect();
            Elements::parse(read)?.emit(&elements?, payload);
        }
        kind => panic!("message type {kind}"),
    }
    Ok(())
}

fn tables_and_chains() {
    let hook = |kind, number, priority, policy| Some(Hook { kind, number, priority, policy });
    let chains: [(&[u8], _); 5] = [
        (b"web", None),
        (b"prerouting", hook(b"nat", chain::PREROUTING, chain::NAT_DESTINATION, chain::ACCEPT)),
        (b"postrouting", hook(b"nat", chain::POSTROUTING, chain::NAT_SOURCE, chain::ACCEPT)),
        (b"forward", hook(b"filter", chain::FORWARD, chain::FILTER, chain::DROP)),
        (b"output", hook(b"nat", chain::OUTPUT, chain::NAT_DESTINATION, chain::ACCEPT)),
    ];
    // nft adds its own table without asking whether it is new.
    let table = Table { comment: b"made by pipkin", ..Table::new(INET, TABLE) };
    let recorded_table =
        recorded("nft -f base.nft").into_iter().find(|message| message.kind == table::NEW).unwrap();
    let mut buffer = [0; 256];
    let ours = built(&mut buffer, |batch| {
        batch.push(Step { stage: "test", subject: b"" }, table::NEW, 0, |payload| table.emit(payload));
    });
    assert_eq!(meaning(&ours, fixed, nests), [recorded_table]);

    among("nft -f base.nft", |transaction| {
        for (name, hook) in chains {
            transaction.add_chain(&Chain { hook, ..Chain::new(INET, TABLE, name) });
        }
    });
}

fn set<'a>(name: &'a [u8], key: Type, key_len: u32, id: u32, user_data: &'a [u8]) -> Set<'a> {
    Set { id, user_data, ..Set::new(INET, TABLE, name, key, key_len) }
}

/// What nft remembers of its own spelling of concatenated types; opaque here.
const MAP_DATA: &[u8] = &[
    0, 4, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 3, 8, 0, 4, 13, 0, 0, 0, 1, 0, 4, 8, 0, 4, 13, 0, 0, 0, 1, 0, 6, 4,
    0, 0, 0, 0,
];

fn sets() {
    let published = Type::PROTOCOL.and(Type::PORT);
    let place = |address: Type, len| Some(DataSpec { kind: address.and(Type::PORT), len });
    let verdict = Some(DataSpec { kind: Type::VERDICT, len: 0 });
    let bound = Type::PROTOCOL.and(Type::IPV4).and(Type::PORT);
    let bound_data: &[u8] =
        &[0, 4, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 3, 8, 0, 4, 13, 0, 0, 0, 1, 0, 6, 4, 0, 0, 0, 0];
    let parts = heapless::Vec::from_slice(&[1, 4, 2]).unwrap();
    let flags = set::INTERVAL | set::CONCATENATION;
    among("nft -f base.nft", |transaction| {
        let map = set(b"published4", published, 8, 1, MAP_DATA);
        transaction.add_set(&Set { data: place(Type::IPV4, 8), ..map });
        let map = set(b"bound4", bound, 12, 2, bound_data);
        transaction.add_set(&Set { flags, parts, data: verdict, ..map });
        let subnets = Set { flags: set::INTERVAL, ..set(b"subnets4", Type::IPV4, 4, 3, &[0, 4, 2, 0, 0, 0]) };
        transaction.add_set(&subnets);
        let of = Elements { family: INET, table: TABLE, set: b"subnets4", set_id: 3 };
        let range = |first: &'static [u8], end| {
            [Element::new(first), Element { flags: set::RANGE_END, ..Element::new(end) }]
        };
        let gap = Element { flags: set::RANGE_END, ..Element::new(&[0, 0, 0, 0]) };
        let [a, b] = range(&[172, 20, 0, 0], &[172, 21, 0, 0]);
        let [c, d] = range(&[192, 168, 1, 0], &[192, 168, 2, 0]);
        transaction.add_elements(&of, &[gap, a, b, c, d]);
        transaction.add_set(&set(b"bridges", Type::LINK_NAME, 16, 4, &[0, 4, 1, 0, 0, 0]));
        let of = Elements { set: b"bridges", set_id: 4, ..of };
        let names = [*b"pipkin0\0\0\0\0\0\0\0\0\0", *b"br0\0\0\0\0\0\0\0\0\0\0\0\0\0"];
        transaction.add_elements(&of, &names.each_ref().map(|name| Element::new(name)));
        let jumps = set(b"jumps", Type::PORT, 2, 5, &[0, 4, 2, 0, 0, 0, 1, 4, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0]);
        transaction.add_set(&Set { data: verdict, ..jumps });
        let map = set(b"published6", published, 8, 6, MAP_DATA);
        transaction.add_set(&Set { data: place(Type::IPV6, 20), ..map });
    });
}

const R1: Register = Register::FIRST;

fn is(value: &[u8]) -> Expression<'_> {
    Expression::Compare { from: R1, comparison: Comparison::Equal, value }
}

fn is_not(value: &[u8]) -> Expression<'_> {
    Expression::Compare { from: R1, comparison: Comparison::NotEqual, value }
}

fn load(key: Meta) -> Expression<'static> {
    Expression::Meta { key, to: R1 }
}

fn network(offset: u32, len: u32) -> Expression<'static> {
    Expression::Payload { base: Base::NETWORK, offset, len, to: R1 }
}

fn port(to: Register) -> Expression<'static> {
    Expression::Payload { base: Base::TRANSPORT, offset: 2, len: 2, to }
}

fn give(verdict: Verdict<'_>) -> Expression<'_> {
    Expression::Immediate { to: Register::VERDICT, data: Data::Verdict(verdict) }
}

fn look(set: &[u8], set_id: u32, to: Option<Register>) -> Expression<'_> {
    Expression::Lookup { from: R1, set, set_id, to, inverted: false }
}

/// The connection's state or status has one of `bits`.
fn has(key: Conntrack, bits: &[u8; 4]) -> [Expression<'_>; 3] {
    let mask = Expression::Bitwise { from: R1, to: R1, mask: bits, xor: &[0; 4] };
    [Expression::Conntrack { key, to: R1 }, mask, is_not(&[0; 4])]
}

const FIB: [Expression<'static>; 2] = [
    Expression::Fib { flags: expression::FIB_DESTINATION, result: Fib::ADDRESS_TYPE, to: R1 },
    Expression::Compare { from: R1, comparison: Comparison::Equal, value: &expression::LOCAL.to_ne_bytes() },
];
const TCP: [Expression<'static>; 2] = [
    Expression::Meta { key: Meta::PROTOCOL, to: R1 },
    Expression::Compare { from: R1, comparison: Comparison::Equal, value: &[6] },
];
const IPV4: [Expression<'static>; 2] = [
    Expression::Meta { key: Meta::FAMILY, to: R1 },
    Expression::Compare { from: R1, comparison: Comparison::Equal, value: &[2] },
];

/// Checks each rule, given by its parts, against those recorded.
fn rules(chain: &'static [u8], rules: &[&[&[Expression<'_>]]]) {
    among("nft -f base.nft", |transaction| {
        for parts in rules {
            transaction.add_rule(&Rule::new(INET, TABLE, chain), &parts.concat());
        }
    });
}

fn nat(side: Side, family: Family, port: Option<Register>, flags: u32) -> [Expression<'static>; 1] {
    let first = |register| (register, None);
    [Expression::Nat { side, family, address: Some(first(R1)), port: port.map(first), flags }]
}

fn address_translation() {
    let protocol = [load(Meta::PROTOCOL), port(Register::word(1))];
    let (subnet, masquerade) = (&[172, 20], [Expression::Masquerade { flags: 0 }]);
    let immediate = |to, value: &'static [u8]| Expression::Immediate { to, data: Data::Value(value) };
    rules(
        b"prerouting",
        &[
            &[
                &FIB,
                &protocol,
                &[look(b"published4", 1, Some(R1))],
                &nat(Side::Destination, Family::IPV4, Some(Register::word(1)), 0),
            ],
            &[
                &FIB,
                &protocol,
                &[look(b"published6", 6, Some(R1))],
                &nat(Side::Destination, Family::IPV6, Some(Register::word(4)), 0),
            ],
        ],
    );
    let outside = Expression::Lookup { from: R1, set: b"bridges", set_id: 4, to: None, inverted: true };
    let count = Expression::Counter { packets: 0, bytes: 0 };
    let translated = expression::TRANSLATED_DESTINATION.to_ne_bytes();
    let translated = has(Conntrack::STATUS, &translated);
    rules(
        b"postrouting",
        &[
            &[&IPV4, &[network(12, 2), is(subnet), network(16, 2), is_not(subnet)], &masquerade],
            &[
                &IPV4,
                &[network(12, 4), look(b"subnets4", 3, None), load(Meta::OUT_NAME), outside, count],
                &masquerade,
            ],
            &[&translated, &IPV4, &[network(12, 2), is(subnet), Expression::Masquerade { flags: 4 }]],
            &[&[load(Meta::FAMILY), is(&[10]), network(8, 8), is(&[0xfd, 0, 0, 0, 0, 0, 0, 0])], &masquerade],
            &[
                &IPV4,
                &[network(12, 1), is(&[10]), immediate(R1, &[192, 0, 2, 1])],
                &nat(Side::Source, Family::IPV4, None, 0),
            ],
        ],
    );
    let here = Expression::Redirect { port: Some((R1, None)), flags: expression::WITH_PORT };
    let second = Register::word(4);
    let six: &[u8] = &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    rules(
        b"output",
        &[
            &[&TCP, &[port(R1), is(&[0, 80]), immediate(R1, &[0x1f, 0x90]), here]],
            &[
                &TCP,
                &[port(R1), is(&[0, 81]), immediate(R1, &[172, 20, 0, 2]), immediate(second, &[0, 80])],
                &nat(Side::Destination, Family::IPV4, Some(second), expression::WITH_PORT),
            ],
            &[
                &TCP,
                &[port(R1), is(&[0, 82]), immediate(R1, six), immediate(second, &[0, 80])],
                &nat(Side::Destination, Family::IPV6, Some(second), expression::WITH_PORT),
            ],
        ],
    );
    among("nft -f base.nft", |transaction| {
        let rule = Rule { comment: b"hello", ..Rule::new(INET, TABLE, b"output") };
        let parts = [&IPV4[..], &[network(16, 1), is(&[127])], &FIB, &TCP, &[give(Verdict::Accept)]];
        transaction.add_rule(&rule, &parts.concat());
    });
}

fn filters() {
    let known = (expression::ESTABLISHED | expression::RELATED).to_ne_bytes();
    let strange = expression::INVALID.to_ne_bytes();
    let bridge = b"pipkin0\0\0\0\0\0\0\0\0\0";
    let udp = [load(Meta::PROTOCOL), is(&[17]), port(R1)];
    let compare = |comparison, value: &'static [u8]| Expression::Compare { from: R1, comparison, value };
    let within = [compare(Comparison::AtLeast, &[3, 232]), compare(Comparison::AtMost, &[7, 208])];
    let outside = Expression::Range {
        from: R1,
        comparison: Comparison::NotEqual,
        first: &3000_u16.to_be_bytes(),
        last: &4000_u16.to_be_bytes(),
    };
    let count = Expression::Counter { packets: 0, bytes: 0 };
    let mark = Meta(3);
    rules(
        b"forward",
        &[
            &[&has(Conntrack::STATE, &known), &[give(Verdict::Accept)]],
            &[&has(Conntrack::STATE, &strange), &[give(Verdict::Drop)]],
            &[&[load(Meta::IN_NAME), is(bridge), load(Meta::OUT_NAME), is(bridge), give(Verdict::Accept)]],
            &[&[load(Meta::IN_NAME), is(b"pip"), give(Verdict::Return)]],
            &[&TCP, &[port(R1), look(b"jumps", 5, Some(Register::VERDICT))]],
            &[&udp, &within, &[count, give(Verdict::Drop)]],
            &[&udp, &[outside, give(Verdict::Accept)]],
            &[&TCP, &[port(R1), is_not(&[0, 53]), give(Verdict::Goto(b"web"))]],
            &[&[load(mark), is(&1_u32.to_ne_bytes()), give(Verdict::Jump(b"web"))]],
        ],
    );
}

fn elements() {
    let of = |set, set_id| Elements { family: INET, table: TABLE, set, set_id };
    among(
        "nft add element inet pipkin published4 { tcp . 8080 : 172.20.0.2 . 80, udp . 53 : 172.20.0.3 . 53 }",
        |transaction| {
            let value = |value: &'static [u8]| Some(Data::Value(value));
            transaction.add_elements(
                &of(b"published4", 1),
                &[
                    Element {
                        data: value(&[172, 20, 0, 2, 0, 80, 0, 0]),
                        ..Element::new(&[6, 0, 0, 0, 0x1f, 0x90, 0, 0])
                    },
                    Element {
                        data: value(&[172, 20, 0, 3, 0, 53, 0, 0]),
                        ..Element::new(&[17, 0, 0, 0, 0, 53, 0, 0])
                    },
                ],
            );
        },
    );
    let verdict = |verdict| Some(Data::Verdict(verdict));
    among("nft add element inet pipkin bound4 { tcp . 192.0.2.7 . 8000-8100 : goto web }", |transaction| {
        let element = Element {
            key_end: &[6, 0, 0, 0, 192, 0, 2, 7, 0x1f, 0xa4, 0, 0],
            data: verdict(Verdict::Goto(b"web")),
            ..Element::new(&[6, 0, 0, 0, 192, 0, 2, 7, 0x1f, 0x40, 0, 0])
        };
        transaction.add_elements(&of(b"bound4", 2), &[element]);
    });
    among("nft add element inet pipkin jumps { 22 : drop, 443 comment \"c1\" : jump web }", |transaction| {
        let drop = Element { data: verdict(Verdict::Drop), ..Element::new(&[0, 22]) };
        let jump =
            Element { data: verdict(Verdict::Jump(b"web")), comment: b"c1", ..Element::new(&[1, 187]) };
        transaction.add_elements(&of(b"jumps", 5), &[drop, jump]);
    });
    among("nft delete element inet pipkin published4 { tcp . 8080 }", |transaction| {
        transaction.delete_elements(&of(b"published4", 0), &[Element::new(&[6, 0, 0, 0, 0x1f, 0x90, 0, 0])]);
    });
}

fn deletions() {
    let rule = Rule::new(INET, TABLE, b"web");
    among("nft flush chain inet pipkin web", |transaction| transaction.delete_rule(&rule));
    among("nft delete rule inet pipkin output handle 40", |transaction| {
        transaction.delete_rule(&Rule { handle: Some(40), chain: b"output", ..rule });
    });
    among("nft delete chain inet pipkin web", |transaction| {
        transaction.delete_chain(&Chain::new(INET, TABLE, b"web"));
    });
    among("nft delete table inet pipkin", |transaction| transaction.delete_table(&Table::new(INET, TABLE)));
    among("nft flush map inet pipkin jumps", |transaction| {
        transaction.empty_set(&Elements { family: INET, table: TABLE, set: b"jumps", set_id: 0 });
    });
}
