//! Requests put together before they are sent: what each one does, and its bytes.
//!
//! The kernel works through the messages of one send in order. rtnetlink goes on after a refused message;
//! nf_tables takes all of a transaction or nothing.

use super::wire::builder::Builder;
use super::wire::message::{self, Header};
use crate::error::{Error, Result};
use heapless::Vec;
use rustix::io::Errno;

/// Most messages of one batch.
pub const MESSAGES_MAX: usize = 64;

/// Offset of the flags in a message header.
const FLAGS_OFFSET: usize = 6;
/// Offset of the sequence number in a message header.
const SEQUENCE_OFFSET: usize = 8;

/// What one message does, for the error when it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step<'a> {
    /// A verb phrase: `"create the bridge"`.
    pub stage: &'static str,
    /// To what; empty when the stage says it all.
    pub subject: &'a [u8],
}

/// A message's step and place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) step: Step<'a>,
    /// The errno that is as good as success.
    pub(super) tolerated: Option<Errno>,
    /// Offset of the message in the buffer.
    start: usize,
    flags: u16,
}

/// Messages for one send.
#[derive(Debug)]
pub struct Batch<'a> {
    builder: Builder<'a>,
    entries: Vec<Entry<'a>, MESSAGES_MAX>,
    /// More than [`MESSAGES_MAX`] messages were pushed.
    overflowed: bool,
}

impl<'a> Batch<'a> {
    /// An empty batch that will write into `buffer`. A link or address message takes less than 128 bytes.
    #[must_use]
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { builder: Builder::new(buffer), entries: Vec::new(), overflowed: false }
    }

    /// Appends a request of type `kind` whose payload `body` writes; `flags` without [`message::REQUEST`].
    pub fn push(&mut self, step: Step<'a>, kind: u16, flags: u16, body: impl FnOnce(&mut Builder<'_>)) {
        let flags = flags | message::REQUEST;
        let entry = Entry { step, tolerated: None, start: self.builder.len(), flags };
        if self.entries.push(entry).is_err() {
            self.overflowed = true;
            return;
        }
        self.builder.message(Header { kind, flags, sequence: 0, port: 0 }, body);
    }

    /// Says that the message pushed last may be answered by `errno` as well as by success.
    pub fn tolerate(&mut self, errno: Errno) {
        if let Some(entry) = self.entries.last_mut() {
            entry.tolerated = Some(errno);
        }
    }

    /// How many messages it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entry(&self, index: usize) -> Option<&Entry<'a>> {
        self.entries.get(index)
    }

    /// Numbers the messages from `first` on, asks for the acknowledgement of the one at `acknowledged`, and gives
    /// the bytes to send.
    ///
    /// # Errors
    /// `ENOBUFS` when the messages do not fit the buffer or are too many.
    pub fn bytes(&mut self, first: u32, acknowledged: Option<usize>) -> Result<&[u8]> {
        let mut sequence = first;
        for (index, entry) in self.entries.iter().enumerate() {
            self.builder.patch(entry.start.saturating_add(SEQUENCE_OFFSET), &sequence.to_ne_bytes());
            let ack = if acknowledged == Some(index) { message::ACK } else { 0 };
            self.builder.patch(entry.start.saturating_add(FLAGS_OFFSET), &(entry.flags | ack).to_ne_bytes());
            sequence = sequence.wrapping_add(1);
        }
        match self.builder.finish() {
            Ok(bytes) if !self.overflowed => Ok(bytes),
            _ => Err(Error::new("build a netlink request", Errno::NOBUFS)),
        }
    }
}
