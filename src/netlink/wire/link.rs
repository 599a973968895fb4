//! Links: `struct ifinfomsg` and its attributes (rtnetlink(7), include/uapi/linux/if_link.h).

use super::attribute::{Attribute, Attributes};
use super::builder::Builder;
use super::{Malformed, chunk, u8_at, u16_at, u32_at};

/// `RTM_NEWLINK`: makes or changes a link, and is the answer to [`GET`].
pub const NEW: u16 = 16;
/// `RTM_DELLINK`.
pub const DELETE: u16 = 17;
/// `RTM_GETLINK`.
pub const GET: u16 = 18;

/// `IFF_UP`: the link may carry packets.
pub const UP: u32 = 0x1;

/// `RTEXT_FILTER_SKIP_STATS`: answers leave the counters out.
pub const WITHOUT_STATISTICS: u32 = 0x8;

/// Bytes of `struct ifinfomsg`.
pub const HEADER_LEN: usize = 16;
/// Longest name of a link: `IFNAMSIZ` without its NUL.
pub const NAME_MAX: usize = 15;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const VETH_INFO_PEER: u16 = 1;

/// The name of a link, as the kernel accepts it (`dev_valid_name`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    len: u8,
    bytes: [u8; NAME_MAX],
}

impl Name {
    /// The loopback link, which every network namespace is born with.
    pub const LOOPBACK: Self = Self { len: 2, bytes: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0" };

    /// Checks a name: 1 to 15 bytes, none of them `/`, `:`, NUL or white space, and not `.` or `..`.
    #[must_use]
    pub fn new(name: &[u8]) -> Option<Self> {
        let bad = |byte: &u8| matches!(byte, b'/' | b':' | 0 | b' ' | 0x09..=0x0d | 0xa0);
        if name.is_empty() || name == b"." || name == b".." || name.iter().any(bad) {
            return None;
        }
        let mut bytes = [0; NAME_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { len: u8::try_from(name.len()).ok()?, bytes })
    }

    /// The name's bytes. They need not be UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&core::str::from_utf8(self.as_bytes()).unwrap_or("?"), f)
    }
}

/// The kinds of virtual link known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An Ethernet switch.
    Bridge,
    /// One end of a pair of links joined back to back.
    Veth,
    /// A link whose packets go nowhere.
    Dummy,
}

impl Kind {
    /// The kernel's name of the kind.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Bridge => b"bridge",
            Self::Veth => b"veth",
            Self::Dummy => b"dummy",
        }
    }

    fn from_bytes(name: &[u8]) -> Option<Self> {
        [Self::Bridge, Self::Veth, Self::Dummy].into_iter().find(|kind| kind.as_bytes() == name)
    }
}

/// What a link has carried (`struct rtnl_link_stats64`, the fields people ask for).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets received broken.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets received and thrown away.
    pub rx_dropped: u64,
    /// Packets thrown away before sending.
    pub tx_dropped: u64,
}

impl Statistics {
    const LEN: usize = 64;

    fn parse(value: &[u8]) -> Result<Self, Malformed> {
        let counter = |offset| chunk(value, offset).map(u64::from_ne_bytes);
        Ok(Self {
            rx_packets: counter(0)?,
            tx_packets: counter(8)?,
            rx_bytes: counter(16)?,
            tx_bytes: counter(24)?,
            rx_errors: counter(32)?,
            tx_errors: counter(40)?,
            rx_dropped: counter(48)?,
            tx_dropped: counter(56)?,
        })
    }

    fn emit(&self) -> [u8; Self::LEN] {
        let counters = [
            self.rx_packets,
            self.tx_packets,
            self.rx_bytes,
            self.tx_bytes,
            self.rx_errors,
            self.tx_errors,
            self.rx_dropped,
            self.tx_dropped,
        ];
        let mut value = [0; Self::LEN];
        for (place, counter) in value.chunks_exact_mut(8).zip(counters) {
            place.copy_from_slice(&counter.to_ne_bytes());
        }
        value
    }
}

/// A link: in a request what it shall be, in an answer what it is. What is absent stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// Address family of the question; zero, which is any.
    pub family: u8,
    /// Its number; zero in a request that finds it by name, or lets the kernel choose.
    pub index: u32,
    /// Its hardware type (`ARPHRD_*`); zero in a request.
    pub hardware: u16,
    /// [`UP`] and the other `IFF_*` flags.
    pub flags: u32,
    /// The flags that the request changes.
    pub change: u32,
    /// Its name.
    pub name: Option<Name>,
    /// Largest payload of a packet, in bytes.
    pub mtu: Option<u32>,
    /// Its Ethernet address; absent for links that have none, or one of another length.
    pub mac: Option<[u8; 6]>,
    /// Index of the bridge it belongs to; zero in a request takes it out.
    pub master: Option<u32>,
    /// Index of the link beneath it; for a veth of its peer, in the peer's namespace.
    pub lower: Option<u32>,
    /// Descriptor of the network namespace to move it to; requests only.
    pub namespace_fd: Option<i32>,
    /// Its kind; absent for hardware and for kinds not known here.
    pub kind: Option<Kind>,
    /// Its counters; answers only.
    pub statistics: Option<Statistics>,
    /// `RTEXT_FILTER_*`: what an answer shall hold; requests only.
    pub filter: Option<u32>,
}

impl Link {
    /// Reads the payload of a link message. Unknown attributes are passed over.
    ///
    /// # Errors
    /// [`Malformed`] when an attribute breaks or has not its size.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut link = Self {
            family: u8_at(payload, 0)?,
            hardware: u16_at(payload, 2)?,
            index: u32_at(payload, 4)?,
            flags: u32_at(payload, 8)?,
            change: u32_at(payload, 12)?,
            ..Self::default()
        };
        for attribute in Attributes::after(payload, HEADER_LEN) {
            link.read(&attribute?)?;
        }
        Ok(link)
    }

    fn read(&mut self, attribute: &Attribute<'_>) -> Result<(), Malformed> {
        match attribute.kind {
            IFLA_IFNAME => self.name = Some(Name::new(attribute.text()).ok_or(Malformed)?),
            IFLA_MTU => self.mtu = Some(attribute.u32()?),
            IFLA_ADDRESS => self.mac = attribute.bytes().ok(),
            IFLA_MASTER => self.master = Some(attribute.u32()?),
            IFLA_LINK => self.lower = Some(attribute.u32()?),
            IFLA_NET_NS_FD => self.namespace_fd = Some(attribute.u32()? as i32),
            IFLA_STATS64 => self.statistics = Some(Statistics::parse(attribute.value)?),
            IFLA_EXT_MASK => self.filter = Some(attribute.u32()?),
            IFLA_LINKINFO => {
                let kind = attribute.nested().find(IFLA_INFO_KIND)?;
                self.kind = kind.and_then(|kind| Kind::from_bytes(kind.text()));
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends the payload of a link message.
    pub fn emit(&self, payload: &mut Builder<'_>) {
        self.emit_plain(payload);
        if let Some(kind) = self.kind {
            payload.nested_unmarked(IFLA_LINKINFO, |info| info.bytes(IFLA_INFO_KIND, kind.as_bytes()));
        }
    }

    /// Everything but the kind.
    fn emit_plain(&self, payload: &mut Builder<'_>) {
        let [h0, h1] = self.hardware.to_ne_bytes();
        payload.put(&[self.family, 0, h0, h1]);
        payload.put(&self.index.to_ne_bytes());
        payload.put(&self.flags.to_ne_bytes());
        payload.put(&self.change.to_ne_bytes());
        if let Some(name) = &self.name {
            payload.text(IFLA_IFNAME, name.as_bytes());
        }
        if let Some(mac) = &self.mac {
            payload.bytes(IFLA_ADDRESS, mac);
        }
        let numbers = [
            (IFLA_MTU, self.mtu),
            (IFLA_MASTER, self.master),
            (IFLA_LINK, self.lower),
            (IFLA_NET_NS_FD, self.namespace_fd.map(|fd| fd as u32)),
            (IFLA_EXT_MASK, self.filter),
        ];
        for (kind, number) in numbers {
            if let Some(number) = number {
                payload.u32(kind, number);
            }
        }
        if let Some(statistics) = &self.statistics {
            payload.bytes(IFLA_STATS64, &statistics.emit());
        }
    }
}

/// Appends the payload that makes the bridge `name` belongs to send packets back to where they came from (hairpin).
pub fn emit_reflecting(name: &Name, payload: &mut Builder<'_>) {
    Link { name: Some(*name), ..Link::default() }.emit_plain(payload);
    payload.nested_unmarked(IFLA_LINKINFO, |info| {
        info.bytes(IFLA_INFO_SLAVE_KIND, Kind::Bridge.as_bytes());
        info.nested_unmarked(IFLA_INFO_SLAVE_DATA, |data| data.bytes(IFLA_BRPORT_MODE, &[1]));
    });
}

/// The request for a veth pair: both ends, each with its own name, address, MTU and namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pair {
    /// The end that stays; its kind is [`Kind::Veth`].
    pub near: Link,
    /// The other end, whose kind is left out.
    pub far: Link,
}

impl Pair {
    /// Reads the payload of a veth request.
    ///
    /// # Errors
    /// [`Malformed`] when it is not one.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let info = Attributes::after(payload, HEADER_LEN).find(IFLA_LINKINFO)?.ok_or(Malformed)?;
        let data = info.nested().find(IFLA_INFO_DATA)?.ok_or(Malformed)?;
        let peer = data.nested().find(VETH_INFO_PEER)?.ok_or(Malformed)?;
        let near = Link::parse(payload)?;
        if near.kind == Some(Kind::Veth) {
            Ok(Self { near, far: Link::parse(peer.value)? })
        } else {
            Err(Malformed)
        }
    }

    /// Appends the payload of a veth request.
    pub fn emit(&self, payload: &mut Builder<'_>) {
        self.near.emit_plain(payload);
        payload.nested_unmarked(IFLA_LINKINFO, |info| {
            info.bytes(IFLA_INFO_KIND, Kind::Veth.as_bytes());
            info.nested_unmarked(IFLA_INFO_DATA, |data| {
                data.nested_unmarked(VETH_INFO_PEER, |peer| self.far.emit_plain(peer));
            });
        });
    }
}
