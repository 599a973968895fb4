//! Which addresses are given, and what is said when one cannot be.

use super::payload::{LONG, ask};
use super::{addresses, place, server};
use crate::harness::{Case, cases, detached_sh, eventually, pipkin, run, try_detached};

pub(crate) fn cases() -> Vec<Case> {
    let own = cases!(
        Nothing,
        [
            every_address_is_taken,
            an_address_is_taken,
            what_is_no_address_for_a_container,
            what_is_no_subnet,
            two_subnets_on_one_bridge,
            a_subnet_of_another_link,
            an_ethernet_address_stays,
            inspect_and_stats_tell,
        ]
    );
    [own, cases!(Any, [the_first_seeds_demonstration])].concat()
}

/// The server in the container, the client on the host, over the bridge.
fn the_first_seeds_demonstration() {
    let options = "--ip 192.168.1.2 --subnet 192.168.1.0/24 --bridge br0 --hostname box";
    let container = server(options, "8080");
    let told = ask("tcp", place("192.168.1.2", 8080), LONG);
    assert_eq!(told.as_deref(), Ok("box sees 192.168.1.1"));
    let links = std::fs::read_to_string("/proc/thread-self/net/dev").expect("the links");
    assert!(links.contains("br0:") && !links.contains("pipkin0:"), "{links}");
    drop(container);
    eventually("the bridge gone", &mut || {
        !std::fs::read_to_string("/proc/thread-self/net/dev").expect("the links").contains("br0:")
    });
    run("--ip 192.168.2.2 --subnet 192.168.1.0/24 --bridge br0")
        .sh("true")
        .expect_refusal(&["192.168.2.2", "outside the subnet of 192.168.1.1/24"]);
}

fn every_address_is_taken() {
    let options = "--net few --subnet 10.9.9.0/29";
    let taken: Vec<_> = (0..5).map(|_| detached_sh(options, "exec sleep 1000")).collect();
    run(options).sh("true").expect_refusal(&["few", "every address is taken"]);
    drop(taken);
    run(options).sh("ip -o -4 addr show eth0 | awk '{print $4}'").prints("10.9.9.2/29\n");
}

fn an_address_is_taken() {
    let first = detached_sh("--ip 172.20.0.9", "exec sleep 1000");
    run("--ip 172.20.0.9").sh("true").expect_refusal(&["172.20.0.9", "it is taken"]);
    drop(first);
    run("--ip 172.20.0.9").sh("ip -o -4 addr show eth0 | awk '{print $4}'").prints("172.20.0.9/16\n");
}

fn what_is_no_address_for_a_container() {
    for (options, words) in [
        ("--ip 10.0.0.1", &["10.0.0.1", "outside the subnet of 172.20.0.1/16"][..]),
        ("--ip 172.20.0.1", &["172.20.0.1", "no address for a container"]),
        ("--ip 172.20.0.0", &["172.20.0.0", "no address for a container"]),
        ("--ip 172.20.255.255", &["172.20.255.255", "no address for a container"]),
        ("--ip 172.20.0.256", &["--ip", "172.20.0.256", "IPv4 address"]),
        ("--ip fd00::1", &["--ip", "IPv4 address"]),
        ("--ip6 1.2.3.4", &["--ip6", "IPv6 address"]),
        ("--ip6 fd00::5", &["fd00::5", "outside"]),
        ("--ip 10.0.0.9 --subnet fd00::/64", &["--ip", "--subnet"]),
        ("--ip 172.20.0.2 --ip 172.20.0.3", &["--ip", "more of these than bridges"]),
        ("--mac 01:00:00:00:00:00", &["--mac", "six bytes in hex"]),
        ("--mac 02:00:00:00:00", &["--mac", "six bytes in hex"]),
    ] {
        run(options).sh("true").expect_refusal(words);
    }
}

fn what_is_no_subnet() {
    for text in ["10.0.0.0", "10.0.0.0/", "10.0.0/8", "10.0.0.0/33", "x/8", "10.0.0.0/+8", "fd00::/129"] {
        run(&format!("--subnet {text}")).sh("true").expect_refusal(&["--subnet", text, "ADDRESS/BITS"]);
    }
    for text in ["10.0.0.0/7", "10.0.0.0/31", "10.0.0.0/32", "fd00::/127", "fd00::/7"] {
        run(&format!("--subnet {text}")).sh("true").expect_refusal(&["--subnet", text, "from 8 to 30 bits"]);
    }
    run("--subnet 10.0.0.255/24").sh("true").expect_refusal(&["10.0.0.255/24", "means everybody"]);
    for bridge in ["", "a/b", "a:b", "longer-than-15-b", "."] {
        let outcome = run("").option("--bridge").option(bridge).sh("true");
        outcome.expect_refusal(&["--bridge", "name of a bridge"]);
    }
}

fn two_subnets_on_one_bridge() {
    let _first = detached_sh("--subnet 10.1.0.0/24 --net red", "exec sleep 1000");
    run("--subnet 10.2.0.0/24 --net red").sh("true").expect_refusal(&["red", "have another subnet"]);
}

fn a_subnet_of_another_link() {
    let _first = detached_sh("--subnet 10.1.0.0/24 --net red", "exec sleep 1000");
    for subnet in ["10.1.0.0/24", "10.0.0.0/8", "10.1.0.128/25"] {
        let options = format!("--subnet {subnet} --net blue");
        run(&options).sh("true").expect_refusal(&["blue", "in use", "--subnet"]);
    }
}

fn an_ethernet_address_stays() {
    let script = "cat /sys/class/net/eth0/address; exit 1";
    let container = detached_sh("--restart on-failure:2", script);
    assert_eq!(container.ended(), "1");
    let output = container.output();
    let told: Vec<&str> = output.lines().collect();
    assert_eq!(told.len(), 3, "{output}");
    assert!(told.iter().all(|line| *line == told[0]), "{output}");
    assert_eq!(told[0], container.fact("network.mac"));
    assert!(told[0].starts_with("02:"), "{output}");
}

fn inspect_and_stats_tell() {
    let container = server("--ip 172.20.0.77 -p 8077:7", "7");
    let told = ask("tcp", place("172.20.0.77", 7), LONG).expect("an answer");
    assert!(told.ends_with(" sees 172.20.0.1"), "{told}");
    let inspected = container.verb("inspect").succeeds().json();
    let shown = if inspected.is_array() { &inspected[0] } else { &inspected };
    let network = &shown["Network"];
    for (key, value) in [("IP", "172.20.0.77/16"), ("Gateway", "172.20.0.1"), ("Bridge", "pipkin0")] {
        assert_eq!(network[key], value, "{inspected}");
    }
    assert_eq!(shown["Ports"][0], "8077 to 7/tcp", "{inspected}");
    assert_eq!(network["ip6"], "fd70:6970:6b69:6e00::4d/64", "{inspected}");
    assert_eq!(addresses(&container)[0], "172.20.0.77");
    let stats = pipkin(&["stats", "--no-stream", "--format", "json", &container.id]).succeeds().json();
    let row = if stats.is_array() { &stats[0] } else { &stats };
    for key in ["network_received_bytes", "network_sent_bytes"] {
        assert!(row[key].as_u64().is_some_and(|bytes| bytes > 100), "{key} in {stats}");
    }
    // A second one with the same address is refused in the background too.
    try_detached("--ip 172.20.0.77", &["true"]).expect_refusal(&["172.20.0.77", "it is taken"]);
}
