//! What a container wrote, kept on disk in the log format of the Kubernetes container runtime interface: one line
//! `TIME STREAM TAG CONTENT` per line of output, the tag being `F`, or `P` when the line goes on in the next entry.
//!
//! Layout in the container's data directory: `log` is being written; when it is full it is renamed to `log.N`, N
//! counting up, and the oldest ones beyond the number to keep are removed.
//!
//! Duty: lose nothing, change no byte, and never stand in the way of the container: when the disk is full, what cannot
//! be written is counted.

mod read;
mod write;

pub(crate) use read::{Entry, Reader};
pub(crate) use write::{Limits, Writer};

use std::io;
use std::path::{Path, PathBuf};

/// Name of the file that is being written.
pub(crate) const CURRENT: &str = "log";

fn rotated(directory: &Path, number: u64) -> PathBuf {
    directory.join([CURRENT, ".", &number.to_string()].concat())
}

/// The numbers of the rotated files, oldest first.
fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_prefix(CURRENT)?.strip_prefix('.')?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests;
