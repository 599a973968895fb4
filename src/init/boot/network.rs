//! The network that the `ip=` kernel argument asks for, and the files by which names are found.
//!
//! `ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1`
//! (Documentation/admin-guide/nfs/nfsroot.rst). Addresses are fixed ones of IPv4: what asks for DHCP is refused.

use super::file;
use crate::error::{Error, Result, Stage};
use crate::netlink::interface::{self, Interface};
use crate::netlink::wire::ip::Cidr;
use crate::netlink::wire::link::Name;
use core::ffi::CStr;
use core::net::{IpAddr, Ipv4Addr};
use heapless::Vec;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::mount_bind;

/// The interface of a machine with one.
const USUAL: &[u8] = b"eth0";
/// Longest hosts or resolv.conf made.
const CAPACITY: usize = 256;

/// What `ip=` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Network<'a> {
    device: Name,
    address: Cidr,
    gateway: Option<IpAddr>,
    /// The machine's name, where it is given here.
    pub(super) hostname: Option<&'a [u8]>,
    servers: [&'a [u8]; 2],
}

impl<'a> Network<'a> {
    /// Reads the value of `ip=`; `None` for what is no fixed address.
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let mut fields = value.split(|byte| *byte == b':');
        let mut next = || fields.next().unwrap_or_default();
        let [client, _server, gateway, mask] = [(); 4].map(|()| next());
        let [hostname, device, autoconf] = [(); 3].map(|()| next());
        let servers = [(); 2].map(|()| next());
        if !matches!(autoconf, b"" | b"off" | b"none" | b"static") {
            return None;
        }
        for server in servers.iter().filter(|server| !server.is_empty()) {
            address(server)?;
        }
        Some(Self {
            device: Name::new(if device.is_empty() { USUAL } else { device })?,
            address: Cidr::new(address(client)?.into(), prefix_len(mask)?)?,
            gateway: if gateway.is_empty() { None } else { Some(address(gateway)?.into()) },
            hostname: Some(hostname).filter(|name| !name.is_empty()),
            servers,
        })
    }

    /// Sets the interface up.
    pub(super) fn configure(&self) -> Result<()> {
        interface::configure(&[Interface {
            name: &self.device,
            addresses: &[self.address],
            gateways: self.gateway.as_slice(),
        }])
    }

    /// Makes `/etc/resolv.conf` name the servers; under a read-only root, a file in `/run` laid over it.
    pub(super) fn name_servers(&self) -> Result<()> {
        const USUAL: &CStr = c"/etc/resolv.conf";
        const APART: &CStr = c"/run/resolv.conf";
        let mut text = Vec::<u8, CAPACITY>::new();
        for server in self.servers.iter().filter(|server| !server.is_empty()) {
            // A server's address has at most 15 characters.
            add(&mut text, &[b"nameserver ", server, b"\n"]);
        }
        if text.is_empty() {
            return Ok(());
        }
        let made = match file::make(USUAL, OFlags::TRUNC, &text) {
            Err(Errno::ROFS) => {
                file::make(APART, OFlags::TRUNC, &text).and_then(|()| mount_bind(APART, USUAL))
            }
            made => made,
        };
        made.stage_on("write", USUAL.to_bytes())
    }
}

fn address(text: &[u8]) -> Option<Ipv4Addr> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// A mask as an address, or as the number of its bits.
fn prefix_len(mask: &[u8]) -> Option<u8> {
    if !mask.contains(&b'.') {
        return core::str::from_utf8(mask).ok()?.parse().ok();
    }
    let bits = address(mask)?.to_bits();
    let whole = bits.leading_ones() == bits.count_ones();
    u8::try_from(bits.count_ones()).ok().filter(|_| whole)
}

fn add(text: &mut Vec<u8, CAPACITY>, parts: &[&[u8]]) {
    // What does not fit is left out whole: half an address would be another one.
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length <= CAPACITY.saturating_sub(text.len()) {
        text.extend(parts.iter().copied().flatten().copied());
    }
}

/// Makes `/etc/hosts` where there is none, so that the machine finds itself by name.
pub(super) fn hosts(name: &[u8]) -> Result<()> {
    const HOSTS: &CStr = c"/etc/hosts";
    let mut text = Vec::<u8, CAPACITY>::new();
    add(&mut text, &[b"127.0.0.1 localhost\n::1 localhost\n"]);
    add(&mut text, &[b"127.0.1.1 ", name, b"\n"]);
    match file::make(HOSTS, OFlags::EXCL, &text) {
        // There is one, or a root in which none is to be.
        Ok(()) | Err(Errno::EXIST | Errno::ROFS | Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::on("write", HOSTS.to_bytes(), errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_address_is_read() {
        let value = b"10.0.0.2::10.0.0.1:255.255.255.0:box:eth1:off:9.9.9.9:1.1.1.1";
        let network = Network::parse(value).unwrap();
        assert_eq!(network.device.as_bytes(), b"eth1");
        assert_eq!(Some(network.address), Cidr::parse("10.0.0.2/24"));
        assert_eq!(network.gateway, Some(IpAddr::from([10, 0, 0, 1])));
        assert_eq!(network.hostname, Some(&b"box"[..]));
        assert_eq!(network.servers, [&b"9.9.9.9"[..], b"1.1.1.1"]);
        let little = Network::parse(b"10.0.0.2:::30").unwrap();
        assert_eq!((little.device.as_bytes(), little.gateway, little.hostname), (USUAL, None, None));
        assert_eq!(little.address.prefix_len(), 30);
    }

    #[test]
    fn everything_else_is_refused() {
        for value in [
            &b""[..],
            b"dhcp",
            b"on",
            b":::::eth0:dhcp",
            b"10.0.0.2",
            b"10.0.0.2:::255.0.255.0",
            b"10.0.0.2:::33",
            b"10.0.0.2::x:24",
            b"10.0.0.2:::24:::dhcp",
            b"10.0.0.2:::24::a/b",
            b"10.0.0.2:::24::::x",
            b"fe80::1",
        ] {
            assert_eq!(Network::parse(value), None, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_file_takes_whole_lines_only() {
        let mut text = Vec::new();
        add(&mut text, &[b"a", b"b\n"]);
        add(&mut text, &[&[b'x'; CAPACITY]]);
        assert_eq!(text, b"ab\n");
    }
}
