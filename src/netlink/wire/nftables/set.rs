//! Sets and maps, and their elements: one lookup however many there are.

use super::data::Data;
use super::{Family, HEADER_LEN, LIST_ELEMENT, MESSAGES, Slots};
use crate::netlink::wire::Malformed;
use crate::netlink::wire::attribute::{Attribute, Attributes};
use crate::netlink::wire::builder::Builder;
use heapless::Vec;

/// `NFT_MSG_NEWSET`.
pub const NEW: u16 = MESSAGES | 9;
/// `NFT_MSG_GETSET`.
pub const GET: u16 = MESSAGES | 10;
/// `NFT_MSG_DELSET`: refused with `EBUSY` while rules look in it.
pub const DELETE: u16 = MESSAGES | 11;
/// `NFT_MSG_NEWSETELEM`.
pub const NEW_ELEMENT: u16 = MESSAGES | 12;
/// `NFT_MSG_GETSETELEM`.
pub const GET_ELEMENT: u16 = MESSAGES | 13;
/// `NFT_MSG_DELSETELEM`: those given, or all of the set when none is.
pub const DELETE_ELEMENT: u16 = MESSAGES | 14;

const NFTA_SET_TABLE: u16 = 1;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_DATA_TYPE: u16 = 6;
const NFTA_SET_DATA_LEN: u16 = 7;
const NFTA_SET_DESC: u16 = 9;
const NFTA_SET_ID: u16 = 10;
const NFTA_SET_USERDATA: u16 = 13;
const NFTA_SET_HANDLE: u16 = 16;
const NFTA_SET_DESC_CONCAT: u16 = 2;
const NFTA_SET_FIELD_LEN: u16 = 1;

const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_LIST_SET_ID: u16 = 4;

const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFTA_SET_ELEM_USERDATA: u16 = 6;
const NFTA_SET_ELEM_KEY_END: u16 = 10;

/// `NFT_SET_INTERVAL`: elements may be ranges.
pub const INTERVAL: u32 = 0x4;
/// `NFT_SET_MAP`: elements have data.
pub const MAP: u32 = 0x8;
/// `NFT_SET_CONCAT`: a range has one for each part of the key.
pub const CONCATENATION: u32 = 0x80;

/// `NFT_SET_ELEM_INTERVAL_END`: the element ends a range and is not of it.
pub const RANGE_END: u32 = 0x1;

/// Most parts of a key: each has a word of a register.
pub const PARTS_MAX: usize = 16;

/// What the bytes of a key or datum mean: for nft, which shows them; the kernel only keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Type(pub u32);

impl Type {
    /// `TYPE_IPADDR`: four bytes.
    pub const IPV4: Self = Self(7);
    /// `TYPE_IP6ADDR`: sixteen bytes.
    pub const IPV6: Self = Self(8);
    /// `TYPE_INET_PROTOCOL`: one byte.
    pub const PROTOCOL: Self = Self(12);
    /// `TYPE_INET_SERVICE`: a port, two bytes, big endian.
    pub const PORT: Self = Self(13);
    /// `TYPE_IFNAME`: sixteen bytes.
    pub const LINK_NAME: Self = Self(41);
    /// `NFT_DATA_VERDICT`.
    pub const VERDICT: Self = Self(0xffff_ff00);

    /// This type followed by `next`, each at the beginning of a word (`concat_subtype_add`).
    #[must_use]
    pub const fn and(self, next: Self) -> Self {
        Self(self.0 << 6 | next.0 & 0x3f)
    }
}

/// What a map's elements hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataSpec {
    /// What it means; [`Type::VERDICT`] makes a verdict map.
    pub kind: Type,
    /// Its bytes, parts rounded up to words; zero for verdicts.
    pub len: u32,
}

/// A set or map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set<'a> {
    /// The packets its table sees.
    pub family: Family,
    /// Its table.
    pub table: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// [`INTERVAL`], [`CONCATENATION`] and other `NFT_SET_*`, without [`MAP`], which `data` says.
    pub flags: u32,
    /// What its keys mean.
    pub key: Type,
    /// Bytes of a key, parts rounded up to words.
    pub key_len: u32,
    /// What its elements hold; absent for a set.
    pub data: Option<DataSpec>,
    /// With [`CONCATENATION`]: the bytes of each part of the key, not rounded up.
    pub parts: Vec<u8, PARTS_MAX>,
    /// A number of the maker's by which expressions of the same transaction find the set.
    pub id: u32,
    /// What nft wants to remember; opaque.
    pub user_data: &'a [u8],
    /// The kernel's number for it; answers only.
    pub handle: Option<u64>,
}

impl<'a> Set<'a> {
    /// A set as it is asked for: of whole keys of `key_len` bytes, without data.
    #[must_use]
    pub const fn new(family: Family, table: &'a [u8], name: &'a [u8], key: Type, key_len: u32) -> Self {
        Self {
            family,
            table,
            name,
            flags: 0,
            key,
            key_len,
            data: None,
            parts: Vec::new(),
            id: 0,
            user_data: &[],
            handle: None,
        }
    }

    /// Reads the payload of a set message.
    ///
    /// # Errors
    /// [`Malformed`] when an attribute breaks or has not its size, or a key has more than sixteen parts.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let family = Family::parse(payload)?;
        let slots = Slots::read(Attributes::after(payload, HEADER_LEN))?;
        let flags = slots.number_or_zero(NFTA_SET_FLAGS)?;
        let data = DataSpec {
            kind: Type(slots.number_or_zero(NFTA_SET_DATA_TYPE)?),
            len: slots.number_or_zero(NFTA_SET_DATA_LEN)?,
        };
        Ok(Self {
            family,
            table: slots.text(NFTA_SET_TABLE),
            name: slots.text(NFTA_SET_NAME),
            flags: flags & !MAP,
            key: Type(slots.number_or_zero(NFTA_SET_KEY_TYPE)?),
            key_len: slots.number_or_zero(NFTA_SET_KEY_LEN)?,
            data: (flags & MAP != 0).then_some(data),
            parts: parse_parts(slots.nested(NFTA_SET_DESC))?,
            id: slots.number_or_zero(NFTA_SET_ID)?,
            user_data: slots.value(NFTA_SET_USERDATA),
            handle: slots.long(NFTA_SET_HANDLE)?,
        })
    }

    /// Appends the payload of a set message.
    pub fn emit(&self, payload: &mut Builder<'_>) {
        self.family.emit(payload);
        payload.text(NFTA_SET_TABLE, self.table);
        payload.text(NFTA_SET_NAME, self.name);
        payload.u32_be(NFTA_SET_FLAGS, self.flags | if self.data.is_some() { MAP } else { 0 });
        payload.u32_be(NFTA_SET_KEY_TYPE, self.key.0);
        payload.u32_be(NFTA_SET_KEY_LEN, self.key_len);
        payload.u32_be(NFTA_SET_ID, self.id);
        if let Some(data) = &self.data {
            payload.u32_be(NFTA_SET_DATA_TYPE, data.kind.0);
            payload.u32_be(NFTA_SET_DATA_LEN, data.len);
        }
        if !self.parts.is_empty() {
            payload.nested(NFTA_SET_DESC, |desc| {
                desc.nested(NFTA_SET_DESC_CONCAT, |list| {
                    for part in &self.parts {
                        list.nested(LIST_ELEMENT, |field| field.u32_be(NFTA_SET_FIELD_LEN, u32::from(*part)));
                    }
                });
            });
        }
        if !self.user_data.is_empty() {
            payload.bytes(NFTA_SET_USERDATA, self.user_data);
        }
        if let Some(handle) = self.handle {
            payload.u64_be(NFTA_SET_HANDLE, handle);
        }
    }

    /// Appends the payload of a message that finds the set: to delete it, or to list those of its table.
    pub fn emit_name(&self, payload: &mut Builder<'_>) {
        self.family.emit(payload);
        payload.text(NFTA_SET_TABLE, self.table);
        payload.text_unless_empty(NFTA_SET_NAME, self.name);
    }
}

fn parse_parts(desc: Attributes<'_>) -> Result<Vec<u8, PARTS_MAX>, Malformed> {
    let mut parts = Vec::new();
    if let Some(list) = desc.find(NFTA_SET_DESC_CONCAT)? {
        for field in list.nested() {
            let len = field?.nested().find(NFTA_SET_FIELD_LEN)?.ok_or(Malformed)?.u32_be()?;
            parts.push(u8::try_from(len).map_err(|_| Malformed)?).map_err(|_| Malformed)?;
        }
    }
    Ok(parts)
}

/// An element of a set or map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element<'a> {
    /// Its key, or where its range begins.
    pub key: &'a [u8],
    /// With [`CONCATENATION`]: where its range ends, included; empty for a whole key.
    pub key_end: &'a [u8],
    /// What a map holds under the key.
    pub data: Option<Data<'a>>,
    /// [`RANGE_END`] or zero.
    pub flags: u32,
    /// For people, shown by nft; empty for none.
    pub comment: &'a [u8],
}

impl<'a> Element<'a> {
    /// An element with nothing but a key.
    #[must_use]
    pub const fn new(key: &'a [u8]) -> Self {
        Self { key, key_end: &[], data: None, flags: 0, comment: &[] }
    }

    fn parse(attribute: &Attribute<'a>) -> Result<Self, Malformed> {
        let slots = Slots::read(attribute.nested())?;
        let value =
            |kind| if slots.get(kind).is_some() { Data::parse_value(&slots, kind) } else { Ok(&[][..]) };
        Ok(Self {
            key: value(NFTA_SET_ELEM_KEY)?,
            key_end: value(NFTA_SET_ELEM_KEY_END)?,
            data: slots.get(NFTA_SET_ELEM_DATA).map(|data| Data::parse(&data)).transpose()?,
            flags: slots.number_or_zero(NFTA_SET_ELEM_FLAGS)?,
            comment: slots.comment(NFTA_SET_ELEM_USERDATA),
        })
    }

    fn emit(&self, element: &mut Builder<'_>) {
        if self.flags != 0 {
            element.u32_be(NFTA_SET_ELEM_FLAGS, self.flags);
        }
        Data::Value(self.key).emit(NFTA_SET_ELEM_KEY, element);
        if !self.key_end.is_empty() {
            Data::Value(self.key_end).emit(NFTA_SET_ELEM_KEY_END, element);
        }
        if let Some(data) = &self.data {
            data.emit(NFTA_SET_ELEM_DATA, element);
        }
        element.comment(NFTA_SET_ELEM_USERDATA, self.comment);
    }
}

/// Of which set a message's elements are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elements<'a> {
    /// The packets its table sees.
    pub family: Family,
    /// Its table.
    pub table: &'a [u8],
    /// Its name.
    pub set: &'a [u8],
    /// [`Set::id`], when the set is made in the same transaction; else zero.
    pub set_id: u32,
}

impl<'a> Elements<'a> {
    /// Reads the payload of an element message.
    ///
    /// # Errors
    /// [`Malformed`] when an attribute breaks or has not its size.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let family = Family::parse(payload)?;
        let slots = Slots::read(Attributes::after(payload, HEADER_LEN))?;
        Ok(Self {
            family,
            table: slots.text(NFTA_SET_ELEM_LIST_TABLE),
            set: slots.text(NFTA_SET_ELEM_LIST_SET),
            set_id: slots.number_or_zero(NFTA_SET_ELEM_LIST_SET_ID)?,
        })
    }

    /// Reads the elements of an element message.
    ///
    /// # Errors
    /// [`Malformed`] when an attribute before them breaks.
    pub fn parse_list(
        payload: &'a [u8],
    ) -> Result<impl Iterator<Item = Result<Element<'a>, Malformed>>, Malformed> {
        let list = Attributes::after(payload, HEADER_LEN).find(NFTA_SET_ELEM_LIST_ELEMENTS)?;
        Ok(list.into_iter().flat_map(|list| list.nested()).map(|element| Element::parse(&element?)))
    }

    /// Appends the payload of an element message. All elements together may take up to 65 531 bytes.
    pub fn emit(&self, elements: &[Element<'_>], payload: &mut Builder<'_>) {
        self.family.emit(payload);
        payload.text(NFTA_SET_ELEM_LIST_TABLE, self.table);
        payload.text(NFTA_SET_ELEM_LIST_SET, self.set);
        if self.set_id != 0 {
            payload.u32_be(NFTA_SET_ELEM_LIST_SET_ID, self.set_id);
        }
        if !elements.is_empty() {
            payload.nested(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                for element in elements {
                    list.nested(LIST_ELEMENT, |nest| element.emit(nest));
                }
            });
        }
    }
}
