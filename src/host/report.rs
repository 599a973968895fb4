//! Hearing from the child.

use super::supervise::{Failure, descriptor};
use crate::error::{Error, Result};
use crate::plan::{REPORT_SIZE, Report};
use core::mem::MaybeUninit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSliceMut, retry_on_intr};
use rustix::net::{RecvAncillaryBuffer, RecvFlags, recvmsg};

/// What came.
#[derive(Debug)]
pub(super) enum Heard {
    /// The end: the child has executed its command, or is dead.
    End,
    /// A step failed, and the child is ending.
    Failed(Failure),
    /// The master of its terminal.
    Terminal(OwnedFd),
    /// It waits for the engine.
    Waiting,
    /// What its filter asks is asked here.
    Listener(OwnedFd),
    /// The process that is seen inside a container that was entered.
    Inside(OwnedFd),
}

/// Waits up to `patience` for one record on `channel`.
///
/// # Errors
/// `ETIMEDOUT`, `EBADMSG` for what is no record, and those of poll(2) and recvmsg(2).
pub(super) fn hear(channel: BorrowedFd<'_>, patience: &Timespec) -> Result<Heard> {
    let failed = |errno| Error::new("hear from the child", errno);
    let mut ready = [PollFd::from_borrowed_fd(channel, PollFlags::IN)];
    if retry_on_intr(|| poll(&mut ready, Some(patience))).map_err(failed)? == 0 {
        return Err(failed(Errno::TIMEDOUT));
    }
    let mut record = [0; REPORT_SIZE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut receive =
        || recvmsg(channel, &mut [IoSliceMut::new(&mut record)], &mut control, RecvFlags::CMSG_CLOEXEC);
    // A child that died with a release unread resets the socket; what it had sent comes after that is told.
    let received =
        match receive().or_else(|errno| if errno == Errno::CONNRESET { receive() } else { Err(errno) }) {
            Ok(message) if message.bytes > 0 => message.bytes,
            Ok(_) | Err(Errno::CONNRESET) => return Ok(Heard::End),
            Err(errno) => return Err(failed(errno)),
        };
    match Report::decode(record.get(..received).unwrap_or_default()) {
        Some(Report::Failed { step, errno }) => {
            Ok(Heard::Failed(Failure { step, errno: Errno::from_raw_os_error(errno) }))
        }
        Some(Report::Terminal) => descriptor(&mut control).map(Heard::Terminal).ok_or(failed(Errno::BADMSG)),
        Some(Report::Waiting) => Ok(Heard::Waiting),
        Some(Report::Listener) => descriptor(&mut control).map(Heard::Listener).ok_or(failed(Errno::BADMSG)),
        Some(Report::Inside) => descriptor(&mut control).map(Heard::Inside).ok_or(failed(Errno::BADMSG)),
        Some(Report::Started | Report::Exited { .. }) | None => Err(failed(Errno::BADMSG)),
    }
}
