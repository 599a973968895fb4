//! The program's own code in memory, and sleeping with next to none of it.

use super::arch::syscall_in_place;
use linux_raw_sys::general as raw;
use rustix::event::{PollFd, Timespec};
use rustix::io::Result;

/// No page of an architecture here is smaller, and rounding to larger ones is the kernel's: it refuses what is unaligned.
const PAGE: usize = 4096;

unsafe extern "C" {
    /// Where the linker put the program's first byte.
    static __executable_start: u8;
    /// Where the program's code ends; behind it is what is written to.
    static etext: u8;
}

/// Longest machine code of [`sleep`], in bytes, with room to spare.
const SLEEP_LENGTH: usize = 512;

/// Sets [`sleep`] apart, so that the kernel maps no other code with it: around a page that is touched it maps what
/// the page cache has, 64 KiB and more, but only as far as the same advice was given (madvise(2) `MADV_RANDOM`).
///
/// # Errors
/// `ENOMEM` at the limit of mappings, `EINVAL` on kernels with larger pages.
pub fn set_sleep_apart() -> Result<()> {
    let code = (sleep as fn(&mut [PollFd<'_>], Option<&Timespec>) -> Result<()> as *const ()).addr();
    let start = code & !(PAGE - 1);
    let length = (code + SLEEP_LENGTH).next_multiple_of(PAGE) - start;
    // SAFETY: the advice changes how the kernel reads the file of these pages ahead, and nothing in them.
    unsafe { syscall_in_place(raw::__NR_madvise, [start, length, raw::MADV_RANDOM as usize, 0, 0, 0]) }?;
    Ok(())
}

/// Waits until one of the descriptors is ready or `timeout` is over (ppoll(2)). The program's code and constants leave
/// this process's page tables first (madvise(2) `MADV_DONTNEED`).
///
/// For a process that sleeps long: what it needs afterwards comes back from the page cache when it is touched. Both
/// calls stand in one function, so that it sleeps with the page of that function alone; see [`set_sleep_apart`].
///
/// # Errors
/// `EINTR`, `ENOMEM`.
#[inline(never)]
pub fn sleep(polled: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> Result<()> {
    // The kernel writes back what is left of it.
    let mut timeout = timeout.copied();
    let timeout = timeout.as_mut().map_or(0, |timeout| &raw mut *timeout as usize);
    let_go();
    // SAFETY: `polled` is a slice of C pollfd (repr(C): descriptor, events, answers) that the kernel writes during the
    // call; `timeout` is null or points to a live kernel timespec; no mask is given.
    unsafe {
        syscall_in_place(raw::__NR_ppoll, [polled.as_mut_ptr() as usize, polled.len(), timeout, 0, 0, 0])
    }?;
    Ok(())
}

/// Answers whether anything went; on a kernel with larger pages nothing does, and costs nothing but itself.
#[inline(always)]
fn let_go() -> bool {
    let start = (&raw const __executable_start).addr();
    let length = ((&raw const etext).addr() & !(PAGE - 1)).saturating_sub(start);
    // SAFETY: from the program's first byte to the end of its code lie only headers, constants and code, mapped from
    // its file and never written to, so the kernel reads back the very same bytes.
    unsafe { syscall_in_place(raw::__NR_madvise, [start, length, raw::MADV_DONTNEED as usize, 0, 0, 0]) }
        .is_ok()
}

/// Longest stretch of stack that is let go.
const STACK: usize = 256 * PAGE;

/// Lets go of the stack that deeper calls have used before, all but the next page (madvise(2) `MADV_DONTNEED`): for a
/// process that waits long.
#[inline(never)]
pub fn let_go_of_stack() {
    let here = 0_u8;
    let end = ((&raw const here).addr() & !(PAGE - 1)).saturating_sub(PAGE);
    // SAFETY: the stack grows down, so what lies more than a page below this frame belongs to calls that have returned,
    // and nobody reads it before it is written again; far below there is nothing else, since the kernel keeps a gap
    // under the stack that is wider than this.
    let done = unsafe {
        syscall_in_place(
            raw::__NR_madvise,
            [end.saturating_sub(STACK), STACK, raw::MADV_DONTNEED as usize, 0, 0, 0],
        )
    };
    // It says ENOMEM where the stack does not reach so far, and has let go of the rest all the same.
    done.map(drop).unwrap_or(());
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::PollFlags;

    #[test]
    fn it_is_set_apart() {
        assert_eq!(set_sleep_apart(), Ok(()));
    }

    #[test]
    fn it_wakes_by_the_descriptor_that_has_something() {
        let (silent, _writer) = rustix::pipe::pipe().unwrap();
        let (ended, writer) = rustix::pipe::pipe().unwrap();
        drop(writer);
        let mut both = [PollFd::new(&silent, PollFlags::IN), PollFd::new(&ended, PollFlags::IN)];
        assert_eq!(sleep(&mut both, None), Ok(()));
        assert_eq!(both.map(|fd| fd.revents().is_empty()), [true, false]);
    }

    #[test]
    fn it_wakes_by_time() {
        let (silent, _writer) = rustix::pipe::pipe().unwrap();
        let mut one = [PollFd::new(&silent, PollFlags::IN)];
        assert_eq!(sleep(&mut one, Some(&Timespec { tv_sec: 0, tv_nsec: 1 })), Ok(()));
        assert!(one[0].revents().is_empty());
    }
}
