//! Expressions: what a rule does, step by step, with the packet and sixteen words of registers.

use super::data::{Data, Register};
use super::{Family, Slots};
use crate::netlink::wire::Malformed;
use crate::netlink::wire::attribute::Attribute;
use crate::netlink::wire::builder::Builder;

const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;

/// `NFTA_BITWISE_*`.
mod bitwise {
    pub(super) const FROM: u16 = 1;
    pub(super) const TO: u16 = 2;
    pub(super) const LEN: u16 = 3;
    pub(super) const MASK: u16 = 4;
    pub(super) const XOR: u16 = 5;
}

/// `NFTA_LOOKUP_*`.
mod lookup {
    pub(super) const SET: u16 = 1;
    pub(super) const FROM: u16 = 2;
    pub(super) const TO: u16 = 3;
    pub(super) const SET_ID: u16 = 4;
    pub(super) const FLAGS: u16 = 5;
    /// `NFT_LOOKUP_F_INV`.
    pub(super) const INVERTED: u32 = 1;
}

/// `NFTA_NAT_*`.
mod nat {
    pub(super) const KIND: u16 = 1;
    pub(super) const FAMILY: u16 = 2;
    pub(super) const ADDRESS: u16 = 3;
    pub(super) const ADDRESS_LAST: u16 = 4;
    pub(super) const PORT: u16 = 5;
    pub(super) const PORT_LAST: u16 = 6;
    pub(super) const FLAGS: u16 = 7;
}

/// `NFTA_COUNTER_*`.
mod counter {
    pub(super) const BYTES: u16 = 1;
    pub(super) const PACKETS: u16 = 2;
}

/// Attribute types that several expressions have at the same places.
mod place {
    pub(super) const FIRST: u16 = 1;
    pub(super) const SECOND: u16 = 2;
    pub(super) const THIRD: u16 = 3;
    pub(super) const FOURTH: u16 = 4;
}

/// What [`Expression::Meta`] loads (`NFT_META_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta(pub u32);

impl Meta {
    /// The name of the link the packet came by: sixteen bytes, NULs at its end.
    pub const IN_NAME: Self = Self(6);
    /// The name of the link the packet leaves by.
    pub const OUT_NAME: Self = Self(7);
    /// The packet's family as one byte: 2 for IPv4, 10 for IPv6.
    pub const FAMILY: Self = Self(15);
    /// The transport protocol as one byte: 6 for TCP, 17 for UDP.
    pub const PROTOCOL: Self = Self(16);
}

/// From where [`Expression::Payload`] counts (`NFT_PAYLOAD_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Base(pub u32);

impl Base {
    /// The beginning of the IP header.
    pub const NETWORK: Self = Self(1);
    /// The beginning of the TCP or UDP header.
    pub const TRANSPORT: Self = Self(2);
}

/// What [`Expression::Conntrack`] loads (`NFT_CT_*`), in the machine's byte order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conntrack(pub u32);

impl Conntrack {
    /// The state of the packet's connection: one bit of [`INVALID`], [`ESTABLISHED`], [`RELATED`] and others.
    pub const STATE: Self = Self(0);
    /// What was done to the connection: [`TRANSLATED_DESTINATION`] and others.
    pub const STATUS: Self = Self(2);
}

/// `NF_CT_STATE_INVALID_BIT`: the packet belongs to no connection.
pub const INVALID: u32 = 1;
/// The state bit of packets of a connection both sides have spoken in.
pub const ESTABLISHED: u32 = 2;
/// The state bit of packets that another connection announced.
pub const RELATED: u32 = 4;
/// `IPS_DST_NAT`: the connection's destination was translated.
pub const TRANSLATED_DESTINATION: u32 = 0x20;

/// What [`Expression::Fib`] loads (`NFT_FIB_RESULT_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fib(pub u32);

impl Fib {
    /// What kind of address it is, a `RTN_*` number such as [`LOCAL`].
    pub const ADDRESS_TYPE: Self = Self(3);
}

/// `NFTA_FIB_F_DADDR`: the destination address is looked up.
pub const FIB_DESTINATION: u32 = 2;
/// `RTN_LOCAL`: an address of this host.
pub const LOCAL: u32 = 2;

/// How two values are compared (`NFT_CMP_*`); numbers as the packet has them, big endian.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Comparison {
    /// Equal, or within the range.
    Equal = 0,
    /// Not equal, or outside the range.
    NotEqual = 1,
    /// Less.
    Less = 2,
    /// Less or equal.
    AtMost = 3,
    /// More.
    More = 4,
    /// More or equal.
    AtLeast = 5,
}

impl Comparison {
    fn parse(number: u32) -> Result<Self, Malformed> {
        [Self::Equal, Self::NotEqual, Self::Less, Self::AtMost, Self::More, Self::AtLeast]
            .into_iter()
            .find(|comparison| *comparison as u32 == number)
            .ok_or(Malformed)
    }
}

/// Which address of a packet is translated (`NFT_NAT_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Side {
    /// Where it comes from.
    Source = 0,
    /// Where it goes.
    Destination = 1,
}

/// `NF_NAT_RANGE_PROTO_SPECIFIED`: a port is translated; the kernel adds it by itself when one is given.
pub const WITH_PORT: u32 = 0x2;

/// The first and, when it is a range, the last register of an address or port to translate to.
pub type Span = Option<(Register, Option<Register>)>;

/// One step of a rule. `from` and `to` are the registers a step reads and loads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each variant's sentence names its fields")]
pub enum Expression<'a> {
    /// Loads something known about the packet.
    Meta { key: Meta, to: Register },
    /// Loads `len` bytes of the packet, from `offset` bytes after `base` on.
    Payload { base: Base, offset: u32, len: u32, to: Register },
    /// Loads something known about the packet's connection.
    Conntrack { key: Conntrack, to: Register },
    /// Loads what the routing tables say about the addresses of the packet that `flags` choose.
    Fib { flags: u32, result: Fib, to: Register },
    /// Loads a value, or gives a verdict when `to` is [`Register::VERDICT`].
    Immediate { to: Register, data: Data<'a> },
    /// Loads `(from & mask) ^ xor`; both have the value's length.
    Bitwise { from: Register, to: Register, mask: &'a [u8], xor: &'a [u8] },
    /// Goes on when the comparison holds.
    Compare { from: Register, comparison: Comparison, value: &'a [u8] },
    /// Goes on when the value is in (`Equal`) or outside (`NotEqual`) the range, whose ends belong to it.
    Range { from: Register, comparison: Comparison, first: &'a [u8], last: &'a [u8] },
    /// Goes on when the value is in the set, or `inverted` when it is not; loads what a map holds under it, and
    /// gives the verdict that a verdict map holds when `to` is [`Register::VERDICT`].
    Lookup { from: Register, set: &'a [u8], set_id: u32, to: Option<Register>, inverted: bool },
    /// Counts packets and bytes.
    Counter { packets: u64, bytes: u64 },
    /// Translates an address, a port or both; `flags` are `NF_NAT_RANGE_*`.
    Nat { side: Side, family: Family, address: Span, port: Span, flags: u32 },
    /// Translates the source to the address of the link the packet leaves by.
    Masquerade { flags: u32 },
    /// Translates the destination to this host.
    Redirect { port: Span, flags: u32 },
    /// Another expression, known by its name only, and a target of the older tables by that one's. A request that holds one fails to build (`ENOBUFS`).
    Other { name: &'a [u8] },
}

impl<'a> Expression<'a> {
    /// Reads an element of a rule's list.
    ///
    /// # Errors
    /// [`Malformed`] when it lacks something of its kind, or an attribute breaks.
    pub fn parse(element: &Attribute<'a>) -> Result<Self, Malformed> {
        let expression = Slots::read(element.nested())?;
        let name = expression.text(NFTA_EXPR_NAME);
        let slots = Slots::read(expression.nested(NFTA_EXPR_DATA))?;
        Ok(match name {
            b"meta" | b"payload" | b"ct" | b"fib" | b"immediate" | b"bitwise" => {
                parse_load(name, &slots)?.unwrap_or(Self::Other { name })
            }
            b"cmp" | b"range" => parse_comparison(name, &slots)?,
            b"lookup" => Self::Lookup {
                from: slots.required(lookup::FROM).map(Register)?,
                set: slots.text(lookup::SET),
                set_id: slots.number_or_zero(lookup::SET_ID)?,
                to: slots.number(lookup::TO)?.map(Register),
                inverted: slots.number_or_zero(lookup::FLAGS)? & lookup::INVERTED != 0,
            },
            b"counter" => Self::Counter {
                packets: slots.long(counter::PACKETS)?.unwrap_or(0),
                bytes: slots.long(counter::BYTES)?.unwrap_or(0),
            },
            b"nat" => parse_nat(&slots)?,
            b"masq" if slots.get(place::SECOND).is_none() => {
                Self::Masquerade { flags: slots.number_or_zero(place::FIRST)? }
            }
            b"redir" => Self::Redirect {
                port: parse_span(&slots, place::FIRST, place::SECOND)?,
                flags: slots.number_or_zero(place::THIRD)?,
            },
            // NFTA_TARGET_NAME: what iptables has nf_tables call.
            b"target" => Self::Other { name: slots.text(place::FIRST) },
            name => Self::Other { name },
        })
    }

    /// The kernel's name of the expression.
    #[must_use]
    pub const fn name(&self) -> &'a [u8] {
        match self {
            Self::Meta { .. } => b"meta",
            Self::Payload { .. } => b"payload",
            Self::Conntrack { .. } => b"ct",
            Self::Fib { .. } => b"fib",
            Self::Immediate { .. } => b"immediate",
            Self::Bitwise { .. } => b"bitwise",
            Self::Compare { .. } => b"cmp",
            Self::Range { .. } => b"range",
            Self::Lookup { .. } => b"lookup",
            Self::Counter { .. } => b"counter",
            Self::Nat { .. } => b"nat",
            Self::Masquerade { .. } => b"masq",
            Self::Redirect { .. } => b"redir",
            Self::Other { name } => name,
        }
    }

    /// Appends what an element of a rule's list holds.
    pub fn emit(&self, element: &mut Builder<'_>) {
        element.text(NFTA_EXPR_NAME, self.name());
        element.nested(NFTA_EXPR_DATA, |data| match *self {
            Self::Meta { key, to } => emit_load(data, to, &[key.0]),
            Self::Payload { base, offset, len, to } => emit_load(data, to, &[base.0, offset, len]),
            Self::Conntrack { key, to } => emit_load(data, to, &[key.0]),
            Self::Fib { flags, result, to } => emit_load(data, to, &[result.0, flags]),
            Self::Immediate { to, data: value } => {
                emit_load(data, to, &[]);
                value.emit(place::SECOND, data);
            }
            Self::Bitwise { from, to, mask, xor } => {
                data.u32_be(bitwise::FROM, from.0);
                data.u32_be(bitwise::TO, to.0);
                // A longer value than a register holds is refused by the kernel whatever its length says.
                data.u32_be(bitwise::LEN, u32::try_from(mask.len()).unwrap_or(u32::MAX));
                Data::Value(mask).emit(bitwise::MASK, data);
                Data::Value(xor).emit(bitwise::XOR, data);
            }
            Self::Compare { from, comparison, value } => {
                emit_load(data, from, &[comparison as u32]);
                Data::Value(value).emit(place::THIRD, data);
            }
            Self::Range { from, comparison, first, last } => {
                emit_load(data, from, &[comparison as u32]);
                Data::Value(first).emit(place::THIRD, data);
                Data::Value(last).emit(place::FOURTH, data);
            }
            Self::Lookup { from, set, set_id, to, inverted } => {
                data.text(lookup::SET, set);
                data.u32_be(lookup::FROM, from.0);
                data.number(lookup::TO, to.map(|to| to.0));
                data.number(lookup::SET_ID, (set_id != 0).then_some(set_id));
                data.number(lookup::FLAGS, inverted.then_some(lookup::INVERTED));
            }
            Self::Counter { packets: 0, bytes: 0 } => {}
            Self::Counter { packets, bytes } => {
                data.u64_be(counter::BYTES, bytes);
                data.u64_be(counter::PACKETS, packets);
            }
            Self::Nat { side, family, address, port, flags } => {
                data.u32_be(nat::KIND, side as u32);
                data.u32_be(nat::FAMILY, u32::from(family.0));
                emit_span(data, address, nat::ADDRESS, nat::ADDRESS_LAST);
                emit_span(data, port, nat::PORT, nat::PORT_LAST);
                data.number(nat::FLAGS, (flags != 0).then_some(flags));
            }
            Self::Masquerade { flags } => data.number(place::FIRST, (flags != 0).then_some(flags)),
            Self::Redirect { port, flags } => {
                emit_span(data, port, place::FIRST, place::SECOND);
                data.number(place::THIRD, (flags != 0).then_some(flags));
            }
            Self::Other { .. } => data.overflow(),
        });
    }
}

/// An expression that loads a register; `None` for a form of it that does something else.
fn parse_load<'a>(name: &[u8], slots: &Slots<'a>) -> Result<Option<Expression<'a>>, Malformed> {
    let register = |kind| slots.required(kind).map(Register);
    let (to, third, fourth) = (place::FIRST, slots.get(place::THIRD), slots.get(place::FOURTH));
    Ok(Some(match name {
        b"meta" if third.is_none() => {
            Expression::Meta { to: register(to)?, key: Meta(slots.required(place::SECOND)?) }
        }
        b"payload" if slots.get(to).is_some() => Expression::Payload {
            to: register(to)?,
            base: Base(slots.required(place::SECOND)?),
            offset: slots.required(place::THIRD)?,
            len: slots.required(place::FOURTH)?,
        },
        b"ct" if third.is_none() && fourth.is_none() => {
            Expression::Conntrack { to: register(to)?, key: Conntrack(slots.required(place::SECOND)?) }
        }
        b"fib" => Expression::Fib {
            to: register(to)?,
            result: Fib(slots.required(place::SECOND)?),
            flags: slots.required(place::THIRD)?,
        },
        b"immediate" => Expression::Immediate {
            to: register(to)?,
            data: Data::parse(&slots.get(place::SECOND).ok_or(Malformed)?)?,
        },
        b"bitwise" if slots.get(bitwise::MASK).is_some() => Expression::Bitwise {
            from: register(bitwise::FROM)?,
            to: register(bitwise::TO)?,
            mask: Data::parse_value(slots, bitwise::MASK)?,
            xor: Data::parse_value(slots, bitwise::XOR)?,
        },
        _ => return Ok(None),
    }))
}

fn parse_comparison<'a>(name: &[u8], slots: &Slots<'a>) -> Result<Expression<'a>, Malformed> {
    let from = slots.required(place::FIRST).map(Register)?;
    let comparison = Comparison::parse(slots.required(place::SECOND)?)?;
    let third = Data::parse_value(slots, place::THIRD)?;
    Ok(match name {
        b"range" => {
            let last = Data::parse_value(slots, place::FOURTH)?;
            Expression::Range { from, comparison, first: third, last }
        }
        _ => Expression::Compare { from, comparison, value: third },
    })
}

fn parse_nat<'a>(slots: &Slots<'_>) -> Result<Expression<'a>, Malformed> {
    let side = match slots.required(nat::KIND)? {
        0 => Side::Source,
        1 => Side::Destination,
        _ => return Err(Malformed),
    };
    Ok(Expression::Nat {
        side,
        family: Family(u8::try_from(slots.required(nat::FAMILY)?).map_err(|_| Malformed)?),
        address: parse_span(slots, nat::ADDRESS, nat::ADDRESS_LAST)?,
        port: parse_span(slots, nat::PORT, nat::PORT_LAST)?,
        flags: slots.number_or_zero(nat::FLAGS)?,
    })
}

fn parse_span(slots: &Slots<'_>, first: u16, last: u16) -> Result<Span, Malformed> {
    let last = slots.number(last)?.map(Register);
    Ok(slots.number(first)?.map(|first| (Register(first), last)))
}

fn emit_span(data: &mut Builder<'_>, span: Span, first: u16, last: u16) {
    if let Some((from, to)) = span {
        data.u32_be(first, from.0);
        data.number(last, to.map(|to| to.0));
    }
}

/// Appends a register and numbers, the way most expressions begin: types 1, 2, 3 and so on.
fn emit_load(data: &mut Builder<'_>, register: Register, numbers: &[u32]) {
    let mut kind = place::FIRST;
    data.u32_be(kind, register.0);
    for number in numbers {
        kind = kind.wrapping_add(1);
        data.u32_be(kind, *number);
    }
}
