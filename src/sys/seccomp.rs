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

/// Calls made under a filter, for the tests of this room and of `bpf`.
#[cfg(test)]
pub(crate) mod trial {
    use super::super::process::{Side, clone, exit};
    use super::{Flags, install, syscall};
    use core::mem::size_of;
    use rustix::io::{Errno, read, write};
    use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};

    /// A call's number and arguments.
    pub(crate) type Call = (u32, [u64; 6]);

    /// Runs `acts` in a child that has `program` as its filter and gives what each came to, 0 for success, into
    /// `answers`; the count of these, and how the child ended. A child that got no filter answers nothing.
    fn in_child(
        program: &[u64],
        answers: &mut [i32],
        mut act: impl FnMut(usize) -> rustix::io::Result<()>,
    ) -> (usize, WaitIdStatus) {
        let (from, to) = rustix::pipe::pipe().unwrap();
        let pidfd = match clone(0, None).unwrap() {
            Side::Parent(_, pidfd) => pidfd,
            Side::Child => {
                rustix::thread::set_no_new_privs(true).unwrap_or_else(|_| exit(1));
                install(program, Flags::default()).unwrap_or_else(|_| exit(1));
                for index in 0..answers.len() {
                    let answer = act(index).map_or_else(Errno::raw_os_error, |()| 0);
                    if write(&to, &answer.to_ne_bytes()) != Ok(size_of::<i32>()) {
                        exit(1);
                    }
                }
                exit(0)
            }
        };
        drop(to);
        let mut answered = 0;
        let mut answer = [0; size_of::<i32>()];
        while read(&from, &mut answer).unwrap() == answer.len() {
            answers[answered] = i32::from_ne_bytes(answer);
            answered += 1;
        }
        let end = waitid(WaitId::PidFd(rustix::fd::AsFd::as_fd(&pidfd)), WaitIdOptions::EXITED);
        (answered, end.unwrap().unwrap())
    }

    /// Makes `calls` under `program`.
    pub(crate) fn make(program: &[u64], calls: &[Call], answers: &mut [i32]) -> (usize, WaitIdStatus) {
        in_child(program, answers, |index| {
            let (number, arguments) = calls[index];
            // SAFETY: the child is a copy that makes calls and then exits, so whatever they do to its memory meets no
            // code but this loop.
            unsafe { syscall(number, arguments.map(|argument| argument as usize)) }.map(|_| ())
        })
    }

    /// Makes the 32-bit getpid(2) of i386 under `program`.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn make_i386_getpid(program: &[u64]) -> (usize, WaitIdStatus) {
        in_child(program, &mut [0], |_| {
            super::super::attempt::getpid_of_i386();
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `BPF_RET | BPF_K`, `SECCOMP_RET_ALLOW`.
    const ALLOW: u64 = 0x7fff_0000_0000_0006;

    #[test]
    fn what_the_kernel_refuses_is_an_error() {
        assert_eq!(install(&[], Flags::default()), Err(Errno::INVAL));
        assert_eq!(install(&[0x0000_0000_0000_0087], Flags::default()), Err(Errno::INVAL));
        assert_eq!(install(&[ALLOW; 4097], Flags::default()), Err(Errno::INVAL));
        assert_eq!(install(&[ALLOW; 65537], Flags::default()), Err(Errno::INVAL));
    }

    #[test]
    fn a_filter_is_for_good() {
        let refuse_getppid = [
            0x0000_0000_0000_0020,
            0x0000_0000_0100_0015 | u64::from(linux_raw_sys::general::__NR_getppid) << 32,
            0x0005_0007_0000_0006,
            ALLOW,
        ];
        let mut answers = [-1; 2];
        let calls =
            [(linux_raw_sys::general::__NR_getppid, [0; 6]), (linux_raw_sys::general::__NR_getpid, [0; 6])];
        let (answered, end) = trial::make(&refuse_getppid, &calls, &mut answers);
        assert_eq!((answered, end.exit_status(), answers), (2, Some(0), [7, 0]));
    }
}
