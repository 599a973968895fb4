//! A container's interface from both sides: the pair made outside, the rest done inside.

use crate::namespace::{self, Place};
use crate::{Need, commit, kernel_case, name, open, tool};
use libtest_mimic::Trial;
use pipkin::netlink::interface::{self, Interface};
use pipkin::netlink::link::{self, create_pair};
use pipkin::netlink::wire::address::Address;
use pipkin::netlink::wire::ip::{Cidr, INET, INET6};
use pipkin::netlink::wire::link::{Kind, Link, Name, UP};
use pipkin::netlink::wire::route::Route;
use pipkin::netlink::{address, neighbour, route};
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::fs;
use std::net::{IpAddr, TcpListener, TcpStream};

pub(crate) fn cases() -> Vec<Trial> {
    vec![
        kernel_case("interface::both_sides_speak_to_each_other", Need::Links, both_sides),
        kernel_case("interface::routes_and_neighbours_come_and_go", Need::Links, routes_and_neighbours),
        kernel_case("interface::a_moved_link_is_gone_here", Need::Links, a_moved_link),
    ]
}

const MAC: [u8; 6] = [2, 0, 172, 20, 0, 2];

fn cidr(text: &str) -> Cidr {
    Cidr::parse(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A bridge called `pipkin0`, up, with the addresses the containers take as their gateways. Gives its index.
fn bridge() -> u32 {
    let mut socket = open();
    let called = name("pipkin0");
    let link = Link { name: Some(called), kind: Some(Kind::Bridge), ..Link::default() };
    commit(&mut socket, &mut [0; 256], |batch| link::create(batch, &link)).unwrap();
    let index = link::index(&socket, &called).unwrap();
    commit(&mut socket, &mut [0; 512], |batch| {
        address::add(batch, index, b"pipkin0", &cidr("172.20.0.1/16"));
        address::add(batch, index, b"pipkin0", &cidr("fd00:20::1/64"));
        link::raise(batch, &called);
    })
    .unwrap();
    index
}

fn both_sides() {
    let index = bridge();
    let listeners = ["172.20.0.1:0", "[fd00:20::1]:0"].map(|place| TcpListener::bind(place).unwrap());
    let places = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let container = Place::new();
    let near_name = name("near0");
    let near = Link {
        name: Some(near_name),
        kind: Some(Kind::Veth),
        master: Some(index),
        mtu: Some(1400),
        flags: UP,
        change: UP,
        ..Link::default()
    };
    let far = Link { name: Some(name("eth0")), mac: Some(MAC), mtu: Some(1400), ..Link::default() };
    commit(&mut open(), &mut [0; 512], |batch| create_pair(batch, &near, &far, container.fd.as_fd()))
        .unwrap();
    assert_eq!(link::index(&open(), &name("eth0")).unwrap_err().errno, Errno::NODEV);
    let listed = link::fold_members(&mut open(), index, &Vec::new(), |found, link| found.push(link.name));
    assert_eq!(listed, Ok(vec![Some(near_name)]));

    container.run(move || {
        let eth0 = name("eth0");
        let interfaces = [Interface {
            name: &eth0,
            addresses: &[cidr("172.20.0.2/16"), cidr("fd00:20::2/64")],
            gateways: &[ip("172.20.0.1"), ip("fd00:20::1")],
        }];
        interface::configure(&interfaces).unwrap();
        what_is_inside(&eth0);
        drop(places.map(|place| TcpStream::connect(place).unwrap()));
        // Done twice, it is refused: an address that is there is not taken over silently.
        assert_eq!(interface::configure(&interfaces).unwrap_err().errno, Errno::EXIST);
    });
    assert!(link::get(&mut open(), &near_name).is_ok_and(|near| near.statistics.unwrap().rx_packets > 0));
    commit(&mut open(), &mut [0; 256], |batch| link::delete(batch, &near_name)).unwrap();
    assert_eq!(link::fold_members(&mut open(), index, &0, |count, _| *count += 1), Ok(0));
    container.run(|| assert_eq!(link::index(&open(), &name("eth0")).unwrap_err().errno, Errno::NODEV));
}

/// Checks `eth0` by our own lists and by ip's.
fn what_is_inside(eth0: &Name) {
    let mut socket = open();
    let found = link::get(&mut socket, eth0).unwrap();
    assert_eq!((found.mac, found.mtu, found.flags & UP), (Some(MAC), Some(1400), UP));
    let addresses = address::fold(&mut socket, &Vec::new(), |list: &mut Vec<Address>, address| {
        if address.link == found.index {
            list.push(*address);
        }
    })
    .unwrap();
    for wanted in ["172.20.0.2/16", "fd00:20::2/64"] {
        assert!(addresses.iter().any(|address| address.cidr == cidr(wanted)), "{wanted} in {addresses:?}");
    }
    if let Some(told) = tool::json("ip", &["-j", "address", "show", "eth0"]) {
        let told = told[0]["addr_info"].as_array().unwrap();
        let v4 = told.iter().find(|info| info["local"] == "172.20.0.2").unwrap();
        assert_eq!((&v4["prefixlen"], &v4["broadcast"]), (&16.into(), &"172.20.255.255".into()));
        let v6 = told.iter().find(|info| info["local"] == "fd00:20::2").unwrap();
        assert_eq!((&v6["prefixlen"], &v6["tentative"]), (&64.into(), &serde_json::Value::Null));
    }
    if let Some(told) = tool::json("ip", &["-j", "route", "show", "default"]) {
        assert_eq!((&told[0]["gateway"], &told[0]["dev"]), (&"172.20.0.1".into(), &"eth0".into()));
    }
    for (family, gateway) in [(INET, "172.20.0.1"), (INET6, "fd00:20::1")] {
        let defaults = route::fold(&mut socket, family, &Vec::new(), |list: &mut Vec<Route>, route| {
            if route.destination.prefix_len() == 0 && route.gateway.is_some() {
                list.push(*route);
            }
        })
        .unwrap();
        assert_eq!(defaults.len(), 1);
        assert_eq!((defaults[0].gateway, defaults[0].link), (Some(ip(gateway)), Some(found.index)));
    }
    assert_eq!(route::uplink(&mut socket).unwrap().unwrap().link, Some(found.index));
}

fn routes_and_neighbours() {
    let index = bridge();
    let mut socket = open();
    let far = Route {
        link: Some(index),
        priority: Some(50),
        mtu: Some(1280),
        source: Some(ip("172.20.0.1")),
        ..Route::through(ip("172.20.0.3"), cidr("10.0.0.0/8"))
    };
    commit(&mut socket, &mut [0; 512], |batch| {
        route::add(batch, &far);
        route::add_default(batch, ip("172.20.0.4"));
        neighbour::set(batch, index, ip("172.20.0.9"), [2, 0, 0, 0, 0, 8]);
        neighbour::set(batch, index, ip("172.20.0.9"), [2, 0, 0, 0, 0, 9]);
    })
    .unwrap();
    let of = |destination: &str| {
        route::fold(&mut open(), INET, &Vec::new(), |found: &mut Vec<Route>, route| {
            if route.destination == cidr(destination) {
                found.push(*route);
            }
        })
        .unwrap()
    };
    assert_eq!(of("10.0.0.0/8"), [far]);
    assert_eq!(route::uplink(&mut socket).unwrap().unwrap().gateway, Some(ip("172.20.0.4")));
    let arp = fs::read_to_string("/proc/thread-self/net/arp").unwrap();
    assert!(
        arp.lines().any(|line| line.starts_with("172.20.0.9 ") && line.contains("02:00:00:00:00:09")),
        "{arp}"
    );

    // Twice: what is gone is as good as removed.
    for _ in 0..2 {
        commit(&mut socket, &mut [0; 512], |batch| {
            route::delete(batch, &cidr("10.0.0.0/8"));
            route::delete(batch, &Cidr::ALL_V4);
            neighbour::delete(batch, index, ip("172.20.0.9"));
            address::delete(batch, index, b"pipkin0", &cidr("172.20.0.1/16"));
        })
        .unwrap();
    }
    assert_eq!((of("10.0.0.0/8"), of("172.20.0.0/16")), (vec![], vec![]));
    assert_eq!(route::uplink(&mut socket), Ok(None));

    let error =
        commit(&mut socket, &mut [0; 512], |batch| route::add_default(batch, ip("9.9.9.9"))).unwrap_err();
    assert_eq!((error.stage, error.errno), ("add the default route", Errno::NETUNREACH));
}

fn a_moved_link() {
    let traveller = Link { name: Some(name("traveller")), kind: Some(Kind::Veth), ..Link::default() };
    let stays = Link { name: Some(name("stays")), ..Link::default() };
    let (here, other, called) = (namespace::own(), Place::new(), name("traveller"));
    commit(&mut open(), &mut [0; 512], |batch| {
        create_pair(batch, &traveller, &stays, here.as_fd());
        link::surrender(batch, &called, other.fd.as_fd());
    })
    .unwrap();
    assert_eq!(link::get(&mut open(), &called).unwrap_err().errno, Errno::NODEV);
    assert!(link::get(&mut open(), &name("stays")).is_ok());
    other.run(|| assert!(link::get(&mut open(), &name("traveller")).is_ok()));
}
