//! nf_tables: tables, chains, rules, sets and their elements (include/uapi/linux/netfilter/nf_tables.h).
//!
//! Unlike rtnetlink, nf_tables writes its numbers big endian, and all changes are one transaction between
//! [`BATCH_BEGIN`] and [`BATCH_END`].

pub mod chain;
pub mod data;
pub mod expression;
pub mod rule;
pub mod set;
pub mod table;
#[cfg(test)]
mod tests;

use super::attribute::{Attribute, Attributes};
use super::builder::Builder;
use super::{Malformed, u8_at};

/// `NFNL_MSG_BATCH_BEGIN`: begins a transaction.
pub const BATCH_BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`: carries it out.
pub const BATCH_END: u16 = 0x11;
/// `NFNL_SUBSYS_NFTABLES`, as [`BATCH_BEGIN`] and [`BATCH_END`] name it.
pub const SUBSYSTEM: u16 = 10;
/// What [`SUBSYSTEM`] adds to every other message type.
const MESSAGES: u16 = SUBSYSTEM << 8;

/// `NFT_MSG_NEWGEN`: the answer to [`GET_GENERATION`].
pub const NEW_GENERATION: u16 = MESSAGES | 15;
/// `NFT_MSG_GETGEN`: asks for the number of the last transaction.
pub const GET_GENERATION: u16 = MESSAGES | 16;

/// `NFNL_BATCH_GENID` and `NFTA_GEN_ID`: the number of the last transaction.
const GENERATION: u16 = 1;
/// `NFTA_LIST_ELEM`: an element of any list.
const LIST_ELEMENT: u16 = 1;

/// Bytes of `struct nfgenmsg`.
pub const HEADER_LEN: usize = 4;

/// The packets a table sees (`NFPROTO_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Family(pub u8);

impl Family {
    /// Every family: questions only.
    pub const ANY: Self = Self(0);
    /// IPv4 and IPv6.
    pub const INET: Self = Self(1);
    /// IPv4.
    pub const IPV4: Self = Self(2);
    /// IPv6.
    pub const IPV6: Self = Self(10);

    /// Reads the fixed header, `struct nfgenmsg`, of an nf_tables message.
    ///
    /// # Errors
    /// [`Malformed`] when the payload is shorter.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        payload.get(..HEADER_LEN).ok_or(Malformed)?;
        u8_at(payload, 0).map(Self)
    }

    /// Appends the fixed header of an nf_tables message.
    pub fn emit(self, payload: &mut Builder<'_>) {
        payload.put(&[self.0, 0, 0, 0]);
    }
}

/// Appends the payload of [`BATCH_BEGIN`] or [`BATCH_END`]; with a `generation` the transaction is refused with
/// `ERESTART` when there was another one since.
pub fn emit_boundary(payload: &mut Builder<'_>, generation: Option<u32>) {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    payload.put(&[0, 0, high, low]);
    if let Some(generation) = generation {
        payload.u32_be(GENERATION, generation);
    }
}

/// Reads the payload of [`NEW_GENERATION`].
///
/// # Errors
/// [`Malformed`] when it has none.
pub fn parse_generation(payload: &[u8]) -> Result<u32, Malformed> {
    Attributes::after(payload, HEADER_LEN).find(GENERATION)?.ok_or(Malformed)?.u32_be()
}

/// How many types of attribute are kept apart: the types used here are smaller.
const SLOTS: usize = 18;

/// The attributes of one nest by their types; of several of a type the last counts, as in the kernel.
struct Slots<'a>([Option<Attribute<'a>>; SLOTS]);

impl<'a> Slots<'a> {
    fn read(attributes: Attributes<'a>) -> Result<Self, Malformed> {
        let mut slots = [None; SLOTS];
        for attribute in attributes {
            let attribute = attribute?;
            if let Some(slot) = slots.get_mut(usize::from(attribute.kind)) {
                *slot = Some(attribute);
            }
        }
        Ok(Self(slots))
    }

    fn get(&self, kind: u16) -> Option<Attribute<'a>> {
        self.0.get(usize::from(kind)).copied().flatten()
    }

    fn nested(&self, kind: u16) -> Attributes<'a> {
        Attributes::new(self.value(kind))
    }

    /// The value, empty when there is none.
    fn value(&self, kind: u16) -> &'a [u8] {
        self.get(kind).map_or(&[], |attribute| attribute.value)
    }

    /// The text, empty when there is none.
    fn text(&self, kind: u16) -> &'a [u8] {
        self.get(kind).map_or(&[], |attribute| attribute.text())
    }

    fn number(&self, kind: u16) -> Result<Option<u32>, Malformed> {
        self.get(kind).map(|attribute| attribute.u32_be()).transpose()
    }

    fn number_or_zero(&self, kind: u16) -> Result<u32, Malformed> {
        Ok(self.number(kind)?.unwrap_or(0))
    }

    fn required(&self, kind: u16) -> Result<u32, Malformed> {
        self.number(kind)?.ok_or(Malformed)
    }

    fn long(&self, kind: u16) -> Result<Option<u64>, Malformed> {
        self.get(kind).map(|attribute| attribute.u64_be()).transpose()
    }

    /// The comment in user data, empty when there is none.
    fn comment(&self, kind: u16) -> &'a [u8] {
        comment(self.value(kind)).unwrap_or_default()
    }
}

/// The type of a comment among user data, which is nft's own and opaque to the kernel: one byte of type, one of
/// length, the value (libnftnl, include/libnftnl/udata.h). It is the same for tables, rules and elements.
const COMMENT: u8 = 0;

/// The first comment in `user_data`, without its NUL.
fn comment(user_data: &[u8]) -> Option<&[u8]> {
    let mut rest = user_data;
    loop {
        let (&[kind, len], behind) = rest.split_first_chunk::<2>()?;
        let (value, behind) = behind.split_at_checked(usize::from(len))?;
        if kind == COMMENT {
            return value.split(|&byte| byte == 0).next();
        }
        rest = behind;
    }
}

impl Builder<'_> {
    /// Appends a number unless it is absent.
    fn number(&mut self, kind: u16, number: Option<u32>) {
        if let Some(number) = number {
            self.u32_be(kind, number);
        }
    }

    /// Appends text unless it is empty.
    fn text_unless_empty(&mut self, kind: u16, text: &[u8]) {
        if !text.is_empty() {
            self.text(kind, text);
        }
    }

    /// Appends user data with a comment, as nft writes and shows it, unless the comment is empty. It may have up to
    /// [`COMMENT_MAX`] bytes.
    fn comment(&mut self, kind: u16, comment: &[u8]) {
        if comment.is_empty() {
            return;
        }
        let mut data = [0; COMMENT_MAX + 3];
        let len = comment.len().saturating_add(1);
        let whole = len.saturating_add(2);
        match (u8::try_from(len), data.get_mut(..whole)) {
            (Ok(len), Some([kind_place, len_place, value @ .., _nul])) => {
                *kind_place = COMMENT;
                *len_place = len;
                value.copy_from_slice(comment);
            }
            _ => return self.overflow(),
        }
        self.bytes(kind, data.get(..whole).unwrap_or_default());
    }
}

/// Longest comment nft itself accepts (`NFTNL_UDATA_COMMENT_MAXLEN` without its NUL).
pub const COMMENT_MAX: usize = 127;
