//! What is done with links: bridges, veth pairs and `lo`.
//!
//! Most functions append to a [`Batch`], so that what belongs together is one send.

use super::batch::{Batch, Step};
use super::socket::{Protocol, Socket};
use super::wire::link::{self, Link, Name};
use crate::error::Result;

/// Room for the batch of [`raise_loopback`].
const LOOPBACK_CAPACITY: usize = 64;

/// Appends: the link `name` is brought up.
pub fn raise<'a>(batch: &mut Batch<'a>, name: &'a Name) {
    let link = Link { name: Some(*name), flags: link::UP, change: link::UP, ..Link::default() };
    let step = Step { stage: "bring up the link", subject: name.as_bytes() };
    batch.push(step, link::NEW, 0, |payload| link.emit(payload));
}

/// Brings up `lo` in the caller's network namespace, by a socket of its own. Safe after clone.
///
/// # Errors
/// Those of [`Socket::open`]; `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn raise_loopback() -> Result<()> {
    let mut buffer = [0; LOOPBACK_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    raise(&mut batch, &Name::LOOPBACK);
    Socket::open(Protocol::Route)?.commit(&mut batch)
}
