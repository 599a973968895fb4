//! Installing a seccomp filter (seccomp(2)).
//!
//! A program is a slice of `u64`, each the eight bytes of a `struct sock_filter`, as the `bpf` room writes them.

use super::arch::syscall;
use linux_raw_sys::general::__NR_seccomp;
use linux_raw_sys::ptrace as raw;
use rustix::fd::{FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};

/// How a filter is installed beside its program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    /// Every action but allow is written to the audit log, where the administrator's `actions_logged` agrees.
    pub log: bool,
    /// The process keeps its speculation settings (`SECCOMP_FILTER_FLAG_SPEC_ALLOW`). Without it, kernels before 5.16
    /// turn speculative store bypass off for the process, which costs speed.
    pub allow_speculation: bool,
    /// All threads of the process get the filter, or none and `ESRCH`.
    pub all_threads: bool,
}

impl Flags {
    const fn bits(self) -> u32 {
        let log = if self.log { raw::SECCOMP_FILTER_FLAG_LOG } else { 0 };
        let speculation = if self.allow_speculation { raw::SECCOMP_FILTER_FLAG_SPEC_ALLOW } else { 0 };
        // Without TSYNC_ESRCH the kernel answers with a thread's id, which would look like success.
        let threads = raw::SECCOMP_FILTER_FLAG_TSYNC | raw::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
        log | speculation | if self.all_threads { threads } else { 0 }
    }
}

/// Puts `program` in front of the calling thread's filters, for it and everything it starts, for good.
///
/// # Errors
/// `EACCES` without no_new_privs or CAP_SYS_ADMIN; `EINVAL` for a program or flag this kernel does not take;
/// `ENOMEM` when the filters of the process together exceed 32768 instructions; `ESRCH` when another thread already
/// has a filter of its own.
pub fn install(program: &[u64], flags: Flags) -> Result<()> {
    set_filter(program, flags.bits())?;
    Ok(())
}

/// [`install`], for a program that sends calls to a listener: gives back its close-on-exec descriptor
/// (seccomp_unotify(2)). Where the kernel can (5.19), a call that the listener has received waits uninterrupted by
/// signals that do not kill.
///
/// # Errors
/// Those of [`install`]; `EBUSY` when a filter of the process already has a listener.
pub fn install_with_listener(program: &[u64], flags: Flags) -> Result<OwnedFd> {
    let flags = flags.bits() | raw::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let listener = match set_filter(program, flags | raw::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(Errno::INVAL) => set_filter(program, flags),
        result => result,
    }?;
    // SAFETY: with NEW_LISTENER a successful call returns a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(listener as RawFd) })
}

/// The kernel's `struct sock_fprog`.
#[repr(C)]
struct Program {
    len: u16,
    filter: *const u64,
}

fn set_filter(program: &[u64], flags: u32) -> Result<usize> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = Program { len, filter: program.as_ptr() };
    let args = [raw::SECCOMP_SET_MODE_FILTER as usize, flags as usize, &raw const program as usize, 0, 0, 0];
    // SAFETY: `program` is a whole sock_fprog whose `filter` points to `len` live eight-byte instructions; the kernel
    // copies them during the call and writes nothing.
    unsafe { syscall(__NR_seccomp, args) }
}
