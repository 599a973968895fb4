//! Options of netlink sockets (netlink(7), level `SOL_NETLINK`), which rustix does not know.

use super::arch::syscall;
use linux_raw_sys::{general, net, netlink};
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Result;

/// A switch of a netlink socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Flag {
    /// An acknowledgement does not carry the refused message's payload back (Linux 4.3).
    CapAck = netlink::NETLINK_CAP_ACK,
    /// An acknowledgement carries the kernel's sentence and the offset of what it refused (Linux 4.12).
    ExtAck = netlink::NETLINK_EXT_ACK,
    /// Dump requests are checked strictly and filtered by their header and attributes (Linux 4.20).
    StrictCheck = netlink::NETLINK_GET_STRICT_CHK,
}

/// Turns `flag` on.
///
/// # Errors
/// `ENOPROTOOPT` from a kernel that does not know it; `ENOTSOCK` for another kind of descriptor.
pub fn set<Fd: AsFd>(socket: Fd, flag: Flag) -> Result<()> {
    let on: u32 = 1;
    let args = [
        socket.as_fd().as_raw_fd() as usize,
        net::SOL_NETLINK as usize,
        flag as usize,
        &raw const on as usize,
        size_of::<u32>(),
        0,
    ];
    // SAFETY: `on` is a 4-byte integer that outlives the call, which only reads it.
    unsafe { syscall(general::__NR_setsockopt, args) }?;
    Ok(())
}
