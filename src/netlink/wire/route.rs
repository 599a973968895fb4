//! Routes: `struct rtmsg` and its attributes (rtnetlink(7), include/uapi/linux/rtnetlink.h).

use super::attribute::Attributes;
use super::builder::Builder;
use super::ip::{Cidr, family, unspecified};
use super::{Malformed, chunk, u32_at};
use core::net::IpAddr;

/// `RTM_NEWROUTE`.
pub const NEW: u16 = 24;
/// `RTM_DELROUTE`.
pub const DELETE: u16 = 25;
/// `RTM_GETROUTE`.
pub const GET: u16 = 26;

/// `RT_TABLE_MAIN`: where the routes are that people see.
pub const MAIN_TABLE: u32 = 254;
/// `RTPROT_BOOT`: set up by a program, not by a routing daemon.
pub const BOOT: u8 = 3;
/// `RT_SCOPE_UNIVERSE`: through a gateway.
pub const EVERYWHERE: u8 = 0;
/// `RT_SCOPE_LINK`: on the link itself.
pub const ON_LINK: u8 = 253;
/// `RT_SCOPE_NOWHERE`: any scope, in a request to delete.
pub const ANY_SCOPE: u8 = 255;
/// `RTN_UNICAST`: to one host.
pub const UNICAST: u8 = 1;

/// Bytes of `struct rtmsg`.
pub const HEADER_LEN: usize = 12;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_TABLE: u16 = 15;
const RTAX_MTU: u16 = 2;

/// A route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Where it leads; a prefix of no bits is the default route.
    pub destination: Cidr,
    /// Who passes packets on; absent when the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Index of the link packets leave by; absent when the kernel finds it by the gateway, and for routes with
    /// several ways.
    pub link: Option<u32>,
    /// The address packets are sent from.
    pub source: Option<IpAddr>,
    /// Lower ones win (`metric`).
    pub priority: Option<u32>,
    /// Largest packet on this way, in bytes.
    pub mtu: Option<u32>,
    /// [`MAIN_TABLE`] or another.
    pub table: u32,
    /// Who made it: [`BOOT`] or another `RTPROT_*`.
    pub protocol: u8,
    /// [`EVERYWHERE`] or another `RT_SCOPE_*`.
    pub scope: u8,
    /// [`UNICAST`] or another `RTN_*`.
    pub kind: u8,
}

impl Route {
    /// A route of the main table through `gateway`.
    #[must_use]
    pub const fn through(gateway: IpAddr, destination: Cidr) -> Self {
        Self {
            destination,
            gateway: Some(gateway),
            link: None,
            source: None,
            priority: None,
            mtu: None,
            table: MAIN_TABLE,
            protocol: BOOT,
            scope: EVERYWHERE,
            kind: UNICAST,
        }
    }

    /// The default route through `gateway`.
    #[must_use]
    pub const fn default_through(gateway: IpAddr) -> Self {
        Self::through(
            gateway,
            match gateway {
                IpAddr::V4(_) => Cidr::ALL_V4,
                IpAddr::V6(_) => Cidr::ALL_V6,
            },
        )
    }

    /// Reads the payload of a route message. Unknown attributes are passed over.
    ///
    /// # Errors
    /// [`Malformed`] when it is of another family than IPv4 and IPv6, or an attribute breaks.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let [family, bits, _, _, table, protocol, scope, kind] = chunk(payload, 0)?;
        u32_at(payload, 8)?;
        let mut destination = unspecified(family)?;
        let mut route = Self {
            gateway: None,
            table: u32::from(table),
            protocol,
            scope,
            kind,
            ..Self::through(destination, Cidr::ALL_V4)
        };
        for attribute in Attributes::after(payload, HEADER_LEN) {
            let attribute = attribute?;
            match attribute.kind {
                RTA_DST => destination = attribute.ip(family)?,
                RTA_OIF => route.link = Some(attribute.u32()?),
                RTA_GATEWAY => route.gateway = Some(attribute.ip(family)?),
                RTA_PRIORITY => route.priority = Some(attribute.u32()?),
                RTA_PREFSRC => route.source = Some(attribute.ip(family)?),
                RTA_TABLE => route.table = attribute.u32()?,
                RTA_METRICS => {
                    let mtu = attribute.nested().find(RTAX_MTU)?;
                    route.mtu = mtu.map(|mtu| mtu.u32()).transpose()?;
                }
                _ => {}
            }
        }
        route.destination = Cidr::new(destination, bits).ok_or(Malformed)?;
        Ok(route)
    }

    /// Appends the payload of a route message.
    pub fn emit(&self, payload: &mut Builder<'_>) {
        let destination = self.destination.address();
        // A table beyond the header's byte is `RT_TABLE_UNSPEC` there and an attribute.
        let table = u8::try_from(self.table);
        payload.put(&[family(destination), self.destination.prefix_len(), 0, 0]);
        payload.put(&[table.unwrap_or(0), self.protocol, self.scope, self.kind]);
        payload.put(&[0; 4]);
        if !destination.is_unspecified() {
            payload.ip(RTA_DST, destination);
        }
        for (kind, address) in [(RTA_GATEWAY, self.gateway), (RTA_PREFSRC, self.source)] {
            if let Some(address) = address {
                payload.ip(kind, address);
            }
        }
        if let Some(priority) = self.priority {
            payload.u32(RTA_PRIORITY, priority);
        }
        if let Some(link) = self.link {
            payload.u32(RTA_OIF, link);
        }
        if table.is_err() {
            payload.u32(RTA_TABLE, self.table);
        }
        if let Some(mtu) = self.mtu {
            payload.nested_unmarked(RTA_METRICS, |metrics| metrics.u32(RTAX_MTU, mtu));
        }
    }
}
