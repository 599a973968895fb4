//! The control socket of a detached container: `containers/ID.sock` in the run directory.
//!
//! A request is one packet whose first byte is its kind; the answer is one packet of four bytes, an errno or 0. Only
//! root and the user who runs the container are heard (`SO_PEERCRED`), whatever the modes of the directory say.

use crate::store::Store;
use pipkin::error::{Error, Result, Stage};
use pipkin::spec::Id;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recv, recvmsg, send, sendmsg, socket_with,
};
use std::mem::MaybeUninit;
use std::path::Path;
use std::time::Duration;

/// What can be asked of a supervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Request {
    /// The container is about to be stopped: do not start it again.
    Stop = b's',
    /// Answer when the container has ended for good, with its exit status.
    Wait = b'w',
    /// Make it stand still.
    Pause = b'p',
    /// Let it go on.
    Resume = b'r',
    /// Give it the name that follows.
    Rename = b'n',
    /// Hand out its input, when it has one that can be written to, and that of each further run when that has another
    /// one; answer as for [`Self::Wait`] in the end.
    Attach = b'a',
}

impl Request {
    pub(super) const ALL: [Self; 6] =
        [Self::Stop, Self::Wait, Self::Pause, Self::Resume, Self::Rename, Self::Attach];
}

/// How long an answer may take; standing still may take half of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many may wait to be heard.
const BACKLOG: i32 = 16;

fn seqpacket(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | flags, None)
}

/// Opens the socket at `path`, in place of one that a dead supervisor left.
///
/// # Errors
/// Those of making it.
pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    let stage = "open the control socket";
    match rustix::fs::unlink(path.as_os_str().as_encoded_bytes()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(Error::new(stage, errno)),
    }
    let socket = seqpacket(SocketFlags::NONBLOCK).stage(stage)?;
    let address = SocketAddrUnix::new(path.as_os_str().as_encoded_bytes()).stage(stage)?;
    // Its mode is 0600 from the beginning: nobody else runs in this process.
    let former = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = bind(&socket, &address);
    rustix::process::umask(former);
    bound.stage(stage)?;
    listen(&socket, BACKLOG).stage(stage)?;
    Ok(socket)
}

/// Accepts whoever is there; `None` for nobody, and for somebody who may not ask.
pub(super) fn accept(listener: &OwnedFd) -> Option<OwnedFd> {
    let client = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok()?;
    let peer = socket_peercred(&client).ok()?;
    (peer.uid.is_root() || peer.uid == rustix::process::geteuid()).then_some(client)
}

/// Longest packet: a kind and a name.
const PACKET: usize = 1 + 255;

/// Reads a request and what comes with it. `Ok(None)` when there is none yet.
///
/// # Errors
/// The client is gone, or asks for something unknown.
pub(super) fn receive(client: &OwnedFd) -> rustix::io::Result<Option<(Request, String)>> {
    let mut packet = [0; PACKET];
    match recv(client, &mut packet, RecvFlags::DONTWAIT) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno),
        Ok((0, _)) => Err(Errno::PIPE),
        Ok((length, _)) => {
            let whole = packet.get(..length).and_then(|packet| packet.split_first());
            let (kind, rest) = whole.ok_or(Errno::BADMSG)?;
            let request = Request::ALL.into_iter().find(|known| *known as u8 == *kind);
            Ok(Some((request.ok_or(Errno::OPNOTSUPP)?, String::from_utf8_lossy(rest).into_owned())))
        }
    }
}

/// Answers. Best effort: a client that does not wait for it has its reasons.
pub(crate) fn answer(client: &OwnedFd, number: i32) {
    send(client, &number.to_ne_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT).unwrap_or(0);
}

/// Answers with a descriptor, if there is one.
pub(crate) fn hand_out(client: &OwnedFd, descriptor: Option<BorrowedFd<'_>>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return answer(client, Errno::NOBUFS.raw_os_error());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(client, &[IoSlice::new(&0_i32.to_ne_bytes())], &mut control, flags).unwrap_or(0);
}

/// Asks the supervisor of container `id` for its input. Gives the socket, on which its exit status comes, and the input
/// if it has one.
///
/// # Errors
/// As [`ask_with`].
pub(crate) fn attach(store: &Store, id: &Id) -> rustix::io::Result<(OwnedFd, Option<OwnedFd>)> {
    let socket = connect_to(store, id)?;
    send(&socket, &[Request::Attach as u8], SendFlags::NOSIGNAL)?;
    match hear(&socket)? {
        (Some(0), input) => Ok((socket, input)),
        (Some(errno), _) => Err(Errno::from_raw_os_error(errno)),
        (None, _) => Err(Errno::CONNRESET),
    }
}

/// Waits for what a supervisor says next to one who is attached: a number, `None` when there is no supervisor any more,
/// and a descriptor, if one comes with it: the input from now on. Without one the number is the exit status.
///
/// # Errors
/// Those of recvmsg(2).
pub(crate) fn hear(socket: &OwnedFd) -> rustix::io::Result<(Option<i32>, Option<OwnedFd>)> {
    let mut number = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut number)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let input = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(((received.bytes == number.len()).then_some(i32::from_ne_bytes(number)), input))
}

fn connect_to(store: &Store, id: &Id) -> rustix::io::Result<OwnedFd> {
    let socket = seqpacket(SocketFlags::empty())?;
    connect(&socket, &SocketAddrUnix::new(store.socket_path(id).as_os_str().as_encoded_bytes())?)?;
    Ok(socket)
}

/// [`ask_with`] nothing more.
///
/// # Errors
/// As there.
pub(crate) fn ask(store: &Store, id: &Id, request: Request) -> rustix::io::Result<i32> {
    ask_with(store, id, request, b"")
}

/// Asks the supervisor of container `id`, and waits for the answer.
///
/// # Errors
/// `ENOENT`, `ECONNREFUSED` or `ECONNRESET` when there is no supervisor, and what it answers.
pub(crate) fn ask_with(store: &Store, id: &Id, request: Request, rest: &[u8]) -> rustix::io::Result<i32> {
    let socket = connect_to(store, id)?;
    if request != Request::Wait {
        // One that is stuck in making its container does not hear.
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    }
    send(&socket, &[&[request as u8], rest].concat(), SendFlags::NOSIGNAL)?;
    let mut number = [0; 4];
    match rustix::io::retry_on_intr(|| recv(socket.as_fd(), &mut number, RecvFlags::empty()))?.0 {
        4 => Ok(i32::from_ne_bytes(number)),
        _ => Err(Errno::CONNRESET),
    }
}
