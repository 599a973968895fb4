//! A plain fork for programs that run under filters which hide clone3, and closing what was inherited.

use super::arch::syscall;
use linux_raw_sys::general as raw;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{Errno, Result};
use rustix::process::Pid;

/// On which side of [`fork`] the caller finds itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, with the child's id.
    Parent(Pid),
}

/// Copies this process (clone(2) with SIGCHLD as the exit signal and nothing shared).
///
/// The child is the only thread of its process. It must not allocate nor take locks that another thread of the
/// parent could have held.
///
/// # Errors
/// `EAGAIN` at a pids limit, `ENOMEM`, `EPERM` or `ENOSYS` under a filter.
pub fn fork() -> Result<Fork> {
    // The order of the last two arguments differs between architectures; all of them are zero here.
    // SAFETY: without CLONE_VM and with a null stack the child returns here on its own copy of this memory, and
    // the kernel is given no address to write to.
    let pid = unsafe { syscall(raw::__NR_clone, [raw::SIGCHLD as usize, 0, 0, 0, 0, 0]) }?;
    if pid == 0 {
        return Ok(Fork::Child);
    }
    Pid::from_raw(pid as i32).map(Fork::Parent).ok_or(Errno::SRCH)
}

/// Whether a descriptor of this number is there and was so when this program was executed: what it opens itself is
/// close-on-exec, what came through exec(2) is not.
#[must_use]
pub fn is_inherited(number: u16) -> bool {
    // SAFETY: numbers only; reading the flags of a descriptor changes nothing (fcntl(2), F_GETFD).
    let flags = unsafe { syscall(raw::__NR_fcntl, [number.into(), raw::F_GETFD as usize, 0, 0, 0, 0]) };
    flags.is_ok_and(|flags| flags & raw::FD_CLOEXEC as usize == 0)
}

/// Closes the first `passed` descriptors from 3 on, of those that came through exec(2): whoever they were passed on to
/// has them now, and the other end is to see when that one closes them.
pub fn close_passed(passed: u32) {
    for number in 3..passed.saturating_add(3) {
        if u16::try_from(number).is_ok_and(is_inherited) {
            close_if_open(number);
        }
    }
}

/// Closes every descriptor from 3 on but the first `passed` and `kept` (close_range(2)), so that this process keeps no
/// pipe or file open that somebody waits on.
///
/// For a process that owns no other descriptor: a value that does would find its own closed.
///
/// Where a filter refuses close_range, numbers up to 1023 are closed one by one.
pub fn close_inherited(passed: u32, kept: &[BorrowedFd<'_>]) {
    close_from(passed.saturating_add(3), kept);
}

/// The same, and the three standard streams too.
pub fn close_everything(kept: &[BorrowedFd<'_>]) {
    close_from(0, kept);
}

fn close_from(first: u32, kept: &[BorrowedFd<'_>]) {
    let mut from = first;
    // Each turn closes up to the next kept number; there are a handful, so no sorted copy is made.
    while let Some(next) = kept.iter().map(|fd| fd.as_raw_fd() as u32).filter(|fd| *fd >= from).min() {
        if next > from {
            close_all(from, next - 1);
        }
        from = next + 1;
    }
    close_all(from, u32::MAX);
}

fn close_all(first: u32, last: u32) {
    const LAST_BY_ONE: u32 = 1023;
    if close_range(first, last).is_err() {
        for number in first..=last.min(LAST_BY_ONE) {
            close_if_open(number);
        }
    }
}

/// Answers whether it was open.
fn close_if_open(number: u32) -> bool {
    // SAFETY: a number only; the caller of `close_inherited` was told that no owned descriptor may be in the range, and
    // `close_passed` found that this one came from outside: no value here owns it.
    unsafe { syscall(raw::__NR_close, [number as usize, 0, 0, 0, 0, 0]) }.is_ok()
}

fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: numbers only; the caller of `close_inherited` was told that no owned descriptor may be in the range.
    unsafe { syscall(raw::__NR_close_range, [first as usize, last as usize, 0, 0, 0, 0]) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::exit;
    use rustix::process::{WaitOptions, waitpid};

    #[test]
    fn the_child_returns_too() {
        match fork().unwrap() {
            Fork::Child => exit(9),
            Fork::Parent(pid) => {
                let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
                assert_eq!(status.exit_status(), Some(9));
            }
        }
    }

    #[test]
    fn only_the_kept_descriptors_stay_open() {
        use rustix::fd::AsFd;
        use rustix::io::{FdFlags, fcntl_getfd};
        let (a, b) = rustix::pipe::pipe().unwrap();
        match fork().unwrap() {
            Fork::Child => {
                close_inherited(0, &[b.as_fd()]);
                let closed = fcntl_getfd(&a) == Err(Errno::BADF) && fcntl_getfd(&b) == Ok(FdFlags::empty());
                exit(u8::from(!closed));
            }
            Fork::Parent(pid) => {
                let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
                assert_eq!(status.exit_status(), Some(0));
            }
        }
    }
}
