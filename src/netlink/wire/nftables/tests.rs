//! Round trips of every representation, and arbitrary bytes for every parser.
#![allow(clippy::unwrap_used)]

extern crate std;

use super::chain::{Chain, Hook};
use super::data::{Data, Register, Verdict};
use super::expression::{Base, Comparison, Conntrack, Expression, Fib, Meta, Side, Span};
use super::rule::Rule;
use super::set::{DataSpec, Element, Elements, MAP, Set, Type};
use super::table::Table;
use super::{COMMENT_MAX, Family, emit_boundary, parse_generation};
use crate::netlink::wire::Malformed;
use crate::netlink::wire::builder::{Builder, Overflow};
use crate::netlink::wire::message::Header;
use crate::netlink::wire::tests::payload;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::vec::Vec;

/// Names are short and have no NUL; values are bytes. What tests make of them borrows from here.
#[derive(Debug)]
struct Pool {
    family: Family,
    names: [Vec<u8>; 3],
    values: [Vec<u8>; 3],
    numbers: [u32; 6],
    long: [u64; 2],
    choice: u8,
    flag: bool,
}

fn pool() -> impl Strategy<Value = Pool> {
    let name = || vec(b'a'..=b'z', 1..20);
    let value = || vec(any::<u8>(), 1..40);
    let names = [name(), name(), name()];
    let values = [value(), value(), value()];
    (any::<u8>(), names, values, any::<[u32; 6]>(), any::<[u64; 2]>(), any::<u8>(), any::<bool>()).prop_map(
        |(family, names, values, numbers, long, choice, flag)| {
            let family = Family(family);
            Pool { family, names, values, numbers, long, choice, flag }
        },
    )
}

impl Pool {
    fn verdict(&self) -> Verdict<'_> {
        match self.choice % 6 {
            0 => Verdict::Accept,
            1 => Verdict::Drop,
            2 => Verdict::Return,
            3 => Verdict::Jump(&self.names[0]),
            4 => Verdict::Goto(&self.names[0]),
            _ => Verdict::Other(2),
        }
    }

    fn data(&self) -> Data<'_> {
        if self.flag { Data::Value(&self.values[0]) } else { Data::Verdict(self.verdict()) }
    }

    fn span(&self, number: u32) -> Span {
        let last = self.flag.then_some(Register(number ^ 1));
        (self.choice & 1 == 0).then_some((Register(number), last))
    }

    fn comment(&self) -> &[u8] {
        if self.flag { &self.names[2] } else { &[] }
    }

    /// One expression of each kind.
    fn expressions(&self) -> Vec<Expression<'_>> {
        let [a, b, c, d, e, _] = self.numbers;
        let [from, to] = [Register(a), Register(b)];
        let [x, y, z] = self.values.each_ref().map(Vec::as_slice);
        let all =
            [Comparison::Equal, Comparison::NotEqual, Comparison::Less, Comparison::AtMost, Comparison::More];
        let comparison = *all.get(usize::from(self.choice)).unwrap_or(&Comparison::AtLeast);
        let side = if self.flag { Side::Source } else { Side::Destination };
        let [packets, bytes] = self.long;
        let lookup_to = self.flag.then_some(to);
        std::vec![
            Expression::Meta { key: Meta(c), to },
            Expression::Payload { base: Base(c), offset: d, len: e, to },
            Expression::Conntrack { key: Conntrack(c), to },
            Expression::Fib { flags: c, result: Fib(d), to },
            Expression::Immediate { to, data: self.data() },
            Expression::Bitwise { from, to, mask: x, xor: y },
            Expression::Compare { from, comparison, value: z },
            Expression::Range { from, comparison, first: x, last: y },
            Expression::Lookup { from, set: &self.names[1], set_id: d, to: lookup_to, inverted: self.flag },
            Expression::Counter { packets, bytes },
            Expression::Nat {
                side,
                family: self.family,
                address: self.span(c),
                port: self.span(d),
                flags: e
            },
            Expression::Masquerade { flags: c },
            Expression::Redirect { port: self.span(c), flags: d },
        ]
    }
}

proptest! {
    #[test]
    fn tables_read_back(pool in pool(), handle: Option<u64>) {
        let table = Table { flags: pool.numbers[0], handle, comment: pool.comment(), ..Table::new(pool.family, &pool.names[0]) };
        let bytes = payload(|builder| table.emit(builder));
        prop_assert_eq!(Table::parse(&bytes), Ok(table));
    }

    #[test]
    fn chains_read_back(pool in pool(), handle: Option<u64>, priority: i32) {
        let [number, policy, ..] = pool.numbers;
        let hook = pool.flag.then_some(Hook { kind: &pool.names[2], number, priority, policy });
        let chain = Chain { hook, handle, ..Chain::new(pool.family, &pool.names[0], &pool.names[1]) };
        let bytes = payload(|builder| chain.emit(builder));
        prop_assert_eq!(Chain::parse(&bytes), Ok(chain));
    }

    #[test]
    fn rules_read_back(pool in pool(), handle: Option<u64>, count in 0..=13_usize) {
        let rule = Rule { handle, comment: pool.comment(), ..Rule::new(pool.family, &pool.names[0], &pool.names[1]) };
        let mut expressions = pool.expressions();
        expressions.rotate_left(usize::from(pool.choice % 13));
        expressions.truncate(count);
        let bytes = payload(|builder| rule.emit(&expressions, builder));
        prop_assert_eq!(Rule::parse(&bytes), Ok(rule));
        let read: Result<Vec<_>, _> = Rule::parse_expressions(&bytes).unwrap().collect();
        prop_assert_eq!(read, Ok(expressions));
    }

    #[test]
    fn sets_read_back(pool in pool(), handle: Option<u64>, parts in vec(any::<u8>(), 0..=16), map: bool) {
        let [flags, key, key_len, id, kind, len] = pool.numbers;
        let set = Set {
            flags: flags & !MAP,
            data: map.then_some(DataSpec { kind: Type(kind), len }),
            parts: parts.into_iter().collect(),
            id,
            user_data: if pool.flag { &pool.values[0] } else { &[] },
            handle,
            ..Set::new(pool.family, &pool.names[0], &pool.names[1], Type(key), key_len)
        };
        let bytes = payload(|builder| set.emit(builder));
        prop_assert_eq!(Set::parse(&bytes), Ok(set));
    }

    #[test]
    fn elements_read_back(pools in vec(pool(), 0..10), flags in option::of(any::<u32>())) {
        let elements: Vec<_> = pools.iter().map(|pool| Element {
            key_end: if pool.flag { &pool.values[1] } else { &[] },
            data: (pool.choice & 8 == 0).then(|| pool.data()),
            flags: flags.unwrap_or(0),
            comment: pool.comment(),
            ..Element::new(&pool.values[2])
        }).collect();
        let of = Elements { family: Family::INET, table: b"table", set: b"set", set_id: flags.unwrap_or(0) };
        let bytes = payload(|builder| of.emit(&elements, builder));
        prop_assert_eq!(Elements::parse(&bytes), Ok(of));
        let read: Result<Vec<_>, _> = Elements::parse_list(&bytes).unwrap().collect();
        prop_assert_eq!(read, Ok(elements));
    }

    #[test]
    fn generations_read_back(generation: u32) {
        let bytes = payload(|builder| emit_boundary(builder, Some(generation)));
        prop_assert_eq!(parse_generation(&bytes), Ok(generation));
    }

    /// Nothing panics, nothing loops: lists end after at most one item per header's worth of bytes.
    #[test]
    fn arbitrary_bytes_end(bytes in vec(any::<u8>(), 0..400)) {
        read_all(&bytes)?;
    }

    /// A valid message with some bytes changed gets past the first checks.
    #[test]
    fn damaged_messages_end(pool in pool(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let rule = Rule::new(pool.family, &pool.names[0], &pool.names[1]);
        let element = Element { data: Some(pool.data()), ..Element::new(&pool.values[2]) };
        let of = Elements { family: Family::INET, table: &pool.names[0], set: &pool.names[1], set_id: 0 };
        let rules = payload(|builder| rule.emit(&pool.expressions(), builder));
        let elements = payload(|builder| of.emit(&[element; 5], builder));
        for mut bytes in [rules, elements] {
            for (place, value) in &damage {
                *place.get_mut(&mut bytes) = *value;
            }
            read_all(&bytes)?;
        }
    }
}

fn read_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    let most = bytes.len().div_ceil(4);
    if let Ok(list) = Rule::parse_expressions(bytes) {
        prop_assert!(list.count() <= most);
    }
    if let Ok(list) = Elements::parse_list(bytes) {
        prop_assert!(list.count() <= most);
    }
    if let Ok(table) = Table::parse(bytes) {
        prop_assert!(table.comment.len() <= bytes.len());
    }
    if let Ok(set) = Set::parse(bytes) {
        prop_assert!(set.name.len() <= bytes.len());
    }
    let short = bytes.len() < 4;
    prop_assert!(!short || (Chain::parse(bytes), Rule::parse(bytes)) == (Err(Malformed), Err(Malformed)));
    Ok(())
}

#[test]
fn words_are_named_as_the_kernel_names_them() {
    let names = [1, 9, 10, 11, 2, 13, 14, 15, 3, 17, 18, 19, 4, 21, 22, 23];
    for (number, name) in (0..16).zip(names) {
        assert_eq!(Register::word(number), Register(name));
    }
}

#[test]
fn concatenated_types_are_numbered_as_nft_numbers_them() {
    assert_eq!(Type::PROTOCOL.and(Type::PORT), Type(0x30d));
    assert_eq!(Type::IPV4.and(Type::PORT), Type(0x1cd));
}

#[test]
fn what_cannot_be_written_fails_to_build() {
    let mut buffer = [0; 1024];
    let long = [b'x'; COMMENT_MAX];
    for (comment, expected) in [(&long[..], true), (&[b'x'; COMMENT_MAX + 1][..], false)] {
        let mut builder = Builder::new(&mut buffer);
        let table = Table { comment, ..Table::new(Family::INET, b"table") };
        builder.message(Header::default(), |payload| table.emit(payload));
        assert_eq!(builder.finish().is_ok(), expected);
    }
    let mut builder = Builder::new(&mut buffer);
    let rule = Rule::new(Family::INET, b"table", b"chain");
    builder.message(Header::default(), |payload| rule.emit(&[Expression::Other { name: b"log" }], payload));
    assert_eq!(builder.finish(), Err(Overflow));
}

#[test]
fn only_chains_of_forwarded_ip_have_a_policy_for_it() {
    use super::chain::{ACCEPT, DROP, FORWARD, INPUT};
    let hook = Hook { kind: b"filter", number: FORWARD, priority: 0, policy: DROP };
    let policy = |family, hook| {
        let chain = Chain { hook, ..Chain::new(family, b"filter", b"FORWARD") };
        chain.policy_of_forwarded()
    };
    assert_eq!(policy(Family::IPV4, Some(hook)), Some(DROP));
    assert_eq!(policy(Family::INET, Some(hook)), Some(DROP));
    assert_eq!(policy(Family::IPV6, Some(Hook { policy: ACCEPT, ..hook })), Some(ACCEPT));
    assert_eq!(policy(Family::IPV4, None), None);
    assert_eq!(policy(Family(7), Some(hook)), None);
    assert_eq!(policy(Family::IPV4, Some(Hook { number: INPUT, ..hook })), None);
}
