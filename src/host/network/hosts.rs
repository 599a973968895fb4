//! Who is who on a bridge: the files that are bound at `/etc/hosts` of its containers, kept current.
//!
//! Each container has a line per address, and its id at the end of it, by which it is taken out again. Files are
//! changed in place, since what is bound is the file and not its name.

use super::Lease;
use super::directory::Directory;
use crate::error::{Result, Stage};
use crate::spec::{Attachment, Id, Network};
use heapless::Vec;
use rustix::fd::OwnedFd;
use rustix::io::{Errno, retry_on_intr};

/// What every list begins with.
const LOOPBACK: &[u8] = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
/// Between a bridge's name and an id in the name of a file.
const MIDDLE: &[u8] = b".hosts";
/// Bytes that are worked on at once; longer than any line.
const CHUNK: usize = 4096;
/// Longest lines: an address of 39 bytes, names of 64 and 128, [`ALIASES_MAX`], an id of 128; one for each IP version.
const LINES_CAPACITY: usize = 2 * (384 + ALIASES_MAX);
/// Most bytes of further names.
pub const ALIASES_MAX: usize = 512;

const STAGE: &str = "write the names on the bridge";

/// Adds the lines of a container to every list of its bridge, after making its own list when it is to have one.
pub(super) fn add<'l>(
    directory: &Directory,
    network: &Network<'_>,
    attachment: &Attachment<'_>,
    id: &Id,
    lent: impl Iterator<Item = &'l Lease>,
) -> Result<()> {
    let bridge = attachment.bridge.to_bytes();
    let shared = open_shared(directory, bridge)?;
    if network.own_hosts {
        make_own(directory, network, bridge, id, &shared)?;
    }
    let mut lines = Vec::<u8, LINES_CAPACITY>::new();
    for lease in lent {
        let text = super::text(lease.address.address());
        for part in [text.as_bytes(), b"\t", network.names, b" # ", id.as_str().as_bytes(), b"\n"] {
            lines.extend_from_slice(part).map_err(|_| Errno::NOBUFS).stage(STAGE)?;
        }
    }
    each(directory, bridge, &mut |file| append(file, &lines))
}

/// Takes the lines of a container out of every list of its bridge, and its own list away.
pub(super) fn remove(directory: &Directory, bridge: &[u8], id: &Id) -> Result<()> {
    directory.remove(&[bridge, MIDDLE, b".", id.as_str().as_bytes()])?;
    each(directory, bridge, &mut |file| take_out(file, id.as_str().as_bytes()))
}

/// Takes the bridge's list away: nobody has it bound any more.
pub(super) fn remove_shared(directory: &Directory, bridge: &[u8]) -> Result<()> {
    directory.remove(&[bridge, MIDDLE])
}

fn open_shared(directory: &Directory, bridge: &[u8]) -> Result<OwnedFd> {
    let shared = directory.open(&[bridge, MIDDLE])?;
    if rustix::fs::fstat(&shared).stage(STAGE)?.st_size == 0 {
        append(&shared, LOOPBACK)?;
    }
    Ok(shared)
}

/// Makes the list of one container: its own lines, then what the bridge's list holds. On a second bridge it is the
/// same file under another name.
fn make_own(
    directory: &Directory,
    network: &Network<'_>,
    bridge: &[u8],
    id: &Id,
    shared: &OwnedFd,
) -> Result<()> {
    let own_name = |bridge| [bridge, MIDDLE, b".", id.as_str().as_bytes()];
    let first = network.attachments.first().map_or(bridge, |first| first.bridge.to_bytes());
    let again = first != bridge;
    if again {
        directory.link(&own_name(first), &own_name(bridge))?;
    }
    let own = directory.open(&own_name(bridge))?;
    // Its own lines and the loopback once, whatever the number of bridges.
    append(&own, if again { b"" } else { network.hosts })?;
    let mut from = if again { LOOPBACK.len() as u64 } else { 0 };
    let mut chunk = [0; CHUNK];
    loop {
        let len = retry_on_intr(|| rustix::io::pread(shared, &mut chunk, from)).stage(STAGE)?;
        if len == 0 {
            return Ok(());
        }
        append(&own, chunk.get(..len).unwrap_or_default())?;
        from = from.saturating_add(len as u64);
    }
}

/// Shows every list of the bridge, opened.
fn each(directory: &Directory, bridge: &[u8], see: &mut dyn FnMut(&OwnedFd) -> Result<()>) -> Result<()> {
    directory.each(&mut |name| {
        let rest = name.strip_prefix(bridge).and_then(|rest| rest.strip_prefix(MIDDLE));
        match rest {
            Some([] | [b'.', ..]) => see(&directory.open(&[name])?),
            _ => Ok(()),
        }
    })
}

fn append(file: &OwnedFd, bytes: &[u8]) -> Result<()> {
    let end = rustix::fs::fstat(file).stage(STAGE)?.st_size.unsigned_abs();
    let written = retry_on_intr(|| rustix::io::pwrite(file, bytes, end)).stage(STAGE)?;
    if written == bytes.len() { Ok(()) } else { Err(Errno::NOSPC).stage(STAGE) }
}

/// Takes out every line that ends with `id`: what follows moves up, chunk by chunk.
fn take_out(file: &OwnedFd, id: &[u8]) -> Result<()> {
    let (mut from, mut to) = (0_u64, 0_u64);
    let mut chunk = [0; CHUNK];
    loop {
        let len = retry_on_intr(|| rustix::io::pread(file, &mut chunk, from)).stage(STAGE)?;
        let read = chunk.get(..len).unwrap_or_default();
        let whole = read.iter().rposition(|byte| *byte == b'\n').map_or(len, |end| end.saturating_add(1));
        if whole == 0 {
            break;
        }
        let whole_lines = read.get(..whole).unwrap_or_default();
        // Of many containers' lines hardly any are this one's: a piece without any is not taken apart.
        if from == to && !holds(whole_lines, id) {
            (from, to) = (from.saturating_add(whole as u64), to.saturating_add(whole as u64));
            continue;
        }
        let mut kept = Vec::<u8, CHUNK>::new();
        for line in whole_lines.split_inclusive(|byte| *byte == b'\n') {
            let of = line.strip_suffix(b"\n").unwrap_or(line).strip_suffix(id);
            if of.is_none_or(|rest| !rest.ends_with(b" # ")) {
                // No more than was read.
                kept.extend_from_slice(line).map_err(|_| Errno::NOBUFS).stage(STAGE)?;
            }
        }
        if kept.len() != whole || from != to {
            retry_on_intr(|| rustix::io::pwrite(file, &kept, to)).stage(STAGE)?;
        }
        from = from.saturating_add(whole as u64);
        to = to.saturating_add(kept.len() as u64);
    }
    if from == to { Ok(()) } else { rustix::fs::ftruncate(file, to).stage(STAGE) }
}

/// Whether some line can end with `id`.
fn holds(lines: &[u8], id: &[u8]) -> bool {
    let mut rest = lines;
    while let Some(mark) = rest.iter().position(|byte| *byte == b'#') {
        rest = rest.get(mark.saturating_add(1)..).unwrap_or_default();
        if rest.get(1..).is_some_and(|text| text.starts_with(id)) {
            return true;
        }
    }
    false
}
