//! Bridges, and what a container finds in its namespace.

use super::payload::{LONG, answer, ask};
use super::{addresses, both_say, neither_says, place, question, server};
use crate::harness::{
    CABLE_MTU, Case, Elsewhere, Folder, Footprint, HERE, THERE, cases, detached_sh, eventually, name, run,
};
use pipkin::netlink::wire::link::{self, Link};
use pipkin::netlink::wire::message::Messages;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    let own = cases!(
        Nothing,
        [
            the_size_of_packets_is_that_of_the_way_out,
            no_link_of_the_host_is_ever_called_eth0,
            made_by_the_first_and_gone_with_the_last,
            two_at_once_make_one_bridge,
            forwarding_is_put_back_as_it_was_found,
            routers_of_the_host_are_listened_to,
            the_way_out_is_masked,
            the_host_has_its_loopback_for_itself,
            bridges_are_apart,
            on_two_bridges,
            a_link_of_another_kind_is_no_bridge,
            somebody_elses_bridge_stays,
        ]
    );
    [own, cases!(Any, [what_a_container_finds])].concat()
}

fn what_a_container_finds() {
    let script = "ip -o addr show eth0 | awk '{print $4}'; ip route | awk '/default/ {print $1, $3, $5}'
        ip -6 route | awk '/default/ {print $1, $3, $5}'; cat /sys/class/net/lo/operstate /sys/class/net/eth0/address
        cat /proc/sys/net/ipv6/conf/eth0/accept_ra; ip -o link | grep -c ,UP";
    let outcome = run("--ip 172.20.7.9 --mac 02:00:00:00:07:09").sh(script).succeeds();
    let text = outcome.text();
    let v6 = text.lines().find(|line| line.starts_with("fd70:")).expect("an address of IPv6");
    assert_eq!(v6, "fd70:6970:6b69:6e00::709/64");
    let rest: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("fe80:") && !line.starts_with("fd70:")).collect();
    let expected = [
        "172.20.7.9/16",
        "default 172.20.0.1 eth0",
        "default fd70:6970:6b69:6e00::1 eth0",
        "unknown",
        "02:00:00:00:07:09",
        "0",
        "2",
    ];
    assert_eq!(rest, expected, "{outcome}");
}

fn the_size_of_packets_is_that_of_the_way_out() {
    let mtu = "cat /sys/class/net/eth0/mtu";
    run("").sh(mtu).prints("1500\n");
    let _elsewhere = Elsewhere::new();
    let container = detached_sh("", &format!("{mtu}; exec sleep 1000"));
    container.expect(&CABLE_MTU.to_string());
    let bridge = fs::read_to_string("/proc/thread-self/net/dev").expect("the links");
    assert!(bridge.contains("pipkin0:"), "{bridge}");
}

/// Every name that a link of this namespace has had since it was opened.
struct Names(rustix::fd::OwnedFd);

impl Names {
    fn watch() -> Self {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).expect("a socket");
        // RTMGRP_LINK (linux/rtnetlink.h)
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 1)).expect("a place to listen");
        Self(socket)
    }

    fn seen(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while let Ok((len, _)) = recv(&self.0, buffer.as_mut_slice(), RecvFlags::empty()) {
            for message in Messages::new(&buffer[..len]) {
                let message = message.expect("a message");
                if message.header.kind == link::NEW {
                    let name = Link::parse(message.payload).expect("a link").name.expect("its name");
                    names.push(String::from_utf8_lossy(name.as_bytes()).into_owned());
                }
            }
        }
        names
    }
}

fn no_link_of_the_host_is_ever_called_eth0() {
    let names = Names::watch();
    run("").sh("ip -o link | awk '{print $2}'").succeeds();
    let seen = names.seen();
    assert!(seen.iter().any(|name| name == "pipkin0"), "{seen:?}");
    assert!(seen.iter().any(|name| name.starts_with("pk")), "{seen:?}");
    assert!(!seen.iter().any(|name| name.starts_with("eth")), "{seen:?}");
}

fn links() -> Vec<String> {
    let text = fs::read_to_string("/proc/thread-self/net/dev").expect("the links");
    text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

fn made_by_the_first_and_gone_with_the_last() {
    let before = Footprint::take();
    assert!(!links().contains(&"pipkin0".to_owned()));
    let first = detached_sh("", "exec sleep 1000");
    let second = detached_sh("", "exec sleep 1000");
    drop(first);
    assert!(links().contains(&"pipkin0".to_owned()));
    drop(second);
    before.assert_unchanged();
}

fn two_at_once_make_one_bridge() {
    for _ in 0..5 {
        // Each stays until the others are there: the address of one that has ended is free again.
        let gate = Folder::new();
        let script = "ip -o -4 addr show eth0 | awk '{print $4}'; mktemp /gate/XXXXXX > /dev/null
            until [ $(ls /gate | wc -l) = 3 ]; do sleep 0.02; done";
        let started = [(); 3].map(|()| run("").volume(gate.path(), "/gate").start_sh(script));
        let mut told = started.map(|container| container.wait().succeeds().text());
        told.sort();
        assert!(told.iter().all(|address| address.starts_with("172.20.0.")), "{told:?}");
        assert!(told[0] != told[1] && told[1] != told[2], "{told:?}");
    }
}

const SWITCHES: [&str; 2] = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];

fn switches() -> [String; 2] {
    SWITCHES.map(|file| fs::read_to_string(file).expect("a switch").trim().to_owned())
}

fn forwarding_is_put_back_as_it_was_found() {
    for found in [["0", "0"], ["1", "0"], ["0", "1"], ["1", "1"]] {
        let set = |values: [&str; 2]| {
            SWITCHES.iter().zip(values).for_each(|(file, value)| fs::write(file, value).expect("a switch"));
        };
        set(found);
        let container = detached_sh("", "exec sleep 1000");
        assert_eq!(switches(), ["1", "1"]);
        drop(container);
        assert_eq!(switches(), found);
        set(["0", "0"]);
    }
}

fn the_way_out_is_masked() {
    let elsewhere = Elsewhere::new();
    elsewhere.run(|| answer("router", &[7]));
    for (there, here) in THERE.into_iter().zip(HERE) {
        for transport in ["tcp", "udp"] {
            let asked = run("").payload(&question(transport, there, 7, "long"));
            asked.prints(&format!("router sees {here}\n"));
        }
    }
}

/// CVE-2020-8558. With the rules as they are, and the container free to do with its own namespace what it likes.
fn the_host_has_its_loopback_for_itself() {
    answer("host", &[7071]);
    let script = |to: &str| {
        format!(
            "ip addr del 127.0.0.1/8 dev lo; ip route del table local 127.0.0.0/8 dev lo 2>/dev/null
            ip route add 127.0.0.0/8 via 172.20.0.1 || exit 9
            /e2e --payload {}",
            question("tcp", to, 7071, "short")
        )
    };
    let run = |to: &str| {
        let options = "--cap-add NET_ADMIN -p 7072:7 --sysctl net.ipv4.conf.all.route_localnet=1";
        run(options).with_payload().sh(&script(to)).exits(0).text()
    };
    // On its bridge's address the host is to be had: it is a server like any other.
    assert!(run("172.20.0.1").starts_with("host sees 172.20."), "{}", run("172.20.0.1"));
    assert_eq!(run("127.0.0.1"), "TimedOut\n");
}

fn bridges_are_apart() {
    let red = server("--net red", "7");
    let blue = server("--net blue", "7");
    let [v4, v6] = addresses(&red);
    for address in [&v4, &v6] {
        // The host is on both.
        both_say(address, 7, &ask("tcp", place(address, 7), LONG).expect("an answer"));
        let from = |bridge: &str, patience: &str| {
            let asked = run(&format!("--net {bridge}")).payload(&question("tcp", address, 7, patience));
            asked.succeeds().text()
        };
        assert!(from("red", "long").contains(" sees "));
        assert_eq!(from("blue", "short"), "TimedOut\n");
    }
    drop((red, blue));
}

fn on_two_bridges() {
    let red = server("--net red", "7");
    let blue = server("--net blue", "7");
    let script = format!(
        "ip -o link | awk '{{print $2}}' | grep eth; ip route | grep -c default
        for to in {} {}; do /e2e --payload ask tcp $to long; done",
        place(&addresses(&red)[0], 7),
        place(&addresses(&blue)[0], 7)
    );
    let outcome = run("--net red --net blue").with_payload().sh(&script).succeeds();
    let text = outcome.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("eth0@") && lines[1].starts_with("eth1@"), "{outcome}");
    assert_eq!(lines[2], "1", "{outcome}");
    assert!(lines[3].contains(" sees ") && lines[4].contains(" sees "), "{outcome}");
    neither_says(&addresses(&red)[0], 8);
}

fn a_link_of_another_kind_is_no_bridge() {
    let _elsewhere = Elsewhere::new();
    run("--bridge up0").sh("true").expect_refusal(&["up0", "--bridge"]);
    run("--net lo").sh("true").expect_refusal(&["lo"]);
}

fn somebody_elses_bridge_stays() {
    use pipkin::netlink::batch::Batch;
    use pipkin::netlink::socket::{Protocol, Socket};
    let called = name("theirs");
    let theirs = Link { kind: Some(link::Kind::Bridge), name: Some(called), ..Link::default() };
    let mut buffer = [0; 256];
    let mut batch = Batch::new(&mut buffer);
    pipkin::netlink::link::create(&mut batch, &theirs);
    Socket::open(Protocol::Route).and_then(|mut socket| socket.commit(&mut batch)).expect("a bridge");
    run("--net theirs").sh("cat /sys/class/net/eth0/operstate").prints("up\n");
    eventually("the links gone", &mut || !links().iter().any(|name| name.starts_with("pk")));
    assert!(links().contains(&"theirs".to_owned()));
    let mut buffer = [0; 256];
    let mut batch = Batch::new(&mut buffer);
    pipkin::netlink::link::delete(&mut batch, &called);
    Socket::open(Protocol::Route).and_then(|mut socket| socket.commit(&mut batch)).expect("it gone");
}

/// A host that has its way out from a router goes on listening to it while it forwards.
fn routers_of_the_host_are_listened_to() {
    let elsewhere = Elsewhere::new();
    let file = "/proc/sys/net/ipv6/conf/up0/accept_ra";
    let accepts = || fs::read_to_string(file).expect("a switch").trim().to_owned();
    // `00000000…` is the destination, and the last but one field the flags: RTF_ADDRCONF | RTF_DEFAULT (linux/ipv6_route.h).
    let learned = || {
        let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route").expect("the routes");
        let flags = |line: &str| u32::from_str_radix(line.split_whitespace().nth(8)?, 16).ok();
        routes.lines().filter_map(flags).filter(|flags| flags & 0x0005_0000 == 0x0005_0000).count()
    };
    assert_eq!((accepts().as_str(), learned()), ("1", 0));
    // What it says before its own address is settled nobody hears.
    eventually("a route", &mut || {
        elsewhere.run(announce);
        learned() == 1
    });
    let container = detached_sh("", "exec sleep 1000");
    assert_eq!((accepts().as_str(), learned()), ("2", 1));
    drop(container);
    assert_eq!((accepts().as_str(), learned()), ("1", 1));
    // What somebody has set himself is his.
    fs::write(file, "0").expect("a switch");
    run("").sh("true").prints("");
    assert_eq!(accepts(), "0");
}

/// Says that this host is a router, for half an hour (RFC 4861 section 4.2).
fn announce() {
    use rustix::net::{SendFlags, SocketAddrV6, ipproto, sendto, sockopt};
    let icmp = Some(ipproto::ICMPV6);
    let socket =
        socket_with(AddressFamily::INET6, SocketType::RAW, SocketFlags::CLOEXEC, icmp).expect("a socket");
    sockopt::set_ipv6_multicast_hops(&socket, 255).expect("what a router sends");
    let eth0 = pipkin::netlink::link::index(
        &pipkin::netlink::socket::Socket::open(pipkin::netlink::socket::Protocol::Route).expect("a socket"),
        &name("eth0"),
    );
    let everybody = SocketAddrV6::new("ff02::1".parse().expect("an address"), 0, 0, eth0.expect("a link"));
    let message = [134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(sendto(&socket, &message, SendFlags::empty(), &everybody), Ok(message.len()));
}
