//! What is done with neighbours: Ethernet addresses that are known instead of asked for.

use super::batch::{Batch, Step};
use super::wire::message;
use super::wire::neighbour::{self, Neighbour};
use core::net::IpAddr;
use rustix::io::Errno;

/// Appends: on the link of index `link`, `address` answers at `mac`, for good. Replaces what was known.
pub fn set(batch: &mut Batch<'_>, link: u32, address: IpAddr, mac: [u8; 6]) {
    let neighbour = Neighbour { link, address, mac: Some(mac), state: neighbour::PERMANENT };
    let step = Step { stage: "set a neighbour", subject: b"" };
    batch.push(step, neighbour::NEW, message::CREATE | message::REPLACE, |payload| neighbour.emit(payload));
}

/// Appends: what is known of `address` on the link of index `link` is forgotten, if anything is.
pub fn delete(batch: &mut Batch<'_>, link: u32, address: IpAddr) {
    let neighbour = Neighbour { link, address, mac: None, state: 0 };
    let step = Step { stage: "remove a neighbour", subject: b"" };
    batch.push(step, neighbour::DELETE, 0, |payload| neighbour.emit(payload));
    batch.tolerate(Errno::NOENT);
}
