//! Which addresses a subnet has to give, each by its number.

use super::{MAGIC, NEXT_OFFSET};
use crate::netlink::wire::ip::{Cidr, INET, family};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most bits by which addresses of one subnet are told apart: more are not needed, and the file has a byte size.
const HOST_BITS_MAX: u32 = 24;

/// The gateway that a header names; `None` for a header that [`Subnet::header`] does not make.
pub(super) fn gateway(header: &[u8; NEXT_OFFSET]) -> Option<Cidr> {
    let (address, rest) = header.get(MAGIC.len()..)?.split_first_chunk::<16>()?;
    let (prefix_len, family) = (*rest.first()?, *rest.get(1)?);
    let address = Ipv6Addr::from(*address);
    let address = if family == INET { address.to_ipv4_mapped()?.into() } else { address.into() };
    Cidr::new(address, prefix_len)
}

/// A subnet and the address of its bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Subnet {
    gateway: Cidr,
    /// How many addresses have a number: 2 to 16 777 216.
    count: u32,
}

impl Subnet {
    /// `None` when no address is left beside those that are never given away.
    pub(super) fn new(gateway: Cidr) -> Option<Self> {
        let width = if family(gateway.address()) == INET { 32 } else { 128 };
        let host_bits = (width - u32::from(gateway.prefix_len())).min(HOST_BITS_MAX);
        let subnet = Self { gateway, count: 1 << host_bits };
        // Of the first four, three at most are kept.
        (0..subnet.count.min(4)).any(|index| subnet.gives(index)).then_some(subnet)
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// The address with this number.
    pub(super) fn address(&self, index: u32) -> IpAddr {
        match self.gateway.network() {
            IpAddr::V4(network) => Ipv4Addr::from_bits(network.to_bits() | index).into(),
            IpAddr::V6(network) => Ipv6Addr::from_bits(network.to_bits() | u128::from(index)).into(),
        }
    }

    /// The number of this address; `None` when it is not given away.
    pub(super) fn index(&self, address: IpAddr) -> Option<u32> {
        if !self.gateway.contains(address) {
            return None;
        }
        let index = match (address, self.gateway.network()) {
            (IpAddr::V4(address), IpAddr::V4(network)) => address.to_bits() ^ network.to_bits(),
            (IpAddr::V6(address), IpAddr::V6(network)) => {
                u32::try_from(address.to_bits() ^ network.to_bits()).ok()?
            }
            _ => return None,
        };
        (index < self.count && self.gives(index)).then_some(index)
    }

    /// Whether the address with this number is one to give: not the bridge's own, nor one that means the subnet or
    /// everybody in it (RFC 919, RFC 4291 section 2.6.1). A subnet of two addresses has neither (RFC 3021,
    /// RFC 6164).
    pub(super) fn gives(&self, index: u32) -> bool {
        let address = self.address(index);
        let everybody = family(address) == INET && address == self.gateway.last();
        let special = self.count > 2 && (index == 0 || everybody);
        address != self.gateway.address() && !special
    }

    /// The header of a file of this subnet.
    pub(super) fn header(&self) -> [u8; NEXT_OFFSET] {
        let mut header = [0; NEXT_OFFSET];
        let address = match self.gateway.address() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let fields = MAGIC.into_iter().chain(address.octets()).chain([self.gateway.prefix_len()]);
        let family = [family(self.gateway.address())];
        for (place, byte) in header.iter_mut().zip(fields.chain(family).chain(self.count.to_le_bytes())) {
            *place = byte;
        }
        header
    }
}
