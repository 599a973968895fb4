//! The end of every wait: a point on the monotonic clock.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, Result};
use rustix::time::{ClockId, clock_gettime};

/// A point in time after which waiting is given up. The clock stands still while the machine is suspended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline {
    at_ms: u64,
}

impl Deadline {
    /// `ms` milliseconds from now; 0 is already over.
    #[must_use]
    pub fn after_ms(ms: u32) -> Self {
        Self { at_ms: now_ms().saturating_add(ms.into()) }
    }

    /// Milliseconds left; 0 when it is over.
    #[must_use]
    pub fn left_ms(self) -> u64 {
        self.at_ms.saturating_sub(now_ms())
    }

    /// Waits until the kernel signals a change of the event file `file` (`POLLPRI`) or a signal handler ran. The
    /// caller looks at the file again in both cases.
    ///
    /// # Errors
    /// `ETIMEDOUT` when the deadline is over; what poll(2) gives.
    pub(super) fn wait_for_change(self, file: BorrowedFd<'_>) -> Result<()> {
        self.poll(&mut [PollFd::from_borrowed_fd(file, PollFlags::PRI)], self.left_ms())
    }

    /// Lets `ms` milliseconds go by, fewer when the deadline comes before.
    ///
    /// # Errors
    /// `ETIMEDOUT` when the deadline is already over; what poll(2) gives.
    pub(super) fn pause_ms(self, ms: u64) -> Result<()> {
        self.poll(&mut [], self.left_ms().min(ms))
    }

    fn poll(self, files: &mut [PollFd<'_>], wait_ms: u64) -> Result<()> {
        if wait_ms == 0 {
            return Err(Errno::TIMEDOUT);
        }
        match poll(files, Some(&timespec(wait_ms))) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The monotonic clock starts near 0 at boot and its nanoseconds are below 10^9.
    (now.tv_sec.unsigned_abs()).saturating_mul(1_000).saturating_add(now.tv_nsec.unsigned_abs() / 1_000_000)
}

fn timespec(ms: u64) -> Timespec {
    Timespec { tv_sec: (ms / 1_000) as i64, tv_nsec: ((ms % 1_000) as i64).saturating_mul(1_000_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_over() {
        let deadline = Deadline::after_ms(0);
        assert_eq!(deadline.left_ms(), 0);
        assert_eq!(deadline.pause_ms(1_000), Err(Errno::TIMEDOUT));
    }

    #[test]
    fn a_pause_ends_and_uses_the_deadline_up() {
        let deadline = Deadline::after_ms(5);
        while deadline.pause_ms(60_000).is_ok() {}
        assert_eq!(deadline.left_ms(), 0);
        assert!(Deadline::after_ms(u32::MAX).left_ms() > 0);
    }

    #[test]
    fn milliseconds_are_split() {
        let time = timespec(61_007);
        assert_eq!((time.tv_sec, time.tv_nsec), (61, 7_000_000));
    }
}
