//! `struct nlattr`: type, length, value (include/uapi/linux/netlink.h).

use super::{Malformed, align, chunk, u16_at};

/// Bytes of an attribute header.
pub const HEADER_LEN: usize = 4;
/// Set in the type of an attribute that holds attributes.
pub const NESTED: u16 = 0x8000;
/// The bits of the type field that are the type; the others are [`NESTED`] and "big endian".
const KIND_MASK: u16 = 0x3fff;

/// One attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute<'a> {
    /// Its type, without the flag bits. What it means depends on where it stands.
    pub kind: u16,
    /// Its value, without padding.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value as exactly `N` bytes.
    ///
    /// # Errors
    /// [`Malformed`] when it has another length.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], Malformed> {
        if self.value.len() == N { chunk(self.value, 0) } else { Err(Malformed) }
    }

    /// The value as one byte.
    ///
    /// # Errors
    /// [`Malformed`] when it has another length.
    pub fn u8(&self) -> Result<u8, Malformed> {
        self.bytes().map(u8::from_ne_bytes)
    }

    /// The value as a number of the machine's byte order.
    ///
    /// # Errors
    /// [`Malformed`] when it has another length.
    pub fn u16(&self) -> Result<u16, Malformed> {
        self.bytes().map(u16::from_ne_bytes)
    }

    /// The value as a number of the machine's byte order.
    ///
    /// # Errors
    /// [`Malformed`] when it has another length.
    pub fn u32(&self) -> Result<u32, Malformed> {
        self.bytes().map(u32::from_ne_bytes)
    }

    /// The value as a big-endian number, as nf_tables writes them.
    ///
    /// # Errors
    /// [`Malformed`] when it has another length.
    pub fn u32_be(&self) -> Result<u32, Malformed> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// The value as a big-endian number, as nf_tables writes them.
    ///
    /// # Errors
    /// [`Malformed`] when it has another length.
    pub fn u64_be(&self) -> Result<u64, Malformed> {
        self.bytes().map(u64::from_be_bytes)
    }

    /// The value as text: the bytes before the first NUL, or all of them.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.value.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// The attributes inside.
    #[must_use]
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.value)
    }
}

/// A run of attributes, in order.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Reads `bytes`, which must hold attributes to their end.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads what follows a fixed header of `offset` bytes; no attributes when there is nothing.
    #[must_use]
    pub fn after(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes.get(align(offset)..).unwrap_or_default() }
    }

    /// The first attribute of type `kind`.
    ///
    /// # Errors
    /// [`Malformed`] when the run breaks before it is found.
    pub fn find(self, kind: u16) -> Result<Option<Attribute<'a>>, Malformed> {
        for attribute in self {
            let attribute = attribute?;
            if attribute.kind == kind {
                return Ok(Some(attribute));
            }
        }
        Ok(None)
    }

    /// The first attribute of `self.rest`, and what follows it.
    fn split(&self) -> Result<(Attribute<'a>, &'a [u8]), Malformed> {
        let len = usize::from(u16_at(self.rest, 0)?);
        let kind = u16_at(self.rest, 2)? & KIND_MASK;
        let value = self.rest.get(HEADER_LEN..len).ok_or(Malformed)?;
        Ok((Attribute { kind, value }, self.rest.get(align(len)..).unwrap_or_default()))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.split();
        self.rest = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(attribute, _)| attribute))
    }
}
