//! The system call instruction of each architecture.
//!
//! One function, six arguments: unused ones are zero, which the kernel ignores. Costs nothing measurable beside
//! the switch into the kernel and keeps the assembly at one block per architecture.

use core::arch::asm;
use rustix::io::{Errno, Result};

/// Makes system call `number`.
///
/// # Errors
/// The kernel's errno, when it returned a value in `-4095..=-1`.
///
/// # Safety
/// The arguments must be what that call expects: every address must be valid for the access the call makes,
/// for as long as it makes it, and the call must not break Rust's rules for memory the program holds.
pub(super) unsafe fn syscall(number: u32, args: [usize; 6]) -> Result<usize> {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { syscall_in_place(number, args) }
}

/// The same without a function of its own, where it matters which code runs next.
///
/// # Errors
/// As [`syscall`].
///
/// # Safety
/// As [`syscall`].
#[inline(always)]
pub(super) unsafe fn syscall_in_place(number: u32, args: [usize; 6]) -> Result<usize> {
    let [a, b, c, d, e, f] = args;
    let returned: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller vouches for the arguments; the kernel clobbers rcx and r11 only, as declared, and the
    // call may read and write memory, so `nomem` is absent.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as usize => returned,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller vouches for the arguments; the kernel preserves every register but x0, and the call may
    // read and write memory, so `nomem` is absent.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number as usize,
            inlateout("x0") a => returned,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack, preserves_flags),
        );
    }
    if (-4095..0).contains(&returned) {
        return Err(Errno::from_raw_os_error(returned.wrapping_neg() as i32));
    }
    Ok(returned as usize)
}
