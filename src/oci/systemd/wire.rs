//! D-Bus messages as bytes (D-Bus specification, message protocol): little-endian, as both our architectures are.
//!
//! Duty: write the few types that are needed and read headers and strings. It knows of no service.
//!
//! Dangers: what is read came from a socket; every length is checked against what is there.

/// Largest message that is read, in bytes.
pub(super) const LARGEST: usize = 1 << 20;

/// Bytes under construction. Alignment counts from their beginning, so a body is written apart from its header.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    /// Fills up to a multiple of `size`.
    pub(super) fn align(&mut self, size: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(size), 0);
        self
    }

    /// A number of 32 bits: `u`, or `b`.
    pub(super) fn number(&mut self, number: u32) -> &mut Self {
        self.align(4).bytes.extend(number.to_le_bytes());
        self
    }

    /// A number of 64 bits: `t`.
    pub(super) fn large(&mut self, number: u64) -> &mut Self {
        self.align(8).bytes.extend(number.to_le_bytes());
        self
    }

    /// A string or path: `s`, `o`.
    pub(super) fn string(&mut self, text: &[u8]) -> &mut Self {
        self.number(text.len() as u32).bytes.extend_from_slice(text);
        self.bytes.push(0);
        self
    }

    /// A signature: `g`, and what stands before the value of a variant.
    pub(super) fn signature(&mut self, text: &[u8]) -> &mut Self {
        self.bytes.push(text.len() as u8);
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        self
    }

    /// An array whose elements begin at multiples of `size`.
    pub(super) fn array(&mut self, size: usize, fill: &mut dyn FnMut(&mut Self)) -> &mut Self {
        self.number(0);
        let length_at = self.bytes.len() - 4;
        let start = self.align(size).bytes.len();
        fill(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        self
    }
}

/// Kinds of messages.
pub(super) const CALL: u8 = 1;
pub(super) const ANSWER: u8 = 2;
pub(super) const FAULT: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

/// Names of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Whom a call is for.
pub(super) struct Object {
    pub(super) service: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
}

/// The bytes of a call.
pub(super) fn call(serial: u32, to: &Object, member: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut message = Writer { bytes: vec![b'l', CALL, 0, 1] };
    message.number(body.len() as u32).number(serial);
    message.array(8, &mut |fields| {
        for (code, kind, text) in [
            (PATH, b"o", to.path),
            (INTERFACE, b"s", to.interface),
            (MEMBER, b"s", member),
            (DESTINATION, b"s", to.service),
        ] {
            fields.align(8).bytes.push(code);
            fields.signature(kind).string(text.as_bytes());
        }
        if !signature.is_empty() {
            fields.align(8).bytes.push(SIGNATURE);
            fields.signature(b"g").signature(signature.as_bytes());
        }
    });
    message.align(8).bytes.extend_from_slice(body);
    message.bytes
}

/// How long a message is whose first sixteen bytes these are; `None` when it is none that we read.
pub(super) fn length(head: &[u8; 16]) -> Option<usize> {
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
    let (body, fields) = (number(4), number(12));
    let whole = 16_usize.checked_add(fields)?.checked_next_multiple_of(8)?.checked_add(body)?;
    (head[0] == b'l' && head[3] == 1 && whole <= LARGEST).then_some(whole)
}

/// A message that came.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// The serial of the call that it answers.
    pub(super) answers: u32,
    /// What a signal is called, or the name of an error.
    pub(super) name: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Reads a whole message; `None` for what is malformed.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let fields = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?) as usize;
    let end = 16_usize.checked_add(fields)?;
    let mut message = Message { kind: *bytes.get(1)?, ..Message::default() };
    let mut reader = Reader { bytes: bytes.get(..end)?, at: 16 };
    while reader.at < end {
        reader.align(8)?;
        let code = reader.byte()?;
        match (code, reader.signature()?) {
            (REPLY_SERIAL, b"u") => message.answers = reader.number()?,
            (MEMBER | ERROR_NAME, b"s") => message.name = reader.string()?.to_vec(),
            (_, b"s" | b"o") => drop(reader.string()?),
            (_, b"g") => drop(reader.signature()?),
            (_, b"u") => drop(reader.number()?),
            _ => return None,
        }
    }
    message.body = bytes.get(end.checked_next_multiple_of(8)?..)?.to_vec();
    Some(message)
}

/// Bytes that are read.
pub(super) struct Reader<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) at: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn align(&mut self, size: usize) -> Option<()> {
        let next = self.at.checked_next_multiple_of(size)?;
        self.take(next - self.at).map(drop)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// `u`.
    pub(super) fn number(&mut self) -> Option<u32> {
        self.align(4)?;
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// `s`, `o`.
    pub(super) fn string(&mut self) -> Option<&'b [u8]> {
        let length = self.number()? as usize;
        self.take(length.checked_add(1)?)?.split_last().map(|(_, text)| text)
    }

    fn signature(&mut self) -> Option<&'b [u8]> {
        let length = usize::from(self.byte()?);
        self.take(length + 1)?.split_last().map(|(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_call_has_the_bytes_of_the_specification() {
        let bus = Object { service: "a.b", path: "/a", interface: "a.b" };
        let bytes = call(1, &bus, "Hello", "", b"");
        let expected = b"l\x01\0\x01\0\0\0\0\x01\0\0\0\x45\0\0\0\
            \x01\x01o\0\x02\0\0\0/a\0\0\0\0\0\0\x02\x01s\0\x03\0\0\0a.b\0\0\0\0\0\
            \x03\x01s\0\x05\0\0\0Hello\0\0\0\x06\x01s\0\x03\0\0\0a.b\0\0\0\0\0";
        assert_eq!(bytes.len() % 8, 0);
        assert_eq!(bytes[16..32], expected[16..32]);
        assert_eq!(length(bytes[..16].try_into().unwrap()), Some(bytes.len()));
        let read = read(&bytes).unwrap();
        assert_eq!((read.kind, &read.name[..], read.body.is_empty()), (CALL, &b"Hello"[..], true));
    }

    #[test]
    fn arrays_count_from_their_first_element() {
        let mut writer = Writer::default();
        writer.number(7).array(8, &mut |array| {
            array.large(1);
        });
        assert_eq!(writer.bytes, [7, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes);
            if let Some(head) = bytes.first_chunk::<16>() {
                length(head);
            }
        }

        #[test]
        fn what_is_written_is_read(body in proptest::collection::vec(any::<u8>(), 0..50), serial: u32, member in "[A-Z]{1,9}") {
            let bus = Object { service: "x.y", path: "/x/y", interface: "x.y.Z" };
            let bytes = call(serial, &bus, &member, "ay", &body);
            prop_assert_eq!(length(bytes[..16].try_into().unwrap()), Some(bytes.len()));
            let message = read(&bytes).unwrap();
            prop_assert_eq!((message.kind, message.name, message.body), (CALL, member.into_bytes(), body));
        }
    }
}
