//! Netlink on the wire: bytes to values and values to bytes, and nothing else.
//!
//! Duty: each kind of message has a view or a plain representation with a checked `parse` and an `emit` that are
//! each other's inverse. Nothing here makes a system call or knows a socket.
//!
//! Numbers are in the machine's byte order unless a name says `be` (netlink(7)); every record is padded to a
//! multiple of four bytes.
//!
//! Dangers: lengths come from outside. Iterators stop at the first length that does not fit and say so once; they
//! always consume at least one header per step, so they end.

pub mod ack;
pub mod address;
pub mod attribute;
pub mod builder;
pub mod ip;
pub mod link;
pub mod message;
pub mod neighbour;
pub mod nftables;
pub mod route;
#[cfg(test)]
mod tests;

use crate::error::Error;
use rustix::io::Errno;

/// Every message and attribute starts at a multiple of this many bytes.
const ALIGNMENT: usize = 4;

/// `len` rounded up to [`ALIGNMENT`]; saturates, which no buffer can hold.
const fn align(len: usize) -> usize {
    len.saturating_add(ALIGNMENT - 1) & !(ALIGNMENT - 1)
}

/// Bytes that are not what their place says they are: a length that does not fit, a value of the wrong size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl From<Malformed> for Error {
    /// `EBADMSG`: the kernel sent what this code does not understand.
    fn from(Malformed: Malformed) -> Self {
        Self::new("read a netlink reply", Errno::BADMSG)
    }
}

/// The `N` bytes at `offset`.
fn chunk<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Malformed> {
    bytes.get(offset..).and_then(<[u8]>::first_chunk::<N>).copied().ok_or(Malformed)
}

fn u8_at(bytes: &[u8], offset: usize) -> Result<u8, Malformed> {
    chunk(bytes, offset).map(u8::from_ne_bytes)
}

fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Malformed> {
    chunk(bytes, offset).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, Malformed> {
    chunk(bytes, offset).map(u32::from_ne_bytes)
}
