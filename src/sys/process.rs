//! Making processes and turning them into programs: clone3(2), execve(2), close_range(2).

use super::arch::syscall;
use core::cell::Cell;
use core::ffi::{CStr, c_char};
use core::marker::PhantomData;
use core::mem::size_of;
use linux_raw_sys::general as raw;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use rustix::thread::UnshareFlags;

/// On which side of [`clone`] the caller finds itself.
#[derive(Debug)]
pub enum Side {
    /// The new process.
    Child,
    /// The old one, with the child's id in our pid namespace and its pidfd (close-on-exec).
    Parent(Pid, OwnedFd),
}

/// Forks with clone3(2): a copy of this process with SIGCHLD as its exit signal, in the new namespaces that
/// `flags` (`CLONE_NEW*`) name and, when `cgroup` is given, born inside that cgroup v2 directory. With `CLONE_PARENT`
/// it is a child of the caller's parent.
///
/// The child runs on a copy of the caller's memory and is its only thread. It must not allocate nor take locks
/// that another thread of the parent could have held.
///
/// # Errors
/// `EPERM` without the privilege for a namespace, `ENOSPC` or `EUSERS` at a namespace limit, `EAGAIN` at a pids
/// limit, `EBUSY` for a cgroup that has children with controllers, `EOPNOTSUPP` for a threaded one, `EINVAL` for
/// flags that contradict one another, `ENOSYS` under a filter that hides clone3.
pub fn clone(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Side> {
    let mut pidfd: RawFd = -1;
    let into = if cgroup.is_some() { raw::CLONE_INTO_CGROUP } else { 0 };
    let args = raw::clone_args {
        flags: flags | into | u64::from(raw::CLONE_PIDFD),
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        // A sibling has that of the caller itself.
        exit_signal: if flags & u64::from(raw::CLONE_PARENT) == 0 { u64::from(raw::SIGCHLD) } else { 0 },
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    if flags & u64::from(raw::CLONE_VM | raw::CLONE_THREAD | raw::CLONE_SIGHAND | raw::CLONE_VFORK) != 0 {
        return Err(Errno::INVAL);
    }
    let call = [&raw const args as usize, size_of::<raw::clone_args>(), 0, 0, 0, 0];
    // SAFETY: `args` is a whole clone_args read during the call, `pidfd` is a live i32 the kernel may write. Memory
    // is not shared (CLONE_VM was refused above), so the child returns here on its own copy of this stack.
    let pid = unsafe { syscall(raw::__NR_clone3, call) }?;
    if pid == 0 {
        return Ok(Side::Child);
    }
    // SAFETY: clone3 succeeded with CLONE_PIDFD, so the kernel stored a new descriptor here that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Side::Parent(Pid::from_raw(pid as i32).ok_or(Errno::SRCH)?, pidfd))
}

/// A pointer to a NUL-terminated string that lives for `'a`, or the null that ends an array of them.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct StrPtr<'a> {
    pointer: *const c_char,
    string: PhantomData<&'a CStr>,
}

impl<'a> StrPtr<'a> {
    /// The null that ends an array.
    pub const END: Self = Self { pointer: core::ptr::null(), string: PhantomData };

    /// Points to `string`.
    #[must_use]
    pub const fn new(string: &'a CStr) -> Self {
        Self { pointer: string.as_ptr(), string: PhantomData }
    }

    /// Points to what `slot` holds whenever it is looked at.
    #[must_use]
    pub fn slot<const N: usize>(slot: &'a StrSlot<N>) -> Self {
        Self { pointer: slot.bytes.as_ptr().cast(), string: PhantomData }
    }

    #[cfg(test)]
    fn get(self) -> Option<&'a CStr> {
        // SAFETY: both constructors take the pointer from a NUL-terminated string borrowed for 'a, and no test
        // changes a slot while it holds what this returns.
        (!self.pointer.is_null()).then(|| unsafe { CStr::from_ptr(self.pointer) })
    }
}

/// Room for a string that becomes known only after the arrays that point to it were made, such as `HOME=…`
/// from the image's passwd file. Always NUL-terminated; empty at first.
pub struct StrSlot<const N: usize> {
    bytes: [Cell<u8>; N],
}

impl<const N: usize> StrSlot<N> {
    /// An empty slot for strings of up to `N - 1` bytes.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0, "no room for the NUL") };
        Self { bytes: [const { Cell::new(0) }; N] }
    }

    /// Replaces the contents by the concatenation of `parts`.
    ///
    /// # Errors
    /// `ENAMETOOLONG` when it does not fit and `EINVAL` when it holds a NUL; the slot is then empty.
    pub fn set(&self, parts: &[&[u8]]) -> Result<()> {
        self.bytes.iter().for_each(|byte| byte.set(0));
        let room = self.bytes.iter().take(N.saturating_sub(1));
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length >= N {
            return Err(Errno::NAMETOOLONG);
        }
        if parts.iter().any(|part| part.contains(&0)) {
            return Err(Errno::INVAL);
        }
        for (cell, byte) in room.zip(parts.iter().copied().flatten()) {
            cell.set(*byte);
        }
        Ok(())
    }
}

impl<const N: usize> Default for StrSlot<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A null-terminated array of strings, as execve(2) takes it, made before clone so that nothing is built after.
#[derive(Clone, Copy)]
pub struct StrArray<'a> {
    list: &'a [StrPtr<'a>],
}

impl<'a> StrArray<'a> {
    /// The array without strings.
    pub const EMPTY: Self = Self { list: &[StrPtr::END] };

    /// Takes a list whose last element, and no other, is [`StrPtr::END`].
    #[must_use]
    pub fn new(list: &'a [StrPtr<'a>]) -> Option<Self> {
        let ends = list.iter().filter(|item| item.pointer.is_null()).count();
        let last = list.last()?;
        (last.pointer.is_null() && ends == 1).then_some(Self { list })
    }

    #[cfg(test)]
    fn iter(self) -> impl Iterator<Item = &'a CStr> {
        self.list.iter().map_while(|item| item.get())
    }
}

/// Replaces this program by the one at `path` (execve(2)). Returns only when that failed.
#[must_use]
pub fn execve(path: &CStr, argv: StrArray<'_>, envp: StrArray<'_>) -> Errno {
    let args = [path.as_ptr() as usize, argv.list.as_ptr() as usize, envp.list.as_ptr() as usize, 0, 0, 0];
    // SAFETY: the path is NUL-terminated; StrArray was checked to end in null and its StrPtr are pointers to live
    // NUL-terminated strings (repr(transparent), so the slice is a C array of pointers). On success nothing of
    // this program is left to be broken.
    match unsafe { syscall(raw::__NR_execve, args) } {
        Err(errno) => errno,
        Ok(_) => Errno::NOEXEC,
    }
}

/// The calling process's group (getpgid(2)); `None` when its leader is outside of this pid namespace and has no
/// number here, which rustix takes to be impossible.
#[must_use]
pub fn group() -> Option<Pid> {
    // SAFETY: takes and gives numbers only.
    let group = unsafe { syscall(raw::__NR_getpgid, [0, 0, 0, 0, 0, 0]) };
    group.ok().and_then(|group| Pid::from_raw(group as i32))
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2) with `CLOSE_RANGE_CLOEXEC`).
///
/// # Errors
/// `ENOSYS` or `EINVAL` on kernels before 5.11.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    // include/uapi/linux/close_range.h
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    let args = [first as usize, u32::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0, 0];
    // SAFETY: the call takes numbers only, and setting a flag on a descriptor closes nothing that is owned here.
    unsafe { syscall(raw::__NR_close_range, args) }?;
    Ok(())
}

/// Moves the calling thread into new namespaces (unshare(2)).
///
/// # Errors
/// `EPERM`, `ENOSPC` or `EUSERS` at a limit, and `EINVAL` for `FILES`: sharing of descriptors is not a namespace.
pub fn unshare(flags: UnshareFlags) -> Result<()> {
    if flags.contains(UnshareFlags::FILES) {
        return Err(Errno::INVAL);
    }
    // SAFETY: the one flag that this function is unsafe for, FILES, was refused above.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Gives the calling process an empty session keyring of its own (keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING`).
///
/// # Errors
/// `ENOSYS` where the kernel has no keyrings, `EDQUOT` at the user's quota, `EPERM` under a filter.
pub fn join_new_session_keyring() -> Result<()> {
    const JOIN_SESSION_KEYRING: usize = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is read or written.
    unsafe { syscall(raw::__NR_keyctl, [JOIN_SESSION_KEYRING, 0, 0, 0, 0, 0]) }?;
    Ok(())
}

/// Sets limit number `kind` (`RLIMIT_*`) of the calling process; `u64::MAX` is unlimited (prlimit(2)).
///
/// # Errors
/// `EINVAL` for an unknown kind or soft above hard, `EPERM` when it raises a hard limit without privilege.
pub fn set_rlimit(kind: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = raw::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is a whole rlimit64 read during the call; no old limit is asked for.
    unsafe { syscall(raw::__NR_prlimit64, [0, kind as usize, &raw const limit as usize, 0, 0, 0]) }?;
    Ok(())
}

/// Duplicates `fd` onto descriptor number `target` (0, 1 or 2), which the duplicate then owns for the life of
/// the process (dup3(2)).
///
/// # Errors
/// `EBADF`, `EINTR`, `EINVAL` when `fd` already is `target`.
pub fn duplicate_onto<Fd: AsFd>(fd: Fd, target: u32) -> Result<()> {
    if target > 2 {
        return Err(Errno::INVAL);
    }
    // SAFETY: numbers only; 0, 1 and 2 are the standard streams, which no OwnedFd of this program holds.
    unsafe { syscall(raw::__NR_dup3, [fd.as_fd().as_raw_fd() as usize, target as usize, 0, 0, 0, 0]) }?;
    Ok(())
}

/// Has `work` done on a copy of `data` by a process that nobody waits for: with no descriptor of ours, not even a
/// standard stream, and as nobody's child, so that it holds up no reader and leaves nothing to reap.
///
/// # Errors
/// Those of [`clone`], and of waiting for the child between the two.
pub fn delegate(data: &[u8], work: fn(&[u8]) -> bool) -> Result<()> {
    // Without a child of its own it does the work itself, and we wait for that.
    orphan(|| close_from(0), |_| work(data))
}

/// Has the last copy of `fd` closed by a process that nobody waits for, where the kernel takes its time over that. Best
/// effort: without such a process it is closed here.
pub fn close_elsewhere(fd: OwnedFd) {
    const DEADLINE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
    let Ok((wait, held)) = pipe_with(PipeFlags::CLOEXEC) else { return };
    let keep = || {
        duplicate_onto(&fd, 0)?;
        duplicate_onto(&wait, 1)?;
        close_from(2)
    };
    let outlive = |alone| {
        if alone {
            // SAFETY: `keep` has put it there, and it stays open.
            let wait = unsafe { BorrowedFd::borrow_raw(1) };
            // It ends when nobody holds the other end of the pipe any more.
            let end = || poll(&mut [PollFd::new(&wait, PollFlags::IN)], Some(&DEADLINE));
            rustix::io::retry_on_intr(end).unwrap_or(0);
        }
        true
    };
    orphan(keep, outlive).unwrap_or(());
    // In this order: what is closed next lets the other process go.
    drop(fd);
    drop(held);
}

/// Has `work` done by a process that is nobody's child, after `shed` has closed what it is not to hold: by then this
/// returns. `work` is told whether there is such a process; otherwise it is waited for.
fn orphan(shed: impl FnOnce() -> Result<()>, work: impl FnOnce(bool) -> bool) -> Result<()> {
    match clone(0, None)? {
        Side::Child => {
            let shed = shed();
            match clone(0, None) {
                Ok(Side::Parent(..)) => exit(0),
                end => exit(u8::from(shed.is_err() || !work(end.is_ok()))),
            }
        }
        Side::Parent(_, pidfd) => {
            let end = || waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            rustix::io::retry_on_intr(end).map(drop)
        }
    }
}

/// Closes every descriptor from `first` on, in a process that is about to end without dropping anything.
fn close_from(first: usize) -> Result<()> {
    // SAFETY: numbers only. Nothing in such a process uses a descriptor that was open before, but those below `first`
    // that it has put there itself.
    unsafe { syscall(raw::__NR_close_range, [first, u32::MAX as usize, 0, 0, 0, 0]) }.map(drop)
}

/// Ends the calling process at once with `status`, running nothing of the program on the way (exit_group(2)).
pub fn exit(status: u8) -> ! {
    loop {
        // SAFETY: takes a number; the call does not return, and should a broken filter make it fail, the loop asks
        // again.
        if unsafe { syscall(raw::__NR_exit_group, [usize::from(status), 0, 0, 0, 0, 0]) }.is_err() {
            core::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_elsewhere_is_closed_in_the_end() {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        close_elsewhere(write);
        let wait = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&read, PollFlags::IN)], Some(&wait)), Ok(1));
        assert_eq!(rustix::io::read(&read, &mut [0][..]), Ok(0));
    }

    #[test]
    fn arrays_must_end_in_null_once() {
        assert!(StrArray::new(&[]).is_none());
        assert!(StrArray::new(&[StrPtr::new(c"a")]).is_none());
        assert!(StrArray::new(&[StrPtr::END, StrPtr::new(c"a"), StrPtr::END]).is_none());
        let list = [StrPtr::new(c"a"), StrPtr::new(c"b"), StrPtr::END];
        let array = StrArray::new(&list).unwrap();
        assert!(array.iter().eq([c"a", c"b"]));
        assert_eq!(StrArray::EMPTY.iter().count(), 0);
    }

    #[test]
    fn a_slot_takes_what_fits() {
        let slot = StrSlot::<8>::new();
        let list = [StrPtr::slot(&slot), StrPtr::END];
        let array = StrArray::new(&list).unwrap();
        slot.set(&[b"HOME", b"=/x"]).unwrap();
        assert!(array.iter().eq([c"HOME=/x"]));
        assert_eq!(slot.set(&[b"HOME", b"=/xy"]), Err(Errno::NAMETOOLONG));
        assert!(array.iter().eq([c""]));
        assert_eq!(slot.set(&[b"a\0b"]), Err(Errno::INVAL));
    }

    #[test]
    fn a_process_has_a_group() {
        assert_eq!(group(), Some(rustix::process::getpgrp()));
    }

    #[test]
    fn memory_is_never_shared() {
        assert!(matches!(clone(u64::from(raw::CLONE_VM), None), Err(Errno::INVAL)));
    }

    #[test]
    fn a_child_is_made_and_its_pidfd_reaps_it() {
        match clone(0, None).unwrap() {
            Side::Child => exit(7),
            Side::Parent(_, pidfd) => {
                let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
                assert_eq!(status.exit_status(), Some(7));
            }
        }
    }
}
