//! What the kernel tells a program at its start beside arguments and environment: the auxiliary vector (getauxval(3)).

use super::arch::syscall;
use core::mem::size_of_val;
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::{auxvec, general as raw};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Result, read};
use rustix::process::{getegid, geteuid, getgid, getuid};

/// Words of the longest vector read. The kernel's has room for about 90 (`AT_VECTOR_SIZE`, linux/auxvec.h).
const WORDS: usize = 256;

/// The size of a page as [`secure_execution`] found it, which every child of this process inherits; 0 before.
static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Whether this program was started with more rights than its caller has: set-user-id, set-group-id or file
/// capabilities (`AT_SECURE`).
///
/// Where the vector cannot be read (before Linux 6.4 and without `/proc`), different real and effective ids count.
#[must_use]
pub fn secure_execution() -> bool {
    PAGE_SIZE.store(value(auxvec::AT_PAGESZ).unwrap_or(0), Ordering::Relaxed);
    match value(auxvec::AT_SECURE) {
        Some(value) => value != 0,
        None => getuid() != geteuid() || getgid() != getegid(),
    }
}

/// Bytes in a page of memory.
///
/// Before Linux 6.4 the vector is in a file that a process hidden from others may not open itself in a user namespace;
/// what was found at the program's start is then still right.
pub(super) fn page_size() -> Option<usize> {
    match PAGE_SIZE.load(Ordering::Relaxed) {
        0 => value(auxvec::AT_PAGESZ),
        found => Some(found),
    }
}

/// The value of `key` (`AT_*`), where the vector has it and can be read.
fn value(key: u32) -> Option<usize> {
    let mut words = [0; WORDS];
    let count = from_prctl(&mut words).or_else(|_| from_proc(&mut words)).ok()?;
    find(words.get(..count)?, key as usize)
}

/// Number of words got with prctl(2) `PR_GET_AUXV` (Linux 6.4).
fn from_prctl(words: &mut [usize; WORDS]) -> Result<usize> {
    const PR_GET_AUXV: usize = 0x4155_5856;
    let args = [PR_GET_AUXV, words.as_mut_ptr() as usize, size_of_val(words), 0, 0, 0];
    // SAFETY: the kernel writes at most the given number of bytes into `words`, which is borrowed mutably here and
    // for which every bit pattern is valid.
    let length = unsafe { syscall(raw::__NR_prctl, args) }?;
    Ok((length / size_of::<usize>()).min(WORDS))
}

fn from_proc(words: &mut [usize; WORDS]) -> Result<usize> {
    let file = open(c"/proc/self/auxv", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut count = 0;
    for word in words {
        let mut bytes = [0; size_of::<usize>()];
        if read(&file, &mut bytes)? < bytes.len() {
            break;
        }
        *word = usize::from_ne_bytes(bytes);
        count += 1;
    }
    Ok(count)
}

/// The value of `key` in pairs of key and value that end at key 0 (`AT_NULL`).
fn find(words: &[usize], key: usize) -> Option<usize> {
    let pairs = words.chunks_exact(2).map(|pair| (pair.first().copied(), pair.last().copied()));
    let mut pairs = pairs.take_while(|(found, _)| *found != Some(0));
    pairs.find(|(found, _)| *found == Some(key)).and_then(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sources_agree() {
        let (mut one, mut other) = ([0; WORDS], [0; WORDS]);
        let count = from_proc(&mut other).unwrap();
        for key in [auxvec::AT_SECURE, auxvec::AT_PAGESZ, auxvec::AT_UID] {
            let value = find(&other[..count], key as usize);
            assert!(value.is_some());
            if let Ok(count) = from_prctl(&mut one) {
                assert_eq!(find(&one[..count], key as usize), value);
            }
        }
        assert!(!secure_execution());
    }

    #[test]
    fn the_vector_ends_at_its_end() {
        assert_eq!(find(&[23, 1, 0, 0, 6, 4096], 23), Some(1));
        assert_eq!(find(&[23, 1, 0, 0, 6, 4096], 6), None);
        assert_eq!(find(&[23], 23), None);
        assert_eq!(find(&[], 23), None);
    }
}
