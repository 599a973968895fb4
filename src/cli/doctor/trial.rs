//! Trying something out in a child that ends at once.

use pipkin::sys::process::{Side, clone, exit};
use rustix::fd::AsFd;
use rustix::io::{Errno, Result, retry_on_intr};
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// Makes a child in the new namespaces of `flags` (`CLONE_NEW*`), lets it do `attempt` and tells how that went.
///
/// `attempt` runs after clone and must not allocate.
pub(super) fn attempt(flags: u32, attempt: fn() -> Result<()>) -> Result<()> {
    match clone(flags.into(), None)? {
        Side::Child => exit(match attempt() {
            Ok(()) => 0,
            // Every errno of Linux is below 134 (asm-generic/errno.h).
            Err(errno) => u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX),
        }),
        Side::Parent(_, pidfd) => {
            let ended = retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))?;
            match ended.and_then(|status| status.exit_status()) {
                Some(0) => Ok(()),
                Some(code) => Err(Errno::from_raw_os_error(code)),
                // Killed: by a filter that punishes what was tried.
                None => Err(Errno::PERM),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_comes_back() {
        assert_eq!(attempt(0, || Ok(())), Ok(()));
        assert_eq!(attempt(0, || Err(Errno::NODEV)), Err(Errno::NODEV));
        assert_eq!(attempt(0, || exit(133)), Err(Errno::from_raw_os_error(133)));
    }
}
