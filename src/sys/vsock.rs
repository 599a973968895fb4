//! The socket between a virtual machine and its host: vsock(7).

use super::arch::syscall;
use core::mem::size_of;
use linux_raw_sys::general as raw;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// `struct sockaddr_vm` (include/uapi/linux/vm_sockets.h).
#[repr(C)]
struct Address {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    zero: [u8; 4],
}

/// Connects to `port` on the host of this machine.
///
/// # Errors
/// `EAFNOSUPPORT` without vsock in the kernel, `ENODEV` without the device, `ECONNRESET` when nobody listens,
/// `ETIMEDOUT`.
pub fn connect_host(port: u32) -> Result<OwnedFd> {
    const HOST: u32 = 2;
    let family = AddressFamily::VSOCK;
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let address = Address { family: family.as_raw(), reserved: 0, port, cid: HOST, zero: [0; 4] };
    let args = [socket.as_raw_fd() as usize, &raw const address as usize, size_of::<Address>(), 0, 0, 0];
    // SAFETY: `address` is a whole sockaddr_vm of the length given; the call only reads it.
    unsafe { syscall(raw::__NR_connect, args) }?;
    Ok(socket)
}
