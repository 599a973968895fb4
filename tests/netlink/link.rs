//! Links in the running kernel.

use crate::namespace::in_new_namespace;
use pipkin::netlink::link;
use std::net::{TcpListener, TcpStream};

#[test]
fn loopback_carries_packets_once_it_is_up() {
    in_new_namespace(|| {
        let listener = TcpListener::bind("127.0.0.1:0");
        assert!(listener.is_err() || TcpStream::connect(listener.unwrap().local_addr().unwrap()).is_err());
        link::raise_loopback().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        link::raise_loopback().unwrap();
    });
}
