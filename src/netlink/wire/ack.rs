//! `NLMSG_ERROR`: the kernel's answer to a request, with its sentence where it gave one
//! (`struct nlmsgerr` and the extended acknowledgement, include/uapi/linux/netlink.h).

use super::attribute::Attributes;
use super::builder::Builder;
use super::message::{self, Header, Message};
use super::{Malformed, u32_at};
use rustix::io::Errno;

/// `NLMSGERR_ATTR_MSG`: a sentence.
const TEXT: u16 = 1;
/// `NLMSGERR_ATTR_OFFS`: where in the request the refused attribute stands.
const OFFSET: u16 = 2;
/// Bytes of the result code in front of the request's header.
const CODE_LEN: usize = 4;

/// An acknowledgement or a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack<'a> {
    /// `None` is success.
    pub errno: Option<Errno>,
    /// The kernel's sentence about it, empty when there is none.
    pub text: &'a [u8],
    /// Offset in bytes of the refused attribute in the request, from the request's header on.
    pub offset: Option<u32>,
}

impl<'a> Ack<'a> {
    /// Reads an [`message::ERROR`] or [`message::DONE`] message.
    ///
    /// # Errors
    /// [`Malformed`] when it is too short, its result is no errno or its attributes break.
    pub fn parse(message: &Message<'a>) -> Result<Self, Malformed> {
        let mut ack = Self { errno: errno(u32_at(message.payload, 0)?)?, text: &[], offset: None };
        if message.header.flags & message::ACK_ATTRIBUTES == 0 {
            return Ok(ack);
        }
        let mut end = CODE_LEN;
        if message.header.kind == message::ERROR {
            let (_, len) = Header::parse(message.payload.get(CODE_LEN..).unwrap_or_default())?;
            let carried = if message.header.flags & message::CAPPED == 0 { len } else { message::HEADER_LEN };
            end = CODE_LEN.saturating_add(carried);
        }
        for attribute in Attributes::after(message.payload, end) {
            let attribute = attribute?;
            match attribute.kind {
                TEXT => ack.text = attribute.text(),
                OFFSET => ack.offset = Some(attribute.u32()?),
                _ => {}
            }
        }
        Ok(ack)
    }

    /// Appends the capped [`message::ERROR`] message that answers `request`.
    pub fn emit(&self, request: Header, builder: &mut Builder<'_>) {
        let attributes = !self.text.is_empty() || self.offset.is_some();
        let flags = message::CAPPED | if attributes { message::ACK_ATTRIBUTES } else { 0 };
        let header = Header { kind: message::ERROR, flags, ..request };
        builder.message(header, |payload| {
            let code = self.errno.map_or(0, |errno| errno.raw_os_error().wrapping_neg());
            payload.put(&code.to_ne_bytes());
            payload.put(&request.emit(message::HEADER_LEN as u32));
            if !self.text.is_empty() {
                payload.text(TEXT, self.text);
            }
            if let Some(offset) = self.offset {
                payload.u32(OFFSET, offset);
            }
        });
    }
}

/// The errno of a result code: zero, or the negative number of an error.
fn errno(code: u32) -> Result<Option<Errno>, Malformed> {
    match (code as i32).wrapping_neg() {
        0 => Ok(None),
        number @ 1..=4095 => Ok(Some(Errno::from_raw_os_error(number))),
        _ => Err(Malformed),
    }
}
