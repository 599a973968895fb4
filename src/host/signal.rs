//! Which signals Pipkin passes on while it waits.

use crate::sys::signal::{LAST, SignalSet};
use linux_raw_sys::general as raw;

/// Signals that a fault in our own program raises: they are not for the container.
const FAULTS: [u32; 7] =
    [raw::SIGILL, raw::SIGTRAP, raw::SIGABRT, raw::SIGBUS, raw::SIGFPE, raw::SIGSEGV, raw::SIGSYS];
/// Signals that are about us: our child, and our use of the terminal in the background.
const OURS: [u32; 3] = [raw::SIGCHLD, raw::SIGTTIN, raw::SIGTTOU];

/// Everything that is received by descriptor instead of by its default action.
#[must_use]
pub fn received() -> SignalSet {
    FAULTS.iter().fold(SignalSet::ALL, |set, signal| set.without(*signal as i32))
}

/// Whether `signal` goes on to the container.
#[must_use]
pub fn is_forwarded(signal: i32) -> bool {
    let kept = FAULTS.iter().chain(&OURS).any(|own| *own as i32 == signal);
    (1..=LAST).contains(&signal) && !kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_time_signals_go_on_and_faults_do_not() {
        assert!(is_forwarded(raw::SIGTERM as i32) && is_forwarded(34) && is_forwarded(64));
        assert!(!is_forwarded(raw::SIGSEGV as i32) && !is_forwarded(raw::SIGCHLD as i32));
        assert!(!is_forwarded(0) && !is_forwarded(65));
        assert!(!received().contains(raw::SIGSEGV as i32) && received().contains(raw::SIGCHLD as i32));
    }
}
