//! `struct nlmsghdr` and the messages of one datagram (include/uapi/linux/netlink.h, RFC 3549 section 2.3.2).

use super::{Malformed, align, u16_at, u32_at};

/// Bytes of a message header.
pub const HEADER_LEN: usize = 16;

/// Message types below this belong to netlink itself.
pub const NOOP: u16 = 1;
/// The result of a request, or its acknowledgement; see [`super::ack`].
pub const ERROR: u16 = 2;
/// The end of a dump; its payload starts with the dump's result.
pub const DONE: u16 = 3;
/// Data was lost.
pub const OVERRUN: u16 = 4;

/// Set on every request.
pub const REQUEST: u16 = 0x1;
/// More messages of the same answer follow, until [`DONE`].
pub const MULTI: u16 = 0x2;
/// An acknowledgement is wanted even for success.
pub const ACK: u16 = 0x4;
/// What was dumped changed while it was dumped.
pub const DUMP_INTERRUPTED: u16 = 0x10;
/// All objects of a kind are wanted (`NLM_F_ROOT | NLM_F_MATCH`).
pub const DUMP: u16 = 0x300;
/// An existing object is replaced.
pub const REPLACE: u16 = 0x100;
/// An existing object is an error.
pub const EXCLUSIVE: u16 = 0x200;
/// A missing object is created.
pub const CREATE: u16 = 0x400;
/// The object goes to the end of its list.
pub const APPEND: u16 = 0x800;
/// In an acknowledgement: the refused message's payload is left out.
pub const CAPPED: u16 = 0x100;
/// In an acknowledgement: attributes follow.
pub const ACK_ATTRIBUTES: u16 = 0x200;

/// A message header without its length, which the bytes around it give.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// What the message is: one of this module's types, or the subsystem's.
    pub kind: u16,
    /// [`REQUEST`] and its companions.
    pub flags: u16,
    /// Number by which answers find their request.
    pub sequence: u32,
    /// The socket the message belongs to; zero is the kernel.
    pub port: u32,
}

impl Header {
    /// Reads a header and the length it claims for the whole message.
    ///
    /// # Errors
    /// [`Malformed`] when fewer than 16 bytes are there.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), Malformed> {
        let header = Self {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            port: u32_at(bytes, 12)?,
        };
        Ok((header, usize::try_from(u32_at(bytes, 0)?).map_err(|_| Malformed)?))
    }

    /// The header of a message of `len` bytes, header included.
    #[must_use]
    pub fn emit(&self, len: u32) -> [u8; HEADER_LEN] {
        let [l0, l1, l2, l3] = len.to_ne_bytes();
        let [k0, k1] = self.kind.to_ne_bytes();
        let [f0, f1] = self.flags.to_ne_bytes();
        let [s0, s1, s2, s3] = self.sequence.to_ne_bytes();
        let [p0, p1, p2, p3] = self.port.to_ne_bytes();
        [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3]
    }
}

/// One message of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// Its header.
    pub header: Header,
    /// What follows the header, without padding.
    pub payload: &'a [u8],
}

/// The messages of one datagram, in order.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads `datagram`, which must be whole.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    /// The first message of `self.rest`, and what follows it.
    fn split(&self) -> Result<(Message<'a>, &'a [u8]), Malformed> {
        let (header, len) = Header::parse(self.rest)?;
        let payload = self.rest.get(HEADER_LEN..len).ok_or(Malformed)?;
        Ok((Message { header, payload }, self.rest.get(align(len)..).unwrap_or_default()))
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.split();
        self.rest = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(message, _)| message))
    }
}
