//! Memory by the page, for a table whose largest size is rarely needed.
//!
//! On the stack such a table costs each of its pages, used or not: the compiler touches them all on entry, lest a big
//! frame step over the guard page.

use core::ffi::c_void;
use core::ptr::{null_mut, slice_from_raw_parts_mut};
use rustix::io::{Errno, Result};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// `count` words of zero, for as long as the process is there. A page takes memory once it is written to.
///
/// # Errors
/// `ENOMEM`, and what else mmap(2) has.
pub fn reserve(count: usize) -> Result<&'static mut [u64]> {
    let start = map(count.checked_mul(size_of::<u64>()).ok_or(Errno::NOMEM)?)?;
    // SAFETY: the mapping is of that length, aligned to a page, full of zeros, and never unmapped; nobody else knows of it.
    Ok(unsafe { &mut *slice_from_raw_parts_mut(start.cast(), count) })
}

/// The same of `count` bytes.
///
/// # Errors
/// As [`reserve`].
pub fn reserve_bytes(count: usize) -> Result<&'static mut [u8]> {
    let start = map(count)?;
    // SAFETY: as in `reserve`.
    Ok(unsafe { &mut *slice_from_raw_parts_mut(start.cast(), count) })
}

fn map(length: usize) -> Result<*mut c_void> {
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: no address is asked for, so the kernel takes one where nothing is mapped.
    unsafe { mmap_anonymous(null_mut(), length, access, flags) }
}
