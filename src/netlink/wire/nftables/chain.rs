//! Chains: rules in order, entered from a hook of the network stack or by a verdict.

use super::{Family, HEADER_LEN, MESSAGES, Slots};
use crate::netlink::wire::Malformed;
use crate::netlink::wire::attribute::Attributes;
use crate::netlink::wire::builder::Builder;

/// `NFT_MSG_NEWCHAIN`.
pub const NEW: u16 = MESSAGES | 3;
/// `NFT_MSG_GETCHAIN`.
pub const GET: u16 = MESSAGES | 4;
/// `NFT_MSG_DELCHAIN`: refused with `EBUSY` while rules jump to it.
pub const DELETE: u16 = MESSAGES | 5;

const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_HANDLE: u16 = 2;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;

/// `NF_INET_PRE_ROUTING`: packets that arrive, before it is decided whether they are ours.
pub const PREROUTING: u32 = 0;
/// `NF_INET_LOCAL_IN`: packets for this host.
pub const INPUT: u32 = 1;
/// `NF_INET_FORWARD`: packets passed on.
pub const FORWARD: u32 = 2;
/// `NF_INET_LOCAL_OUT`: packets of this host.
pub const OUTPUT: u32 = 3;
/// `NF_INET_POST_ROUTING`: packets that leave.
pub const POSTROUTING: u32 = 4;

/// Priority of destination NAT (`NF_IP_PRI_NAT_DST`).
pub const NAT_DESTINATION: i32 = -100;
/// Priority of filters (`NF_IP_PRI_FILTER`).
pub const FILTER: i32 = 0;
/// Priority of source NAT (`NF_IP_PRI_NAT_SRC`).
pub const NAT_SOURCE: i32 = 100;

/// `NF_DROP`, as a policy.
pub const DROP: u32 = 0;
/// `NF_ACCEPT`, as a policy.
pub const ACCEPT: u32 = 1;

/// Where a base chain hangs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hook<'a> {
    /// `nat`, `filter` or `route`.
    pub kind: &'a [u8],
    /// [`PREROUTING`] to [`POSTROUTING`] in IP families.
    pub number: u32,
    /// Lower ones come first.
    pub priority: i32,
    /// [`ACCEPT`] or [`DROP`]: what becomes of packets no rule decides on.
    pub policy: u32,
}

/// A chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chain<'a> {
    /// The packets its table sees.
    pub family: Family,
    /// Its table.
    pub table: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// Where it hangs; absent when it is only entered by a verdict.
    pub hook: Option<Hook<'a>>,
    /// The kernel's number for it; answers only.
    pub handle: Option<u64>,
}

impl<'a> Chain<'a> {
    /// A chain as it is asked for, that hangs nowhere.
    #[must_use]
    pub const fn new(family: Family, table: &'a [u8], name: &'a [u8]) -> Self {
        Self { family, table, name, hook: None, handle: None }
    }

    /// What becomes of forwarded IP packets that none of its rules decides on; `None` when they do not enter it by itself.
    /// Chains of the older ip_tables, which are not nf_tables', are not seen here.
    #[must_use]
    pub fn policy_of_forwarded(&self) -> Option<u32> {
        let ip = [Family::INET, Family::IPV4, Family::IPV6].contains(&self.family);
        self.hook.filter(|hook| ip && hook.number == FORWARD).map(|hook| hook.policy)
    }

    /// Reads the payload of a chain message.
    ///
    /// # Errors
    /// [`Malformed`] when an attribute breaks or has not its size.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let family = Family::parse(payload)?;
        let slots = Slots::read(Attributes::after(payload, HEADER_LEN))?;
        let hook = match slots.get(NFTA_CHAIN_HOOK) {
            None => None,
            Some(hook) => {
                let place = Slots::read(hook.nested())?;
                Some(Hook {
                    kind: slots.text(NFTA_CHAIN_TYPE),
                    number: place.required(NFTA_HOOK_HOOKNUM)?,
                    priority: place.required(NFTA_HOOK_PRIORITY)?.cast_signed(),
                    policy: slots.number(NFTA_CHAIN_POLICY)?.unwrap_or(ACCEPT),
                })
            }
        };
        Ok(Self {
            family,
            table: slots.text(NFTA_CHAIN_TABLE),
            name: slots.text(NFTA_CHAIN_NAME),
            hook,
            handle: slots.long(NFTA_CHAIN_HANDLE)?,
        })
    }

    /// Appends the payload of a message that finds the chain: to delete it.
    pub fn emit_name(&self, payload: &mut Builder<'_>) {
        self.family.emit(payload);
        payload.text(NFTA_CHAIN_TABLE, self.table);
        payload.text(NFTA_CHAIN_NAME, self.name);
    }

    /// Appends the payload of a chain message.
    pub fn emit(&self, payload: &mut Builder<'_>) {
        self.emit_name(payload);
        if let Some(handle) = self.handle {
            payload.u64_be(NFTA_CHAIN_HANDLE, handle);
        }
        if let Some(hook) = &self.hook {
            payload.text(NFTA_CHAIN_TYPE, hook.kind);
            payload.u32_be(NFTA_CHAIN_POLICY, hook.policy);
            payload.nested(NFTA_CHAIN_HOOK, |place| {
                place.u32_be(NFTA_HOOK_HOOKNUM, hook.number);
                place.u32_be(NFTA_HOOK_PRIORITY, hook.priority.cast_unsigned());
            });
        }
    }
}
