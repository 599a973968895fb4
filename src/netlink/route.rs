//! What is done with routes, and the search for the way out.

use super::batch::{Batch, Step};
use super::socket::Socket;
use super::wire::ip::{Cidr, INET, INET6};
use super::wire::message;
use super::wire::route::{self, HEADER_LEN, Route};
use crate::error::Result;
use core::net::IpAddr;
use rustix::io::Errno;

/// Room for a batch that asks for routes.
const QUESTION_CAPACITY: usize = 64;

/// Appends: `route` is added. Its gateway must be reachable by then, so its link must be up (`ENETUNREACH`).
/// Refused with `EEXIST` when there is one for that destination already.
pub fn add(batch: &mut Batch<'_>, route: &Route) {
    let step = Step { stage: "add a route", subject: b"" };
    batch.push(step, route::NEW, message::CREATE | message::EXCLUSIVE, |payload| route.emit(payload));
}

/// Appends: the default route through `gateway` is added.
pub fn add_default(batch: &mut Batch<'_>, gateway: IpAddr) {
    let step = Step { stage: "add the default route", subject: b"" };
    let route = Route::default_through(gateway);
    batch.push(step, route::NEW, message::CREATE | message::EXCLUSIVE, |payload| route.emit(payload));
}

/// Appends: the main table's route to `destination` is removed, if there is one.
pub fn delete(batch: &mut Batch<'_>, destination: &Cidr) {
    let wanted = Route {
        gateway: None,
        protocol: 0,
        scope: route::ANY_SCOPE,
        kind: 0,
        ..Route::through(destination.address(), *destination)
    };
    let step = Step { stage: "remove a route", subject: b"" };
    batch.push(step, route::DELETE, 0, |payload| wanted.emit(payload));
    batch.tolerate(Errno::SRCH);
}

/// Folds every route of `family`, [`INET`] or [`INET6`], of all tables into a copy of `initial`.
///
/// # Errors
/// Those of [`Socket::fold`].
pub fn fold<T: Clone>(
    socket: &mut Socket,
    family: u8,
    initial: &T,
    mut visit: impl FnMut(&mut T, &Route),
) -> Result<T> {
    let mut buffer = [0; QUESTION_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    let step = Step { stage: "list the routes", subject: b"" };
    batch.push(step, route::GET, message::DUMP, |payload| {
        let mut header = [0; HEADER_LEN];
        header[0] = family;
        payload.put(&header);
    });
    socket.fold(&mut batch, initial, |folded, message| {
        if message.header.kind == route::NEW {
            visit(folded, &Route::parse(message.payload)?);
        }
        Ok(())
    })
}

/// The default route of the main table that wins, IPv4 before IPv6; `None` when there is no way out.
///
/// Its link is the uplink. It is absent from routes with several ways.
///
/// # Errors
/// Those of [`Socket::fold`].
pub fn uplink(socket: &mut Socket) -> Result<Option<Route>> {
    for version in [INET, INET6] {
        let best = fold(socket, version, &None, |best: &mut Option<Route>, route| {
            let wins = best.is_none_or(|best| route.priority.unwrap_or(0) < best.priority.unwrap_or(0));
            if is_default(route) && route.link.is_some() && wins {
                *best = Some(*route);
            }
        })?;
        if best.is_some() {
            return Ok(best);
        }
    }
    Ok(None)
}

fn is_default(route: &Route) -> bool {
    route.destination.prefix_len() == 0 && route.table == route::MAIN_TABLE && route.kind == route::UNICAST
}
