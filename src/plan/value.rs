//! The values in a description, and how a person reads them.

use super::network;
use crate::spec::{CapabilitySet, DeviceRule, MountOption};
use linux_raw_sys::general as raw;
use ufmt::{uWrite, uwrite};

/// One value inside a description.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Text from outside or of ours.
    Bytes(&'a [u8]),
    /// A number.
    Number(u64),
    /// A number that may be below zero.
    Signed(i64),
    /// Permission bits.
    Mode(u32),
    /// `MOUNT_ATTR_*` bits.
    Attributes(u32),
    /// `CLONE_NEW*` bits.
    Namespaces(u64),
    /// Capabilities by name.
    Capabilities(CapabilitySet),
    /// Paths.
    Paths(&'a [&'a core::ffi::CStr]),
    /// Options of a file system.
    Options(&'a [MountOption<'a>]),
    /// Lines of an id map.
    IdMaps(&'a [crate::spec::IdMap]),
    /// Addresses that are wanted on a bridge.
    Wanted(&'a [crate::spec::Subnet]),
    /// A bridge's own addresses.
    Gateways(&'a [crate::spec::Subnet]),
    /// Published ports.
    Ports(&'a [crate::spec::Publish]),
    /// Paths, and what may be done there.
    PathRules(&'a [crate::spec::PathRule<'a>]),
    /// Rules on the use of devices.
    DeviceRules(&'a [DeviceRule]),
    /// Bits that the kernel has a number for, in hex.
    Bits(u32),
    /// A limit that may be missing.
    Unlimited,
    /// Yes or no; in a sentence it says nothing itself but lets its optional part stand or fall.
    Yes(bool),
}

const ATTRIBUTE_NAMES: [(u32, &str); 8] = [
    (raw::MOUNT_ATTR_RDONLY, "ro"),
    (raw::MOUNT_ATTR_NOSUID, "nosuid"),
    (raw::MOUNT_ATTR_NODEV, "nodev"),
    (raw::MOUNT_ATTR_NOEXEC, "noexec"),
    (raw::MOUNT_ATTR_NOATIME, "noatime"),
    (raw::MOUNT_ATTR_STRICTATIME, "strictatime"),
    (raw::MOUNT_ATTR_NODIRATIME, "nodiratime"),
    (raw::MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"),
];

const NAMESPACE_NAMES: [(u32, &str); 8] = [
    (raw::CLONE_NEWUSER, "user"),
    (raw::CLONE_NEWPID, "pid"),
    (raw::CLONE_NEWNS, "mount"),
    (raw::CLONE_NEWNET, "network"),
    (raw::CLONE_NEWIPC, "ipc"),
    (raw::CLONE_NEWUTS, "uts"),
    (raw::CLONE_NEWCGROUP, "cgroup"),
    (raw::CLONE_NEWTIME, "time"),
];

impl Value<'_> {
    /// Whether an optional part of a sentence has nothing to say of it.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Attributes(bits) | Self::Bits(bits) => *bits == 0,
            Self::Options(options) => options.is_empty(),
            Self::Ports(ports) => ports.is_empty(),
            Self::Yes(yes) => !yes,
            Self::Namespaces(bits) => *bits == 0,
            _ => false,
        }
    }

    /// Writes the value for a person. Bytes that are not UTF-8 are shown as `?`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write<W: uWrite + ?Sized>(&self, out: &mut W) -> Result<(), W::Error> {
        match *self {
            Self::Bytes(bytes) => write_bytes(bytes, out),
            Self::Number(number) => uwrite!(out, "{}", number),
            Self::Signed(number) => uwrite!(out, "{}", number),
            Self::Mode(mode) => {
                uwrite!(out, "{}{}{}{}", mode >> 9 & 7, mode >> 6 & 7, mode >> 3 & 7, mode & 7)
            }
            Self::Attributes(bits) => {
                let names = ATTRIBUTE_NAMES.iter().filter(|(bit, _)| bits & bit != 0);
                write_list(names.map(|(_, name)| name.as_bytes()), b",", out)
            }
            Self::Namespaces(bits) => {
                let names = NAMESPACE_NAMES.iter().filter(|(bit, _)| bits & u64::from(*bit) != 0);
                write_list(names.map(|(_, name)| name.as_bytes()), b", ", out)
            }
            Self::Capabilities(set) if set == CapabilitySet::EMPTY => out.write_str("none"),
            Self::Capabilities(set) => write_list(set.names().map(str::as_bytes), b" ", out),
            Self::Paths(paths) => write_list(paths.iter().map(|path| path.to_bytes()), b" over ", out),
            Self::Options(options) => write_options(options, out),
            Self::IdMaps(maps) => maps.iter().enumerate().try_for_each(|(place, map)| {
                let comma = if place == 0 { "" } else { ", " };
                uwrite!(out, "{}{}+{} as {}", comma, map.outside, map.count, map.inside)
            }),
            Self::Wanted(subnets) => network::write_wanted(subnets, out),
            Self::Gateways(subnets) => network::write_gateways(subnets, out),
            Self::Ports(ports) => network::write_ports(ports, out),
            Self::PathRules(rules) => rules.iter().enumerate().try_for_each(|(place, rule)| {
                out.write_str(if place == 0 { "" } else { ", " })?;
                write_bytes(rule.path.to_bytes(), out)?;
                out.write_str(if rule.write { "" } else { " (only to read)" })
            }),
            Self::DeviceRules(rules) => {
                rules.iter().enumerate().try_for_each(|(place, rule)| write_rule(place, rule, out))
            }
            Self::Bits(bits) => uwrite!(out, "0x{:x}", bits),
            Self::Unlimited => out.write_str("unlimited"),
            // Its sentence part is there or it is not; that says it.
            Self::Yes(_) => Ok(()),
        }
    }
}

/// One of several rules, as `deny c 10:229 w`: in cgroup v1's words, which OCI has too.
fn write_rule<W: uWrite + ?Sized>(place: usize, rule: &DeviceRule, out: &mut W) -> Result<(), W::Error> {
    out.write_str(if place == 0 { "" } else { ", " })?;
    out.write_str(if rule.allow { "allow " } else { "deny " })?;
    out.write_str(match rule.block {
        None => "a ",
        Some(true) => "b ",
        Some(false) => "c ",
    })?;
    for (number, after) in [(rule.major, ":"), (rule.minor, " ")] {
        match number {
            None => out.write_str("*")?,
            Some(number) => uwrite!(out, "{}", number)?,
        }
        out.write_str(after)?;
    }
    for (bit, letter) in [(2, "r"), (4, "w"), (1, "m")] {
        out.write_str(if rule.access & bit == 0 { "" } else { letter })?;
    }
    Ok(())
}

fn write_bytes<W: uWrite + ?Sized>(bytes: &[u8], out: &mut W) -> Result<(), W::Error> {
    bytes.utf8_chunks().try_for_each(|chunk| {
        out.write_str(chunk.valid())?;
        out.write_str(if chunk.invalid().is_empty() { "" } else { "?" })
    })
}

fn write_list<'b, W: uWrite + ?Sized>(
    items: impl Iterator<Item = &'b [u8]>,
    separator: &[u8],
    out: &mut W,
) -> Result<(), W::Error> {
    for (place, item) in items.enumerate() {
        if place > 0 {
            write_bytes(separator, out)?;
        }
        write_bytes(item, out)?;
    }
    Ok(())
}

fn write_options<W: uWrite + ?Sized>(options: &[MountOption<'_>], out: &mut W) -> Result<(), W::Error> {
    for (place, option) in options.iter().enumerate() {
        out.write_str(if place > 0 { "," } else { "" })?;
        match option {
            MountOption::Flag(word) => write_bytes(word.to_bytes(), out)?,
            MountOption::Value(key, value) => {
                write_list([key.to_bytes(), value.to_bytes()].into_iter(), b"=", out)?;
            }
            MountOption::CopyUp => out.write_str("what lies there")?,
        }
    }
    Ok(())
}
