//! Netlink: whatever arrives is read to its end, and what was understood is written and read again as the same.

use pipkin::netlink::wire::ack::Ack;
use pipkin::netlink::wire::address::Address;
use pipkin::netlink::wire::attribute::Attributes;
use pipkin::netlink::wire::builder::Builder;
use pipkin::netlink::wire::link::{Link, Pair};
use pipkin::netlink::wire::message::{HEADER_LEN, Header, Message, Messages};
use pipkin::netlink::wire::neighbour::Neighbour;
use pipkin::netlink::wire::nftables::chain::Chain;
use pipkin::netlink::wire::nftables::rule::Rule;
use pipkin::netlink::wire::nftables::set::{Elements, Set};
use pipkin::netlink::wire::nftables::table::Table;
use pipkin::netlink::wire::route::Route;

/// A datagram.
pub(super) fn run(data: &[u8]) {
    let most = data.len() / HEADER_LEN + 1;
    let mut count = 0;
    for message in Messages::new(data) {
        count += 1;
        if let Ok(message) = message {
            payload(&message);
        }
    }
    assert!(count <= most);
}

fn payload(message: &Message<'_>) {
    let bytes = message.payload;
    assert!(Ack::parse(message).is_err() || bytes.len() >= 4);
    assert!(Attributes::new(bytes).count() <= bytes.len() / 4 + 1);
    if let Ok(link) = Link::parse(bytes) {
        assert_eq!(Link::parse(&emitted(|builder| link.emit(builder))), Ok(link));
    }
    if let Ok(pair) = Pair::parse(bytes) {
        assert_eq!(Pair::parse(&emitted(|builder| pair.emit(builder))), Ok(pair));
    }
    if let Ok(address) = Address::parse(bytes) {
        assert_eq!(Address::parse(&emitted(|builder| address.emit(builder))), Ok(address));
    }
    if let Ok(route) = Route::parse(bytes) {
        assert_eq!(Route::parse(&emitted(|builder| route.emit(builder))), Ok(route));
    }
    if let Ok(neighbour) = Neighbour::parse(bytes) {
        assert_eq!(Neighbour::parse(&emitted(|builder| neighbour.emit(builder))), Ok(neighbour));
    }
    nftables(bytes);
}

fn nftables(bytes: &[u8]) {
    let most = bytes.len() / 4 + 1;
    assert!(Rule::parse_expressions(bytes).map_or(0, |list| list.count()) <= most);
    assert!(Elements::parse_list(bytes).map_or(0, |list| list.count()) <= most);
    assert!(Table::parse(bytes).map_or(0, |table| table.comment.len()) <= bytes.len());
    assert!(Set::parse(bytes).map_or(0, |set| set.name.len()) <= bytes.len());
    let short = bytes.len() < 4;
    assert!(!short || (Chain::parse(bytes).is_err() && Rule::parse(bytes).is_err()));
}

/// What `emit` writes, as the payload of one message that must read back whole.
fn emitted(emit: impl FnOnce(&mut Builder<'_>)) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let mut builder = Builder::new(&mut buffer);
    builder.message(Header { kind: 99, ..Header::default() }, emit);
    let bytes = builder.finish().expect("room");
    let message = Messages::new(bytes).next().expect("a message").expect("a sound one");
    message.payload.to_vec()
}
