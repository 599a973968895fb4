//! Signal masks, dispositions and signalfd, by the kernel's own 64-bit sets (signal(7)).
//!
//! Signals 32 and 33 are ordinary here: nothing of a C library is between us and the kernel.

use super::arch::syscall;
use core::mem::size_of;
use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};

/// The highest signal number of Linux.
pub const LAST: i32 = 64;

/// A set of signals 1 to 64, as the kernel's `sigset_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal; the kernel leaves KILL and STOP out by itself.
    pub const ALL: Self = Self(u64::MAX);

    /// This set and `signal`; numbers outside 1 to 64 add nothing.
    #[must_use]
    pub const fn with(self, signal: i32) -> Self {
        if signal < 1 || signal > LAST { self } else { Self(self.0 | 1 << (signal - 1)) }
    }

    /// This set without `signal`.
    #[must_use]
    pub const fn without(self, signal: i32) -> Self {
        if signal < 1 || signal > LAST { self } else { Self(self.0 & !(1 << (signal - 1))) }
    }

    /// Whether `signal` is in the set.
    #[must_use]
    pub const fn contains(self, signal: i32) -> bool {
        signal >= 1 && signal <= LAST && self.0 & 1 << (signal - 1) != 0
    }
}

/// Replaces the calling thread's signal mask and returns the former one (rt_sigprocmask(2)).
///
/// # Errors
/// None that a valid kernel gives; the result is passed on all the same.
pub fn set_mask(mask: SignalSet) -> Result<SignalSet> {
    let mut former = SignalSet::EMPTY;
    let args = [
        raw::SIG_SETMASK as usize,
        &raw const mask as usize,
        &raw mut former as usize,
        size_of::<SignalSet>(),
        0,
        0,
    ];
    // SAFETY: `mask` is read and `former` written during the call only; both are the 8-byte kernel sigset.
    unsafe { syscall(raw::__NR_rt_sigprocmask, args) }?;
    Ok(former)
}

/// The kernel's `struct sigaction`, for the two dispositions that need no handler.
#[repr(C)]
struct Disposition {
    handler: usize,
    flags: usize,
    #[cfg(target_arch = "x86_64")]
    restorer: usize,
    mask: u64,
}

/// What happens when a signal arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The signal's default action.
    Default,
    /// The signal is thrown away.
    Ignore,
}

/// Sets the disposition of `signal` (rt_sigaction(2)).
///
/// # Errors
/// `EINVAL` for KILL, STOP and numbers outside 1 to 64.
pub fn set_action(signal: i32, action: Action) -> Result<()> {
    let new = Disposition {
        handler: match action {
            Action::Default => 0,
            Action::Ignore => 1,
        },
        flags: 0,
        #[cfg(target_arch = "x86_64")]
        restorer: 0,
        mask: 0,
    };
    let signal = usize::try_from(signal).map_err(|_| Errno::INVAL)?;
    let args = [signal, &raw const new as usize, 0, size_of::<u64>(), 0, 0];
    // SAFETY: `new` is a whole kernel sigaction read during the call; it installs no handler, so no code of ours
    // can be entered by it; no old action is asked for.
    unsafe { syscall(raw::__NR_rt_sigaction, args) }?;
    Ok(())
}

/// Gives every signal its default action, as an exec'd program expects to find them.
///
/// # Errors
/// None that a valid kernel gives.
pub fn reset_actions() -> Result<()> {
    for signal in 1..=LAST {
        if signal != raw::SIGKILL as i32 && signal != raw::SIGSTOP as i32 {
            set_action(signal, Action::Default)?;
        }
    }
    Ok(())
}

/// Opens a close-on-exec, non-blocking signalfd for `mask` (signalfd(2)). The signals must be blocked as well.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`, `ENODEV`.
pub fn signalfd(mask: SignalSet) -> Result<OwnedFd> {
    // SFD_CLOEXEC and SFD_NONBLOCK are defined as these two (include/uapi/linux/signalfd.h).
    let flags = (raw::O_CLOEXEC | raw::O_NONBLOCK) as usize;
    let args = [usize::MAX, &raw const mask as usize, size_of::<SignalSet>(), flags, 0, 0];
    // SAFETY: `mask` is the kernel's 8-byte set, read during the call only; -1 asks for a new descriptor.
    let fd = unsafe { syscall(raw::__NR_signalfd4, args) }?;
    // SAFETY: the call just returned this descriptor, so it is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// One signal read from a signalfd: the fields Pipkin uses of `struct signalfd_siginfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// The signal's number, 1 to 64.
    pub signal: i32,
    /// How it was made (`SI_USER`, `CLD_EXITED`, …; sigaction(2)).
    pub code: i32,
    /// The sender's process id in our namespace; 0 when it has none there.
    pub pid: u32,
}

/// Reads one pending signal; `None` when there is none.
///
/// # Errors
/// Those of read(2) other than `EAGAIN`; `EIO` when the kernel gave less than one record.
pub fn receive<Fd: AsFd>(signalfd: Fd) -> Result<Option<Received>> {
    const RECORD: usize = 128;
    let mut record = [0_u8; RECORD];
    match rustix::io::retry_on_intr(|| rustix::io::read(&signalfd, &mut record)) {
        Ok(RECORD) => {}
        Ok(_) => return Err(Errno::IO),
        Err(Errno::AGAIN) => return Ok(None),
        Err(errno) => return Err(errno),
    }
    let [s0, s1, s2, s3, _, _, _, _, c0, c1, c2, c3, p0, p1, p2, p3, ..] = record;
    Ok(Some(Received {
        signal: i32::from_ne_bytes([s0, s1, s2, s3]),
        code: i32::from_ne_bytes([c0, c1, c2, c3]),
        pid: u32::from_ne_bytes([p0, p1, p2, p3]),
    }))
}

/// Sends signal number `signal`, real-time ones included, to the process of `pidfd` (pidfd_send_signal(2)).
///
/// # Errors
/// `ESRCH` when it is gone, `EPERM`, `EINVAL`.
pub fn send<Fd: AsFd>(pidfd: Fd, signal: i32) -> Result<()> {
    let signal = usize::try_from(signal).map_err(|_| Errno::INVAL)?;
    let args = [pidfd.as_fd().as_raw_fd() as usize, signal, 0, 0, 0, 0];
    // SAFETY: the call takes no memory: the siginfo pointer is null, which asks for the default one.
    unsafe { syscall(raw::__NR_pidfd_send_signal, args) }?;
    Ok(())
}

/// Sends signal number `signal` to `pid` with kill(2)'s meaning of zero and negative values.
///
/// # Errors
/// `ESRCH`, `EPERM`, `EINVAL`.
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    let signal = usize::try_from(signal).map_err(|_| Errno::INVAL)?;
    // SAFETY: the call takes two numbers and no memory.
    unsafe { syscall(raw::__NR_kill, [pid as usize, signal, 0, 0, 0, 0]) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = SignalSet::EMPTY.with(1).with(64).with(0).with(65).with(-3);
        assert!(set.contains(1) && set.contains(64));
        assert!(!set.contains(2) && !set.contains(0) && !set.contains(65));
        assert_eq!(set.without(1).without(64), SignalSet::EMPTY);
    }

    #[test]
    fn a_blocked_signal_is_read_from_the_descriptor() {
        let signal = LAST - 3;
        let mask = SignalSet::EMPTY.with(signal);
        let former = set_mask(mask).unwrap();
        let fd = signalfd(mask).unwrap();
        assert_eq!(receive(&fd), Ok(None));
        // To this thread only: the test runner's other threads do not block the signal.
        let me = rustix::thread::gettid().as_raw_nonzero().get() as usize;
        let group = rustix::process::getpid().as_raw_nonzero().get() as usize;
        // SAFETY: tgkill takes three numbers and no memory.
        unsafe { syscall(raw::__NR_tgkill, [group, me, signal as usize, 0, 0, 0]) }.unwrap();
        assert_eq!(receive(&fd).unwrap().map(|r| r.signal), Some(signal));
        set_mask(former).unwrap();
    }

    #[test]
    fn impossible_signals_are_refused() {
        assert_eq!(set_action(9, Action::Ignore), Err(Errno::INVAL));
        assert_eq!(set_action(65, Action::Default), Err(Errno::INVAL));
        assert_eq!(set_action(-1, Action::Default), Err(Errno::INVAL));
    }
}
