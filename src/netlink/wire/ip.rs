//! IP addresses and prefixes as rtnetlink carries them.

use super::Malformed;
use super::attribute::Attribute;
use super::builder::Builder;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `AF_INET`.
pub const INET: u8 = 2;
/// `AF_INET6`.
pub const INET6: u8 = 10;

/// The address family of `address`: [`INET`] or [`INET6`].
#[must_use]
pub const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => INET,
        IpAddr::V6(_) => INET6,
    }
}

/// The address of `family` with only zeros.
pub(super) fn unspecified(family: u8) -> Result<IpAddr, Malformed> {
    match family {
        INET => Ok(Ipv4Addr::UNSPECIFIED.into()),
        INET6 => Ok(Ipv6Addr::UNSPECIFIED.into()),
        _ => Err(Malformed),
    }
}

impl Attribute<'_> {
    /// The value as an address of `family`.
    ///
    /// # Errors
    /// [`Malformed`] when it has not that family's length, or the family is neither [`INET`] nor [`INET6`].
    pub fn ip(&self, family: u8) -> Result<IpAddr, Malformed> {
        match family {
            INET => self.bytes::<4>().map(IpAddr::from),
            INET6 => self.bytes::<16>().map(IpAddr::from),
            _ => Err(Malformed),
        }
    }
}

impl Builder<'_> {
    /// Appends an address, in network byte order.
    pub fn ip(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.bytes(kind, &address.octets()),
            IpAddr::V6(address) => self.bytes(kind, &address.octets()),
        }
    }
}

/// An address and how many of its leading bits name the network: `172.20.0.1/16`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cidr {
    address: IpAddr,
    prefix_len: u8,
}

impl Cidr {
    /// Every IPv4 address.
    pub const ALL_V4: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix_len: 0 };
    /// Every IPv6 address.
    pub const ALL_V6: Self = Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), prefix_len: 0 };

    /// `None` when `prefix_len` is more than the address has bits.
    #[must_use]
    pub const fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        let this = Self { address, prefix_len };
        if prefix_len <= this.width() { Some(this) } else { None }
    }

    /// Reads `ADDRESS/BITS`, such as `172.20.0.1/16` or `fd00::1/64`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        // One to three digits: `u8::from_str` would take a sign too.
        if bits.is_empty() || bits.len() > 3 || !bits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        Self::new(address.parse().ok()?, bits.parse().ok()?)
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits name the network.
    #[must_use]
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// How many bits the address has.
    const fn width(&self) -> u8 {
        match self.address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }

    /// The address with every bit after the prefix zero: the name of the network.
    #[must_use]
    pub fn network(&self) -> IpAddr {
        self.with_host_bits(false)
    }

    /// The address with every bit after the prefix one: the broadcast address of an IPv4 network.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        self.with_host_bits(true)
    }

    fn with_host_bits(&self, set: bool) -> IpAddr {
        let host_bits = u32::from(self.width().saturating_sub(self.prefix_len));
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                let bits = address.to_bits() & mask;
                Ipv4Addr::from_bits(if set { bits | !mask } else { bits }).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                let bits = address.to_bits() & mask;
                Ipv6Addr::from_bits(if set { bits | !mask } else { bits }).into()
            }
        }
    }

    /// Whether `address` is of this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        family(address) == family(self.address)
            && Self { address, prefix_len: self.prefix_len }.network() == self.network()
    }
}
