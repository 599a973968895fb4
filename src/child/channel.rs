//! Our end of the socket to the host.

use crate::plan::{RELEASE, Report};
use core::mem::MaybeUninit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, IoSlice, Result, retry_on_intr};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, send, sendmsg};

/// How long the host may take for its part. It is there to end a hang, not to hurry a slow machine.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Waits for one release; `hooks` may take as long as their own deadlines let them.
///
/// # Errors
/// `ETIMEDOUT` after a minute, `ECONNRESET` when the host is gone, `EPROTO` for anything but a release.
pub(super) fn await_release(channel: BorrowedFd<'_>, hooks: bool) -> Result<()> {
    let mut ready = [PollFd::from_borrowed_fd(channel, PollFlags::IN)];
    if retry_on_intr(|| poll(&mut ready, if hooks { None } else { Some(&PATIENCE) }))? == 0 {
        return Err(Errno::TIMEDOUT);
    }
    let mut byte = [0];
    match retry_on_intr(|| recv(channel, &mut byte, RecvFlags::empty()))?.0 {
        0 => Err(Errno::CONNRESET),
        1 if byte == [RELEASE] => Ok(()),
        _ => Err(Errno::PROTO),
    }
}

/// Tells the host. Best effort: if the host is gone there is nobody to tell, and we are about to end.
pub(super) fn report(channel: BorrowedFd<'_>, report: Report) {
    retry_on_intr(|| send(channel, &report.encode(), SendFlags::NOSIGNAL)).unwrap_or(0);
}

/// Hands a descriptor to the host: the master of the pseudo-terminal, or a pidfd.
///
/// # Errors
/// Those of sendmsg(2).
pub(super) fn send_descriptor(channel: BorrowedFd<'_>, report: Report, sent: BorrowedFd<'_>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [sent];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::NOBUFS);
    }
    let record = report.encode();
    let sent =
        retry_on_intr(|| sendmsg(channel, &[IoSlice::new(&record)], &mut control, SendFlags::NOSIGNAL))?;
    if sent == record.len() { Ok(()) } else { Err(Errno::IO) }
}
