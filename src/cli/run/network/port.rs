//! `-p [[IP:][HOST]:]CONTAINER[/tcp|udp]`.

use crate::cli::run::quantity::Why;
use pipkin::spec::{Publish, Transport};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

const WHY: Why =
    "give [IP:]HOST:CONTAINER[/tcp|udp] with ports from 1 to 65535, or ranges as 8000-8009:80-89";

/// One port or range. An IPv6 address stands in brackets. For a port of the host that is not named a free one is taken.
pub(super) fn publish(text: &str) -> Result<Publish, Why> {
    let (places, transport) = match text.rsplit_once('/') {
        None => (text, Transport::Tcp),
        Some((places, "tcp")) => (places, Transport::Tcp),
        Some((places, "udp")) => (places, Transport::Udp),
        Some(_) => return Err(WHY),
    };
    let (front, inside) = places.rsplit_once(':').unwrap_or(("", places));
    let (host, outside) = match front.rsplit_once(':') {
        None => (None, front),
        Some((host, outside)) => (Some(address(host)?), outside),
    };
    if host == Some(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)) {
        // Packets from ::1 never leave the loopback interface, whatever is made of their destination.
        return Err("::1 cannot be published: give 127.0.0.1, or another address of this host");
    }
    // Every address of the host is no address of the host.
    let host = host.filter(|host| !host.is_unspecified());
    let (port, inside_count) = range(inside)?;
    let (host_port, count) = match outside {
        "" => (free(transport, host).ok_or("no port of the host is free, or the address is not its own")?, 1),
        outside => range(outside)?,
    };
    if count != inside_count {
        return Err("the two ranges are not of the same length");
    }
    Ok(Publish { transport, host, host_port, port, count })
}

/// A port of the host that is free at this moment: the kernel chooses (ip(7), ip_local_port_range).
fn free(transport: Transport, host: Option<IpAddr>) -> Option<u16> {
    let place = (host.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), 0);
    let bound = match transport {
        Transport::Tcp => TcpListener::bind(place).and_then(|socket| socket.local_addr()),
        Transport::Udp => UdpSocket::bind(place).and_then(|socket| socket.local_addr()),
    };
    bound.ok().map(|address| address.port())
}

fn address(text: &str) -> Result<IpAddr, Why> {
    let v6 = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match v6 {
        Some(text) => text.parse().map(IpAddr::V6),
        None => text.parse().map(IpAddr::V4),
    }
    .map_err(|_| WHY)
}

/// The first port, and how many.
fn range(text: &str) -> Result<(u16, u16), Why> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    // All 65535 of them are as many as can be.
    last.checked_sub(first).map(|more| (first, more + 1)).ok_or("a range begins with its lower end")
}

fn port(text: &str) -> Result<u16, Why> {
    text.parse().ok().filter(|port| *port > 0 && !text.starts_with('+')).ok_or(WHY)
}
