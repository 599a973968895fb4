//! Which subnets a bridge has, and which of their addresses are wanted.

use crate::cli::argv::Sorted;
use crate::cli::run::quantity::Why;
use crate::cli::run::{Checked, each, given, keep, refuse};
use pipkin::host::lease::Owner;
use pipkin::netlink::wire::ip::Cidr;
use pipkin::netlink::wire::link::Name;
use pipkin::spec::{Attachment, Subnet};
use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bridge that is meant by `bridge`, and its subnets.
const USUAL: &CStr = c"pipkin0";
const USUAL_V4: Ipv4Addr = Ipv4Addr::new(172, 20, 0, 1);
const USUAL_V6: Ipv6Addr = Ipv6Addr::new(0xfd70, 0x6970, 0x6b69, 0x6e00, 0, 0, 0, 1);

/// What is typed of the addresses, in the order of the bridges.
struct Typed {
    subnets: [Vec<Cidr>; 2],
    wanted: [Vec<IpAddr>; 2],
    macs: Vec<[u8; 6]>,
}

const WANTED: [&str; 2] = ["--ip", "--ip6"];

/// One attachment for each of `bridges`.
pub(super) fn attachments(
    typed: &Sorted<'_>,
    bridges: &[&'static CStr],
) -> Checked<Vec<Attachment<'static>>> {
    let (v4, v6) =
        each(typed, "--subnet", subnet)?.into_iter().partition(|subnet| subnet.address().is_ipv4());
    let values = Typed {
        subnets: [v4, v6],
        wanted: [each(typed, "--ip", ipv4)?, each(typed, "--ip6", ipv6)?],
        macs: each(typed, "--mac", mac)?,
    };
    for (name, count) in [
        ("--subnet", values.subnets[0].len().max(values.subnets[1].len())),
        ("--ip", values.wanted[0].len()),
        ("--ip6", values.wanted[1].len()),
        ("--mac", values.macs.len()),
    ] {
        if count > bridges.len() {
            let last = typed.last(name).unwrap_or_default();
            return Err(refuse(name, last, "there are more of these than bridges"));
        }
    }
    let usual = given(typed, "--bridge", bridge)?.unwrap_or(USUAL);
    let mut attachments: Vec<Attachment<'static>> = Vec::new();
    for (place, name) in bridges.iter().enumerate() {
        let bridge = if *name == c"bridge" { usual } else { name };
        if attachments.iter().any(|other| other.bridge == bridge) {
            let text = bridge.to_str().unwrap_or_default();
            return Err(refuse("--network", text, "the container is on this bridge already"));
        }
        let mut subnets = Vec::new();
        for (subnet, family) in subnets_of(bridge, &values, place).into_iter().zip(0..) {
            subnets.extend(with_wanted(typed, subnet, values.wanted[family].get(place), WANTED[family])?);
        }
        let mac = values.macs.get(place).copied();
        attachments.push(Attachment { bridge, subnets: keep::list(subnets), mac });
    }
    Ok(attachments)
}

/// The IPv4 and the IPv6 subnet of a bridge: those typed, or without any those that are made of its name.
fn subnets_of(bridge: &CStr, values: &Typed, place: usize) -> [Option<Cidr>; 2] {
    let typed = [0, 1].map(|family: usize| values.subnets[family].get(place).copied());
    if typed != [None, None] {
        return typed;
    }
    let [a, b, c, d, e, ..] = Owner::new(bridge.to_bytes()).number().to_be_bytes();
    let (v4, v6) = if bridge == USUAL {
        (Cidr::new(USUAL_V4.into(), 16), USUAL_V6)
    } else {
        let words = [[0xfd, a], [b, c], [d, e]].map(u16::from_be_bytes);
        let v6 = Ipv6Addr::new(words[0], words[1], words[2], 0, 0, 0, 0, 1);
        (Cidr::new(Ipv4Addr::new(10, 64 | a & 63, b, 1).into(), 24), v6)
    };
    let disabled = std::fs::read("/proc/sys/net/ipv6/conf/all/disable_ipv6");
    let has_v6 = disabled.is_ok_and(|value| value.starts_with(b"0"));
    [v4, if has_v6 { Cidr::new(v6.into(), 64) } else { None }]
}

/// A subnet with the address that is wanted of it.
fn with_wanted(
    typed: &Sorted<'_>,
    subnet: Option<Cidr>,
    wanted: Option<&IpAddr>,
    option: &'static str,
) -> Checked<Option<Subnet>> {
    let fail = |why: &str| refuse(option, typed.last(option).unwrap_or_default(), why);
    let Some(subnet) = subnet else {
        return match wanted {
            Some(_) => Err(fail("the bridge has no subnet of this kind: give --subnet")),
            None => Ok(None),
        };
    };
    let (gateway, prefix_len) = (subnet.address(), subnet.prefix_len());
    if let Some(address) = wanted {
        let text = [&gateway.to_string(), "/", &prefix_len.to_string()].concat();
        let everybody = address.is_ipv4() && prefix_len < 31 && *address == subnet.last();
        if !subnet.contains(*address) {
            return Err(fail(&["it is outside the subnet of ", &text].concat()));
        }
        if *address == gateway || *address == subnet.network() || everybody {
            return Err(fail(&["it is no address for a container in the subnet of ", &text].concat()));
        }
    }
    Ok(Some(Subnet { gateway, prefix_len, wanted: wanted.copied() }))
}

fn bridge(text: &str) -> Result<&'static CStr, Why> {
    const WHY: Why = "give the name of a bridge, up to 15 bytes without blank, '/' and ':'";
    Name::new(text.as_bytes()).and_then(|_| keep::text(text)).ok_or(WHY)
}

/// The gateway with the prefix length. Of a bare network it is the first address.
fn subnet(text: &str) -> Result<Cidr, Why> {
    let subnet = Cidr::parse(text).ok_or("give ADDRESS/BITS, as 192.168.1.0/24")?;
    let bits = subnet.prefix_len();
    let most = if subnet.address().is_ipv4() { 30 } else { 126 };
    if bits > most || bits < 8 {
        return Err("give from 8 to 30 bits, or 126 of IPv6");
    }
    let first = match subnet.address() {
        address if address != subnet.network() => address,
        IpAddr::V4(network) => Ipv4Addr::from_bits(network.to_bits() | 1).into(),
        IpAddr::V6(network) => Ipv6Addr::from_bits(network.to_bits() | 1).into(),
    };
    if first == subnet.last() && first.is_ipv4() {
        return Err("its address is the one that means everybody: give another, or the network's");
    }
    Cidr::new(first, bits).ok_or("give ADDRESS/BITS")
}

fn ipv4(text: &str) -> Result<IpAddr, Why> {
    text.parse().map(IpAddr::V4).map_err(|_| "give an IPv4 address, as 172.20.0.5")
}

fn ipv6(text: &str) -> Result<IpAddr, Why> {
    text.parse().map(IpAddr::V6).map_err(|_| "give an IPv6 address, as fd00::5")
}

/// Six bytes in hex, of one device.
fn mac(text: &str) -> Result<[u8; 6], Why> {
    const WHY: Why = "give six bytes in hex, as 02:00:ac:14:00:05, the first one even";
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or(WHY)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| WHY)?;
    }
    let good = parts.next().is_none() && mac[0] & 1 == 0 && mac != [0; 6];
    good.then_some(mac).ok_or(WHY)
}
