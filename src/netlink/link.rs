//! What is done with links: bridges, veth pairs and `lo`.
//!
//! What changes something is appended to a [`Batch`], so that what belongs together is one send. The names given
//! must outlive the batch: it tells them when the kernel refuses.

use super::batch::{Batch, Step};
use super::socket::Socket;
use super::wire::link::{self, Link, Name, Pair};
use super::wire::message::{self, Message};
use crate::error::{Error, Result, Stage};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

/// Room for a batch that asks for links.
const QUESTION_CAPACITY: usize = 96;
/// Appends: `link`, which names its kind and itself, is made.
///
/// Refused with `EEXIST` when a link of that name exists, with `EOPNOTSUPP` when the kernel has not that kind.
pub fn create<'a>(batch: &mut Batch<'a>, link: &'a Link) {
    let step = Step { stage: "create the link", subject: subject(link) };
    batch.push(step, link::NEW, message::CREATE | message::EXCLUSIVE, |payload| link.emit(payload));
}

/// Appends: a veth pair is made, `near` here and `far` in the network namespace of `namespace`, where it is born
/// under its own name and never seen elsewhere.
///
/// `near` may be up and have a master at once; `far` cannot be up before its owner raises it (`ENOTCONN`).
pub fn create_pair<'a>(batch: &mut Batch<'a>, near: &'a Link, far: &Link, namespace: BorrowedFd<'a>) {
    let pair = Pair { near: *near, far: Link { namespace_fd: Some(namespace.as_raw_fd()), ..*far } };
    let step = Step { stage: "create the veth pair", subject: subject(near) };
    batch.push(step, link::NEW, message::CREATE | message::EXCLUSIVE, |payload| pair.emit(payload));
}

/// Appends: the link that `link` finds by its index, or by its name when that is zero, becomes what else `link`
/// says: its MTU, Ethernet address, master, flags or, found by its index, name.
pub fn change<'a>(batch: &mut Batch<'a>, link: &'a Link) {
    let step = Step { stage: "change the link", subject: subject(link) };
    batch.push(step, link::NEW, 0, |payload| link.emit(payload));
}

/// Appends: the link `name` is brought up.
pub fn raise<'a>(batch: &mut Batch<'a>, name: &'a Name) {
    let link = Link { name: Some(*name), flags: link::UP, change: link::UP, ..Link::default() };
    let step = Step { stage: "bring up the link", subject: name.as_bytes() };
    batch.push(step, link::NEW, 0, |payload| link.emit(payload));
}

/// Appends: the link `name` joins the bridge of index `bridge`; zero takes it out of the one it is in.
pub fn attach<'a>(batch: &mut Batch<'a>, name: &'a Name, bridge: u32) {
    let link = Link { name: Some(*name), master: Some(bridge), ..Link::default() };
    let step = Step { stage: "attach to its bridge the link", subject: name.as_bytes() };
    batch.push(step, link::NEW, 0, |payload| link.emit(payload));
}

/// Appends: the bridge sends to the link `name` also what came from it.
///
/// Where the machine's packet filter looks into bridges (`br_netfilter`), a packet is translated before the bridge knows
/// where it goes, which can be back.
pub fn reflect<'a>(batch: &mut Batch<'a>, name: &'a Name) {
    let step = Step { stage: "let the bridge send back to the link", subject: name.as_bytes() };
    batch.push(step, link::NEW, 0, |payload| link::emit_reflecting(name, payload));
}

/// Appends: the link `name` moves to the network namespace of `namespace`, where it is down and has no address.
pub fn surrender<'a>(batch: &mut Batch<'a>, name: &'a Name, namespace: BorrowedFd<'a>) {
    let link = Link { name: Some(*name), namespace_fd: Some(namespace.as_raw_fd()), ..Link::default() };
    let step = Step { stage: "move to its network namespace the link", subject: name.as_bytes() };
    batch.push(step, link::NEW, 0, |payload| link.emit(payload));
}

/// Appends: the link `name` is removed, if there is one; of a veth pair both ends go.
///
/// The kernel waits for its readers before it answers: tens of milliseconds.
pub fn delete<'a>(batch: &mut Batch<'a>, name: &'a Name) {
    let link = Link { name: Some(*name), ..Link::default() };
    let step = Step { stage: "delete the link", subject: name.as_bytes() };
    batch.push(step, link::DELETE, 0, |payload| link.emit(payload));
    batch.tolerate(Errno::NODEV);
}

/// Brings up `lo` in the caller's network namespace: in three system calls, where netlink takes ten. Safe after clone.
///
/// # Errors
/// Those of socket(2); `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn raise_loopback() -> Result<()> {
    crate::sys::netlink::raise_loopback().stage_on("bring up the link", Name::LOOPBACK.as_bytes())
}

/// The index of the link `name`, in the namespace the socket was opened in.
///
/// # Errors
/// `ENODEV` when there is none.
pub fn index(socket: &Socket, name: &Name) -> Result<u32> {
    let stage = "find the link";
    let text =
        core::str::from_utf8(name.as_bytes()).map_err(|_| Error::on(stage, name.as_bytes(), Errno::ILSEQ))?;
    rustix::net::netdevice::name_to_index(socket, text).stage_on(stage, name.as_bytes())
}

/// The link `name`, with its counters.
///
/// # Errors
/// `ENODEV` when there is none; those of [`Socket::fold`].
pub fn get(socket: &mut Socket, name: &Name) -> Result<Link> {
    question(socket, &Link { name: Some(*name), ..Link::default() }, name.as_bytes())
}

/// The link of index `index`, with its counters.
///
/// # Errors
/// `ENODEV` when there is none; those of [`Socket::fold`].
pub fn get_by_index(socket: &mut Socket, index: u32) -> Result<Link> {
    question(socket, &Link { index, ..Link::default() }, b"")
}

fn question(socket: &mut Socket, link: &Link, subject: &[u8]) -> Result<Link> {
    let stage = "find the link";
    let mut buffer = [0; QUESTION_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    batch.push(Step { stage, subject }, link::GET, 0, |payload| link.emit(payload));
    let mut found = None;
    socket.ask_for_one(&mut batch, &mut |message| {
        found = parse(message)?;
        Ok(())
    })?;
    found.ok_or_else(|| Error::on(stage, subject, Errno::NODEV))
}

/// Folds every link that belongs to the bridge of index `bridge`, without counters, into a copy of `initial`.
///
/// # Errors
/// Those of [`Socket::fold`].
pub fn fold_members<T: Clone>(
    socket: &mut Socket,
    bridge: u32,
    initial: &T,
    mut visit: impl FnMut(&mut T, &Link),
) -> Result<T> {
    let wanted = Link { master: Some(bridge), filter: Some(link::WITHOUT_STATISTICS), ..Link::default() };
    let mut buffer = [0; QUESTION_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    let step = Step { stage: "list the members of the bridge", subject: b"" };
    batch.push(step, link::GET, message::DUMP, |payload| wanted.emit(payload));
    socket.fold(&mut batch, initial, |folded, message| {
        match parse(message)? {
            // Filtering is the kernel's kindness, not its promise.
            Some(link) if link.master == Some(bridge) => visit(folded, &link),
            _ => {}
        }
        Ok(())
    })
}

fn parse(message: &Message<'_>) -> core::result::Result<Option<Link>, super::wire::Malformed> {
    if message.header.kind == link::NEW { Link::parse(message.payload).map(Some) } else { Ok(None) }
}

fn subject(link: &Link) -> &[u8] {
    link.name.as_ref().map_or(b"", Name::as_bytes)
}
