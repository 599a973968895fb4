//! What a container has on the network beside its loopback: bridges it is on, and ports of the host that lead to it.

use core::ffi::CStr;
use core::net::IpAddr;

/// Most bridges that one container is on.
pub const ATTACHMENTS_MAX: usize = 4;

/// The addresses of one IP version on a bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subnet {
    /// The bridge's own address, which is the way out.
    pub gateway: IpAddr,
    /// How many leading bits of it name the network.
    pub prefix_len: u8,
    /// The address the container shall have; without one it gets any that is free.
    pub wanted: Option<IpAddr>,
}

/// An interface of the host that the container is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handover<'a> {
    /// Its name on the host.
    pub from: &'a CStr,
    /// Its name inside.
    pub to: &'a CStr,
}

/// One interface of a container, on a bridge of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attachment<'a> {
    /// The bridge's name: 1 to 15 bytes that the kernel takes as the name of a link.
    pub bridge: &'a CStr,
    /// At most one per IP version.
    pub subnets: &'a [Subnet],
    /// The interface's Ethernet address; without one it is made of the container's id.
    pub mac: Option<[u8; 6]>,
}

/// A transport protocol with ports, by its number in IP headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Transport {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

/// Ports of the host that lead to ports of the container, one to one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish {
    /// The protocol.
    pub transport: Transport,
    /// The address of the host; without one each.
    pub host: Option<IpAddr>,
    /// The first port of the host.
    pub host_port: u16,
    /// The first port of the container.
    pub port: u16,
    /// How many.
    pub count: u16,
}

/// A container's network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network<'a> {
    /// Its interfaces `eth0`, `eth1` and so on; none for the loopback alone or somebody else's namespace.
    pub attachments: &'a [Attachment<'a>],
    /// Published ports; they lead to the addresses of `eth0`.
    pub ports: &'a [Publish],
    /// Whether pasta(1) connects it, for which nobody needs to be root; it has no attachments then.
    pub pasta: bool,
    /// Where the host keeps what containers share of the network: address leases and the names on each bridge.
    pub directory: &'a CStr,
    /// The names by which others on its bridges find it, between blanks.
    pub names: &'a [u8],
    /// Whether its list of names is its own, and not the one that all on its bridge share.
    pub own_hosts: bool,
    /// Lines that its own list of names begins with.
    pub hosts: &'a [u8],
}

impl Network<'_> {
    /// Nothing but what the network namespace has.
    pub const NONE: Network<'static> = Network {
        attachments: &[],
        ports: &[],
        pasta: false,
        directory: c"",
        names: b"",
        own_hosts: false,
        hosts: b"",
    };
}
