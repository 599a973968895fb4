//! Addresses of links: `struct ifaddrmsg` and its attributes (rtnetlink(7), include/uapi/linux/if_addr.h).

use super::attribute::Attributes;
use super::builder::Builder;
use super::ip::{Cidr, family};
use super::{Malformed, u8_at, u32_at};
use core::net::IpAddr;

/// `RTM_NEWADDR`.
pub const NEW: u16 = 20;
/// `RTM_DELADDR`.
pub const DELETE: u16 = 21;
/// `RTM_GETADDR`.
pub const GET: u16 = 22;

/// `IFA_F_NODAD`: an IPv6 address that is used at once, without asking the link whether somebody else has it.
pub const WITHOUT_DETECTION: u32 = 0x02;

/// Bytes of `struct ifaddrmsg`.
pub const HEADER_LEN: usize = 8;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;

/// An address of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// Index of the link.
    pub link: u32,
    /// The address, and the network that is reached through the link.
    pub cidr: Cidr,
    /// `IFA_F_*`, such as [`WITHOUT_DETECTION`].
    pub flags: u32,
    /// `RT_SCOPE_*`; zero is everywhere.
    pub scope: u8,
    /// The IPv4 address that means everybody on the link.
    pub broadcast: Option<IpAddr>,
}

impl Address {
    /// Reads the payload of an address message. Unknown attributes are passed over.
    ///
    /// # Errors
    /// [`Malformed`] when it is of another family than IPv4 and IPv6, has no address, or an attribute breaks.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let family = u8_at(payload, 0)?;
        let mut flags = u32::from(u8_at(payload, 2)?);
        let (mut local, mut peer, mut broadcast) = (None, None, None);
        for attribute in Attributes::after(payload, HEADER_LEN) {
            let attribute = attribute?;
            match attribute.kind {
                IFA_LOCAL => local = Some(attribute.ip(family)?),
                IFA_ADDRESS => peer = Some(attribute.ip(family)?),
                IFA_BROADCAST => broadcast = Some(attribute.ip(family)?),
                IFA_FLAGS => flags = attribute.u32()?,
                _ => {}
            }
        }
        // On a point-to-point link `IFA_ADDRESS` is the other side's; IPv6 gives no `IFA_LOCAL` elsewhere.
        let address = local.or(peer).ok_or(Malformed)?;
        let cidr = Cidr::new(address, u8_at(payload, 1)?).ok_or(Malformed)?;
        Ok(Self { link: u32_at(payload, 4)?, cidr, flags, scope: u8_at(payload, 3)?, broadcast })
    }

    /// Appends the payload of an address message.
    pub fn emit(&self, payload: &mut Builder<'_>) {
        let address = self.cidr.address();
        let [flags, ..] = self.flags.to_le_bytes();
        payload.put(&[family(address), self.cidr.prefix_len(), flags, self.scope]);
        payload.put(&self.link.to_ne_bytes());
        payload.ip(IFA_LOCAL, address);
        payload.ip(IFA_ADDRESS, address);
        if let Some(broadcast) = self.broadcast {
            payload.ip(IFA_BROADCAST, broadcast);
        }
        if self.flags > u32::from(u8::MAX) {
            payload.u32(IFA_FLAGS, self.flags);
        }
    }
}
