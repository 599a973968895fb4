//! The clock by which deadlines are kept.
//!
//! The plain system call: the vDSO is found through the auxiliary vector, whose reading needs memory and, before
//! Linux 6.4, `/proc`.

use super::arch::syscall;
use linux_raw_sys::general as raw;

/// Milliseconds on the clock that never goes back and starts with the machine (clock_gettime(2) `CLOCK_MONOTONIC`).
/// Should a filter refuse the call, time stands still at 0.
#[must_use]
pub fn monotonic_ms() -> u64 {
    let mut now = raw::__kernel_timespec { tv_sec: 0, tv_nsec: 0 };
    let args = [raw::CLOCK_MONOTONIC as usize, &raw mut now as usize, 0, 0, 0, 0];
    // SAFETY: `now` is a live timespec that the call may write; both architectures' time is 64 bits wide.
    let told = unsafe { syscall(raw::__NR_clock_gettime, args) };
    let ms = now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000);
    told.map_or(0, |_| ms.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let first = monotonic_ms();
        assert!(first > 0);
        assert!(monotonic_ms() >= first);
    }
}
