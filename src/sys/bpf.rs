//! bpf(2), as far as the device programs of cgroups need it.

use super::arch::syscall;
use core::mem::size_of;
use linux_raw_sys::general::__NR_bpf;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};

// include/uapi/linux/bpf.h
const PROG_LOAD: usize = 5;
const PROG_ATTACH: usize = 8;
const PROG_GET_FD_BY_ID: usize = 13;
const PROG_QUERY: usize = 16;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;
const REPLACE: u32 = 4;

/// The part of `union bpf_attr` for loading.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    version: u32,
    flags: u32,
}

/// The part for attaching.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

/// The part for asking what is attached.
#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// Makes call `command` with the attributes in `attr`.
///
/// # Safety
/// `T` must be what the command takes, with every address in it valid for the command's access during the call.
unsafe fn bpf<T>(command: usize, attr: &mut T) -> Result<usize> {
    let args = [command, &raw mut *attr as usize, size_of::<T>(), 0, 0, 0];
    // SAFETY: `attr` is a live structure of the size told, which the kernel may write; the rest is the caller's word.
    unsafe { syscall(__NR_bpf, args) }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Loads a device program, each instruction the eight bytes of a `struct bpf_insn`.
///
/// # Errors
/// `EPERM` without CAP_BPF and CAP_NET_ADMIN or CAP_SYS_ADMIN, `EINVAL` for what the verifier refuses, `ENOSYS`.
pub fn load_device_program(instructions: &[u64]) -> Result<OwnedFd> {
    let mut attr = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: instructions.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        version: 0,
        flags: 0,
    };
    // SAFETY: the instructions and the license, a NUL-terminated string, are read during the call; there is no log.
    let fd = unsafe { bpf(PROG_LOAD, &mut attr) }?;
    // SAFETY: a successful load returns a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Attaches a device program to a cgroup, in the place of `replaced` if that is given, else beside others.
///
/// # Errors
/// `EPERM`, `ENOENT` when `replaced` is not attached there.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let mut attr = Attach {
        target: number(cgroup),
        program: number(program),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI | if replaced.is_some() { REPLACE } else { 0 },
        replaced: replaced.map_or(0, number),
    };
    // SAFETY: numbers only.
    unsafe { bpf(PROG_ATTACH, &mut attr) }?;
    Ok(())
}

/// The first device program that is attached to a cgroup itself.
///
/// # Errors
/// `EPERM`, `ENOSYS`.
pub fn attached_device_program(cgroup: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let mut ids = [0_u32; 16];
    let mut attr = Query {
        target: number(cgroup),
        kind: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        padding: 0,
    };
    // SAFETY: the kernel writes up to `count` numbers to `ids`, which is that long and lives through the call.
    unsafe { bpf(PROG_QUERY, &mut attr) }?;
    if attr.count == 0 {
        return Ok(None);
    }
    let mut wanted = [ids[0], 0, 0];
    // SAFETY: numbers only.
    let fd = unsafe { bpf(PROG_GET_FD_BY_ID, &mut wanted) }?;
    // SAFETY: a successful call returns a new descriptor, which nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
}
