//! Neighbours, which hardware address answers to which IP: `struct ndmsg` and its attributes (rtnetlink(7),
//! include/uapi/linux/neighbour.h).

use super::attribute::Attributes;
use super::builder::Builder;
use super::ip::family;
use super::{Malformed, u8_at, u16_at, u32_at};
use core::net::IpAddr;

/// `RTM_NEWNEIGH`.
pub const NEW: u16 = 28;
/// `RTM_DELNEIGH`.
pub const DELETE: u16 = 29;
/// `RTM_GETNEIGH`.
pub const GET: u16 = 30;

/// `NUD_PERMANENT`: never asked for again.
pub const PERMANENT: u16 = 0x80;

/// Bytes of `struct ndmsg`.
pub const HEADER_LEN: usize = 12;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

/// A neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Index of the link.
    pub link: u32,
    /// Its IP address.
    pub address: IpAddr,
    /// Its Ethernet address; absent when it is not known, and in a request to delete.
    pub mac: Option<[u8; 6]>,
    /// [`PERMANENT`] or another `NUD_*`.
    pub state: u16,
}

impl Neighbour {
    /// Reads the payload of a neighbour message. Unknown attributes are passed over.
    ///
    /// # Errors
    /// [`Malformed`] when it is of another family than IPv4 and IPv6, has no address, or an attribute breaks.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let family = u8_at(payload, 0)?;
        let (mut address, mut mac) = (None, None);
        for attribute in Attributes::after(payload, HEADER_LEN) {
            let attribute = attribute?;
            match attribute.kind {
                NDA_DST => address = Some(attribute.ip(family)?),
                NDA_LLADDR => mac = attribute.bytes().ok(),
                _ => {}
            }
        }
        let address = address.ok_or(Malformed)?;
        Ok(Self { link: u32_at(payload, 4)?, address, mac, state: u16_at(payload, 8)? })
    }

    /// Appends the payload of a neighbour message.
    pub fn emit(&self, payload: &mut Builder<'_>) {
        let [s0, s1] = self.state.to_ne_bytes();
        payload.put(&[family(self.address), 0, 0, 0]);
        payload.put(&self.link.to_ne_bytes());
        payload.put(&[s0, s1, 0, 0]);
        payload.ip(NDA_DST, self.address);
        if let Some(mac) = &self.mac {
            payload.bytes(NDA_LLADDR, mac);
        }
    }
}
