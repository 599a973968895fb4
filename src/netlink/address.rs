//! What is done with the addresses of links.

use super::batch::{Batch, Step};
use super::socket::Socket;
use super::wire::address::{self, Address, HEADER_LEN};
use super::wire::ip::{Cidr, INET, INET6};
use super::wire::message;
use crate::error::Result;
use core::net::IpAddr;
use rustix::io::Errno;

/// Room for a batch that asks for addresses.
const QUESTION_CAPACITY: usize = 64;

/// Appends: the link of index `link`, called `name` in errors, gets the address of `cidr`.
///
/// An IPv6 address is usable at once: whether somebody else has it is not asked. Refused with `EEXIST` when the
/// link has it already, with `EACCES` when IPv6 is switched off there.
pub fn add<'a>(batch: &mut Batch<'a>, link: u32, name: &'a [u8], cidr: &Cidr) {
    let address = new(link, cidr);
    let step = Step { stage: "add an address to the link", subject: name };
    batch.push(step, address::NEW, message::CREATE | message::EXCLUSIVE, |payload| address.emit(payload));
}

/// Appends: the link of index `link`, called `name` in errors, loses the address of `cidr`, if it has it.
pub fn delete<'a>(batch: &mut Batch<'a>, link: u32, name: &'a [u8], cidr: &Cidr) {
    let address = Address { flags: 0, broadcast: None, ..new(link, cidr) };
    let step = Step { stage: "remove an address of the link", subject: name };
    batch.push(step, address::DELETE, 0, |payload| address.emit(payload));
    batch.tolerate(Errno::ADDRNOTAVAIL);
}

fn new(link: u32, cidr: &Cidr) -> Address {
    let (flags, broadcast) = match cidr.address() {
        // A network of one or two addresses has none to spare (RFC 3021).
        IpAddr::V4(_) => (0, (cidr.prefix_len() < 31).then(|| cidr.last())),
        IpAddr::V6(_) => (address::WITHOUT_DETECTION, None),
    };
    Address { link, cidr: *cidr, flags, scope: 0, broadcast }
}

/// Folds every IPv4 and then every IPv6 address of every link into a copy of `initial`.
///
/// # Errors
/// Those of [`Socket::fold`].
pub fn fold<T: Clone>(
    socket: &mut Socket,
    initial: &T,
    mut visit: impl FnMut(&mut T, &Address),
) -> Result<T> {
    let mut folded = initial.clone();
    for family in [INET, INET6] {
        let mut buffer = [0; QUESTION_CAPACITY];
        let mut batch = Batch::new(&mut buffer);
        let step = Step { stage: "list the addresses", subject: b"" };
        batch.push(step, address::GET, message::DUMP, |payload| {
            let mut header = [0; HEADER_LEN];
            header[0] = family;
            payload.put(&header);
        });
        folded = socket.fold(&mut batch, &folded, |folded, message| {
            if message.header.kind == address::NEW {
                visit(folded, &Address::parse(message.payload)?);
            }
            Ok(())
        })?;
    }
    Ok(folded)
}
