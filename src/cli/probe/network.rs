//! The addresses this process's network has, as `/proc/net` tells them.

use crate::cli::kernel;
use crate::cli::report::Report;

pub(super) fn tell(report: &mut Report) {
    let routes = kernel::read_text("/proc/net/fib_trie").unwrap_or_default();
    let six = kernel::read_text("/proc/net/if_inet6").unwrap_or_default();
    let six: Vec<String> = six.lines().filter_map(address_of_line).collect();
    let mut found: Vec<&[u8]> = local_addresses(&routes).into_iter().map(str::as_bytes).collect();
    found.extend(six.iter().map(String::as_bytes));
    report.list("addresses", &found);
}

/// The local IPv4 addresses in the kernel's routing trie: a leaf `|-- 127.0.0.1` that has a line `/32 host LOCAL`.
fn local_addresses(trie: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut leaf = "";
    for line in trie.lines().map(str::trim_start) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address;
        } else if line.starts_with("/32 host LOCAL") && !found.contains(&leaf) {
            found.push(leaf);
        }
    }
    found
}

/// One line of `/proc/net/if_inet6`, which begins with the address in 32 hex digits: eight groups, their zeros in
/// front left out.
fn address_of_line(line: &str) -> Option<String> {
    let digits = line.get(..32)?.as_bytes();
    let mut text = String::new();
    for group in digits.chunks(4) {
        let group = std::str::from_utf8(group).ok().filter(|group| group.is_ascii())?.trim_start_matches('0');
        text.push_str(if group.is_empty() { "0" } else { group });
        text.push(':');
    }
    text.pop();
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_local_address_is_told_once() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 127.0.0.0\n\
                    \x20       /8 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n\
                    \x20    |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 127.255.255.255\n\
                    \x20       /32 link BROADCAST\n     |-- 10.0.0.2\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(trie), ["127.0.0.1", "10.0.0.2"]);
    }

    #[test]
    fn hex_becomes_an_address() {
        let line = "00000000000000000000000000000001 01 80 10 80       lo";
        assert_eq!(address_of_line(line).as_deref(), Some("0:0:0:0:0:0:0:1"));
        assert_eq!(address_of_line("xyz"), None);
    }
}
