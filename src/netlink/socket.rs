//! A netlink socket: one send per batch, answers matched to their requests, every wait with a deadline.
//!
//! It believes only the kernel: datagrams of other senders, of other sockets' port ids and of earlier requests are
//! passed over.

use super::batch::{Batch, Step};
use super::wire::Malformed;
use super::wire::ack::Ack;
use super::wire::message::{self, Message, Messages};
use crate::error::{Error, Result, Stage};
use crate::sys::netlink::{self, Flag};
use crate::sys::process::close_elsewhere;
use core::mem::MaybeUninit;
use core::time::Duration;
use heapless::Vec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// Room for one acknowledgement: two headers, a sentence of some 80 bytes and an offset, with plenty to spare.
const ACK_CAPACITY: usize = 1024;
/// Room for one datagram of data. The kernel fills dumps up to what the reader offers, at most 32 KiB (`netlink_dump`).
const DATAGRAM_CAPACITY: usize = 32 * 1024;
/// Room for a single message of data: a link with all its counters has some 2 KiB.
const MESSAGE_CAPACITY: usize = 8 * 1024;
/// How often an interrupted dump is begun again before it is given up.
const DUMP_ATTEMPTS: u32 = 16;
/// Longest wait for a datagram. The kernel answers within the send, so waiting at all means something is wrong.
const DEADLINE: Duration = Duration::from_secs(5);
/// Room for a step's subject and the kernel's sentence about it.
const SUBJECT_CAPACITY: usize = 160;
/// The kernel's own port id.
const KERNEL: SocketAddrNetlink = SocketAddrNetlink::new(0, 0);

/// To whom a socket speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Links, addresses, routes and neighbours (rtnetlink(7)).
    Route,
    /// nf_tables.
    Netfilter,
}

/// A socket in the network namespace it was opened in, whichever the caller is in later.
///
/// After `EBADMSG`, `EMSGSIZE` or `EAGAIN` from the wait for an answer, the rest of that answer may still come:
/// what to ask then is asked on a new socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// Our port id, chosen by the kernel.
    port: u32,
    /// The next request's number.
    sequence: u32,
}

/// What reads the messages of an answer.
type Visit<'v> = &'v mut dyn FnMut(&Message<'_>) -> core::result::Result<(), Malformed>;

/// How the answer to a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Whole,
    /// What was dumped changed meanwhile: entries may be missing or doubled.
    Interrupted,
}

impl Socket {
    /// Opens a socket in the caller's network namespace.
    ///
    /// # Errors
    /// Those of socket(2); `EPROTONOSUPPORT` when the kernel has no nf_tables.
    pub fn open(protocol: Protocol) -> Result<Self> {
        let number = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(rustix::net::netlink::NETFILTER),
        };
        let stage = "open a netlink socket";
        let fd =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, number)
                .stage(stage)?;
        for flag in [Flag::CapAck, Flag::ExtAck, Flag::StrictCheck] {
            netlink::set(&fd, flag).stage(stage)?;
        }
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(DEADLINE)).stage(stage)?;
        rustix::net::bind(&fd, &KERNEL).stage(stage)?;
        let own = rustix::net::getsockname(&fd).and_then(SocketAddrNetlink::try_from).stage(stage)?;
        Ok(Self { fd, port: own.pid(), sequence: 1 })
    }

    /// Closes it without waiting for the kernel, which frees what was deleted by it in nf_tables before it comes back from
    /// that: tens of milliseconds.
    pub fn leave(self) {
        close_elsewhere(self.fd);
    }

    /// Sends `batch` and waits until the kernel has done all of it. An empty batch does nothing.
    ///
    /// # Errors
    /// The first refusal that is not tolerated, under the step of its message, with the kernel's sentence in the
    /// subject. With rtnetlink the messages after it were carried out all the same.
    pub fn commit(&mut self, batch: &mut Batch<'_>) -> Result<()> {
        let Some(last) = batch.len().checked_sub(1) else { return Ok(()) };
        self.commit_until(batch, last, false)
    }

    /// [`Self::commit`], done when the message at `last` is answered or, for a `transaction`, when its first one is
    /// refused: under that number the kernel answers for the whole.
    pub(super) fn commit_until(
        &mut self,
        batch: &mut Batch<'_>,
        last: usize,
        transaction: bool,
    ) -> Result<()> {
        let first = self.send(batch, Some(last))?;
        let mut refused = None;
        let mut buffer = [MaybeUninit::uninit(); ACK_CAPACITY];
        loop {
            let datagram = receive(&self.fd, &mut buffer).stage("wait for the kernel's answer")?;
            for message in Messages::new(datagram) {
                let message = message?;
                let index = message.header.sequence.wrapping_sub(first) as usize;
                let (Some(entry), true) = (batch.entry(index), self.is_answer(&message)) else { continue };
                if message.header.kind != message::ERROR {
                    continue;
                }
                let ack = Ack::parse(&message)?;
                if ack.errno.is_some() && ack.errno != entry.tolerated && refused.is_none() {
                    refused = refusal(&entry.step, &ack);
                }
                if index == last || (transaction && index == 0 && refused.is_some()) {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Sends the one request of `batch` and folds the messages of its answer into a copy of `initial`.
    ///
    /// A dump that was interrupted is begun again, from `initial`.
    ///
    /// # Errors
    /// The kernel's refusal under the request's step; `EAGAIN` when the dump was interrupted sixteen times;
    /// `EBADMSG` when `visit` could not read a message.
    pub fn fold<T: Clone>(
        &mut self,
        batch: &mut Batch<'_>,
        initial: &T,
        mut visit: impl FnMut(&mut T, &Message<'_>) -> core::result::Result<(), Malformed>,
    ) -> Result<T> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut folded = initial.clone();
            if self.ask_for_many(batch, &mut |message| visit(&mut folded, message))? == End::Whole {
                return Ok(folded);
            }
        }
        let step =
            batch.entry(0).map_or(Step { stage: "read a netlink dump", subject: b"" }, |entry| entry.step);
        Err(Error::on(step.stage, step.subject, Errno::AGAIN))
    }

    /// Sends the one request of `batch`, whose answer is a single message of at most [`MESSAGE_CAPACITY`] bytes, and has
    /// `visit` read it.
    ///
    /// # Errors
    /// As [`Self::fold`]; `EMSGSIZE` for a longer answer.
    pub(super) fn ask_for_one(&mut self, batch: &mut Batch<'_>, visit: Visit<'_>) -> Result<()> {
        self.ask(batch, &mut [MaybeUninit::uninit(); MESSAGE_CAPACITY], visit).map(drop)
    }

    /// Apart, for its stack: the compiler has every page of such a frame touched, by whoever asks for a dump or not.
    #[inline(never)]
    fn ask_for_many(&mut self, batch: &mut Batch<'_>, visit: Visit<'_>) -> Result<End> {
        self.ask(batch, &mut [MaybeUninit::uninit(); DATAGRAM_CAPACITY], visit)
    }

    /// One request and its whole answer. The answer is read to its end even when `visit` fails, since a dump that
    /// is not read to its end blocks the socket's next one.
    fn ask(
        &mut self,
        batch: &mut Batch<'_>,
        buffer: &mut [MaybeUninit<u8>],
        visit: Visit<'_>,
    ) -> Result<End> {
        let sequence = self.send(batch, None)?;
        let (mut end, mut visited) = (End::Whole, Ok(()));
        loop {
            let datagram = receive(&self.fd, buffer).stage("wait for the kernel's answer")?;
            for message in Messages::new(datagram) {
                let message = message?;
                if message.header.sequence != sequence || !self.is_answer(&message) {
                    continue;
                }
                if message.header.flags & message::DUMP_INTERRUPTED != 0 {
                    end = End::Interrupted;
                }
                match message.header.kind {
                    message::ERROR | message::DONE => {
                        let step = batch.entry(0).map(|entry| entry.step);
                        let ack = Ack::parse(&message)?;
                        let refused = step.and_then(|step| refusal(&step, &ack));
                        visited?;
                        return refused.map_or(Ok(end), Err);
                    }
                    _ if visited.is_ok() => visited = visit(&message),
                    _ => {}
                }
                if message.header.flags & message::MULTI == 0 {
                    visited?;
                    return Ok(end);
                }
            }
        }
    }

    /// Numbers and sends `batch`; gives the number of its first message.
    fn send(&mut self, batch: &mut Batch<'_>, acknowledged: Option<usize>) -> Result<u32> {
        let first = self.sequence;
        // The numbers of one batch are all different: it holds far fewer than 2^32 messages.
        self.sequence = first.wrapping_add(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        let bytes = batch.bytes(first, acknowledged)?;
        let sent = retry_on_intr(|| rustix::net::sendto(&self.fd, bytes, SendFlags::empty(), &KERNEL));
        match sent.stage("send a netlink request")? {
            len if len == bytes.len() => Ok(first),
            _ => Err(Error::new("send a netlink request", Errno::MSGSIZE)),
        }
    }

    fn is_answer(&self, message: &Message<'_>) -> bool {
        message.header.port == self.port
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The next datagram from the kernel; empty when it came from somebody else or a signal came first.
///
/// Fails with `EAGAIN` after [`DEADLINE`], and with `EMSGSIZE` when the datagram is longer than `buffer`.
fn receive<'b>(fd: &OwnedFd, buffer: &'b mut [MaybeUninit<u8>]) -> rustix::io::Result<&'b [u8]> {
    let ((datagram, _), len, sender) = match rustix::net::recvfrom(fd, buffer, RecvFlags::TRUNC) {
        Err(Errno::INTR) => return Ok(&[]),
        received => received?,
    };
    match sender.map(SocketAddrNetlink::try_from) {
        Some(Ok(sender)) if sender.pid() == KERNEL.pid() => {}
        _ => return Ok(&[]),
    }
    if datagram.len() == len { Ok(datagram) } else { Err(Errno::MSGSIZE) }
}

/// The error of a refused step, with the kernel's sentence; `None` when it was not refused.
fn refusal(step: &Step<'_>, ack: &Ack<'_>) -> Option<Error> {
    let errno = ack.errno?;
    if ack.text.is_empty() {
        let plain = Error::new(step.stage, errno);
        return Some(if step.subject.is_empty() {
            plain
        } else {
            Error::on(step.stage, step.subject, errno)
        });
    }
    let mut subject = Vec::<u8, SUBJECT_CAPACITY>::new();
    for part in [step.subject, if step.subject.is_empty() { b"(" } else { b" (" }, ack.text, b")"] {
        // What does not fit is left out: this is for display, and is shortened again there.
        for &byte in part {
            if subject.push(byte).is_err() {
                break;
            }
        }
    }
    Some(Error::on(step.stage, &subject, errno))
}
