//! Round trips of every representation, and arbitrary bytes for every parser.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

extern crate std;

use super::ack::Ack;
use super::address::Address;
use super::attribute::Attributes;
use super::builder::{Builder, Overflow};
use super::ip::{Cidr, INET, INET6, family};
use super::link::{Kind, Link, NAME_MAX, Name, Pair, Statistics};
use super::message::{self, Header, Message, Messages};
use super::neighbour::Neighbour;
use super::route::Route;
use super::{Malformed, align};
use core::net::IpAddr;
use proptest::option;
use proptest::prelude::*;
use rustix::io::Errno;
use std::vec::Vec;

/// What `emit` writes, as the payload of one message that must read back whole.
pub(super) fn payload(emit: impl FnOnce(&mut Builder<'_>)) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let mut builder = Builder::new(&mut buffer);
    builder.message(Header { kind: 99, ..Header::default() }, emit);
    let bytes = builder.finish().unwrap();
    let messages: Vec<_> = Messages::new(bytes).collect();
    assert_eq!(messages.len(), 1);
    messages[0].unwrap().payload.to_vec()
}

fn name() -> impl Strategy<Value = Name> {
    prop::collection::vec(b'!'..=b'~', 1..=NAME_MAX).prop_filter_map("a link's name", |name| Name::new(&name))
}

fn statistics() -> impl Strategy<Value = Statistics> {
    any::<[u64; 8]>().prop_map(|[a, b, c, d, e, f, g, h]| Statistics {
        rx_packets: a,
        tx_packets: b,
        rx_bytes: c,
        tx_bytes: d,
        rx_errors: e,
        tx_errors: f,
        rx_dropped: g,
        tx_dropped: h,
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Bridge), Just(Kind::Veth), Just(Kind::Dummy)]
}

prop_compose! {
    fn link()(
        (family, index, hardware, flags, change) in any::<(u8, u32, u16, u32, u32)>(),
        (name, mtu, mac, master) in (option::of(name()), any::<Option<u32>>(), any::<Option<[u8; 6]>>(), any::<Option<u32>>()),
        (lower, namespace_fd, filter) in any::<(Option<u32>, Option<i32>, Option<u32>)>(),
        (kind, statistics) in (option::of(kind()), option::of(statistics())),
    ) -> Link {
        Link { family, index, hardware, flags, change, name, mtu, mac, master, lower, namespace_fd, kind, statistics, filter }
    }
}

fn ip(version: u8) -> BoxedStrategy<IpAddr> {
    match version {
        INET => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        _ => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    }
}

fn version() -> impl Strategy<Value = u8> {
    prop_oneof![Just(INET), Just(INET6)]
}

fn cidr(version: u8) -> impl Strategy<Value = Cidr> {
    let bits = if version == INET { 32_u8 } else { 128 };
    (ip(version), 0..=bits).prop_map(|(address, bits)| Cidr::new(address, bits).unwrap())
}

fn address() -> impl Strategy<Value = Address> {
    version().prop_flat_map(|version| {
        (any::<u32>(), cidr(version), any::<u32>(), any::<u8>(), option::of(ip(version)))
            .prop_map(|(link, cidr, flags, scope, broadcast)| Address { link, cidr, flags, scope, broadcast })
    })
}

fn route() -> impl Strategy<Value = Route> {
    version().prop_flat_map(|version| {
        (
            cidr(version),
            option::of(ip(version)),
            option::of(ip(version)),
            any::<[Option<u32>; 3]>(),
            any::<u32>(),
            any::<[u8; 3]>(),
        )
            .prop_map(|(destination, gateway, source, numbers, table, [protocol, scope, kind])| {
                let [link, priority, mtu] = numbers;
                Route { destination, gateway, link, source, priority, mtu, table, protocol, scope, kind }
            })
    })
}

fn neighbour() -> impl Strategy<Value = Neighbour> {
    let address = version().prop_flat_map(ip);
    (any::<u32>(), address, any::<Option<[u8; 6]>>(), any::<u16>())
        .prop_map(|(link, address, mac, state)| Neighbour { link, address, mac, state })
}

/// What was read from any bytes is written and read again as the same.
fn stable(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(link) = Link::parse(bytes) {
        prop_assert_eq!(Link::parse(&payload(|builder| link.emit(builder))), Ok(link));
    }
    if let Ok(pair) = Pair::parse(bytes) {
        prop_assert_eq!(Pair::parse(&payload(|builder| pair.emit(builder))), Ok(pair));
    }
    if let Ok(address) = Address::parse(bytes) {
        prop_assert_eq!(Address::parse(&payload(|builder| address.emit(builder))), Ok(address));
    }
    if let Ok(route) = Route::parse(bytes) {
        prop_assert_eq!(Route::parse(&payload(|builder| route.emit(builder))), Ok(route));
    }
    if let Ok(neighbour) = Neighbour::parse(bytes) {
        prop_assert_eq!(Neighbour::parse(&payload(|builder| neighbour.emit(builder))), Ok(neighbour));
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_header_reads_back(kind: u16, flags: u16, sequence: u32, port: u32, len: u32) {
        let header = Header { kind, flags, sequence, port };
        prop_assert_eq!(Header::parse(&header.emit(len)), Ok((header, len as usize)));
    }

    #[test]
    fn a_link_reads_back(link in link()) {
        prop_assert_eq!(Link::parse(&payload(|builder| link.emit(builder))), Ok(link));
    }

    #[test]
    fn a_pair_reads_back(near in link(), far in link()) {
        let pair = Pair { near: Link { kind: Some(Kind::Veth), ..near }, far: Link { kind: None, ..far } };
        prop_assert_eq!(Pair::parse(&payload(|builder| pair.emit(builder))), Ok(pair));
    }

    #[test]
    fn an_address_reads_back(address in address()) {
        prop_assert_eq!(Address::parse(&payload(|builder| address.emit(builder))), Ok(address));
    }

    #[test]
    fn a_route_reads_back(route in route()) {
        prop_assert_eq!(Route::parse(&payload(|builder| route.emit(builder))), Ok(route));
    }

    #[test]
    fn a_neighbour_reads_back(neighbour in neighbour()) {
        prop_assert_eq!(Neighbour::parse(&payload(|builder| neighbour.emit(builder))), Ok(neighbour));
    }

    #[test]
    fn a_cidr_holds_its_network_and_nothing_else(cidr in version().prop_flat_map(cidr), other in version().prop_flat_map(ip)) {
        prop_assert!(cidr.contains(cidr.address()) && cidr.contains(cidr.network()) && cidr.contains(cidr.last()));
        let between = family(other) == family(cidr.address()) && cidr.network() <= other && other <= cidr.last();
        prop_assert_eq!(cidr.contains(other), between);
        let text = std::format!("{}/{}", cidr.address(), cidr.prefix_len());
        prop_assert_eq!(Cidr::parse(&text), Some(cidr));
    }

    #[test]
    fn an_acknowledgement_reads_back(code in 0..=4095_i32, text in "[ -~]{0,80}", offset: Option<u32>, sequence: u32) {
        let errno = (code > 0).then(|| Errno::from_raw_os_error(code));
        let ack = Ack { errno, text: text.as_bytes(), offset };
        let mut buffer = [0; 256];
        let mut builder = Builder::new(&mut buffer);
        ack.emit(Header { sequence, ..Header::default() }, &mut builder);
        let bytes = builder.finish().unwrap();
        let message = Messages::new(bytes).next().unwrap().unwrap();
        prop_assert_eq!(message.header.sequence, sequence);
        prop_assert_eq!(Ack::parse(&message), Ok(ack));
    }

    #[test]
    fn attributes_read_back(values in prop::collection::vec((0..0x4000_u16, prop::collection::vec(any::<u8>(), 0..40)), 0..20)) {
        let bytes = payload(|builder| for (kind, value) in &values { builder.bytes(*kind, value) });
        let read: Result<Vec<_>, _> = Attributes::new(&bytes).map(|a| a.map(|a| (a.kind, a.value.to_vec()))).collect();
        prop_assert_eq!(read, Ok(values));
    }

    #[test]
    fn text_reads_back_and_ends_in_nul(text in "[a-z]{0,40}") {
        let bytes = payload(|builder| builder.text(7, text.as_bytes()));
        let attribute = Attributes::new(&bytes).next().unwrap().unwrap();
        prop_assert_eq!(attribute.text(), text.as_bytes());
        prop_assert_eq!(attribute.value.last(), Some(&0));
        prop_assert_eq!(attribute.value.len(), text.len() + 1);
    }

    /// Nothing panics, nothing loops, nothing reaches outside: each step takes at least a header.
    #[test]
    fn arbitrary_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..600), flags: u16, kind: u16) {
        prop_assert!(Messages::new(&bytes).count() <= bytes.len() / message::HEADER_LEN + 1);
        prop_assert!(Attributes::new(&bytes).count() <= bytes.len() / 4 + 1);
        let message = Message { header: Header { kind, flags, ..Header::default() }, payload: &bytes };
        prop_assert!(Ack::parse(&message).is_err() || bytes.len() >= 4);
        stable(&bytes)?;
    }

    /// Small lengths, so that the parsers get past the first check.
    #[test]
    fn almost_attributes_end(words in prop::collection::vec((0..40_u16, 0..60_u16, any::<[u8; 4]>()), 0..60)) {
        let mut bytes = std::vec![0; 16];
        bytes[0] = INET;
        for (len, kind, value) in words {
            bytes.extend(len.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
        }
        prop_assert!(Attributes::after(&bytes, 16).count() <= bytes.len() / 4 + 1);
        stable(&bytes)?;
    }

    #[test]
    fn a_short_buffer_is_an_error(link in link(), capacity in 0..600_usize) {
        let whole = align(payload(|builder| link.emit(builder)).len()) + message::HEADER_LEN;
        let mut buffer = std::vec![0; capacity];
        let mut builder = Builder::new(&mut buffer);
        builder.message(Header::default(), |payload| link.emit(payload));
        prop_assert_eq!(builder.finish().map(|bytes| bytes.len()), if whole <= capacity { Ok(whole) } else { Err(Overflow) });
    }
}

#[test]
fn an_attribute_longer_than_its_length_field_is_an_error() {
    let mut buffer = std::vec![0; 200_000];
    let mut builder = Builder::new(&mut buffer);
    builder.bytes(1, &[0; 65_532]);
    assert_eq!(builder.finish(), Err(Overflow));
    let mut builder = Builder::new(&mut buffer);
    builder.nested(1, |nest| {
        nest.bytes(2, &[0; 40_000]);
        nest.bytes(2, &[0; 40_000]);
    });
    assert_eq!(builder.finish(), Err(Overflow));
}

#[test]
fn broken_runs_say_so_once() {
    // A length of zero, one below the header's, one beyond the end.
    for len in [0_u16, 3, 9] {
        let [l0, l1] = len.to_ne_bytes();
        let bytes = [l0, l1, 1, 0, 0, 0, 0, 0];
        assert_eq!(Attributes::new(&bytes).collect::<Vec<_>>(), [Err(Malformed)]);
    }
    let header = Header { kind: 3, ..Header::default() };
    for len in [0, 15, 17] {
        assert_eq!(Messages::new(&header.emit(len)).collect::<Vec<_>>(), [Err(Malformed)]);
    }
}

#[test]
fn results_that_are_no_errno_are_refused() {
    for code in [1_i32, -4096, i32::MIN, i32::MAX] {
        let payload = code.to_ne_bytes();
        let header = Header { kind: message::DONE, ..Header::default() };
        assert_eq!(Ack::parse(&Message { header, payload: &payload }), Err(Malformed));
    }
}

#[test]
fn cidrs_are_checked() {
    for bad in [
        "",
        "/",
        "1.2.3.4",
        "1.2.3.4/",
        "1.2.3.4/33",
        "1.2.3.4/+8",
        "1.2.3.4/ 8",
        "1.2.3/8",
        "::1/129",
        "1.2.3.4/8/8",
        "01.2.3.4/8",
        "1.2.3.4/256",
        "1.2.3.4/0008",
    ] {
        assert_eq!(Cidr::parse(bad), None, "{bad}");
    }
    let subnet = Cidr::parse("172.20.5.9/16").unwrap();
    assert_eq!(subnet.network(), IpAddr::from([172, 20, 0, 0]));
    assert_eq!(subnet.last(), IpAddr::from([172, 20, 255, 255]));
}

#[test]
fn names_are_checked_as_the_kernel_does() {
    for bad in [&b""[..], b".", b"..", b"a/b", b"a b", b"a:b", b"a\0", b"a\n", b"sixteen-letters!"] {
        assert_eq!(Name::new(bad), None);
    }
    assert_eq!(Name::new(b"lo"), Some(Name::LOOPBACK));
    assert_eq!(Name::new(b"fifteen-letters").unwrap().as_bytes(), b"fifteen-letters");
}
