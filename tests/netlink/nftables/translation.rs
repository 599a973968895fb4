//! Packets through a masquerade and a port map.

use super::{add_all, netfilter};
use crate::namespace::Place;
use crate::{Need, commit, kernel_case, name, open};
use libtest_mimic::Trial;
use pipkin::netlink::address;
use pipkin::netlink::interface::{self, Interface};
use pipkin::netlink::link::{self, create, create_pair, raise};
use pipkin::netlink::wire::ip::Cidr;
use pipkin::netlink::wire::link::{Kind, Link, UP};
use rustix::fd::AsFd;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

pub(super) fn case() -> Trial {
    kernel_case("nftables::packets_are_translated_both_ways", Need::Both, translation)
}

/// A host with a bridge and an outside link, a container behind the bridge, and somebody outside.
fn translation() {
    let (container, outside) = (Place::new(), Place::new());
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    let bridge = Link { name: Some(name("pipkin0")), kind: Some(Kind::Bridge), ..Link::default() };
    let mut socket = open();
    commit(&mut socket, &mut [0; 256], |batch| create(batch, &bridge)).unwrap();
    let index = link::index(&socket, &name("pipkin0")).unwrap();
    let near = |called| Link {
        name: Some(name(called)),
        kind: Some(Kind::Veth),
        flags: UP,
        change: UP,
        ..Link::default()
    };
    let (inner, uplink) = (Link { master: Some(index), ..near("inner0") }, near("uplink0"));
    let eth0 = Link { name: Some(name("eth0")), ..Link::default() };
    let called = name("pipkin0");
    commit(&mut socket, &mut [0; 1024], |batch| {
        create_pair(batch, &inner, &eth0, container.fd.as_fd());
        create_pair(batch, &uplink, &eth0, outside.fd.as_fd());
        raise(batch, &called);
    })
    .unwrap();
    let uplink = link::index(&socket, &name("uplink0")).unwrap();
    commit(&mut socket, &mut [0; 512], |batch| {
        address::add(batch, index, b"pipkin0", &Cidr::parse("172.20.0.1/16").unwrap());
        address::add(batch, uplink, b"uplink0", &Cidr::parse("10.0.0.1/24").unwrap());
    })
    .unwrap();
    let set_up = |address: &'static str, gateways: &'static [IpAddr]| {
        move || {
            let addresses = [Cidr::parse(address).unwrap()];
            interface::configure(&[Interface { name: &name("eth0"), addresses: &addresses, gateways }])
                .unwrap();
        }
    };
    const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 20, 0, 1));
    container.run(set_up("172.20.0.2/16", &[HOST]));
    outside.run(set_up("10.0.0.2/24", &[]));
    add_all(&mut netfilter()).unwrap();

    // Inbound: from outside to the host's address, and from the host itself, both arrive in the container.
    let served = container.start(|| {
        let listener = TcpListener::bind("172.20.0.2:80").unwrap();
        [(); 2].map(|()| listener.accept().unwrap().1.ip())
    });
    let published: SocketAddr = "10.0.0.1:8080".parse().unwrap();
    outside.run(move || drop(connect(published)));
    drop(connect("172.20.0.1:8080".parse().unwrap()));
    assert_eq!(served(), ["10.0.0.2", "172.20.0.1"].map(|peer| peer.parse::<IpAddr>().unwrap()));

    // Outbound: the world sees the host's address.
    let listener = outside.run(|| TcpListener::bind("10.0.0.2:7").unwrap());
    let seen = outside.start(move || listener.accept().unwrap().1.ip());
    container.run(|| drop(connect("10.0.0.2:7".parse().unwrap())));
    assert_eq!(seen(), "10.0.0.1".parse::<IpAddr>().unwrap());
}

/// Connects, trying again while the listener on the other side is not there yet.
fn connect(place: SocketAddr) -> TcpStream {
    for _ in 0..500 {
        if let Ok(stream) = TcpStream::connect(place) {
            return stream;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("nobody listens at {place}");
}
