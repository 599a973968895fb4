//! Published ports, from everywhere they can be asked at.

use super::payload::{LONG, SHORT, ask};
use super::{addresses, both_say, neither_says, place, question, server};
use crate::harness::{Case, Elsewhere, HERE, cases, detached_sh, run};
use pipkin::netlink::nftables::fold_elements;
use pipkin::netlink::socket::{Protocol, Socket};
use pipkin::netlink::wire::nftables::Family;
use pipkin::netlink::wire::nftables::set::Elements;
use std::net::{TcpListener, UdpSocket};

pub(crate) fn cases() -> Vec<Case> {
    let own = cases!(
        Nothing,
        [
            from_everywhere_past_the_bridge,
            of_one_address,
            ranges,
            one_that_the_kernel_chooses,
            a_port_that_is_not_published,
            the_rules_of_the_dead_are_gone,
            a_port_that_a_program_has,
            a_port_that_a_container_has,
            what_is_no_port,
        ]
    );
    [own, cases!(Any, [from_everywhere])].concat()
}

/// Whether the machine's packet filter looks into bridges.
struct LooksIn;

impl LooksIn {
    const FILES: [&str; 2] = ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"];

    fn say(value: &str) {
        for file in Self::FILES {
            let path = std::path::Path::new("/proc/sys/net/bridge").join(file);
            // A kernel without br_netfilter never looks.
            assert!(!path.exists() || std::fs::write(&path, value).is_ok(), "{}", path.display());
        }
    }
}

impl Drop for LooksIn {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            if !std::thread::panicking() {
                Self::say("1");
            }
        });
    }
}

fn from_everywhere_past_the_bridge() {
    LooksIn::say("0");
    let _looks_in = LooksIn;
    from_everywhere();
}

/// From another host, from the host itself, from another container and from the container itself.
fn from_everywhere() {
    let elsewhere = Elsewhere::new();
    let web = server("--hostname web -p 8080:7 -p 8080:7/udp", "7");
    let own = addresses(&web);
    let neighbour = |transport: &str, address: &str| {
        run("").payload(&question(transport, address, 8080, "long")).succeeds().text()
    };
    let itself = |transport: &str, address: &str| {
        let ask = question(transport, address, 8080, "long");
        let words = ["exec", &web.id, "/e2e", "--payload"].into_iter().chain(ask.split(' '));
        crate::harness::pipkin(&words.collect::<Vec<_>>()).succeeds().text()
    };
    for (here, (there, own)) in HERE.into_iter().zip(crate::harness::THERE.into_iter().zip(&own)) {
        // The address of who asks is seen, since nothing is masked on the way in.
        elsewhere.run(move || both_say(here, 8080, &format!("web sees {there}")));
        for transport in ["tcp", "udp"] {
            let told = ask(transport, place(here, 8080), LONG).expect("an answer");
            assert!(told.starts_with("web sees "), "{told}");
            let told = neighbour(transport, here);
            assert!(told.starts_with("web sees "), "neighbour {transport} {here} {told}");
            let told = itself(transport, here);
            assert!(told.starts_with("web sees "), "itself {transport} {here} {told}");
            assert!(!own.is_empty());
        }
    }
    // Through the loopback the host is seen as the bridge: nothing could be sent back there.
    both_say("127.0.0.1", 8080, "web sees 172.20.0.1");
    both_say("127.9.8.7", 8080, "web sees 172.20.0.1");
    both_say("172.20.0.1", 8080, "web sees 172.20.0.1");
}

fn of_one_address() {
    let elsewhere = Elsewhere::new();
    let local = server("--hostname local -p 127.0.0.1:8081:7 -p 127.0.0.1:8081:7/udp", "7");
    both_say("127.0.0.1", 8081, "local sees 172.20.0.1");
    elsewhere.run(|| neither_says(HERE[0], 8081));
    neither_says(HERE[0], 8081);
    let outer = server("--hostname outer -p 203.0.113.1:8081:7 -p [2001:db8::1]:8081:7", "7");
    elsewhere.run(|| {
        for here in HERE {
            let told = ask("tcp", place(here, 8081), LONG).expect("an answer");
            assert!(told.starts_with("outer sees "), "{told}");
        }
    });
    let told = ask("tcp", place("127.0.0.1", 8081), LONG);
    assert_eq!(told.as_deref(), Ok("local sees 172.20.0.1"));
    drop((local, outer));
}

fn ranges() {
    let elsewhere = Elsewhere::new();
    let web = server("--hostname web -p 8000-8099:100-199", "100 150 199");
    elsewhere.run(|| {
        for (port, answered) in [(8000, true), (8050, true), (8099, true), (8100, false), (7999, false)] {
            let told = ask("tcp", place(HERE[0], port), LONG);
            assert_eq!(told.is_ok(), answered, "{port}: {told:?}");
        }
        // One that is published and that nobody listens on.
        let told = ask("tcp", place(HERE[0], 8001), LONG);
        assert_eq!(told, Err(std::io::ErrorKind::ConnectionRefused));
    });
    assert_eq!(web.fact("network.port"), "8000-8099 to 100-199/tcp");
}

fn one_that_the_kernel_chooses() {
    let web = server("--hostname web -p 7 -p 127.0.0.1::8/udp", "7 8");
    let verb = |words: &[&str]| crate::harness::pipkin(&[&["port", web.id.as_str()], words].concat());
    let all = verb(&[]).succeeds().text();
    let lines: Vec<&str> = all.lines().collect();
    let [v4, v6, udp] = lines[..] else { panic!("{all}") };
    let port: u16 = v4.strip_prefix("7/tcp -> 0.0.0.0:").expect(v4).parse().expect(v4);
    assert_eq!(v6, format!("7/tcp -> [::]:{port}"));
    let told = ask("tcp", place("127.0.0.1", port), LONG);
    assert_eq!(told.as_deref(), Ok("web sees 172.20.0.1"));
    verb(&["7"]).prints(&format!("0.0.0.0:{port}\n[::]:{port}\n"));
    let udp: u16 = udp.strip_prefix("8/udp -> 127.0.0.1:").expect(udp).parse().expect(udp);
    let told = ask("udp", place("127.0.0.1", udp), LONG);
    assert_eq!(told.as_deref(), Ok("web sees 172.20.0.1"));
    verb(&["8"]).fails(125, &["its port 8 is not published"]);
    run("-p 192.0.2.77::7").sh("true").expect_refusal(&["--publish", "192.0.2.77::7"]);
}

/// What forwards for all does not forward to containers, whoever knows their addresses.
fn a_port_that_is_not_published() {
    let elsewhere = Elsewhere::new();
    let web = server("--hostname web -p 8080:7", "7 8");
    let own = addresses(&web);
    elsewhere.run(move || {
        use pipkin::netlink::batch::Batch;
        use pipkin::netlink::route;
        for gateway in HERE {
            let mut buffer = [0; 256];
            let mut batch = Batch::new(&mut buffer);
            route::add_default(&mut batch, crate::harness::ip(gateway));
            Socket::open(Protocol::Route).and_then(|mut socket| socket.commit(&mut batch)).expect("a route");
        }
        for address in &own {
            neither_says(address, 7);
            neither_says(address, 8);
        }
        assert!(ask("tcp", place(HERE[0], 8080), LONG).is_ok());
        assert!(ask("tcp", place(HERE[0], 8), SHORT).is_err());
    });
}

/// How many ports are published, of IPv4 and of any address.
fn published() -> usize {
    let of = Elements { family: Family::INET, table: b"pipkin", set: b"ports4", set_id: 0 };
    let mut socket = Socket::open(Protocol::Netfilter).expect("nf_tables");
    fold_elements(&mut socket, &of, &0, |count, _| *count += 1).expect("the map")
}

fn the_rules_of_the_dead_are_gone() {
    let stays = server("--hostname stays -p 8080:7", "7");
    let goes = server("--hostname goes -p 8081-8180:100-199", "100");
    assert_eq!(published(), 101);
    drop(goes);
    assert_eq!(published(), 1);
    assert!(ask("tcp", place("127.0.0.1", 8081), LONG).is_err());
    assert_eq!(ask("tcp", place("127.0.0.1", 8080), LONG).as_deref(), Ok("stays sees 172.20.0.1"));
    // Killed, with the supervisor: the next command takes them away.
    let killed = run("-p 8090:7").start_sh("echo ready; exec sleep 1000");
    killed.expect("ready");
    assert_eq!(published(), 2);
    killed.kill_and_clean();
    assert_eq!(published(), 1);
    drop(stays);
}

/// The command does not even start.
fn a_port_that_a_program_has() {
    let _tcp = TcpListener::bind("0.0.0.0:8083").expect("a port");
    let _udp = UdpSocket::bind("[::]:8084").expect("a port");
    let _one = TcpListener::bind("127.0.0.1:8085").expect("a port");
    for (options, port) in [
        ("-p 8083:7", "8083"),
        ("-p 8080-8090:80-90", "8083"),
        ("-p 8084:7/udp", "8084"),
        ("-p 8085:7", "8085"),
    ] {
        run(options).sh("echo started").expect_refusal(&[port, "it is taken"]);
    }
    // The other protocol, and another address.
    run("-p 8083:7/udp").sh("echo started").prints("started\n");
    run("-p 127.0.0.2:8085:7").sh("echo started").prints("started\n");
    run("-p 203.0.113.99:8086:7").sh("true").expect_refusal(&["this host has no such address"]);
}

fn a_port_that_a_container_has() {
    let _web = detached_sh("-p 8080:7 -p 127.0.0.1:8081:7", "exec sleep 1000");
    run("-p 8080:9").sh("echo started").expect_refusal(&["8080", "it is taken"]);
    run("-p 8070-8090:70-90").sh("echo started").expect_refusal(&["it is taken"]);
    run("-p 127.0.0.1:8081:9").sh("echo started").expect_refusal(&["8081", "it is taken"]);
    run("-p 8080:9/udp").sh("echo started").prints("started\n");
    // Twice by the same one.
    run("-p 8099:1 -p 8099:2").sh("echo started").expect_refusal(&["8099", "it is taken"]);
}

fn what_is_no_port() {
    for text in [
        ":80:80",
        "80-81",
        "80:",
        "0:80",
        "80:0",
        "65536:80",
        "80:80/sctp",
        "80:80/",
        "x:80",
        "80-:80",
        "+80:80",
        "1.2.3:80:80",
        "[::1:80:80",
        "::1:80:80",
        "1.2.3.4:80:80:80",
    ] {
        run(&format!("-p {text}")).sh("true").expect_refusal(&["--publish", text]);
    }
    run("-p 80-90:80-89").sh("true").expect_refusal(&["not of the same length"]);
    run("-p 90-80:90-80").sh("true").expect_refusal(&["begins with its lower end"]);
    run("-p [::1]:80:80").sh("true").expect_refusal(&["::1 cannot be published", "127.0.0.1"]);
    run("--net none -p 80:80").sh("true").expect_refusal(&["--publish needs --net bridge"]);
}
