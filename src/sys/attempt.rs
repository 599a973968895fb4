//! Forbidden calls, made to see whether they are.
//!
//! Each is made in a child of its own, with arguments that do no harm where it is allowed after all: they fail on their
//! way, concern the child alone, or change nothing. So an answer other than a refusal tells that the kernel's code
//! behind the filter and the check of rights was reached.

use super::arch::syscall;
use super::process::exit;
use super::spawn::{Fork, fork};
use core::ffi::CStr;
use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, IntoRawFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, Result};
use rustix::process::{WaitOptions, waitpid};

/// What stands for an argument of a call.
#[derive(Clone, Copy)]
enum Arg {
    /// A number, or an address of nothing.
    Is(u32),
    /// The number that the kernel takes for this one where it looks at 32 bits: a 33rd is set.
    Wide(u32),
    /// A text.
    Text(&'static CStr),
    /// Bytes to be read.
    Bytes(&'static [u8]),
    /// A descriptor of this file, opened for reading.
    File(&'static CStr),
}

/// A call to try.
pub struct Attempt {
    /// What it is called.
    pub name: &'static str,
    number: u32,
    args: &'static [Arg],
}

/// What came of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is refused: the filter or the kernel says that it may not be made, or that there is no such thing.
    Refused(Errno),
    /// The filter killed who made it.
    Killed,
    /// The call got through; it found something wrong with its arguments or succeeded.
    Reached,
}

/// `struct file_handle` of inode 2, the root of most file systems, generation 0 (name_to_handle_at(2)).
const HANDLE: &[u8] = &[8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
/// A `struct mount_attr` that changes nothing, and other structures of zeros.
const NOTHING: &[u8] = &[0; 128];
/// A `struct clone_args` with CLONE_NEWUSER.
const NEW_USER: &[u8] = &{
    let mut bytes = [0; 88];
    bytes[3] = 0x10;
    bytes
};
/// `struct __user_cap_header_struct` of version 3, and two `__user_cap_data_struct` with every capability there is
/// up to CHECKPOINT_RESTORE, effective and permitted (capset(2)).
const VERSION: &[u8] = &[0x22, 0x05, 0x08, 0x20, 0, 0, 0, 0];
const ALL: &[u8] =
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 1, 0, 0, 0xff, 1, 0, 0, 0, 0, 0, 0];

/// AT_FDCWD and -1, as 32 bits.
const HERE: Arg = Arg::Is(-100_i32 as u32);
const NONE: Arg = Arg::Is(u32::MAX);
const NULL: Arg = Arg::Is(0);
/// Not the name of anything.
const NOWHERE: Arg = Arg::Text(c"/pipkin/attempt/nowhere");
const ROOT: Arg = Arg::Text(c"/");

const fn new(name: &'static str, number: u32, args: &'static [Arg]) -> Attempt {
    Attempt { name, number, args }
}

const fn family(name: &'static str, args: &'static [Arg; 3]) -> Attempt {
    new(name, raw::__NR_socket, args)
}

/// Bit of the calls of programs with 32-bit pointers on x86_64 (`__X32_SYSCALL_BIT`).
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// In place of a call's number: getpid(2) of i386.
#[cfg(target_arch = "x86_64")]
const I386: u32 = u32::MAX;

use Arg::{Bytes, File, Is, Text, Wide};

/// Calls that only some architectures have.
#[cfg(target_arch = "x86_64")]
const OF_ARCHITECTURE: &[Attempt] = &[
    new("iopl", raw::__NR_iopl, &[Is(3)]),
    new("ioperm", raw::__NR_ioperm, &[Is(0x80), Is(1), Is(1)]),
    new("x32 unshare", X32 | raw::__NR_unshare, &[Is(raw::CLONE_NEWUSER)]),
    new("i386 getpid", I386, &[]),
];
#[cfg(not(target_arch = "x86_64"))]
const OF_ARCHITECTURE: &[Attempt] = &[];

/// Calls that all have.
const OF_ALL: &[Attempt] = &[
    new("mount", raw::__NR_mount, &[Text(c"none"), ROOT, Text(c"pipkin-nowhere"), NULL, NULL]),
    new("umount2", raw::__NR_umount2, &[Text(c"/proc/self/status"), NULL]),
    new("pivot_root", raw::__NR_pivot_root, &[ROOT, ROOT]),
    new("fsopen", raw::__NR_fsopen, &[Text(c"tmpfs"), NULL]),
    new("open_tree", raw::__NR_open_tree, &[HERE, ROOT, Is(raw::OPEN_TREE_CLONE)]),
    new("move_mount", raw::__NR_move_mount, &[NONE, Text(c""), NONE, Text(c""), NULL]),
    new("mount_setattr", raw::__NR_mount_setattr, &[HERE, ROOT, NULL, Bytes(NOTHING), Is(32)]),
    new("unshare user", raw::__NR_unshare, &[Is(raw::CLONE_NEWUSER)]),
    new("unshare mount", raw::__NR_unshare, &[Is(raw::CLONE_NEWNS)]),
    new("unshare network", raw::__NR_unshare, &[Is(raw::CLONE_NEWNET)]),
    new("unshare cgroup", raw::__NR_unshare, &[Is(raw::CLONE_NEWCGROUP)]),
    new("unshare pid", raw::__NR_unshare, &[Is(raw::CLONE_NEWPID)]),
    new("unshare uts", raw::__NR_unshare, &[Is(raw::CLONE_NEWUTS)]),
    new("unshare ipc", raw::__NR_unshare, &[Is(raw::CLONE_NEWIPC)]),
    new("clone user", raw::__NR_clone, &[Is(raw::CLONE_NEWUSER | raw::SIGCHLD)]),
    new("clone3 user", raw::__NR_clone3, &[Bytes(NEW_USER), Is(NEW_USER.len() as u32)]),
    new("setns", raw::__NR_setns, &[File(c"/proc/self/ns/uts"), NULL]),
    new("capset", raw::__NR_capset, &[Bytes(VERSION), Bytes(ALL)]),
    new("open_by_handle_at", raw::__NR_open_by_handle_at, &[File(c"/"), Bytes(HANDLE), NULL]),
    new("fanotify_init", raw::__NR_fanotify_init, &[NULL, NULL]),
    new("keyctl", raw::__NR_keyctl, &[NULL, Is(-3_i32 as u32), NULL]),
    new("add_key", raw::__NR_add_key, &[Text(c"user"), NULL, NULL, NULL, Is(-3_i32 as u32)]),
    new("request_key", raw::__NR_request_key, &[Text(c"user"), Text(c"pipkin-nowhere"), NULL, NULL]),
    new("bpf", raw::__NR_bpf, &[Is(5), Bytes(NOTHING), Is(48)]),
    new("perf_event_open", raw::__NR_perf_event_open, &[Bytes(NOTHING), NULL, NONE, NONE, NULL]),
    new("userfaultfd", raw::__NR_userfaultfd, &[NULL]),
    new("io_uring_setup", raw::__NR_io_uring_setup, &[Is(1), NULL]),
    new("vmsplice", raw::__NR_vmsplice, &[NONE, NULL, NULL, NULL]),
    new("memfd_secret", raw::__NR_memfd_secret, &[Is(1)]),
    new("cachestat", raw::__NR_cachestat, &[NONE, NULL, NULL, NULL]),
    new("pidfd_getfd", raw::__NR_pidfd_getfd, &[NONE, NONE, NULL]),
    new("kcmp", raw::__NR_kcmp, &[NULL, NULL, NULL, NULL, NULL]),
    new("prctl PR_SET_MM", raw::__NR_prctl, &[Is(35), Is(1), NULL, NULL, NULL]),
    new("personality", raw::__NR_personality, &[Is(0x0040_0000)]),
    new("reboot", raw::__NR_reboot, &[NULL, NULL, NULL, NULL]),
    new("kexec_load", raw::__NR_kexec_load, &[NULL, Is(17), NULL, NULL]),
    new("init_module", raw::__NR_init_module, &[NULL, NULL, Text(c"")]),
    new("finit_module", raw::__NR_finit_module, &[NONE, Text(c""), NULL]),
    new("delete_module", raw::__NR_delete_module, &[NULL, NULL]),
    new("swapon", raw::__NR_swapon, &[NOWHERE, NULL]),
    new("acct", raw::__NR_acct, &[NOWHERE]),
    new("quotactl", raw::__NR_quotactl, &[Is(0x8000_0200), NULL, NULL, NULL]),
    new("syslog", raw::__NR_syslog, &[Is(10), NULL, NULL]),
    new("sethostname", raw::__NR_sethostname, &[Bytes(NOTHING), Is(128)]),
    new("clock_settime", raw::__NR_clock_settime, &[NULL, NULL]),
    new("ioctl TIOCSTI", raw::__NR_ioctl, &[File(c"/dev/ptmx"), Is(0x5412), NULL]),
    new("ioctl TIOCLINUX", raw::__NR_ioctl, &[File(c"/dev/ptmx"), Is(0x541c), NULL]),
    new("ioctl TIOCSETD", raw::__NR_ioctl, &[File(c"/dev/ptmx"), Is(0x5423), NULL]),
    new("ioctl TIOCSETD wide", raw::__NR_ioctl, &[File(c"/dev/ptmx"), Wide(0x5423), NULL]),
    family("socket AF_ALG", &[Is(38), Is(5), NULL]),
    family("socket AF_VSOCK", &[Is(40), Is(1), NULL]),
    family("socket AF_PACKET", &[Is(17), Is(3), NULL]),
    family("socket AF_KEY", &[Is(15), Is(3), Is(2)]),
    family("socket AF_RDS", &[Is(21), Is(5), NULL]),
    family("socket AF_RXRPC", &[Is(33), Is(2), Is(2)]),
    family("socket AF_INET raw", &[Is(2), Is(3), Is(1)]),
    family("socket netlink netfilter", &[Is(16), Is(3), Is(12)]),
    family("socket netlink xfrm", &[Is(16), Is(3), Is(6)]),
    new("socketpair AF_ALG", raw::__NR_socketpair, &[Is(38), Is(5), NULL, NULL]),
];

/// Every call to try.
pub fn all() -> impl Iterator<Item = &'static Attempt> {
    OF_ALL.iter().chain(OF_ARCHITECTURE)
}

impl Attempt {
    /// Makes the call in a child.
    ///
    /// # Errors
    /// Those of fork(2) and waitpid(2).
    pub fn make(&self) -> Result<Answer> {
        let pid = match fork()? {
            Fork::Parent(pid) => pid,
            Fork::Child => {
                let answer = self.call().map_or_else(Errno::raw_os_error, |_| 0);
                exit(u8::try_from(answer).unwrap_or(0))
            }
        };
        let status = waitpid(Some(pid), WaitOptions::empty())?.map(|(_, status)| status);
        let Some(code) = status.and_then(rustix::process::WaitStatus::exit_status) else {
            return Ok(Answer::Killed);
        };
        if code == 0 {
            return Ok(Answer::Reached);
        }
        let errno = Errno::from_raw_os_error(code);
        Ok(if is_refusal(errno) { Answer::Refused(errno) } else { Answer::Reached })
    }

    fn call(&self) -> Result<usize> {
        #[cfg(target_arch = "x86_64")]
        if self.number == I386 {
            getpid_of_i386();
            return Ok(0);
        }
        let mut args = [0; 6];
        for (to, arg) in args.iter_mut().zip(self.args) {
            *to = match *arg {
                Arg::Is(number) => number as i32 as usize,
                Arg::Wide(number) => 1 << 32 | number as usize,
                Arg::Text(text) => text.as_ptr() as usize,
                Arg::Bytes(bytes) => bytes.as_ptr() as usize,
                // Open until this child exits. Without the file there is nothing to make the call on.
                Arg::File(path) => {
                    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
                    let file = open(path, flags, Mode::empty()).map_err(|_| Errno::ACCESS)?;
                    file.into_raw_fd() as usize
                }
            };
        }
        // SAFETY: the table's calls read the constants it gives and write nowhere; one that makes a process gives it
        // a copy of this memory. What one changes of this process goes with it: it is a child that exits next.
        unsafe { syscall(self.number, args) }
    }
}

/// getpid(2) as a program of 32 bits makes it. A filter, or a kernel without such programs, kills who does.
#[cfg(target_arch = "x86_64")]
pub(super) fn getpid_of_i386() {
    // SAFETY: getpid takes no argument and touches no memory; the kernel saves every register but rax and, for programs
    // of the other width, r8 to r11.
    unsafe {
        core::arch::asm!(
            "int 0x80", inlateout("eax") 20 => _,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
}

/// Whether this is how a filter, the kernel's check of rights, or a kernel without such a thing answers.
fn is_refusal(errno: Errno) -> bool {
    const REFUSALS: [Errno; 7] = [
        Errno::PERM,
        Errno::ACCESS,
        Errno::NOSYS,
        Errno::AFNOSUPPORT,
        Errno::PROTONOSUPPORT,
        Errno::SOCKTNOSUPPORT,
        Errno::NOPROTOOPT,
    ];
    REFUSALS.contains(&errno)
}

/// Types a byte into a terminal as if its user had (`TIOCSTI`, ioctl_tty(2)), the command being told in its 32 bits,
/// or with more of the register's 64 set.
///
/// # Errors
/// `EPERM` under a filter or for a terminal other than the caller's own, `ENOTTY`, and `EIO` where the kernel is told
/// not to (`dev.tty.legacy_tiocsti`).
pub fn type_ahead<Fd: AsFd>(terminal: Fd, byte: u8, wide: bool) -> Result<()> {
    let command = 0x5412 | if wide { 1 << 32 } else { 0 };
    let args = [terminal.as_fd().as_raw_fd() as usize, command, &raw const byte as usize, 0, 0, 0];
    // SAFETY: the kernel reads one byte, which lives through the call.
    unsafe { syscall(raw::__NR_ioctl, args) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_gets_through_is_told_from_one_that_is_refused() {
        let made = |number, args| new("", number, args).make().unwrap();
        assert_eq!(made(raw::__NR_getpid, &[]), Answer::Reached);
        assert_eq!(made(raw::__NR_close, &[NONE]), Answer::Reached);
        assert_eq!(made(raw::__NR_clone3, &[NULL, NULL]), Answer::Reached);
        assert_eq!(made(9999, &[]), Answer::Refused(Errno::NOSYS));
        assert_eq!(made(raw::__NR_setns, &[File(c"/no/such/file"), NULL]), Answer::Refused(Errno::ACCESS));
    }
}
