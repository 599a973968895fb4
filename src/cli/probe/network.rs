//! The addresses this process's network has, as `/proc/net` tells them.

use super::Add;
use crate::cli::kernel;
use crate::cli::report::Fact;
use std::net::Ipv6Addr;

pub(super) fn facts(add: &mut Add<'_>) {
    let routes = kernel::read_text("/proc/net/fib_trie");
    let six = kernel::read_text("/proc/net/if_inet6");
    if routes.is_none() && six.is_none() {
        return;
    }
    let mut found = routes.map(|routes| local_addresses(&routes)).unwrap_or_default();
    found.extend(six.unwrap_or_default().lines().filter_map(address_of_line));
    add("addresses", Fact::List(found.into_iter().map(String::into_bytes).collect()));
}

/// The local IPv4 addresses in the kernel's routing trie: a leaf `|-- 127.0.0.1` that has a line `/32 host LOCAL`.
fn local_addresses(trie: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut leaf = "";
    for line in trie.lines().map(str::trim_start) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address;
        } else if line.starts_with("/32 host LOCAL") && !found.iter().any(|known| known == leaf) {
            found.push(leaf.to_owned());
        }
    }
    found
}

/// One line of `/proc/net/if_inet6`, which begins with the address in 32 hex digits.
fn address_of_line(line: &str) -> Option<String> {
    let number = u128::from_str_radix(line.get(..32)?, 16).ok()?;
    Some(Ipv6Addr::from(number).to_string())
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
        assert_eq!(address_of_line(line).as_deref(), Some("::1"));
        assert_eq!(address_of_line("xyz"), None);
    }
}
