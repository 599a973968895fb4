//! What is told of a container's network: in its record, and when it cannot be had.

use crate::cli::message::Failure;
use pipkin::error::{Error, Subject};
use pipkin::host::network::{Lease, link_name, mac};
use pipkin::plan::Value;
use pipkin::spec::{Id, Network};
use rustix::io::Errno;

/// Lines for the open section of a record.
pub(in crate::cli) type Facts = Vec<(String, Vec<u8>)>;

/// Bridge, addresses, gateways, Ethernet address, the host's end of the pair and ports: keys `network.NAME`, and
/// `network.eth1.NAME` and so on for interfaces after the first.
pub(in crate::cli) fn facts(id: &Id, network: &Network<'_>, lent: &[Lease]) -> Facts {
    let mut facts = Facts::new();
    let mut add = |key: &[&str], value: Vec<u8>| facts.push((["network.", &key.concat()].concat(), value));
    for (number, attachment) in (0..).zip(network.attachments) {
        let prefix = if number == 0 { String::new() } else { ["eth", &number.to_string(), "."].concat() };
        add(&[&prefix, "bridge"], attachment.bridge.to_bytes().to_vec());
        let own = lent.iter().filter(|lease| lease.number == number);
        for (lease, subnet) in own.zip(attachment.subnets) {
            let (address, bits) = (lease.address.address(), subnet.prefix_len.to_string());
            let version = if address.is_ipv4() { "" } else { "6" };
            add(&[&prefix, "ip", version], [&address.to_string(), "/", &bits].concat().into_bytes());
            add(&[&prefix, "gateway", version], subnet.gateway.to_string().into_bytes());
        }
        let mac = attachment.mac.unwrap_or_else(|| mac(id, number));
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        let bytes: Vec<String> =
            mac.iter().map(|byte| [digit(byte >> 4), digit(byte & 15)].into_iter().collect()).collect();
        add(&[&prefix, "mac"], bytes.join(":").into_bytes());
        add(&[&prefix, "link"], link_name(id, number).map_or(Vec::new(), |name| name.as_bytes().to_vec()));
    }
    for port in network.ports {
        let mut text = crate::cli::text::Text::default();
        // Infallible: the text grows as needed.
        Value::Ports(std::slice::from_ref(port)).write(&mut text).unwrap_or(());
        add(&["port"], text.0.into_bytes());
    }
    facts
}

/// The sentence for a step of the network that failed, with what can be done about it.
pub(in crate::cli) fn explain(error: &Error) -> Failure {
    let fail = |why: &str| match &error.subject {
        Subject::Text(text) => Failure::new(error.stage, text.as_bytes(), why.as_bytes()),
        _ => Failure::new(error.stage, b"", why.as_bytes()),
    };
    match error.errno {
        Errno::NOSPC => fail("every address is taken")
            .remedy("end a container, or give a larger --subnet on another --bridge"),
        Errno::ADDRINUSE => fail("it is taken").remedy("see 'pipkin ps' and 'ss -tulpn', or give another"),
        Errno::ADDRNOTAVAIL => {
            fail("this host has no such address").remedy("give one that 'ip address' shows")
        }
        Errno::UCLEAN => fail("containers on this bridge have another subnet")
            .remedy("give the same --subnet, or another --bridge"),
        Errno::EXIST => fail("it is in use").remedy("give another --subnet or --bridge"),
        _ => Failure::from(*error).remedy("give --net none for a container without a network"),
    }
}
