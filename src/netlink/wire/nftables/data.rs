//! Registers, values and verdicts: what expressions work on.

use super::Slots;
use crate::netlink::wire::Malformed;
use crate::netlink::wire::attribute::{Attribute, Attributes};
use crate::netlink::wire::builder::Builder;

const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;

/// Where an expression leaves a value for the next one: one of sixteen words of four bytes, or the verdict.
///
/// A value longer than a word runs on into the following ones. A key of several parts has each part at the
/// beginning of a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register(pub u32);

impl Register {
    /// `NFT_REG_VERDICT`: what becomes of the packet.
    pub const VERDICT: Self = Self(0);
    /// The first word.
    pub const FIRST: Self = Self(1);

    /// The word `number`, 0 to 15, under the number by which the kernel tells it.
    #[must_use]
    pub const fn word(number: u8) -> Self {
        // `NFT_REG_1` to `NFT_REG_4` are words 0, 4, 8 and 12, `NFT_REG32_00` on are all of them.
        let number = (number & 15) as u32;
        Self(if number & 3 == 0 { (number >> 2).wrapping_add(1) } else { number.wrapping_add(8) })
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict<'a> {
    /// This table lets it pass.
    Accept,
    /// It is thrown away.
    Drop,
    /// The chain that jumped here goes on.
    Return,
    /// That chain goes on, then this one.
    Jump(&'a [u8]),
    /// That chain goes on, this one not.
    Goto(&'a [u8]),
    /// Another verdict, by its `NFT_*` or `NF_*` number.
    Other(i32),
}

const NF_DROP: i32 = 0;
const NF_ACCEPT: i32 = 1;
const NFT_JUMP: i32 = -3;
const NFT_GOTO: i32 = -4;
const NFT_RETURN: i32 = -5;

impl<'a> Verdict<'a> {
    fn parse(attributes: Attributes<'a>) -> Result<Self, Malformed> {
        let slots = Slots::read(attributes)?;
        Ok(match slots.required(NFTA_VERDICT_CODE)?.cast_signed() {
            NF_DROP => Self::Drop,
            NF_ACCEPT => Self::Accept,
            NFT_RETURN => Self::Return,
            NFT_JUMP => Self::Jump(slots.text(NFTA_VERDICT_CHAIN)),
            NFT_GOTO => Self::Goto(slots.text(NFTA_VERDICT_CHAIN)),
            other => Self::Other(other),
        })
    }

    fn emit(&self, verdict: &mut Builder<'_>) {
        let (code, chain): (i32, &[u8]) = match *self {
            Self::Drop => (NF_DROP, &[]),
            Self::Accept => (NF_ACCEPT, &[]),
            Self::Return => (NFT_RETURN, &[]),
            Self::Jump(chain) => (NFT_JUMP, chain),
            Self::Goto(chain) => (NFT_GOTO, chain),
            Self::Other(code) => (code, &[]),
        };
        verdict.u32_be(NFTA_VERDICT_CODE, code.cast_unsigned());
        verdict.text_unless_empty(NFTA_VERDICT_CHAIN, chain);
    }
}

/// What an expression or a map's element holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Data<'a> {
    /// Bytes, in the order of the packet.
    Value(&'a [u8]),
    /// What becomes of the packet.
    Verdict(Verdict<'a>),
}

impl<'a> Data<'a> {
    /// Reads an attribute that holds data.
    ///
    /// # Errors
    /// [`Malformed`] when it is neither a value nor a verdict.
    pub fn parse(attribute: &Attribute<'a>) -> Result<Self, Malformed> {
        let slots = Slots::read(attribute.nested())?;
        if let Some(value) = slots.get(NFTA_DATA_VALUE) {
            return Ok(Self::Value(value.value));
        }
        Verdict::parse(slots.get(NFTA_DATA_VERDICT).ok_or(Malformed)?.nested()).map(Self::Verdict)
    }

    /// Appends an attribute of type `kind` that holds the data.
    pub fn emit(&self, kind: u16, builder: &mut Builder<'_>) {
        builder.nested(kind, |data| match self {
            Self::Value(value) => data.bytes(NFTA_DATA_VALUE, value),
            Self::Verdict(verdict) => data.nested(NFTA_DATA_VERDICT, |nest| verdict.emit(nest)),
        });
    }

    /// Reads an attribute that holds a value.
    pub(super) fn parse_value(slots: &Slots<'a>, kind: u16) -> Result<&'a [u8], Malformed> {
        match Self::parse(&slots.get(kind).ok_or(Malformed)?)? {
            Self::Value(value) => Ok(value),
            Self::Verdict(_) => Err(Malformed),
        }
    }
}
