//! Opening below a directory, one checked component at a time: never up, never through a link, never into
//! another mount.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};

/// Longest name of a directory entry in bytes (`NAME_MAX`).
pub(super) const NAME_CAPACITY: usize = 255;

/// How a group's directory is opened: for its entries as well, so not `O_PATH`.
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Whether `name` can name one cgroup below another: one path component that is no dot entry.
pub(super) fn is_component(name: &[u8]) -> bool {
    let legal = name.iter().all(|byte| !matches!(byte, 0 | b'/' | b'\n'));
    legal && !name.is_empty() && name.len() <= NAME_CAPACITY && name != b"." && name != b".."
}

/// Whether `name` can name a file of a cgroup: `[A-Za-z0-9_.-]+`, no dot entry.
pub(super) fn is_file_name(name: &[u8]) -> bool {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    is_component(name) && name.iter().all(legal)
}

/// Opens the entry `name` of `dir`. Where openat2(2) is missing or refused by a filter, a single component opened
/// with `O_NOFOLLOW` is as safe save for a mount on top of it, which takes root to make.
///
/// # Errors
/// `EINVAL` for a name of more than one component, `ELOOP` or, asked for a
/// directory, `ENOTDIR` for a symbolic link, `EXDEV` for a mount point, and
/// what open(2) gives.
pub(super) fn open(dir: BorrowedFd<'_>, name: &[u8], how: OFlags) -> Result<OwnedFd> {
    if !is_component(name) {
        return Err(Errno::INVAL);
    }
    let how = how | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match openat2(dir, name, how, Mode::empty(), within) {
        Err(Errno::NOSYS | Errno::PERM) => openat(dir, name, how, Mode::empty()),
        other => other,
    }
}

/// Opens the directory at the `path` of any number of components below `top`; empty ones do not count.
///
/// # Errors
/// As [`open`], for the first component that fails.
pub(super) fn open_path(top: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let mut here = reopen(top)?;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        here = open(here.as_fd(), name, DIRECTORY)?;
    }
    Ok(here)
}

/// Opens the directory `dir` again, to have an offset of its own for reading its entries.
///
/// # Errors
/// What open(2) gives; `ENOENT` when it was removed.
pub(super) fn reopen(dir: BorrowedFd<'_>) -> Result<OwnedFd> {
    openat(dir, c".", DIRECTORY, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"../x", b"a\0b", b"a\nb", &[b'a'; 256]] {
            assert!(!is_component(bad));
            assert!(!is_file_name(bad));
        }
        assert!(is_component(b"machine-a\\x2d1.scope") && !is_file_name(b"a\\b"));
        assert!(is_file_name(b"hugetlb.2MB.max") && is_file_name(b"cgroup.procs"));
        assert!(!is_file_name(b"memory.max ") && !is_file_name("é".as_bytes()));
        assert!(is_component(&[b'a'; 255]));
    }

    #[test]
    fn links_and_parents_are_not_followed() {
        let proc = openat(rustix::fs::CWD, c"/proc", DIRECTORY, Mode::empty()).unwrap();
        let proc = proc.as_fd();
        assert_eq!(open(proc, b"self", DIRECTORY).unwrap_err(), Errno::NOTDIR);
        assert_eq!(open(proc, b"self", OFlags::RDONLY).unwrap_err(), Errno::LOOP);
        assert_eq!(open(proc, b"..", DIRECTORY).unwrap_err(), Errno::INVAL);
        assert_eq!(open_path(proc, b"sys/../sys").unwrap_err(), Errno::INVAL);
        assert!(open_path(proc, b"//sys/kernel/").is_ok());
    }
}
