//! Options of netlink sockets (netlink(7), level `SOL_NETLINK`) and the flags of a link (netdevice(7)), which rustix does
//! not know.

use super::arch::syscall;
use linux_raw_sys::{general, net, netlink};
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

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

/// The kernel's `struct ifreq`, with flags in its union.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Sets `IFF_UP` as the one flag of `lo` in the caller's network namespace.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` over the namespace, and those of socket(2).
pub fn raise_loopback() -> Result<()> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut request = Request { name: [0; 16], flags: net::net_device_flags::IFF_UP as u16, rest: [0; 22] };
    request.name[..2].copy_from_slice(b"lo");
    let args = [
        socket.as_fd().as_raw_fd() as usize,
        linux_raw_sys::ioctl::SIOCSIFFLAGS as usize,
        &raw const request as usize,
        0,
        0,
        0,
    ];
    // SAFETY: `request` is a whole ifreq of 40 bytes, which the call reads and which outlives it.
    unsafe { syscall(general::__NR_ioctl, args) }?;
    Ok(())
}
