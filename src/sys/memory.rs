//! Memory by the page, for a table whose largest size is rarely needed.
//!
//! On the stack such a table costs each of its pages, used or not: the compiler touches them all on entry, lest a big
//! frame step over the guard page.

use core::ptr::{null_mut, slice_from_raw_parts_mut};
use rustix::io::{Errno, Result};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// `count` words of zero, for as long as the process is there. A page takes memory once it is written to.
///
/// # Errors
/// `ENOMEM`, and what else mmap(2) has.
pub fn reserve(count: usize) -> Result<&'static mut [u64]> {
    let length = count.checked_mul(size_of::<u64>()).ok_or(Errno::NOMEM)?;
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: no address is asked for, so the kernel takes one where nothing is mapped.
    let start = unsafe { mmap_anonymous(null_mut(), length, access, flags) }?;
    // SAFETY: the mapping is of that length, aligned to a page, full of zeros, and never unmapped; nobody else knows of it.
    Ok(unsafe { &mut *slice_from_raw_parts_mut(start.cast(), count) })
}
