//! What is typed of the network, and what comes of it.

use super::super::namespace::Joined;
use super::super::tests::{nowhere, sorted, words};
use super::*;
use pipkin::spec::{Attachment, IdMap, Publish, Subnet, Transport};
use std::net::IpAddr;

fn of(text: &str) -> Checked<(Join<'static>, Network<'static>)> {
    let directories =
        Directories { joined: Joined::network(c"/proc/7/ns/net"), bridge_is_usual: true, ..nowhere() };
    network(&sorted(&words(text)), &[b"host", b"pot"], &directories)
}

fn attachments(text: &str) -> &'static [Attachment<'static>] {
    of(text).unwrap_or_else(|why| panic!("{text}: {why:?}")).1.attachments
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_bridge_is_usual() {
    let (join, network) = of("").unwrap();
    assert_eq!((join, network.names, network.own_hosts), (Join::New, &b"host pot"[..], false));
    let [Attachment { bridge, subnets, mac: None }] = network.attachments else { panic!("{network:?}") };
    let v4 = Subnet { gateway: ip("172.20.0.1"), prefix_len: 16, wanted: None };
    assert_eq!((*bridge, subnets[0]), (c"pipkin0", v4));
    assert_eq!(attachments("--net bridge"), network.attachments);
}

#[test]
fn other_places_have_no_interface() {
    for (text, join) in [
        ("--net none", Join::New),
        ("--network host", Join::Host),
        ("--net ns:/proc/9/ns/net", Join::Path(c"/proc/9/ns/net")),
        ("--net container:pot", Join::Path(c"/proc/7/ns/net")),
    ] {
        assert_eq!(of(text).unwrap(), (join, Network::NONE), "{text}");
    }
}

#[test]
fn the_first_seeds_network() {
    let attachments = attachments("--ip 192.168.1.2 --subnet 192.168.1.0/24 --bridge br0");
    let subnet = Subnet { gateway: ip("192.168.1.1"), prefix_len: 24, wanted: Some(ip("192.168.1.2")) };
    assert_eq!(attachments, [Attachment { bridge: c"br0", subnets: &[subnet], mac: None }]);
}

#[test]
fn two_bridges_have_options_in_turn() {
    let [first, second] = attachments(
        "--net red --net bridge --subnet 10.1.0.9/24 --ip 10.1.0.2 --subnet fd00::/64 --subnet 10.2.0.0/30 \
         --ip 10.2.0.2 --mac 02:00:00:00:00:05",
    ) else {
        panic!("two bridges")
    };
    let subnet = |gateway, prefix_len, wanted: Option<&str>| Subnet {
        gateway: ip(gateway),
        prefix_len,
        wanted: wanted.map(ip),
    };
    assert_eq!((first.bridge, first.mac), (c"red", Some([2, 0, 0, 0, 0, 5])));
    assert_eq!(first.subnets, [subnet("10.1.0.9", 24, Some("10.1.0.2")), subnet("fd00::1", 64, None)]);
    assert_eq!(
        (second.bridge, second.subnets),
        (c"pipkin0", &[subnet("10.2.0.1", 30, Some("10.2.0.2"))][..])
    );
    // A bridge of another name has subnets of its own, the same each time.
    let own = attachments("--net red");
    assert_ne!(own[0].subnets[0], attachments("--net blue")[0].subnets[0]);
    assert_eq!(own, attachments("--net red"));
}

#[test]
fn ports_and_ranges() {
    let ports = |text: &str| of(text).unwrap().1.ports[0];
    let publish = |host: Option<&str>, host_port, port, count, transport| Publish {
        transport,
        host: host.map(ip),
        host_port,
        port,
        count,
    };
    assert_eq!(ports("-p 8080:80"), publish(None, 8080, 80, 1, Transport::Tcp));
    assert_eq!(ports("-p 0.0.0.0:53:53/udp"), publish(None, 53, 53, 1, Transport::Udp));
    assert_eq!(ports("-p 127.0.0.1:1-9:11-19/tcp"), publish(Some("127.0.0.1"), 1, 11, 9, Transport::Tcp));
    assert_eq!(ports("-p [fd00::1]:1-65535:1-65535"), publish(Some("fd00::1"), 1, 1, 65535, Transport::Tcp));
}

#[test]
fn a_port_of_the_host_is_found() {
    for (text, host, port, transport) in [
        ("-p 80", None, 80, Transport::Tcp),
        ("-p 53/udp", None, 53, Transport::Udp),
        ("-p 127.0.0.1::80", Some(ip("127.0.0.1")), 80, Transport::Tcp),
    ] {
        let [found] = of(text).unwrap().1.ports else { panic!("{text}") };
        let expected = Publish { transport, host, host_port: found.host_port, port, count: 1 };
        assert!(found.host_port > 1023 && *found == expected, "{text}: {found:?}");
    }
}

#[test]
fn an_alias_is_one_more_name() {
    assert_eq!(of("--network-alias web --network-alias a.b").unwrap().1.names, b"host pot web a.b");
}

#[test]
fn groups_that_may_ping_are_those_that_there_are() {
    let range = |network: &str, gids: &'static [IdMap]| {
        let network = of(network).unwrap().1;
        let user = UserNamespace { path: None, uids: &[], gids };
        for_ping(&network, Some(&user).filter(|_| !gids.is_empty())).map(|sysctl| sysctl.value)
    };
    assert_eq!(range("", &[]), Some(c"0 2147483647"));
    assert_eq!(range("", &[IdMap { inside: 0, outside: 9, count: 1 }]), Some(c"0 0"));
    let two = &[IdMap { inside: 100, outside: 1, count: 5 }, IdMap { inside: 7, outside: 70, count: 1 }];
    assert_eq!(range("", two), Some(c"7 104"));
    assert_eq!(range("", &[IdMap { inside: 0, outside: 0, count: u32::MAX }]), Some(c"0 2147483647"));
    assert_eq!(range("--net none", &[]), None);
}

#[test]
fn nonsense_is_refused() {
    for bad in [
        "--net private",
        "--net pasta",
        "--net a/b",
        "--net container:",
        "--net ns:x",
        "--net none --net host",
        "--net bridge --net host",
        "--net bridge --net bridge",
        "--net none -p 1:1",
        "--net host --ip 172.20.0.2",
        "--net container:x --add-host a:1.2.3.4",
        "--bridge a/b",
        "--bridge sixteen-letters-",
        "--ip 172.20.0.1",
        "--ip 172.20.0.0",
        "--ip 172.20.255.255",
        "--ip 192.168.1.2",
        "--ip fd00::1",
        "--ip6 172.20.0.2",
        "--ip6 fd00::2 --subnet 10.0.0.0/24",
        "--ip 172.20.0.2 --ip 172.20.0.3",
        "--subnet 10.0.0.0",
        "--subnet 10.0.0.0/",
        "--subnet 10.0.0.0/33",
        "--subnet 10.0.0.0/31",
        "--subnet 10.0.0.0/7",
        "--subnet 10.0.0.255/24",
        "--subnet 10.0.0.0/24 --subnet 10.0.1.0/24",
        "--mac 01:00:00:00:00:01",
        "--mac 00:00:00:00:00:00",
        "--mac 02:00:00:00:00",
        "--mac 02:00:00:00:00:01:02",
        "--mac 2:0:0:0:0:1",
        "-p 80-81",
        "-p :80:80",
        "-p 192.0.2.77::80",
        "--network-alias a/b",
        "--net none --network-alias a",
        "-p 0:80",
        "-p 80:65536",
        "-p +1:1",
        "-p 1-2:1",
        "-p 2-1:2-1",
        "-p 1:1/sctp",
        "-p ::1:1:1",
        "-p [::1]:1:1",
        "-p [127.0.0.1]:1:1",
        "--add-host a",
        "--add-host :1.2.3.4",
        "--add-host a:b",
        "--add-host a/b:1.2.3.4",
    ] {
        assert!(of(bad).is_err(), "{bad}");
    }
}
