//! What the caller names to be read, as far as any of its kind goes, for a device or a pipe may never end; and the
//! descriptors that it hands on.

use super::message::Failure;
use pipkin::sys::spawn::is_inherited;
use std::fs::File;
use std::io::{Error, Read, Result};

/// More than this no profile, list of variables or of services, and no document of an engine's has.
const LARGEST_BYTES: u64 = 16 << 20;

/// The whole file.
///
/// # Errors
/// Those of open(2) and read(2); `EFBIG` when it has more than 16 MiB.
pub(crate) fn file(path: &str) -> Result<Vec<u8>> {
    all(File::open(path)?)
}

/// All that `source` has to give.
///
/// # Errors
/// Those of read(2); `EFBIG` when it gives more than 16 MiB.
pub(crate) fn all(source: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(LARGEST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(Error::from_raw_os_error(rustix::io::Errno::FBIG.raw_os_error()));
    }
    Ok(bytes)
}

/// How many descriptors from 3 on are passed on by `--preserve-fds`, beside `others` before them.
///
/// # Errors
/// It is no number, or one of them is not there: one that this program opens would take its place.
pub(crate) fn descriptors(text: &str, others: u16) -> std::result::Result<u32, Failure> {
    const FIRST: u16 = 3;
    let wrong = |why: &[u8]| Failure::new("pass on descriptors", text.as_bytes(), why);
    let count = text.parse::<u16>().ok().filter(|count| *count <= 1024);
    let count = count.and_then(|count| count.checked_add(others));
    let count = count.ok_or_else(|| wrong(b"give a number, 0 to 1024"))?;
    match (FIRST..FIRST + count).find(|number| !is_inherited(*number)) {
        None => Ok(count.into()),
        Some(number) => Err(wrong(["descriptor ", &number.to_string(), " is not open"].concat().as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_left_off() {
        assert_eq!(all(&b"text"[..]).unwrap(), b"text");
        assert_eq!(file("/dev/zero").unwrap_err().raw_os_error(), Some(27));
        assert_eq!(all(std::io::repeat(0).take(LARGEST_BYTES)).unwrap().len() as u64, LARGEST_BYTES);
    }
}
