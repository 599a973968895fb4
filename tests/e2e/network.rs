//! The network of a container, as far as it has one: the loopback.

use crate::harness::{Case, cases, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(Nothing, [a_server_and_a_client_meet, two_containers_can_use_the_same_port])
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
