//! The table `filter` of ip_tables and of ip6_tables, read by options of a raw socket (linux/netfilter_ipv4/ip_tables.h
//! and linux/netfilter_ipv6/ip6_tables.h, which have the same form).

use super::arch::syscall;
use core::mem::size_of;
use linux_raw_sys::general;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// ip_tables.
    V4,
    /// ip6_tables.
    V6,
}

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`; those of IPv6 have the same numbers.
const GET_INFO: usize = 64;
const GET_ENTRIES: usize = 65;
/// The table's name, filled up.
const NAME: [u8; 32] = {
    let mut name = [0; 32];
    let (text, mut at) = (b"filter", 0);
    while at < text.len() {
        name[at] = text[at];
        at += 1;
    }
    name
};
/// Bytes before the entries (`struct ipt_get_entries`): the name, their size, and what aligns them.
pub const HEAD_LEN: usize = 40;

/// `struct ipt_getinfo`.
#[repr(C)]
struct Info {
    name: [u8; 32],
    valid_hooks: u32,
    start: [u32; 5],
    policy: [u32; 5],
    count: u32,
    size: u32,
}

/// The table, open for reading.
#[derive(Debug)]
pub struct Table {
    socket: OwnedFd,
    level: usize,
    size: u32,
    /// Where the first entry of each hook is, in the order of `NF_INET_PRE_ROUTING` to `NF_INET_POST_ROUTING`.
    pub start: [u32; 5],
}

impl Table {
    /// Finds it. The kernel makes one that is not there.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_RAW` and `CAP_NET_ADMIN`, `ENOPROTOOPT` when the kernel has no such tables.
    pub fn open(family: Family) -> Result<Self> {
        // IPPROTO_IP and IPPROTO_IPV6
        let (address, level) = match family {
            Family::V4 => (AddressFamily::INET, 0),
            Family::V6 => (AddressFamily::INET6, 41),
        };
        // IPPROTO_RAW
        let protocol = core::num::NonZeroU32::new(255).map(rustix::net::Protocol::from_raw);
        let socket = socket_with(address, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        let mut info = Info { name: NAME, valid_hooks: 0, start: [0; 5], policy: [0; 5], count: 0, size: 0 };
        let mut length = size_of::<Info>() as u32;
        let args = [
            socket.as_raw_fd() as usize,
            level,
            GET_INFO,
            &raw mut info as usize,
            &raw mut length as usize,
            0,
        ];
        // SAFETY: `info` is a whole ipt_getinfo of the length given, which the call reads and writes; both outlive it.
        unsafe { syscall(general::__NR_getsockopt, args) }?;
        Ok(Self { socket, level, size: info.size, start: info.start })
    }

    /// How long the buffer for [`Self::read`] is to be.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        (self.size as usize).saturating_add(HEAD_LEN)
    }

    /// Reads the entries, which lie behind [`HEAD_LEN`] bytes of `buffer`.
    ///
    /// # Errors
    /// `EAGAIN` when the table has changed since it was opened, `EINVAL` for a buffer of another length.
    pub fn read(&self, buffer: &mut [u8]) -> Result<()> {
        let mut length = u32::try_from(buffer.len()).map_err(|_| Errno::INVAL)?;
        if buffer.len() != self.buffer_len() {
            return Err(Errno::INVAL);
        }
        let (name, size) = buffer.split_at_mut(NAME.len());
        name.copy_from_slice(&NAME);
        size[..4].copy_from_slice(&self.size.to_ne_bytes());
        let args = [
            self.socket.as_raw_fd() as usize,
            self.level,
            GET_ENTRIES,
            buffer.as_mut_ptr() as usize,
            &raw mut length as usize,
            0,
        ];
        // SAFETY: `buffer` has the length given, more of which the call does not write; it takes any bytes.
        unsafe { syscall(general::__NR_getsockopt, args) }?;
        Ok(())
    }
}
