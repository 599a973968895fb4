//! Whole small files, read into and written from memory the caller has.

use crate::error::{Error, Result, Stage};
use core::ffi::CStr;
use heapless::Vec;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

/// Opens a file for reading.
///
/// # Errors
/// Those of open(2).
pub(super) fn open_to_read(path: &CStr) -> rustix::io::Result<OwnedFd> {
    rustix::io::retry_on_intr(|| open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))
}

/// Reads all of a file and answers its length.
///
/// # Errors
/// `EFBIG` when it is longer than `buffer`; those of open(2) and read(2).
pub(super) fn read_whole(path: &CStr, buffer: &mut [u8]) -> Result<usize> {
    let stage = |errno| Error::on("read", path.to_bytes(), errno);
    let file = open_to_read(path).map_err(stage)?;
    let mut len = 0_usize;
    loop {
        let rest = buffer.get_mut(len..).unwrap_or_default();
        if rest.is_empty() {
            // Full to the last byte: only an end of file shows that nothing was cut off.
            let mut more = [0_u8; 1];
            return match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut more)).map_err(stage)? {
                0 => Ok(len),
                _ => Err(stage(Errno::FBIG)),
            };
        }
        match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *rest)).map_err(stage)? {
            0 => return Ok(len),
            read => len = len.saturating_add(read),
        }
    }
}

/// Writes `data` to a file of the kernel in one call, as those files want it.
///
/// # Errors
/// `EIO` when only a part was taken; those of open(2) and write(2).
pub(super) fn write_whole(path: &CStr, data: &[u8]) -> Result<()> {
    const STAGE: &str = "write";
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file =
        rustix::io::retry_on_intr(|| open(path, flags, Mode::empty())).stage_on(STAGE, path.to_bytes())?;
    let written =
        rustix::io::retry_on_intr(|| rustix::io::write(&file, data)).stage_on(STAGE, path.to_bytes())?;
    if written == data.len() { Ok(()) } else { Err(Error::on(STAGE, path.to_bytes(), Errno::IO)) }
}

/// Makes a file of ours with these contents, readable by all; `flags` say what becomes of one that is there.
///
/// # Errors
/// `EIO` when only a part was taken; those of open(2), as `EEXIST` and `EROFS`, and write(2).
pub(super) fn make(path: &CStr, flags: OFlags, data: &[u8]) -> rustix::io::Result<()> {
    let flags = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::io::retry_on_intr(|| open(path, flags, Mode::from_raw_mode(0o644)))?;
    let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, data))?;
    if written == data.len() { Ok(()) } else { Err(Errno::IO) }
}

/// The parts of a path, one after another; none when there is no room for them.
pub(super) fn join<'p, const N: usize>(path: &'p mut Vec<u8, N>, parts: &[&[u8]]) -> Option<&'p CStr> {
    path.clear();
    for part in parts {
        path.extend_from_slice(part).ok()?;
    }
    path.push(0).ok()?;
    CStr::from_bytes_until_nul(path).ok()
}

/// The lines of a configuration file that say something, without surrounding white space.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}
