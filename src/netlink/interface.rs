//! A network interface set up from within its namespace: a container's `eth0`, or a virtual machine's.

use super::batch::Batch;
use super::socket::{Protocol, Socket};
use super::wire::ip::Cidr;
use super::wire::link::Name;
use super::{address, link, route};
use crate::error::Result;
use core::net::IpAddr;

/// Room for the batch: two links to raise, and up to eight addresses and routes.
const BATCH_CAPACITY: usize = 1024;

/// What an interface shall be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interface<'a> {
    /// Its name, by which it is found.
    pub name: &'a Name,
    /// Its addresses.
    pub addresses: &'a [Cidr],
    /// Who passes on what is not of its networks: at most one per IP version.
    pub gateways: &'a [IpAddr],
}

/// Brings up `lo` and the `interfaces`, gives them their addresses and default routes: one send, in the caller's
/// network namespace. Safe after clone.
///
/// The link must exist: its maker has finished before this is called.
///
/// # Errors
/// Those of [`Socket::open`]; `ENODEV` when an interface is missing; the kernel's refusals.
pub fn configure(interfaces: &[Interface<'_>]) -> Result<()> {
    let mut socket = Socket::open(Protocol::Route)?;
    let mut buffer = [0; BATCH_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    link::raise(&mut batch, &Name::LOOPBACK);
    for interface in interfaces {
        let index = link::index(&socket, interface.name)?;
        for cidr in interface.addresses {
            address::add(&mut batch, index, interface.name.as_bytes(), cidr);
        }
        link::raise(&mut batch, interface.name);
    }
    // After every link is up: a gateway must be reachable when its route is added.
    for gateway in interfaces.iter().flat_map(|interface| interface.gateways) {
        route::add_default(&mut batch, *gateway);
    }
    socket.commit(&mut batch)
}
