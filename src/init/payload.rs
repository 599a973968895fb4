//! Becoming the payload: the search along PATH that execvp(3) makes, without memory of its own.

use crate::error::Error;
use crate::sys::process::{StrArray, StrSlot, execve};
use core::ffi::CStr;
use rustix::io::Errno;

/// PATH_MAX of Linux, with the NUL.
const PATH_CAPACITY: usize = 4096;

/// Replaces this program by `program`, looked for in the directories of `path` (separated by `:`, an empty one being
/// the working directory) when its name holds no slash. Returns only when that failed.
///
/// The error is `ENOENT` when it was found nowhere and `EACCES` when it was found only where it may not be executed.
#[must_use]
pub fn exec(program: &CStr, argv: StrArray<'_>, envp: StrArray<'_>, path: &[u8]) -> Error {
    let name = program.to_bytes();
    let failed = |errno| Error::on("execute", name, errno);
    if name.is_empty() {
        return failed(Errno::NOENT);
    }
    if name.contains(&b'/') {
        return failed(execve(program, argv, envp));
    }
    let mut answer = Errno::NOENT;
    for directory in path.split(|byte| *byte == b':') {
        let mut buffer = [0_u8; PATH_CAPACITY];
        // One too long to be a path is a place where nothing can be found.
        let Some(candidate) = join(&mut buffer, directory, name) else { continue };
        match execve(candidate, argv, envp) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => answer = Errno::ACCESS,
            errno => return failed(errno),
        }
    }
    failed(answer)
}

fn join<'b>(buffer: &'b mut [u8], directory: &[u8], name: &[u8]) -> Option<&'b CStr> {
    let slash: &[u8] = if directory.is_empty() || directory.ends_with(b"/") { b"" } else { b"/" };
    let parts = directory.iter().chain(slash).chain(name).chain(b"\0");
    if directory.len().checked_add(slash.len())?.checked_add(name.len())? >= buffer.len() {
        return None;
    }
    for (to, from) in buffer.iter_mut().zip(parts) {
        *to = *from;
    }
    CStr::from_bytes_until_nul(buffer).ok()
}

/// Sets `slot` to `LISTEN_PID=` and this process's id (sd_listen_fds(3)).
///
/// # Errors
/// `ENAMETOOLONG` when the slot is too small.
pub fn name_listener<const N: usize>(slot: &StrSlot<N>) -> rustix::io::Result<()> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let mut digits = [0_u8; DIGITS];
    slot.set(&[b"LISTEN_PID=", decimal(pid.unsigned_abs(), &mut digits)])
}

/// Digits of the largest number that [`decimal`] writes.
pub(super) const DIGITS: usize = 10;

/// Writes `number` into the end of `digits` and answers the part written.
pub(super) fn decimal(number: u32, digits: &mut [u8; DIGITS]) -> &[u8] {
    let mut rest = number;
    let mut used = 0_usize;
    for digit in digits.iter_mut().rev() {
        *digit = (rest % 10) as u8 | b'0';
        used = used.saturating_add(1);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    digits.get(DIGITS.saturating_sub(used)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_names_are_joined() {
        let mut buffer = [0xff; 16];
        assert_eq!(join(&mut buffer, b"/bin", b"sh"), Some(c"/bin/sh"));
        assert_eq!(join(&mut buffer, b"/", b"sh"), Some(c"/sh"));
        assert_eq!(join(&mut buffer, b"", b"sh"), Some(c"sh"));
        assert_eq!(join(&mut buffer, b"/abcdefghijk", b"sh"), Some(c"/abcdefghijk/sh"));
        assert_eq!(join(&mut buffer, b"/abcdefghijkl", b"sh"), None);
    }

    #[test]
    fn a_listener_is_named_by_its_own_id() {
        let slot = StrSlot::<32>::new();
        assert_eq!(name_listener(&slot), Ok(()));
        assert_eq!(name_listener(&StrSlot::<4>::new()), Err(Errno::NAMETOOLONG));
        let mut digits = [0; DIGITS];
        assert_eq!(decimal(0, &mut digits), b"0");
        assert_eq!(decimal(u32::MAX, &mut digits), b"4294967295");
    }

    #[test]
    fn what_cannot_be_found_is_said_so() {
        let errno = |program, path: &[u8]| exec(program, StrArray::EMPTY, StrArray::EMPTY, path).errno;
        assert_eq!(errno(c"no-such-program", b"/bin:/usr/bin"), Errno::NOENT);
        assert_eq!(errno(c"/no/such/program", b""), Errno::NOENT);
        assert_eq!(errno(c"", b"/bin"), Errno::NOENT);
        // A directory can be found and not executed.
        assert_eq!(errno(c"bin", b"/nowhere:/usr:/nowhere"), Errno::ACCESS);
    }
}
