//! The nftables rules: what containers may reach, and by which address they are seen.
//!
//! One table, `inet pipkin`, holds everything. Its rules never change: bridges are elements of sets, published ports
//! elements of maps, so that the cost of a packet does not grow with the number of containers.
//!
//! | chain | what becomes of packets |
//! |---|---|
//! | `raw` | from a container to the host's 127/8, which no honest one has: thrown away |
//! | `publish` | for a published port: sent on to its container; entered from `prerouting` and `output` |
//! | `postrouting` | from a container to elsewhere, back to its own bridge or to itself, and from the host's loopback: masqueraded |
//! | `forward` | to a container: only answers, published ports and neighbours on its bridge |
//!
//! Dangers: what we let pass another table can still drop; `doctor` looks for such.

use crate::error::Result;
use crate::netlink::nftables::Transaction;
use crate::netlink::socket::{Protocol, Socket};
use crate::netlink::wire::link::Name;
use crate::netlink::wire::nftables::Family;
use crate::netlink::wire::nftables::chain::{self, Chain, Hook};
use crate::netlink::wire::nftables::data::{Data, Register, Verdict};
use crate::netlink::wire::nftables::expression::{
    self, Base, Comparison, Conntrack, Expression, FIB_DESTINATION, Fib, Meta, Side,
};
use crate::netlink::wire::nftables::rule::Rule;
use crate::netlink::wire::nftables::set::{DataSpec, Element, Elements, Set, Type};
use crate::netlink::wire::nftables::table::Table;
use heapless::Vec;
use rustix::io::Errno;

/// The table's name.
pub(super) const TABLE: &[u8] = b"pipkin";
/// Room for the transaction that makes it all.
const CAPACITY: usize = 12 * 1024;
/// Room for one that adds or removes a bridge.
const ADMISSION_CAPACITY: usize = 1024;
/// Most expressions of a rule.
const EXPRESSIONS_MAX: usize = 10;

const INET: Family = Family::INET;
const R0: Register = Register::word(0);
const R1: Register = Register::word(1);
const R2: Register = Register::word(2);
const R4: Register = Register::word(4);
const R5: Register = Register::word(5);

/// Names of links on our side.
const BRIDGES: &[u8] = b"bridges";
/// Pairs of the same name.
const SAME: &[u8] = b"same";

/// Tells nft that a key's bytes stand in the machine's own order, so that it shows a name: type, length and value
/// (`NFTNL_UDATA_SET_KEYBYTEORDER`, `BYTEORDER_HOST_ENDIAN`).
const OWN_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};

/// A map of published ports, or a set of those who publish some.
pub(super) struct PortMap {
    /// Its name.
    pub(super) name: &'static [u8],
    /// What its keys mean: protocol and port, behind the address of the host if it is for one.
    key: Type,
    key_len: u32,
    /// What it holds: address and port of the container; nothing in a set.
    data: Type,
    data_len: u32,
}

const KEY: Type = Type::PROTOCOL.and(Type::PORT);

/// The maps: for each address of the host and for one, of IPv4 and of IPv6. Then the addresses of who publishes any, as
/// source and destination: where `br_netfilter` shows us what stays on a bridge, it does not say where it came from.
pub(super) const PORT_MAPS: [PortMap; 6] = [
    port_map(b"ports4", KEY, 8, Type::IPV4, 8),
    port_map(b"ports6", KEY, 8, Type::IPV6, 20),
    port_map(b"at4", Type::IPV4.and(Type::PROTOCOL).and(Type::PORT), 12, Type::IPV4, 8),
    port_map(b"at6", Type::IPV6.and(Type::PROTOCOL).and(Type::PORT), 24, Type::IPV6, 20),
    port_map(b"self4", Type::IPV4.and(Type::IPV4), 8, Type::IPV4, 0),
    port_map(b"self6", Type::IPV6.and(Type::IPV6), 32, Type::IPV6, 0),
];

const fn port_map(name: &'static [u8], key: Type, key_len: u32, address: Type, data_len: u32) -> PortMap {
    PortMap { name, key, key_len, data: address.and(Type::PORT), data_len }
}

/// Part of a rule.
type Part = &'static [Expression<'static>];

const fn compare(from: Register, value: &'static [u8]) -> Expression<'static> {
    Expression::Compare { from, comparison: Comparison::Equal, value }
}

const fn look_in(set: &'static [u8], from: Register, inverted: bool) -> Expression<'static> {
    Expression::Lookup { from, set, set_id: 0, to: None, inverted }
}

const fn verdict(verdict: Verdict<'static>) -> Expression<'static> {
    Expression::Immediate { to: Register::VERDICT, data: Data::Verdict(verdict) }
}

const IPV4: Part = &[Expression::Meta { key: Meta::FAMILY, to: R0 }, compare(R0, &[2])];
const IPV6: Part = &[Expression::Meta { key: Meta::FAMILY, to: R0 }, compare(R0, &[10])];
const FROM_BRIDGE: Part = &[Expression::Meta { key: Meta::IN_NAME, to: R0 }, look_in(BRIDGES, R0, false)];
const TO_BRIDGE: Part = &[Expression::Meta { key: Meta::OUT_NAME, to: R0 }, look_in(BRIDGES, R0, false)];
const TO_ELSEWHERE: Part = &[Expression::Meta { key: Meta::OUT_NAME, to: R0 }, look_in(BRIDGES, R0, true)];
const ON_ONE_BRIDGE: Part = &[
    Expression::Meta { key: Meta::IN_NAME, to: R0 },
    Expression::Meta { key: Meta::OUT_NAME, to: R4 },
    look_in(SAME, R0, false),
];
const TO_LOOPBACK: Part =
    &[Expression::Payload { base: Base::NETWORK, offset: 16, len: 1, to: R0 }, compare(R0, &[127])];
const FROM_LOOPBACK: Part =
    &[Expression::Payload { base: Base::NETWORK, offset: 12, len: 1, to: R0 }, compare(R0, &[127])];
const TO_THIS_HOST: Part = &[
    Expression::Fib { flags: FIB_DESTINATION, result: Fib::ADDRESS_TYPE, to: R0 },
    compare(R0, &expression::LOCAL.to_ne_bytes()),
];
/// Some of these bits are set; the machine's own order.
const ANSWER: Part = &[
    Expression::Conntrack { key: Conntrack::STATE, to: R0 },
    Expression::Bitwise {
        from: R0,
        to: R0,
        mask: &(expression::ESTABLISHED | expression::RELATED).to_ne_bytes(),
        xor: &[0; 4],
    },
    Expression::Compare { from: R0, comparison: Comparison::NotEqual, value: &[0; 4] },
];
const PUBLISHED: Part = &[
    Expression::Conntrack { key: Conntrack::STATUS, to: R0 },
    Expression::Bitwise {
        from: R0,
        to: R0,
        mask: &expression::TRANSLATED_DESTINATION.to_ne_bytes(),
        xor: &[0; 4],
    },
    Expression::Compare { from: R0, comparison: Comparison::NotEqual, value: &[0; 4] },
];
const MASQUERADE: Part = &[Expression::Masquerade { flags: 0 }];
const ACCEPT: Part = &[verdict(Verdict::Accept)];
const DROP: Part = &[verdict(Verdict::Drop)];
const PUBLISH: Part = &[verdict(Verdict::Jump(b"publish"))];

/// To where the map says for protocol and port: the address is loaded to words 0 to 3, the port behind it.
const fn to_port(map: &'static [u8], family: Family, port: Register) -> [Expression<'static>; 4] {
    [
        Expression::Meta { key: Meta::PROTOCOL, to: R0 },
        Expression::Payload { base: Base::TRANSPORT, offset: 2, len: 2, to: R1 },
        Expression::Lookup { from: R0, set: map, set_id: 0, to: Some(R0), inverted: false },
        translate(family, port),
    ]
}

const fn translate(family: Family, port: Register) -> Expression<'static> {
    let (address, port) = (Some((R0, None)), Some((port, None)));
    Expression::Nat { side: Side::Destination, family, address, port, flags: 0 }
}

/// The same for one address of the host, which is the first part of the key.
const AT4: Part = &[
    Expression::Payload { base: Base::NETWORK, offset: 16, len: 4, to: R0 },
    Expression::Meta { key: Meta::PROTOCOL, to: R1 },
    Expression::Payload { base: Base::TRANSPORT, offset: 2, len: 2, to: R2 },
    Expression::Lookup { from: R0, set: b"at4", set_id: 0, to: Some(R0), inverted: false },
    translate(Family::IPV4, R1),
];
const AT6: Part = &[
    Expression::Payload { base: Base::NETWORK, offset: 24, len: 16, to: R0 },
    Expression::Meta { key: Meta::PROTOCOL, to: R4 },
    Expression::Payload { base: Base::TRANSPORT, offset: 2, len: 2, to: R5 },
    Expression::Lookup { from: R0, set: b"at6", set_id: 0, to: Some(R0), inverted: false },
    translate(Family::IPV6, R4),
];

/// From a container to itself: source and destination lie one behind the other.
const TO_ITSELF4: Part =
    &[Expression::Payload { base: Base::NETWORK, offset: 12, len: 8, to: R0 }, look_in(b"self4", R0, false)];
const TO_ITSELF6: Part =
    &[Expression::Payload { base: Base::NETWORK, offset: 8, len: 32, to: R0 }, look_in(b"self6", R0, false)];

/// The chains: name, kind, hook, priority. The first hangs nowhere.
const CHAINS: [(&[u8], &[u8], u32, i32); 6] = [
    (b"publish", b"", 0, 0),
    (b"raw", b"filter", chain::PREROUTING, -300),
    (b"prerouting", b"nat", chain::PREROUTING, chain::NAT_DESTINATION),
    (b"output", b"nat", chain::OUTPUT, chain::NAT_DESTINATION),
    (b"postrouting", b"nat", chain::POSTROUTING, chain::NAT_SOURCE),
    (b"forward", b"filter", chain::FORWARD, chain::FILTER),
];

/// The rules, in order, each with its chain.
const RULES: [(&[u8], &[Part]); 18] = [
    (b"publish", &[IPV4, AT4]),
    (b"publish", &[IPV6, AT6]),
    (b"publish", &[IPV4, TO_THIS_HOST, &to_port(b"ports4", Family::IPV4, R1)]),
    (b"publish", &[IPV6, TO_THIS_HOST, &to_port(b"ports6", Family::IPV6, R4)]),
    (b"raw", &[FROM_BRIDGE, IPV4, TO_LOOPBACK, DROP]),
    (b"prerouting", &[PUBLISH]),
    (b"output", &[PUBLISH]),
    (b"postrouting", &[FROM_BRIDGE, TO_ELSEWHERE, MASQUERADE]),
    (b"postrouting", &[FROM_BRIDGE, PUBLISHED, MASQUERADE]),
    (b"postrouting", &[IPV4, TO_ITSELF4, MASQUERADE]),
    (b"postrouting", &[IPV6, TO_ITSELF6, MASQUERADE]),
    (b"postrouting", &[TO_BRIDGE, IPV4, FROM_LOOPBACK, MASQUERADE]),
    (b"postrouting", &[TO_BRIDGE, IPV6, FROM_LOOPBACK6, MASQUERADE]),
    (b"forward", &[TO_ELSEWHERE, ACCEPT]),
    (b"forward", &[ANSWER, ACCEPT]),
    (b"forward", &[PUBLISHED, ACCEPT]),
    (b"forward", &[ON_ONE_BRIDGE, ACCEPT]),
    (b"forward", &[DROP]),
];

const FROM_LOOPBACK6: Part = &[
    Expression::Payload { base: Base::NETWORK, offset: 8, len: 16, to: R0 },
    compare(R0, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
];

/// Lets packets of the bridge `name` through, after making table and rules unless they are there; on the `first` one it
/// is taken that they are not. The lock is held.
///
/// What the kernel refuses it takes back, and waits some ten milliseconds over that: nothing is tried that is likely to
/// fail.
pub(super) fn admit(name: &Name, first: bool) -> Result<()> {
    let mut socket = Socket::open(Protocol::Netfilter)?;
    let admitted = if first { make(&mut socket, name, false) } else { add(&mut socket, name) };
    match admitted {
        Err(error) if [Errno::NOENT, Errno::EXIST].contains(&error.errno) => make(&mut socket, name, true),
        admitted => admitted,
    }
}

fn add(socket: &mut Socket, name: &Name) -> Result<()> {
    let mut buffer = [0; ADMISSION_CAPACITY];
    let mut transaction = Transaction::new(&mut buffer);
    with_elements(name, &mut |elements, element| transaction.add_elements(elements, element));
    transaction.commit(socket)
}

/// Takes the bridge `name` out of the sets.
pub(super) fn expel(name: &Name) -> Result<()> {
    let mut buffer = [0; ADMISSION_CAPACITY];
    let mut transaction = Transaction::new(&mut buffer);
    with_elements(name, &mut |elements, element| transaction.delete_elements(elements, element));
    take_away(transaction)
}

/// Removes the table with everything in it.
pub(super) fn remove() -> Result<()> {
    let mut buffer = [0; ADMISSION_CAPACITY];
    let mut transaction = Transaction::new(&mut buffer);
    transaction.delete_table(&Table::new(INET, TABLE));
    take_away(transaction)
}

fn take_away(transaction: Transaction<'_>) -> Result<()> {
    none(Socket::open(Protocol::Netfilter).and_then(|mut socket| {
        transaction.commit(&mut socket)?;
        socket.leave();
        Ok(())
    }))
}

/// What was to be gone and is not there, or cannot be on this kernel, is no error.
pub(super) fn none(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if [Errno::NOENT, Errno::PROTONOSUPPORT, Errno::OPNOTSUPP].contains(&error.errno) => {
            Ok(())
        }
        done => done,
    }
}

/// Calls `act` with the elements of the bridge `name` in each of the two sets.
fn with_elements(name: &Name, act: &mut dyn FnMut(&Elements<'static>, &[Element<'_>])) {
    let mut pair = [0; 32];
    let (first, second) = pair.split_at_mut(16);
    for (place, byte) in first.iter_mut().zip(second).zip(name.as_bytes()) {
        (*place.0, *place.1) = (*byte, *byte);
    }
    let elements = |set| Elements { family: INET, table: TABLE, set, set_id: 0 };
    act(&elements(BRIDGES), &[Element::new(pair.get(..16).unwrap_or_default())]);
    act(&elements(SAME), &[Element::new(&pair)]);
}

/// Makes the table, its rules, and `name` the first of its bridges; `anew` takes one away first.
fn make(socket: &mut Socket, name: &Name, anew: bool) -> Result<()> {
    let mut buffer = [0; CAPACITY];
    let mut transaction = Transaction::new(&mut buffer);
    if anew {
        // A table of ours that is not whole, because somebody has been at it, is no good.
        transaction.add_table(&Table::new(INET, TABLE));
        transaction.delete_table(&Table::new(INET, TABLE));
    }
    transaction.create_table(&Table { comment: b"made by pipkin", ..Table::new(INET, TABLE) });
    let pair = Type::LINK_NAME.and(Type::LINK_NAME);
    let sets = [(BRIDGES, Type::LINK_NAME, 16, &OWN_ORDER[..]), (SAME, pair, 32, &[])];
    for (id, (name, key, len, user_data)) in (1..).zip(sets) {
        transaction.add_set(&Set { id, user_data, ..Set::new(INET, TABLE, name, key, len) });
    }
    for (id, map) in (3..).zip(&PORT_MAPS) {
        let data = (map.data_len > 0).then_some(DataSpec { kind: map.data, len: map.data_len });
        transaction.add_set(&Set { id, data, ..Set::new(INET, TABLE, map.name, map.key, map.key_len) });
    }
    for (name, kind, number, priority) in CHAINS {
        let hook = (!kind.is_empty()).then_some(Hook { kind, number, priority, policy: chain::ACCEPT });
        transaction.add_chain(&Chain { hook, ..Chain::new(INET, TABLE, name) });
    }
    for (chain, parts) in RULES {
        let expressions: Vec<_, EXPRESSIONS_MAX> = parts.iter().copied().flatten().copied().collect();
        transaction.add_rule(&Rule::new(INET, TABLE, chain), &expressions);
    }
    with_elements(name, &mut |elements, element| transaction.add_elements(elements, element));
    transaction.commit(socket)
}
