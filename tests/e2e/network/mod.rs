//! The network of containers, on a host that is a network namespace of the tests' own: see [`crate::harness::Enclosure`].

mod address;
mod bridge;
mod crowd;
mod firewall;
mod mode;
mod name;
pub(crate) mod payload;
mod port;

use crate::harness::{Case, Detached, cases, detached, ip, run};
use payload::{LONG, SHORT, ask};
use std::net::SocketAddr;

pub(crate) fn cases() -> Vec<Case> {
    let own = cases!(Nothing, [a_server_and_a_client_meet, two_containers_can_use_the_same_port]);
    [
        own,
        bridge::cases(),
        address::cases(),
        port::cases(),
        name::cases(),
        mode::cases(),
        crowd::cases(),
        firewall::cases(),
    ]
    .concat()
}

fn a_server_and_a_client_meet() {
    let script =
        "mkfifo /tmp/said; /e2e --payload server 7777 > /tmp/said & read line < /tmp/said; echo $line
        /e2e --payload client 7777; wait";
    run("").with_payload().sh(script).prints("listening\nHELLO FROM THE CLIENT\n");
}

fn two_containers_can_use_the_same_port() {
    let servers = [(); 2].map(|()| {
        let server = run("").start_payload("server 7777");
        server.expect("listening");
        server
    });
    let ours = std::net::TcpStream::connect("127.0.0.1:7777");
    assert!(ours.is_err(), "a container's port is open outside");
    for server in servers {
        let joined = format!("--net ns:/proc/{}/ns/net", server.container_pid());
        run(&joined).payload("client 7777").prints("HELLO FROM THE CLIENT\n");
        server.wait().prints("listening\n");
    }
}

/// Starts a container that answers on these ports, and waits until it does.
#[track_caller]
fn server(options: &str, ports: &str) -> Detached {
    let own = std::env::current_exe().expect("our own path");
    let options = format!("{options} -v {}:/e2e:ro", own.display());
    let words: Vec<&str> = ["/e2e", "--payload", "answer"].into_iter().chain(ports.split(' ')).collect();
    let server = detached(&options, &words);
    server.expect("listening");
    server
}

/// The addresses of a container's first interface, as its record has them.
fn addresses(container: &Detached) -> [String; 2] {
    ["network.ip", "network.ip6"].map(|key| {
        let address = container.fact(key);
        address.split_once('/').map(|(address, _)| address.to_owned()).unwrap_or(address)
    })
}

fn place(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

/// Asks from the namespace of the caller, by both protocols: both get this answer.
#[track_caller]
fn both_say(address: &str, port: u16, answer: &str) {
    for transport in ["tcp", "udp"] {
        let told = ask(transport, place(address, port), LONG);
        assert_eq!(told.as_deref(), Ok(answer), "{transport} {address} {port}");
    }
}

/// Asks from the namespace of the caller, by both protocols: neither gets an answer.
#[track_caller]
fn neither_says(address: &str, port: u16) {
    for transport in ["tcp", "udp"] {
        let told = ask(transport, place(address, port), SHORT);
        assert!(told.is_err(), "{transport} {address} {port}: {told:?}");
    }
}

/// Words of a payload that asks.
fn question(transport: &str, address: &str, port: u16, patience: &str) -> String {
    format!("ask {transport} {} {patience}", place(address, port))
}
