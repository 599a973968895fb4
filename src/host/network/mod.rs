//! The host's side of a container's network: addresses, bridges, links, translation and ports, made and given back.
//!
//! Duty: carry out the network steps of a plan by netlink alone, in the caller's network namespace, and give back
//! what a container had, whether it ended well or its supervisor was killed. It decides nothing: bridge, subnets and
//! ports come from the [`Network`] of the plan.
//!
//! What containers share is in one directory, and everything that reads or changes it holds the lock there:
//!
//! | file | what |
//! |---|---|
//! | `lock` | the lock; what it holds says what to put back when the last container is gone |
//! | `BRIDGE.4`, `BRIDGE.6` | the leases of the bridge's subnets ([`lease`](super::lease)) |
//! | `BRIDGE.hosts` | names and addresses on the bridge, bound at `/etc/hosts` of its containers |
//! | `BRIDGE.hosts.ID` | the same for one container, with lines of its own |
//!
//! A container's lease comes first and goes last: as long as one is held its bridge stays, so a new container never
//! finds a bridge that is about to go. Giving back needs no record but the container's id, and can be repeated.
//!
//! Nobody waits for the kernel to take links apart, which takes it tens of milliseconds: the pair of links goes with
//! the container's namespace, and a bridge is removed by a child that ends by itself.

mod bridge;
mod connect;
mod device;
mod directory;
mod filter;
mod forward;
mod hosts;
mod pasta;
mod port;
mod release;

pub use connect::{link_name, mac};
pub use hosts::ALIASES_MAX;
pub use pasta::pasta;
pub use release::release;

use super::lease::{Leases, Owner};
use crate::error::{Error, Result};
use crate::netlink::wire::ip::{Cidr, INET, family};
use crate::netlink::wire::link::Name;
use crate::spec::{ATTACHMENTS_MAX, Attachment, Id, Network, Subnet};
use core::net::{IpAddr, Ipv6Addr};
use directory::Directory;
use heapless::Vec;
use rustix::io::Errno;

/// One leased address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Index of the attachment it is for.
    pub number: u8,
    /// The address, with its network's prefix length.
    pub address: Cidr,
}

/// The addresses of a container.
pub type Lent = Vec<Lease, { 2 * ATTACHMENTS_MAX }>;

/// Leases the addresses of the attachment `number`, and tells the others on its bridge the container's names.
pub(super) fn lease(network: &Network<'_>, number: u8, id: &Id, lent: &mut Lent) -> Result<()> {
    let attachment = attachment(network, number)?;
    let directory = Directory::lock(network.directory)?;
    let mut twin = None;
    for subnet in attachment.subnets {
        let gateway = gateway(subnet)?;
        let file = directory.open(&[attachment.bridge.to_bytes(), ending(gateway.address())])?;
        let mut leases = Leases::open(file, gateway).map_err(|error| about(error, attachment))?;
        let owner = Owner::new(id.as_str().as_bytes());
        let address =
            take(&mut leases, subnet, gateway, twin, owner).map_err(|error| match subnet.wanted {
                Some(wanted) => Error::on(error.stage, text(wanted).as_bytes(), error.errno),
                None => about(error, attachment),
            })?;
        twin = twin.or(Some(address));
        let address = Cidr::new(address, subnet.prefix_len).ok_or(INVALID)?;
        // As many as the plan lets there be.
        lent.push(Lease { number, address }).map_err(|_| INVALID)?;
    }
    hosts::add(&directory, network, attachment, id, lent.iter().filter(|lease| lease.number == number))
}

/// The wanted address; without one, of IPv6 the one with the host's part of the IPv4 address if it is free.
fn take(
    leases: &mut Leases,
    subnet: &Subnet,
    gateway: Cidr,
    twin: Option<IpAddr>,
    owner: Owner,
) -> Result<IpAddr> {
    if let Some(wanted) = subnet.wanted {
        return leases.reserve(wanted, owner).map(|()| wanted);
    }
    if let (IpAddr::V6(network), Some(IpAddr::V4(twin))) = (gateway.network(), twin) {
        let bits = network.to_bits() | u128::from(twin.to_bits() & 0xffff);
        let address = IpAddr::V6(Ipv6Addr::from_bits(bits));
        if leases.reserve(address, owner).is_ok() {
            return Ok(address);
        }
    }
    leases.allocate(owner)
}

/// The error of a lease, told with the bridge it was asked for on.
fn about(error: Error, attachment: &Attachment<'_>) -> Error {
    Error::on(error.stage, attachment.bridge.to_bytes(), error.errno)
}

/// An address as people write it.
fn text(address: IpAddr) -> heapless::String<40> {
    let mut text = heapless::String::new();
    // The longest has 39 bytes.
    core::fmt::write(&mut text, format_args!("{address}")).unwrap_or(());
    text
}

const INVALID: Error = Error::new("set up the network", Errno::INVAL);

fn attachment<'n>(network: &Network<'n>, number: u8) -> Result<&'n Attachment<'n>> {
    network.attachments.get(usize::from(number)).ok_or(INVALID)
}

fn gateway(subnet: &Subnet) -> Result<Cidr> {
    Cidr::new(subnet.gateway, subnet.prefix_len).ok_or(INVALID)
}

fn name(bridge: &[u8]) -> Result<Name> {
    Name::new(bridge).ok_or(Error::on("use as the name of a link", bridge, Errno::INVAL))
}

/// The ending of a lease file's name, by IP version.
fn ending(address: IpAddr) -> &'static [u8] {
    if family(address) == INET { b".4" } else { b".6" }
}

/// The parts one after another.
fn joined<const N: usize>(parts: &[&[u8]]) -> Result<Vec<u8, N>> {
    let mut whole = Vec::new();
    for part in parts {
        whole.extend_from_slice(part).map_err(|_| INVALID)?;
    }
    Ok(whole)
}

pub(super) use bridge::ensure;
pub(super) use connect::connect;
pub(super) use device::hand_over;
pub(super) use pasta::Pasta;
pub(super) use port::publish;
