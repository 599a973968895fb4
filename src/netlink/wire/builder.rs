//! Messages and attributes written into a buffer of fixed size.
//!
//! Running over the buffer, or over the 65 535 bytes of an attribute, is remembered instead of returned at each
//! call, so that building reads as a list; the bytes can be had only from [`Builder::finish`], which tells.

use super::align;
use super::attribute::{self, NESTED};
use super::message::{self, Header};

/// The message did not fit the buffer, or an attribute its length field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overflow;

/// Writes messages into a buffer, one after the other.
#[derive(Debug)]
pub struct Builder<'b> {
    buffer: &'b mut [u8],
    /// Bytes written: at most the buffer's length.
    len: usize,
    overflowed: bool,
}

impl<'b> Builder<'b> {
    /// Starts at the buffer's beginning.
    #[must_use]
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0, overflowed: false }
    }

    /// How many bytes were written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was written.
    ///
    /// # Errors
    /// [`Overflow`] when something did not fit; nothing of it may be sent then.
    pub fn finish(&mut self) -> Result<&mut [u8], Overflow> {
        if self.overflowed {
            return Err(Overflow);
        }
        self.buffer.get_mut(..self.len).ok_or(Overflow)
    }

    /// Remembers that something did not fit.
    pub(super) fn overflow(&mut self) {
        self.overflowed = true;
    }

    /// Replaces bytes already written.
    pub(crate) fn patch(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len()).min(self.len);
        match self.buffer.get_mut(offset..end) {
            Some(place) if place.len() == bytes.len() => place.copy_from_slice(bytes),
            _ => self.overflowed = true,
        }
    }

    /// Appends `bytes` and zeros up to the next multiple of four.
    pub fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(align(bytes.len()));
        let Some(place) = self.buffer.get_mut(self.len..end) else {
            self.overflowed = true;
            return;
        };
        let (value, padding) = place.split_at_mut(bytes.len().min(place.len()));
        value.copy_from_slice(bytes);
        padding.fill(0);
        self.len = end;
    }

    /// Appends a message whose payload `body` writes.
    pub fn message(&mut self, header: Header, body: impl FnOnce(&mut Self)) {
        let start = self.len;
        self.put(&header.emit(0));
        body(self);
        let len = self.len.saturating_sub(start);
        match u32::try_from(len) {
            Ok(len) if !self.overflowed && self.len >= message::HEADER_LEN => {
                self.patch(start, &len.to_ne_bytes())
            }
            _ => self.overflowed = true,
        }
    }

    /// Appends an attribute's header, for a value of `len` bytes.
    fn header(&mut self, kind: u16, len: usize) {
        match u16::try_from(len.saturating_add(attribute::HEADER_LEN)) {
            Ok(len) => {
                let [l0, l1] = len.to_ne_bytes();
                let [k0, k1] = kind.to_ne_bytes();
                self.put(&[l0, l1, k0, k1]);
            }
            Err(_) => self.overflowed = true,
        }
    }

    /// Appends an attribute with the value `bytes`.
    pub fn bytes(&mut self, kind: u16, bytes: &[u8]) {
        self.header(kind, bytes.len());
        self.put(bytes);
    }

    /// Appends a one-byte attribute.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// Appends a number in the machine's byte order.
    pub fn u16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Appends a number in the machine's byte order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Appends a big-endian number.
    pub fn u32_be(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends a big-endian number.
    pub fn u64_be(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends text with its terminating NUL.
    pub fn text(&mut self, kind: u16, text: &[u8]) {
        self.header(kind, text.len().saturating_add(1));
        self.put(text);
        // The padding after the text is its NUL, except when the text leaves none.
        if text.len() == align(text.len()) {
            self.put(&[0]);
        }
    }

    /// Appends an attribute, marked as nested, whose attributes `body` writes.
    pub fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        self.nested_unmarked(kind | NESTED, body);
    }

    /// Appends a nested attribute without the mark, as rtnetlink's own tools do.
    pub fn nested_unmarked(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.len;
        self.header(kind, 0);
        body(self);
        match u16::try_from(self.len.saturating_sub(start)) {
            Ok(len) if !self.overflowed => self.patch(start, &len.to_ne_bytes()),
            _ => self.overflowed = true,
        }
    }
}
