//! Bridges: made by whichever container comes first, gone with the last one.
//!
//! A bridge is ours when its Ethernet address is the one we make of its name; one that somebody else has made is used
//! as it is and stays.

use super::directory::Directory;
use super::{attachment, filter, forward, gateway, name};
use crate::error::{Error, Result, Stage};
use crate::netlink::batch::Batch;
use crate::netlink::socket::{Protocol, Socket};
use crate::netlink::wire::ip::{Cidr, INET6, family};
use crate::netlink::wire::link::{Kind, Link, Name, UP};
use crate::netlink::{address, link, route};
use crate::spec::{Attachment, Network};
use crate::sys::process::delegate;
use rustix::io::Errno;
use rustix::thread::{NanosleepRelativeResult, Timespec, nanosleep};

/// Room for the batch that makes a bridge, and for that of its addresses.
const BATCH_CAPACITY: usize = 512;
/// How often a bridge is looked for that is being removed, 100 microseconds apart.
const REMOVAL_ATTEMPTS: u32 = 20_000;
const REMOVAL_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000 };

/// Makes sure of the bridge of attachment `number`, of forwarding, and of the rules for its packets.
pub(in crate::host) fn ensure(network: &Network<'_>, number: u8) -> Result<()> {
    let attachment = attachment(network, number)?;
    let directory = Directory::lock(network.directory)?;
    let mut socket = Socket::open(Protocol::Route)?;
    let name = name(attachment.bridge.to_bytes())?;
    let found = match link::get(&mut socket, &name) {
        Err(error) if error.errno == Errno::NODEV => create(&mut socket, &name)?,
        found => found?,
    };
    if found.kind != Some(Kind::Bridge) {
        return Err(Error::on("use as a bridge the link", name.as_bytes(), Errno::EXIST));
    }
    // Ours is brought up last of all.
    if !is_ours(&found, &name) || found.flags & UP == 0 {
        set_up(&mut socket, &name, &found, attachment)?;
    }
    let ipv6 = attachment.subnets.iter().any(|subnet| family(subnet.gateway) == INET6);
    let first = forward::enable(&directory, ipv6)?;
    filter::admit(&name, first)
}

fn create(socket: &mut Socket, name: &Name) -> Result<Link> {
    // The size of packets on the way out, so that what containers send need not be cut.
    let uplink = route::uplink(socket)?.and_then(|route| route.link);
    let mtu = uplink.map(|index| link::get_by_index(socket, index)).transpose()?.and_then(|link| link.mtu);
    let bridge =
        Link { kind: Some(Kind::Bridge), name: Some(*name), mac: Some(mac(name)), mtu, ..Link::default() };
    let mut buffer = [0; BATCH_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    link::create(&mut batch, &bridge);
    batch.tolerate(Errno::EXIST);
    socket.commit(&mut batch)?;
    // It announces no routes to itself, and takes none from a container.
    forward::set_of_link(b"ipv6", name.as_bytes(), b"accept_ra", b"0")?;
    link::get(socket, name)
}

fn set_up(socket: &mut Socket, name: &Name, found: &Link, attachment: &Attachment<'_>) -> Result<()> {
    for subnet in attachment.subnets {
        let own = gateway(subnet)?;
        let meets = |other: &Cidr| own.contains(other.address()) || other.contains(own.address());
        let taken = address::fold(socket, &false, |taken, other| {
            *taken |= other.link != found.index && other.cidr.prefix_len() > 0 && meets(&other.cidr);
        })?;
        if taken {
            let stage = "give the bridge a subnet that this host has on another link:";
            return Err(Error::on(stage, name.as_bytes(), Errno::EXIST));
        }
    }
    let mut buffer = [0; BATCH_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    for subnet in attachment.subnets {
        address::add(&mut batch, found.index, name.as_bytes(), &gateway(subnet)?);
        batch.tolerate(Errno::EXIST);
    }
    link::raise(&mut batch, name);
    socket.commit(&mut batch)
}

/// The Ethernet address of the bridge called `name` when we make it: locally administered, the same every time.
fn mac(name: &Name) -> [u8; 6] {
    super::connect::mac_of(name.as_bytes(), u8::MAX)
}

fn is_ours(link: &Link, name: &Name) -> bool {
    link.mac == Some(mac(name))
}

/// Removes the bridge if we made it and nobody has put links of his own into it. By then no container has a lease
/// there, and the lock is held.
///
/// The kernel takes tens of milliseconds to come back from this, so a child of ours goes into it. The bridge can no
/// longer be found long before.
pub(super) fn remove(name: &Name) -> Result<()> {
    let stage = "remove the bridge";
    let mut socket = Socket::open(Protocol::Route)?;
    let found = match link::get(&mut socket, name) {
        Err(error) if error.errno == Errno::NODEV => return Ok(()),
        found => found?,
    };
    let ours =
        |link: &Link| link.name.is_some_and(|name| name.as_bytes().starts_with(super::connect::PREFIX));
    let others = link::fold_members(&mut socket, found.index, &false, |others, link| *others |= !ours(link))?;
    if others || !is_ours(&found, name) {
        return Ok(());
    }
    delegate(name.as_bytes(), delete).stage_on(stage, name.as_bytes())?;
    for _ in 0..REMOVAL_ATTEMPTS {
        match link::index(&socket, name) {
            Err(error) if error.errno == Errno::NODEV => return Ok(()),
            index => index.map(drop)?,
        }
        let mut rest = REMOVAL_PAUSE;
        while let NanosleepRelativeResult::Interrupted(remaining) = nanosleep(&rest) {
            rest = remaining;
        }
    }
    Err(Error::on(stage, name.as_bytes(), Errno::TIMEDOUT))
}

/// Deletes the bridge called `name`; false when that failed.
fn delete(name: &[u8]) -> bool {
    let Some(name) = Name::new(name) else { return false };
    let mut buffer = [0; BATCH_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    link::delete(&mut batch, &name);
    Socket::open(Protocol::Route).and_then(|mut socket| socket.commit(&mut batch)).is_ok()
}
