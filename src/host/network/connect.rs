//! The pair of links between a bridge and a container, and the container's end of it set up from within.

use super::{INVALID, Lease, attachment, forward, name};
use crate::error::{Error, Result, Stage};
use crate::host::lease::Owner;
use crate::netlink::batch::Batch;
use crate::netlink::interface::{self, Interface};
use crate::netlink::link;
use crate::netlink::socket::{Protocol, Socket};
use crate::netlink::wire::ip::Cidr;
use crate::netlink::wire::link::{Kind, Link, Name, UP};
use crate::spec::{Attachment, Id, Network};
use core::net::IpAddr;
use heapless::Vec;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use ufmt::uwrite;

/// How the names of our ends of the pairs begin; a hash of the id and the number of the interface follow.
pub(super) const PREFIX: &[u8] = b"pk";

/// Room for the batch that makes a pair.
const BATCH_CAPACITY: usize = 512;

/// Makes the interface of attachment `number` in the network namespace of `pid` and gives it its addresses.
pub(in crate::host) fn connect(
    network: &Network<'_>,
    number: u8,
    id: &Id,
    pid: Pid,
    lent: &[Lease],
) -> Result<()> {
    let attachment = attachment(network, number)?;
    let Some(inside) = open_namespace(pid)? else { return Ok(()) };
    let mut socket = Socket::open(Protocol::Route)?;
    let bridge = link::get(&mut socket, &name(attachment.bridge.to_bytes())?)?;
    let near_name = link_name(id, number)?;
    let near = Link {
        kind: Some(Kind::Veth),
        name: Some(near_name),
        master: Some(bridge.index),
        mtu: bridge.mtu,
        flags: UP,
        change: UP,
        ..Link::default()
    };
    let eth = name(&[b'e', b't', b'h', b'0'.saturating_add(number)])?;
    let mac = attachment.mac.unwrap_or(mac(id, number));
    let far = Link { name: Some(eth), mac: Some(mac), mtu: bridge.mtu, ..Link::default() };
    let reflects = !network.ports.is_empty();
    match make_pair(&mut socket, &near, &near_name, &far, &inside, reflects) {
        // The same container's last run: its namespace is on its way out, and the pair with it.
        Err(error) if error.errno == Errno::EXIST => {
            remove(&mut socket, &near_name)?;
            make_pair(&mut socket, &near, &near_name, &far, &inside, reflects)?;
        }
        made => made?,
    }
    let own = own_namespace()?;
    enter(&inside)?;
    let done = set_up(attachment, &eth, number, lent);
    enter(&own)?;
    done
}

/// Makes the pair; with `reflects` the container may come back to itself, by a port that it publishes.
fn make_pair(
    socket: &mut Socket,
    near: &Link,
    near_name: &Name,
    far: &Link,
    inside: &OwnedFd,
    reflects: bool,
) -> Result<()> {
    let mut buffer = [0; BATCH_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    link::create_pair(&mut batch, near, far, inside.as_fd());
    if reflects {
        link::reflect(&mut batch, near_name);
    }
    socket.commit(&mut batch)
}

fn remove(socket: &mut Socket, name: &Name) -> Result<()> {
    let mut buffer = [0; BATCH_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    link::delete(&mut batch, name);
    socket.commit(&mut batch)
}

/// Sets up the interface called `eth`, from within its namespace. The first one has the way out.
fn set_up(attachment: &Attachment<'_>, eth: &Name, number: u8, lent: &[Lease]) -> Result<()> {
    // Before it is up: a router that announces itself could be another container.
    forward::refuse_routers(eth)?;
    let own = lent.iter().filter(|lease| lease.number == number);
    let addresses: Vec<Cidr, 2> = own.map(|lease| lease.address).take(2).collect();
    let ways_out = attachment.subnets.iter().take(if number == 0 { 2 } else { 0 });
    let gateways: Vec<IpAddr, 2> = ways_out.map(|subnet| subnet.gateway).collect();
    interface::configure(&[Interface { name: eth, addresses: &addresses, gateways: &gateways }])
}

/// The Ethernet address of interface `number` of container `id`, unless it was asked for another.
#[must_use]
pub fn mac(id: &Id, number: u8) -> [u8; 6] {
    mac_of(id.as_str().as_bytes(), number)
}

/// An Ethernet address made of a name: locally administered, of one device.
pub(super) fn mac_of(name: &[u8], number: u8) -> [u8; 6] {
    let [a, b, c, d, e, ..] = Owner::new(name).number().to_be_bytes();
    [2, a, b, c, d, e ^ number]
}

/// The name of the host's end of the pair of interface `number` of container `id`: `pk`, twelve hex digits, the number.
///
/// # Errors
/// None for the numbers a plan gives out.
pub fn link_name(id: &Id, number: u8) -> Result<Name> {
    let owner = Owner::new(id.as_str().as_bytes());
    let mut text: Vec<u8, 15> = PREFIX.iter().copied().collect();
    for place in 0..12_u32 {
        let nibble = (owner.number() >> place.saturating_mul(4)) as u8 & 15;
        let digit = if nibble < 10 { b'0' } else { b'a' - 10 };
        text.push(digit.saturating_add(nibble)).map_err(|_| INVALID)?;
    }
    text.push(b'0'.saturating_add(number)).map_err(|_| INVALID)?;
    name(&text)
}

/// The pid cannot have been used again: it is our child, which we have not reaped. A child that is dead has no
/// namespace any more; why it died is told by whoever waits for it.
/// Our own network namespace, to come back to.
pub(super) fn own_namespace() -> Result<OwnedFd> {
    openat(CWD, c"/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .stage("open our own network namespace")
}

pub(super) fn open_namespace(pid: Pid) -> Result<Option<OwnedFd>> {
    let mut path = heapless::String::<32>::new();
    uwrite!(&mut path, "/proc/{}/ns/net", pid.as_raw_nonzero().get()).map_err(|_| INVALID)?;
    match openat(CWD, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        file => file.map(Some).stage_on("open the container's network namespace", path.as_bytes()),
    }
}

pub(super) fn enter(namespace: &OwnedFd) -> Result<()> {
    let entered = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
    entered.map_err(|errno: Errno| Error::new("enter a network namespace", errno))
}
