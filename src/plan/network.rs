//! The host's part of a container's network: when each step comes, and each in words.

use super::Conflict;
use super::describe::Description;
use super::step::HostStep;
use super::value::Value;
use crate::spec::{ATTACHMENTS_MAX, Join, Network, Publish, Spec, Subnet, Transport};
use ufmt::{uWrite, uwrite};

/// Most ports that a helper is told of.
pub const HELPER_PORTS: usize = 32;

type Push<'p, 'a> = &'p mut dyn FnMut(HostStep<'a>) -> Result<(), Conflict>;

/// Which step an attachment becomes.
type Make<'a> = fn(Network<'a>, u8) -> HostStep<'a>;

/// What comes before the child is made: its addresses, which keep the bridges and the lists of names from going.
pub(super) fn before<'a>(spec: &Spec<'a>, push: Push<'_, 'a>) -> Result<(), Conflict> {
    let network = &spec.network;
    let remedy = "leave out --net, or the addresses and ports";
    if !network.attachments.is_empty() && spec.namespaces.network != Join::New {
        let why = "it has no network namespace of its own";
        return Err(Conflict::new("put the container on a bridge", why, remedy));
    }
    if network.attachments.is_empty() && !network.ports.is_empty() && !network.pasta {
        return Err(Conflict::new("publish ports", "the container is on no bridge", "give --net bridge"));
    }
    if network.pasta && spec.namespaces.user.is_none() {
        let why = "it takes over the network of who is not root";
        return Err(Conflict::new("have pasta connect the network", why, "give --net bridge"));
    }
    if network.pasta && network.ports.len() > HELPER_PORTS - 2 {
        return Err(Conflict::full("publish ports"));
    }
    if network.attachments.len() > ATTACHMENTS_MAX {
        return Err(Conflict::full("join bridges"));
    }
    each(network, |network, number| HostStep::LeaseAddresses { network, number }, push)
}

/// What is done while the child builds its root.
pub(super) fn after<'a>(spec: &Spec<'a>, push: Push<'_, 'a>) -> Result<(), Conflict> {
    let network = spec.network;
    each(&network, |network, number| HostStep::EnsureBridge { network, number }, push)?;
    each(&network, |network, number| HostStep::ConnectInterface { network, number }, push)?;
    if !spec.handovers.is_empty() {
        let namespace = match spec.namespaces.network {
            Join::New => None,
            Join::Path(path) => Some(path),
            Join::Host => {
                let why = "it has no network namespace of its own";
                return Err(Conflict::new("give the container an interface", why, "add a network namespace"));
            }
        };
        push(HostStep::HandOver { devices: spec.handovers, namespace })?;
    }
    match (network.pasta, network.ports.is_empty()) {
        (true, _) => push(HostStep::AwaitPasta),
        (_, true) => Ok(()),
        _ => push(HostStep::PublishPorts(network)),
    }
}

/// What is done while the child still waits for its ids and hides nothing.
pub(super) fn early<'a>(spec: &Spec<'a>, push: Push<'_, 'a>) -> Result<(), Conflict> {
    if spec.network.pasta { push(HostStep::StartPasta(spec.network)) } else { Ok(()) }
}

fn each<'a>(network: &Network<'a>, make: Make<'a>, push: Push<'_, 'a>) -> Result<(), Conflict> {
    (0..).zip(network.attachments).try_for_each(|(number, _)| push(make(*network, number)))
}

/// A step of the network in words and as data.
pub(super) fn describe<'a>(step: &'a HostStep<'a>) -> Description<'a> {
    let of = |name, sentence, network: &'a Network<'a>, number: u8| {
        let attachment = network.attachments.get(usize::from(number));
        let bridge = attachment.map_or(c"", |attachment| attachment.bridge).to_bytes();
        let subnets = attachment.map_or(&[][..], |attachment| attachment.subnets);
        let fields = [
            ("bridge", Value::Bytes(bridge)),
            ("number", Value::Number(number.into())),
            ("addresses", Value::Wanted(subnets)),
            ("gateways", Value::Gateways(subnets)),
        ];
        Description::new(name, sentence, fields)
    };
    match step {
        HostStep::LeaseAddresses { network, number } => {
            of("lease-addresses", "lease {addresses} on the bridge {bridge}", network, *number)
        }
        HostStep::EnsureBridge { network, number } => {
            let sentence = "make sure of the bridge {bridge} with {gateways}, forwarding and masquerade";
            of("ensure-bridge", sentence, network, *number)
        }
        HostStep::ConnectInterface { network, number } => {
            of("connect-interface", "give the child eth{number}, on the bridge {bridge}", network, *number)
        }
        HostStep::PublishPorts(network) => {
            Description::new("publish-ports", "publish {ports}", [("ports", Value::Ports(network.ports))])
        }
        HostStep::StartPasta(network) => Description::new(
            "start-pasta",
            "start pasta to connect the network[, and publish {ports}]",
            [("ports", Value::Ports(network.ports))],
        ),
        HostStep::AwaitPasta => {
            Description::new("await-pasta", "wait until pasta has made the interface", [])
        }
        _ => Description::new("step", "", []),
    }
}

/// Writes text of core's making, which needs core's own writer.
struct Through<'w, W: uWrite + ?Sized>(&'w mut W);

impl<W: uWrite + ?Sized> core::fmt::Write for Through<'_, W> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.write_str(text).map_err(|_| core::fmt::Error)
    }
}

/// Writes an address. That `out` fails is told by what is written after it.
fn write_ip<W: uWrite + ?Sized>(address: core::net::IpAddr, out: &mut W) {
    core::fmt::write(&mut Through(out), format_args!("{address}")).unwrap_or(());
}

/// Writes the wanted addresses, or from where any will do.
pub(super) fn write_wanted<W: uWrite + ?Sized>(subnets: &[Subnet], out: &mut W) -> Result<(), W::Error> {
    for (place, subnet) in subnets.iter().enumerate() {
        out.write_str(match (place, subnet.wanted) {
            (0, Some(_)) => "",
            (0, None) => "an address beside ",
            (_, Some(_)) => " and ",
            (_, None) => " and one beside ",
        })?;
        write_ip(subnet.wanted.unwrap_or(subnet.gateway), out);
        uwrite!(out, "/{}", subnet.prefix_len)?;
    }
    Ok(())
}

/// Writes a bridge's addresses.
pub(super) fn write_gateways<W: uWrite + ?Sized>(subnets: &[Subnet], out: &mut W) -> Result<(), W::Error> {
    subnets.iter().enumerate().try_for_each(|(place, subnet)| {
        out.write_str(if place > 0 { " and " } else { "" })?;
        write_ip(subnet.gateway, out);
        uwrite!(out, "/{}", subnet.prefix_len)
    })
}

/// Writes published ports: `192.0.2.1 8000-8009 to 80-89/tcp`.
pub(super) fn write_ports<W: uWrite + ?Sized>(ports: &[Publish], out: &mut W) -> Result<(), W::Error> {
    for (place, port) in ports.iter().enumerate() {
        out.write_str(if place > 0 { ", " } else { "" })?;
        if let Some(host) = port.host {
            write_ip(host, out);
            out.write_str(" ")?;
        }
        for (place, first) in [port.host_port, port.port].into_iter().enumerate() {
            uwrite!(out, "{}{}", if place > 0 { " to " } else { "" }, first)?;
            if port.count > 1 {
                uwrite!(out, "-{}", first.saturating_add(port.count.saturating_sub(1)))?;
            }
        }
        out.write_str(if port.transport == Transport::Tcp { "/tcp" } else { "/udp" })?;
    }
    Ok(())
}
