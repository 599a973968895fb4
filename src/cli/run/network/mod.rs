//! Where the container's network comes from: bridges, the host's, another one's, or none.
//!
//! `--ip`, `--ip6`, `--mac` and `--subnet` that are given again are for the next bridge.

mod address;
mod files;
mod note;
mod port;
#[cfg(test)]
mod tests;

pub(in crate::cli) use files::File;
pub(super) use files::files;
pub(in crate::cli) use note::{Facts, explain, facts};

use super::quantity::Why;
use super::request::Directories;
use super::{Checked, each, keep, refuse};
use crate::cli::argv::Sorted;
use crate::cli::message::Failure;
use pipkin::host::network::ALIASES_MAX;
use pipkin::netlink::wire::link::Name;
use pipkin::spec::{Join, Network, Sysctl, UserNamespace};
use std::ffi::CStr;

/// What `--network` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// The namespace comes from here.
    Join(Join<'static>),
    /// That of the container of this name.
    Container,
    /// A new one, which pasta connects.
    Pasta,
    /// A new one, on this bridge.
    Bridge(&'static CStr),
}

/// The options that only make sense on a bridge.
const ON_BRIDGES: [&str; 8] =
    ["--ip", "--ip6", "--mac", "--subnet", "--bridge", "--publish", "--add-host", "--network-alias"];

/// The network of a container that others find by these names.
pub(super) fn network(
    typed: &Sorted<'_>,
    names: &[&[u8]],
    directories: &Directories<'_>,
) -> Checked<(Join<'static>, Network<'static>)> {
    let mut modes = each(typed, "--network", mode)?;
    if modes.is_empty() {
        modes.push(if directories.bridge_is_usual { Mode::Bridge(c"bridge") } else { Mode::Join(Join::New) });
    }
    let bridge = |mode: &Mode| if let Mode::Bridge(name) = mode { Some(*name) } else { None };
    let bridges: Vec<&CStr> = modes.iter().filter_map(bridge).collect();
    if bridges.len() == modes.len() {
        return on_bridges(typed, names, &bridges, directories).map(|network| (Join::New, network));
    }
    if modes.len() > 1 {
        let last = typed.last("--network").unwrap_or_default();
        return Err(refuse("--network", last, "give one: only bridges can be given together"));
    }
    let pasta = modes == [Mode::Pasta];
    let only = |name: &&str| typed.has(name) && !(pasta && *name == "--publish");
    if let Some(name) = ON_BRIDGES.into_iter().find(only) {
        return Err(Failure::usage("run", &[name, " needs --net bridge"].concat()));
    }
    if pasta {
        let ports = keep::list(each(typed, "--publish", port::publish)?);
        return Ok((Join::New, Network { pasta, ports, ..Network::NONE }));
    }
    let join = match modes.first() {
        Some(Mode::Join(join)) => *join,
        _ => directories.joined.by("--network").unwrap_or(Join::New),
    };
    Ok((join, Network::NONE))
}

fn on_bridges(
    typed: &Sorted<'_>,
    names: &[&[u8]],
    bridges: &[&'static CStr],
    directories: &Directories<'_>,
) -> Checked<Network<'static>> {
    let attachments = address::attachments(typed, bridges)?;
    // Where the container reaches its host.
    let gateway = attachments.iter().flat_map(|attachment| attachment.subnets).next();
    let gateway = gateway.map_or(String::new(), |subnet| subnet.gateway.to_string());
    let lines: Vec<Vec<u8>> = each(typed, "--add-host", files::host)?
        .into_iter()
        .map(|(name, address)| [address.unwrap_or(&gateway), "\t", name, "\n"].concat().into_bytes())
        .collect();
    let lines = lines.concat();
    let aliases = each(typed, "--network-alias", files::host_name)?;
    if aliases.join(" ").len() >= ALIASES_MAX {
        return Err(refuse(
            "--network-alias",
            aliases.last().copied().unwrap_or_default(),
            "these are too many names",
        ));
    }
    let names: Vec<&[u8]> = names
        .iter()
        .copied()
        .filter(|name| !name.is_empty())
        .chain(aliases.into_iter().map(str::as_bytes))
        .collect();
    Ok(Network {
        attachments: keep::list(attachments),
        ports: keep::list(each(typed, "--publish", port::publish)?),
        pasta: false,
        // A path made of our own directories holds no NUL.
        directory: keep::path(directories.networks.as_os_str().as_encoded_bytes()).unwrap_or_default(),
        names: keep::list(names.join(&b' ')),
        own_hosts: bridges.len() > 1 || !lines.is_empty(),
        hosts: keep::list(lines),
    })
}

/// Lets every group of the container ask others for an echo, which needs no right to make raw packets then (icmp(7),
/// ping_group_range). A namespace that leads nowhere goes without.
pub(super) fn for_ping(network: &Network<'_>, user: Option<&UserNamespace<'_>>) -> Option<Sysctl<'static>> {
    /// The most that the kernel takes.
    const LAST: u32 = i32::MAX.unsigned_abs();
    if network.attachments.is_empty() && !network.pasta {
        return None;
    }
    let gids = user.map_or(&[][..], |user| user.gids);
    // The kernel wants both ends to be there.
    let first = gids.iter().map(|map| map.inside).min().unwrap_or(0);
    let last =
        gids.iter().map(|map| map.inside.saturating_add(map.count).saturating_sub(1)).max().unwrap_or(LAST);
    let value = keep::text([&first.to_string(), " ", &last.min(LAST).to_string()].concat())?;
    Some(Sysctl { name: c"net.ipv4.ping_group_range", value })
}

fn mode(text: &str) -> Result<Mode, Why> {
    const WHY: Why = "give bridge or the name of one, none, host, pasta, container:NAME or ns:PATH";
    let kept = |text| keep::text(text).ok_or(WHY);
    match text.split_once(':') {
        None if text == "none" => Ok(Mode::Join(Join::New)),
        None if text == "host" => Ok(Mode::Join(Join::Host)),
        None if text == "pasta" && pipkin::host::is_privileged() => {
            Err("it is for who is not root: give bridge")
        }
        None if text == "pasta" && pipkin::host::network::pasta().is_none() => {
            Err("it is not installed (package passt), without it give none or host")
        }
        None if text == "pasta" => Ok(Mode::Pasta),
        None if text != "private" && Name::new(text.as_bytes()).is_some() => kept(text).map(Mode::Bridge),
        Some(("ns", path)) if path.starts_with('/') => kept(path).map(Join::Path).map(Mode::Join),
        Some(("container", name)) if !name.is_empty() => Ok(Mode::Container),
        _ => Err(WHY),
    }
}
