//! The files by which programs in a container find names: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.

use crate::cli::argv::Sorted;
use crate::cli::run::quantity::Why;
use crate::cli::run::request::Directories;
use crate::cli::run::{Checked, each, keep};
use linux_raw_sys::general as raw;
use pipkin::spec::{Attributes, Id, Join, Mount, Network, Source};
use std::ffi::CStr;
use std::net::IpAddr;

/// The host's list of resolvers.
const RESOLV_CONF: &CStr = c"/etc/resolv.conf";
/// Where the resolvers behind systemd's own, which listens on the loopback, are listed.
const BEHIND_SYSTEMD: &str = "/run/systemd/resolve/resolv.conf";
/// The resolvers of a container whose host has none that it could reach, as docker has them.
const PUBLIC: &[u8] = b"nameserver 8.8.8.8\nnameserver 8.8.4.4\n";

/// A file to be written before the container is made: path and contents.
pub(in crate::cli) type File = (&'static CStr, Vec<u8>);

/// Adds the mounts to `mounts`, but for places that something else is mounted on, and gives the files to write.
pub(in crate::cli::run) fn files(
    typed: &Sorted<'_>,
    id: &Id,
    hostname: Option<&CStr>,
    (join, network): (Join<'_>, &Network<'_>),
    directories: &Directories<'_>,
    mounts: &mut Vec<Mount<'static>>,
) -> Checked<Vec<File>> {
    let asked = [
        each(typed, "--dns", server)?.concat(),
        words("search ", &each(typed, "--dns-search", search)?),
        words("options ", &each(typed, "--dns-option", option)?),
    ];
    let bridge = network.attachments.first().map(|attachment| attachment.bridge.to_bytes());
    let own = |name: &[u8]| [directories.own.as_os_str().as_encoded_bytes(), name].concat();
    let mut files = Vec::new();
    let mut show = |target: &'static CStr, path: Vec<u8>, contents: Option<Vec<u8>>| {
        let above = |mount: &Mount<'_>| [target, c"/etc"].contains(&mount.target);
        // Our own directories and names hold no NUL.
        if let (false, Some(path)) = (mounts.iter().any(above), keep::text(path)) {
            let attributes = match contents {
                Some(_) => Attributes::only(INERT),
                None => Attributes::only(INERT | raw::MOUNT_ATTR_RDONLY),
            };
            let source = Source::Bind { path, recursive: false, mapped: None, volume: false };
            mounts.push(Mount { target, source, attributes, propagation: None });
            files.extend(contents.map(|contents| (path, contents)));
        }
    };
    if let Some(bridge) = bridge {
        let own_list: &[&[u8]] = if network.own_hosts { &[b".", id.as_str().as_bytes()] } else { &[] };
        let list = [network.directory.to_bytes(), b"/", bridge, b".hosts"].concat();
        show(c"/etc/hosts", [list, own_list.concat()].concat(), None);
        if let Some(name) = hostname {
            show(c"/etc/hostname", own(b"/hostname"), Some([name.to_bytes(), b"\n"].concat()));
        }
    }
    let elsewhere = bridge.is_some() || network.pasta;
    let any = asked.iter().any(|lines| !lines.is_empty());
    if any || elsewhere || join != Join::New {
        match resolvers(&asked, elsewhere) {
            Some(contents) => show(RESOLV_CONF, own(b"/resolv.conf"), Some(contents)),
            None => show(RESOLV_CONF, RESOLV_CONF.to_bytes().to_vec(), None),
        }
    }
    Ok(files)
}

/// What a file needs no more than.
const INERT: u32 = raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NODEV | raw::MOUNT_ATTR_NOEXEC;

/// The list of resolvers, with lines of each of the three kinds that were `asked` for in the place of the host's; `None`
/// when the host's own list will do. From `elsewhere` its loopback is out of reach.
fn resolvers(asked: &[Vec<u8>; 3], elsewhere: bool) -> Option<Vec<u8>> {
    let [servers, search, options] = asked;
    let read = |path| std::fs::read(path).unwrap_or_default();
    let text = read("/etc/resolv.conf");
    let usable = |text: &[u8]| text.split(|byte| *byte == b'\n').any(|line| nameserver(line).is_some());
    let reachable = without(&text, is_loopback);
    let list = if !servers.is_empty() {
        [servers, &*without(&text, |_| true)].concat()
    } else if usable(&text) && (!elsewhere || reachable.len() == text.len()) {
        if search.is_empty() && options.is_empty() {
            return None;
        }
        text
    } else {
        let behind = without(&read(BEHIND_SYSTEMD), is_loopback);
        match (usable(&behind), usable(&reachable)) {
            (true, _) => behind,
            (_, true) => reachable,
            _ => [PUBLIC, &reachable].concat(),
        }
    };
    // The last line of a kind would count, and of some libraries the first (resolv.conf(5)): there is only one.
    let kept = list.split_inclusive(|byte| *byte == b'\n').filter(|line| {
        let is = |keyword: &[u8]| line.trim_ascii_start().starts_with(keyword);
        let searches = is(b"search") || is(b"domain");
        (search.is_empty() || !searches) && (options.is_empty() || !is(b"options"))
    });
    let mut lines = kept.collect::<Vec<_>>().concat();
    if lines.last().is_some_and(|byte| *byte != b'\n') {
        lines.push(b'\n');
    }
    Some([&lines, search, options].map(Vec::as_slice).concat())
}

/// `text` without the lines whose resolver is `unwanted`.
fn without(text: &[u8], unwanted: fn(&[u8]) -> bool) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !nameserver(line).is_some_and(unwanted)).collect::<Vec<_>>().concat()
}

/// The resolver that a line names.
fn nameserver(line: &[u8]) -> Option<&[u8]> {
    let rest = line.trim_ascii().strip_prefix(b"nameserver")?;
    rest.first().is_some_and(u8::is_ascii_whitespace).then(|| rest.trim_ascii())
}

fn is_loopback(server: &[u8]) -> bool {
    server.starts_with(b"127.") || server == b"::1"
}

/// `--dns`: the line it becomes.
fn server(text: &str) -> Result<Vec<u8>, Why> {
    let known = text.parse::<IpAddr>().is_ok();
    known.then(|| ["nameserver ", text, "\n"].concat().into_bytes()).ok_or("give an address")
}

/// A line of `words` after its keyword; empty without them.
fn words(keyword: &str, words: &[&str]) -> Vec<u8> {
    if words.is_empty() { Vec::new() } else { [keyword, &words.join(" "), "\n"].concat().into_bytes() }
}

/// `--dns-search`: a domain, or the root.
fn search(text: &str) -> Result<&str, Why> {
    if text == "." || is_name(text) { Ok(text) } else { Err("give a domain, as example.org, or . for none") }
}

/// `--dns-option`: an option of resolv.conf(5).
fn option(text: &str) -> Result<&str, Why> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte);
    let known = !text.is_empty() && text.bytes().all(plain);
    if known { Ok(text) } else { Err("give an option of resolv.conf, as ndots:2") }
}

/// `--network-alias`: one more name.
pub(super) fn host_name(text: &str) -> Result<&str, Why> {
    if is_name(text) { Ok(text) } else { Err("give a name of letters, digits, '-', '_' and '.'") }
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

/// `--add-host`: a name and its address; none for the host's own on the container's bridge.
pub(super) fn host(text: &str) -> Result<(&str, Option<&str>), Why> {
    const WHY: Why = "give NAME:ADDRESS or NAME:host-gateway, the name of letters, digits, '-', '_' and '.'";
    let (name, address) = text.split_once([':', '=']).filter(|(name, _)| is_name(name)).ok_or(WHY)?;
    if address == "host-gateway" {
        return Ok((name, None));
    }
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if address.parse::<IpAddr>().is_ok() { Ok((name, Some(address))) } else { Err(WHY) }
}
