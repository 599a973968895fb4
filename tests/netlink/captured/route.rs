//! Links, addresses, routes and neighbours against iproute2.

use super::{Nest, built, meaning, sends};
use crate::case;
use libtest_mimic::Trial;
use pipkin::netlink::batch::{Batch, Step};
use pipkin::netlink::wire::builder::Builder;
use pipkin::netlink::wire::ip::Cidr;
use pipkin::netlink::wire::link::{self, Kind, Link, Name, Pair, UP};
use pipkin::netlink::wire::message::{CREATE, EXCLUSIVE, Message, Messages};
use pipkin::netlink::wire::{address, neighbour, route};
use pipkin::netlink::{self, wire};
use std::net::IpAddr;

const FILE: &str = include_str!("route.txt");

pub(super) fn cases() -> Vec<Trial> {
    vec![
        case("captured::route::links_made", links_made),
        case("captured::route::links_changed", links_changed),
        case("captured::route::addresses", addresses),
        case("captured::route::routes", routes),
        case("captured::route::neighbours", neighbours),
        case("captured::route::every_record_reads_back", every_record_reads_back),
    ]
}

/// Bytes of the fixed header of messages of type `kind`.
fn fixed(kind: u16) -> usize {
    match kind {
        link::NEW..=link::GET => link::HEADER_LEN,
        address::NEW..=address::GET => address::HEADER_LEN,
        route::NEW..=route::GET => route::HEADER_LEN,
        neighbour::NEW..=neighbour::GET => neighbour::HEADER_LEN,
        _ => panic!("message type {kind}"),
    }
}

/// `IFLA_LINKINFO`, its `IFLA_INFO_DATA` and the peer in that; `RTA_METRICS` of a route.
fn nests(kind: u16, path: &[u16]) -> Nest {
    match (kind, path) {
        (link::NEW, [18] | [18, 2]) | (route::NEW, [8]) => Nest::Set,
        (link::NEW, [18, 2, 1]) => Nest::Behind(link::HEADER_LEN),
        _ => Nest::No,
    }
}

/// Compares what `fill` appends with the last send recorded for `command`.
fn same(command: &str, fill: impl for<'a> FnOnce(&mut Batch<'a>)) {
    let recorded = sends(FILE, command);
    let mut buffer = [0; 512];
    let ours = built(&mut buffer, fill);
    assert_eq!(meaning(&ours, fixed, nests), meaning(recorded.last().unwrap(), fixed, nests), "{command}");
}

/// The same for one request given by its parts.
fn request(command: &str, kind: u16, flags: u16, emit: impl FnOnce(&mut Builder<'_>)) {
    same(command, |batch| batch.push(Step { stage: "test", subject: b"" }, kind, flags, emit));
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn cidr(text: &str) -> Cidr {
    Cidr::parse(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn links_made() {
    let bridge = Link {
        name: Some(name("pipkin0")),
        mac: Some([2, 0x42, 172, 20, 0, 1]),
        kind: Some(Kind::Bridge),
        ..Link::default()
    };
    let command = "ip link add pipkin0 address 02:42:ac:14:00:01 type bridge";
    request(command, link::NEW, CREATE | EXCLUSIVE, |payload| bridge.emit(payload));

    let near = Link {
        name: Some(name("veth1")),
        mac: Some([2, 0, 0, 0, 0, 1]),
        mtu: Some(1400),
        master: Some(2),
        kind: Some(Kind::Veth),
        ..Link::default()
    };
    let far = Link {
        name: Some(name("eth0")),
        mac: Some([2, 0, 0, 0, 0, 2]),
        mtu: Some(1400),
        namespace_fd: Some(4),
        ..Link::default()
    };
    let command = "ip link add veth1 mtu 1400 address 02:00:00:00:00:01 master pipkin0 type veth \
                   peer name eth0 address 02:00:00:00:00:02 mtu 1400 netns c1";
    request(command, link::NEW, CREATE | EXCLUSIVE, |payload| Pair { near, far }.emit(payload));

    let near = Link { name: Some(name("veth2")), kind: Some(Kind::Veth), ..Link::default() };
    let far = Link { name: Some(name("veth3")), ..Link::default() };
    let command = "ip link add veth2 type veth peer name veth3";
    request(command, link::NEW, CREATE | EXCLUSIVE, |payload| Pair { near, far }.emit(payload));
}

fn links_changed() {
    let veth = Link { index: 5, ..Link::default() };
    let changes = [
        ("ip link set veth2 master pipkin0", Link { master: Some(2), ..veth }),
        ("ip link set veth2 nomaster", Link { master: Some(0), ..veth }),
        ("ip link set veth2 mtu 1300", Link { mtu: Some(1300), ..veth }),
        ("ip link set veth2 address 02:00:00:00:00:07", Link { mac: Some([2, 0, 0, 0, 0, 7]), ..veth }),
        ("ip link set veth2 name veth4", Link { name: Some(name("veth4")), ..veth }),
        ("ip link set veth3 netns c1", Link { index: 4, namespace_fd: Some(4), ..Link::default() }),
        ("ip link set pipkin0 up", Link { index: 2, flags: UP, change: UP, ..Link::default() }),
        ("ip link set lo up", Link { index: 1, flags: UP, change: UP, ..Link::default() }),
    ];
    for (command, link) in changes {
        request(command, link::NEW, 0, |payload| link.emit(payload));
    }
    let gone = Link { index: 2, ..Link::default() };
    request("ip link del pipkin0", link::DELETE, 0, |payload| gone.emit(payload));
}

fn addresses() {
    let v4 = cidr("172.20.0.1/16");
    same("ip address add 172.20.0.1/16 broadcast 172.20.255.255 dev pipkin0", |batch| {
        netlink::address::add(batch, 2, b"pipkin0", &v4);
    });
    same("ip address add fd00:20::1/64 dev pipkin0 nodad", |batch| {
        netlink::address::add(batch, 2, b"pipkin0", &cidr("fd00:20::1/64"));
    });
    same("ip address del 172.20.0.1/16 dev pipkin0", |batch| {
        netlink::address::delete(batch, 2, b"pipkin0", &v4);
    });
}

fn routes() {
    let default = route::Route { link: Some(2), ..route::Route::default_through(ip("172.20.0.2")) };
    same("ip route add default via 172.20.0.2 dev pipkin0", |batch| netlink::route::add(batch, &default));
    let default = route::Route { link: Some(2), ..route::Route::default_through(ip("fd00:20::2")) };
    same("ip route add default via fd00:20::2 dev pipkin0", |batch| netlink::route::add(batch, &default));
    let special = route::Route {
        link: Some(2),
        priority: Some(50),
        mtu: Some(1280),
        ..route::Route::through(ip("172.20.0.3"), cidr("10.0.0.0/8"))
    };
    same("ip route add 10.0.0.0/8 via 172.20.0.3 dev pipkin0 metric 50 mtu 1280", |batch| {
        netlink::route::add(batch, &special);
    });
    same("ip route del 10.0.0.0/8", |batch| netlink::route::delete(batch, &cidr("10.0.0.0/8")));
}

fn neighbours() {
    let known = neighbour::Neighbour {
        link: 2,
        address: ip("172.20.0.9"),
        mac: Some([2, 0, 0, 0, 0, 9]),
        state: neighbour::PERMANENT,
    };
    let command = "ip neigh add 172.20.0.9 lladdr 02:00:00:00:00:09 dev pipkin0 nud permanent";
    request(command, neighbour::NEW, CREATE | EXCLUSIVE, |payload| known.emit(payload));
    let gone = neighbour::Neighbour { mac: None, ..known };
    request("ip neigh del 172.20.0.9 dev pipkin0", neighbour::DELETE, 0, |payload| gone.emit(payload));
}

/// What is read from each record, written again, means the same.
fn every_record_reads_back() {
    let mut read = 0;
    for command in FILE.lines().filter_map(|line| line.strip_prefix("$ ")) {
        for send in sends(FILE, command) {
            for message in Messages::new(&send) {
                let message = message.unwrap();
                let flags = message.header.flags;
                request(command, message.header.kind, flags, |payload| rewrite(&message, payload).unwrap());
                read += 1;
            }
        }
    }
    assert!(read >= 23, "{read} messages");
}

fn rewrite(message: &Message<'_>, payload: &mut Builder<'_>) -> Result<(), wire::Malformed> {
    match message.header.kind {
        link::NEW..=link::GET => match Pair::parse(message.payload) {
            Ok(pair) => pair.emit(payload),
            Err(wire::Malformed) => Link::parse(message.payload)?.emit(payload),
        },
        address::NEW..=address::GET => address::Address::parse(message.payload)?.emit(payload),
        route::NEW..=route::GET => route::Route::parse(message.payload)?.emit(payload),
        _ => neighbour::Neighbour::parse(message.payload)?.emit(payload),
    }
    Ok(())
}
