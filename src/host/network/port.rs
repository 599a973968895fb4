//! Published ports: elements of the maps, marked by their container's id.

use super::filter::{PORT_MAPS, PortMap, TABLE, none};
use super::{INVALID, Lease, attachment, forward, joined};
use crate::error::{Error, Result, Stage};
use crate::netlink::nftables::{Transaction, fold_elements};
use crate::netlink::socket::{Protocol, Socket};
use crate::netlink::wire::nftables::data::Data;
use crate::netlink::wire::nftables::set::{Element, Elements};
use crate::netlink::wire::nftables::{COMMENT_MAX, Family};
use crate::spec::{Id, Network, Publish, Transport};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use heapless::Vec;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use ufmt::uwrite;

/// Ports that one transaction publishes or withdraws.
const PORTS_AT_ONCE: usize = 32;
/// Room for it: an element of IPv6 with its comment has less than 320 bytes.
const CAPACITY: usize = PORTS_AT_ONCE * 320 + 512;
/// Longest key: two IPv6 addresses.
const KEY_CAPACITY: usize = 32;
/// Where among the maps, two by two, the container's own addresses are.
const OWN: usize = 2;
/// Longest datum: an IPv6 address and a port.
const DATA_CAPACITY: usize = 20;

type Key = Vec<u8, KEY_CAPACITY>;
type Datum = Vec<u8, DATA_CAPACITY>;

/// Makes the ports of the host lead to the container's first interface.
///
/// # Errors
/// `EADDRINUSE` when a program of the host listens on one, or another container has it.
pub(in crate::host) fn publish(network: &Network<'_>, id: &Id, lent: &[Lease]) -> Result<()> {
    let attachment = attachment(network, 0)?;
    let mut socket = Socket::open(Protocol::Netfilter)?;
    for lease in lent.iter().filter(|lease| lease.number == 0) {
        let to = lease.address.address();
        for ports in network.ports.iter().filter(|ports| ports.host.is_none_or(|host| is_like(host, to))) {
            if let IpAddr::V4(_) = to
                && ports.host.is_none_or(|host| host.is_loopback())
            {
                // So that answers to the host's loopback are not taken for forged ones; the rules keep containers out.
                forward::set_of_link(b"ipv4", attachment.bridge.to_bytes(), b"route_localnet", b"1")?;
            }
            let mut first = 0;
            while first < ports.count {
                publish_some(&mut socket, ports, first, to, id)?;
                first = first.saturating_add(PORTS_AT_ONCE as u16);
            }
        }
    }
    Ok(())
}

fn is_like(host: IpAddr, to: IpAddr) -> bool {
    host.is_ipv4() == to.is_ipv4()
}

/// Publishes the ports from number `first` of the list on, as many as one transaction takes.
fn publish_some(socket: &mut Socket, ports: &Publish, first: u16, to: IpAddr, id: &Id) -> Result<()> {
    let mut entries = Vec::<(Key, Datum), PORTS_AT_ONCE>::new();
    for number in (first..ports.count).take(PORTS_AT_ONCE) {
        let (host_port, port) = (ports.host_port.saturating_add(number), ports.port.saturating_add(number));
        check_free(ports, host_port, to)?;
        let datum = joined(&[&octets(to), &port.to_be_bytes(), &[0; 2]])?;
        entries.push((key(ports, host_port)?, datum)).map_err(|_| INVALID)?;
    }
    let comment = comment(id);
    let elements: Vec<Element<'_>, PORTS_AT_ONCE> = entries
        .iter()
        .map(|(key, datum)| Element { data: Some(Data::Value(datum)), comment, ..Element::new(key) })
        .collect();
    let mut buffer = [0; CAPACITY];
    let mut transaction = Transaction::new(&mut buffer);
    let version = usize::from(to.is_ipv6());
    let map = |place: usize| PORT_MAPS.get(place * 2 + version).map(elements_of).ok_or(INVALID);
    transaction.create_elements(&map(usize::from(ports.host.is_some()))?, &elements);
    let own: Key = joined(&[&octets(to), &octets(to)])?;
    transaction.add_elements(&map(OWN)?, &[Element { comment, ..Element::new(&own) }]);
    transaction.commit(socket).map_err(|error| match error.errno {
        Errno::EXIST => taken(ports.host_port.saturating_add(first)),
        _ => error,
    })
}

fn elements_of(map: &PortMap) -> Elements<'static> {
    Elements { family: Family::INET, table: TABLE, set: map.name, set_id: 0 }
}

/// Address if it is for one, protocol, port; each at the beginning of a word.
fn key(ports: &Publish, port: u16) -> Result<Key> {
    let host = ports.host.map(octets).unwrap_or_default();
    joined(&[&host, &[ports.transport as u8, 0, 0, 0], &port.to_be_bytes(), &[0; 2]])
}

fn octets(address: IpAddr) -> Vec<u8, 16> {
    match address {
        IpAddr::V4(address) => address.octets().into_iter().collect(),
        IpAddr::V6(address) => address.octets().into_iter().collect(),
    }
}

/// As much of the id as a comment takes.
fn comment(id: &Id) -> &[u8] {
    let id = id.as_str().as_bytes();
    id.get(..COMMENT_MAX).unwrap_or(id)
}

fn taken(port: u16) -> Error {
    let mut text = heapless::String::<8>::new();
    // Five digits at most.
    uwrite!(&mut text, "{}", port).unwrap_or(());
    Error::on("publish the port", text.as_bytes(), Errno::ADDRINUSE)
}

/// Refuses a port that a program of the host listens on: it would never hear of anybody again.
fn check_free(ports: &Publish, port: u16, to: IpAddr) -> Result<()> {
    let stage = "look whether the port is free";
    let kind = if ports.transport == Transport::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None).stage(stage)?;
    if ports.transport == Transport::Tcp {
        // Connections that are over do not count.
        sockopt::set_socket_reuseaddr(&socket, true).stage(stage)?;
    }
    if to.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).stage(stage)?;
    }
    match bind(&socket, &SocketAddr::new(ports.host.unwrap_or(any), port)) {
        Err(Errno::ADDRINUSE) => Err(taken(port)),
        bound => bound.stage("publish a port on an address that this host has not"),
    }
}

/// Withdraws every port of container `id`.
pub(super) fn withdraw(id: &Id) -> Result<()> {
    none(Socket::open(Protocol::Netfilter).and_then(|mut socket| {
        let mut any = false;
        for map in &PORT_MAPS {
            any |= withdraw_from(&mut socket, map, comment(id))?;
        }
        if any {
            socket.leave();
        }
        Ok(())
    }))
}

/// Says whether there were any.
fn withdraw_from(socket: &mut Socket, map: &PortMap, comment: &[u8]) -> Result<bool> {
    let of = elements_of(map);
    let mut any = false;
    loop {
        let keys = fold_elements(socket, &of, &Vec::<Key, PORTS_AT_ONCE>::new(), |keys, element| {
            if element.comment == comment
                && let Ok(key) = Key::from_slice(element.key)
            {
                // What does not fit is found the next time.
                keys.push(key).unwrap_or(());
            }
        })?;
        if keys.is_empty() {
            return Ok(any);
        }
        any = true;
        let elements: Vec<Element<'_>, PORTS_AT_ONCE> = keys.iter().map(|key| Element::new(key)).collect();
        let mut buffer = [0; CAPACITY];
        let mut transaction = Transaction::new(&mut buffer);
        transaction.delete_elements(&of, &elements);
        transaction.commit(socket)?;
    }
}
