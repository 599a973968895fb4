//! Interfaces of the host that a container is given (OCI runtime-spec, config-linux.md, network devices).
//!
//! They are not given back: a physical one falls to the host when the namespace goes, others go with it.

use super::connect::{enter, open_namespace, own_namespace};
use super::name;
use crate::error::{Error, Result, Stage};
use crate::netlink::address;
use crate::netlink::batch::Batch;
use crate::netlink::interface::{self, Interface};
use crate::netlink::link;
use crate::netlink::socket::{Protocol, Socket};
use crate::netlink::wire::ip::Cidr;
use crate::netlink::wire::link::Link;
use crate::spec::Handover;
use core::ffi::CStr;
use heapless::Vec;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::Pid;

/// Most addresses that an interface keeps.
const MOST: usize = 16;

/// Moves `devices` into the namespace at `path`, or without one into that of process `pid`, each under its new name,
/// with the addresses that reach everywhere, and brings them up.
///
/// # Errors
/// `ENODEV` for one that is not there, `EEXIST` for a name that is taken inside, each named.
pub(in crate::host) fn hand_over(devices: &[Handover<'_>], path: Option<&CStr>, pid: Pid) -> Result<()> {
    let inside = match path {
        Some(path) => openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .stage_on("open the network namespace", path.to_bytes())?,
        // A child that is gone is found dead by whoever waits for it.
        None => match open_namespace(pid)? {
            Some(inside) => inside,
            None => return Ok(()),
        },
    };
    devices.iter().try_for_each(|device| hand_over_one(device, &inside))
}

fn hand_over_one(device: &Handover<'_>, inside: &OwnedFd) -> Result<()> {
    let (from, to) = (name(device.from.to_bytes())?, name(device.to.to_bytes())?);
    let mut socket = Socket::open(Protocol::Route)?;
    let found = link::get(&mut socket, &from)?;
    let none: (Vec<Cidr, MOST>, bool) = (Vec::new(), true);
    let (addresses, whole) = address::fold(&mut socket, &none, |(kept, whole), address| {
        if address.link == found.index && address.scope == 0 {
            *whole &= kept.push(address.cidr).is_ok();
        }
    })?;
    if !whole {
        return Err(Error::on("keep the addresses of the link", from.as_bytes(), Errno::TOOBIG));
    }
    let moved = Link {
        index: found.index,
        name: Some(to),
        namespace_fd: Some(inside.as_raw_fd()),
        ..Link::default()
    };
    let mut buffer = [0; 128];
    let mut batch = Batch::new(&mut buffer);
    link::change(&mut batch, &moved);
    socket.commit(&mut batch)?;
    let own = own_namespace()?;
    enter(inside)?;
    let done = interface::configure(&[Interface { name: &to, addresses: &addresses, gateways: &[] }]);
    enter(&own)?;
    done
}
