//! Answering what a filter asks (seccomp_unotify(2)): for whoever holds the listener of a filter.
//!
//! Pipkin itself hands listeners on and answers nothing; programs that use the library can.
//!
//! Dangers: arguments that are pointers lead into memory which the asking process may change at any time. The process
//! may be gone, and its pid another's: look at it, then see by [`is_pending`] whether that was still the one.

use rustix::fd::AsFd;
use rustix::io::Result;
use rustix::ioctl::{Opcode, Setter, Updater, ioctl, opcode};

/// A call that waits for an answer (`struct seccomp_notif`).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Notification {
    /// What the answer has to name.
    pub id: u64,
    /// The asking thread, as seen in our pid namespace; 0 when it is in none below ours.
    pub pid: u32,
    flags: u32,
    /// The call's number.
    pub number: i32,
    /// The `AUDIT_ARCH_*` value.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// The six argument registers.
    pub arguments: [u64; 6],
}

/// What becomes of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It gives this value, without having been made.
    Value(i64),
    /// It fails with this errno, without having been made.
    Errno(u16),
    /// It is made. The arguments may be others by then, so this is no way to refuse anything.
    Continue,
}

/// `struct seccomp_notif_resp`
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

const MAGIC: u8 = b'!';
const RECEIVE: Opcode = opcode::read_write::<Notification>(MAGIC, 0);
const SEND: Opcode = opcode::read_write::<Response>(MAGIC, 1);
const ID_VALID: Opcode = opcode::write::<u64>(MAGIC, 2);
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`
const CONTINUE: u32 = 1;

/// Waits for a call.
///
/// # Errors
/// `ENOENT` when the asking thread went away meanwhile; `EINTR`.
pub fn receive(listener: impl AsFd) -> Result<Notification> {
    // The kernel demands zeros.
    let mut call = Notification::default();
    // SAFETY: `RECEIVE` is the code of SECCOMP_IOCTL_NOTIF_RECV, which fills a struct seccomp_notif.
    let request = unsafe { Updater::<RECEIVE, Notification>::new(&mut call) };
    // SAFETY: `request` is one that the listener of a filter knows, and `call` lives until it is done.
    unsafe { ioctl(listener, request) }?;
    Ok(call)
}

/// Answers the call `id`.
///
/// # Errors
/// `ENOENT` when nobody waits for it any more.
pub fn answer(listener: impl AsFd, id: u64, answer: Answer) -> Result<()> {
    let (value, error, flags) = match answer {
        Answer::Value(value) => (value, 0, 0),
        Answer::Errno(errno) => (0, -i32::from(errno), 0),
        Answer::Continue => (0, 0, CONTINUE),
    };
    let mut response = Response { id, value, error, flags };
    // SAFETY: `SEND` is the code of SECCOMP_IOCTL_NOTIF_SEND, which reads a struct seccomp_notif_resp.
    let request = unsafe { Updater::<SEND, Response>::new(&mut response) };
    // SAFETY: `request` is one that the listener of a filter knows, and `response` lives until it is done.
    unsafe { ioctl(listener, request) }
}

/// Whether the call `id` still waits: what was read of its process until now was that process's.
#[must_use]
pub fn is_pending(listener: impl AsFd, id: u64) -> bool {
    // SAFETY: `ID_VALID` is the code of SECCOMP_IOCTL_NOTIF_ID_VALID, which reads one u64.
    let request = unsafe { Setter::<ID_VALID, u64>::new(id) };
    // SAFETY: `request` is one that the listener of a filter knows, and holds its u64.
    unsafe { ioctl(listener, request) }.is_ok()
}
