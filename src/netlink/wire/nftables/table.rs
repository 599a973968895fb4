//! Tables: names for everything of one owner.

use super::{Family, HEADER_LEN, MESSAGES, Slots};
use crate::netlink::wire::Malformed;
use crate::netlink::wire::attribute::Attributes;
use crate::netlink::wire::builder::Builder;

/// `NFT_MSG_NEWTABLE`.
pub const NEW: u16 = MESSAGES;
/// `NFT_MSG_GETTABLE`.
pub const GET: u16 = MESSAGES | 1;
/// `NFT_MSG_DELTABLE`: with everything in it.
pub const DELETE: u16 = MESSAGES | 2;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_TABLE_HANDLE: u16 = 4;
const NFTA_TABLE_USERDATA: u16 = 6;

/// A table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table<'a> {
    /// The packets it sees.
    pub family: Family,
    /// Its name.
    pub name: &'a [u8],
    /// `NFT_TABLE_F_*`.
    pub flags: u32,
    /// The kernel's number for it; answers only.
    pub handle: Option<u64>,
    /// For people, shown by nft; empty for none.
    pub comment: &'a [u8],
}

impl<'a> Table<'a> {
    /// A table as it is asked for.
    #[must_use]
    pub const fn new(family: Family, name: &'a [u8]) -> Self {
        Self { family, name, flags: 0, handle: None, comment: &[] }
    }

    /// Reads the payload of a table message.
    ///
    /// # Errors
    /// [`Malformed`] when an attribute breaks or has not its size.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let family = Family::parse(payload)?;
        let slots = Slots::read(Attributes::after(payload, HEADER_LEN))?;
        Ok(Self {
            family,
            name: slots.text(NFTA_TABLE_NAME),
            flags: slots.number_or_zero(NFTA_TABLE_FLAGS)?,
            handle: slots.long(NFTA_TABLE_HANDLE)?,
            comment: slots.comment(NFTA_TABLE_USERDATA),
        })
    }

    /// Appends the payload of a message that finds the table: to delete it.
    pub fn emit_name(&self, payload: &mut Builder<'_>) {
        self.family.emit(payload);
        payload.text(NFTA_TABLE_NAME, self.name);
    }

    /// Appends the payload of a table message.
    pub fn emit(&self, payload: &mut Builder<'_>) {
        self.emit_name(payload);
        payload.u32_be(NFTA_TABLE_FLAGS, self.flags);
        if let Some(handle) = self.handle {
            payload.u64_be(NFTA_TABLE_HANDLE, handle);
        }
        payload.comment(NFTA_TABLE_USERDATA, self.comment);
    }
}
