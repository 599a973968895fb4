//! `pipkin port`: where on the host the ports of a container are.

use super::argv::Sorted;
use super::message::Failure;
use super::operand::Found;
use super::{Outcome, open_store, report};

/// Its help.
pub(super) const HELP: &str = "\
Usage: pipkin port CONTAINER [PORT[/tcp|/udp]]

Shows where the published ports of a container are on the host, all of them or
the one that is named.

Options:
      --help  show this help";

/// The verb.
pub(super) fn run(typed: &Sorted<'_>) -> Outcome {
    let (name, wanted) = match typed.operands.as_slice() {
        [name] => (name, None),
        [name, port] => (name, Some(port.to_str().unwrap_or_default())),
        _ => return Err(Failure::usage("port", "a CONTAINER is needed, and at most one of its ports")),
    };
    let store = open_store()?;
    let found = Found::find(&store, "show the ports of", name)?;
    let published = found.record.all("network.port").filter_map(|text| std::str::from_utf8(text).ok());
    let shown: Vec<String> = published.flat_map(|text| lines(text, wanted).unwrap_or_default()).collect();
    match wanted {
        Some(wanted) if shown.is_empty() => Err(found
            .fail(&["its port ", wanted, " is not published"].concat())
            .remedy("leave the port out to see all")),
        _ => report::write_list(shown.concat().as_bytes()),
    }
}

/// The lines for ports that a record has as `192.0.2.1 8000-8009 to 80-89/tcp`, of all or of the `wanted` one.
fn lines(text: &str, wanted: Option<&str>) -> Option<Vec<String>> {
    let (outside, inside) = text.split_once(" to ")?;
    let (inside, transport) = inside.split_once('/')?;
    let (address, outside) = outside.split_once(' ').unwrap_or(("", outside));
    let first = |range: &str| range.split('-').next()?.parse::<u16>().ok();
    let last = inside.rsplit('-').next()?.parse().ok()?;
    let hosts: &[String] = &match address {
        "" => vec!["0.0.0.0".to_owned(), "[::]".to_owned()],
        address if address.contains(':') => vec![["[", address, "]"].concat()],
        address => vec![address.to_owned()],
    };
    let mut lines = Vec::new();
    for (outside, port) in (first(outside)?..=u16::MAX).zip(first(inside)?..=last) {
        let (outside, bare) = (outside.to_string(), port.to_string());
        let port = [&bare, "/", transport].concat();
        let tcp = transport == "tcp" && wanted == Some(&bare);
        if wanted.is_none() || wanted == Some(&port) || tcp {
            let head = if wanted.is_none() { [&port, " -> "].concat() } else { String::new() };
            lines.extend(hosts.iter().map(|host| [&head, host, ":", &outside, "\n"].concat()));
        }
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn ports_are_shown_as_docker_shows_them() {
        let shown = |text: &str, wanted| lines(text, wanted).unwrap().concat();
        assert_eq!(shown("8080 to 80/tcp", None), "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n");
        assert_eq!(
            shown("192.0.2.1 53-54 to 1-2/udp", None),
            "1/udp -> 192.0.2.1:53\n2/udp -> 192.0.2.1:54\n"
        );
        assert_eq!(shown("fd00::1 8080 to 80/tcp", Some("80")), "[fd00::1]:8080\n");
        assert_eq!(shown("192.0.2.1 53-54 to 1-2/udp", Some("2/udp")), "192.0.2.1:54\n");
        for other in ["3/udp", "2", "2/tcp", ""] {
            assert_eq!(shown("192.0.2.1 53-54 to 1-2/udp", Some(other)), "", "{other}");
        }
        assert_eq!(shown("65535 to 65535/tcp", Some("65535")), "0.0.0.0:65535\n[::]:65535\n");
    }
}
