//! The clock by which deadlines are kept.
//!
//! The plain system call: the vDSO is found through the auxiliary vector, whose reading needs memory and, before
//! Linux 6.4, `/proc`.

use super::arch::syscall;
use linux_raw_sys::general as raw;
use rustix::io::Result;

/// Milliseconds on the clock that never goes back and starts with the machine (clock_gettime(2) `CLOCK_MONOTONIC`).
/// Should a filter refuse the call, time stands still at 0.
#[must_use]
pub fn monotonic_ms() -> u64 {
    monotonic_us() / 1000
}

/// Microseconds on the same clock.
#[must_use]
pub fn monotonic_us() -> u64 {
    let (seconds, nanoseconds) = read(raw::CLOCK_MONOTONIC);
    seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1000).unsigned_abs()
}

/// Waits that long, or less when something interrupts it: callers look at the clock.
pub fn pause_ms(ms: u64) {
    let time = raw::__kernel_timespec {
        tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: (ms % 1000).cast_signed() * 1_000_000,
    };
    let args = [&raw const time as usize, 0, 0, 0, 0, 0];
    // SAFETY: `time` is a live timespec that the call reads; what is left of it is not asked for.
    if unsafe { syscall(raw::__NR_nanosleep, args) }.is_err() {
        // EINTR: a caller that still has something to wait for comes again.
    }
}

/// Sets the clock of the day to `floor_s` seconds since 1970 when it is earlier (clock_settime(2)). Answers whether
/// it was.
///
/// # Errors
/// `EPERM` without `CAP_SYS_TIME`.
pub fn raise_realtime(floor_s: i64) -> Result<bool> {
    if read(raw::CLOCK_REALTIME).0 >= floor_s {
        return Ok(false);
    }
    let time = rustix::time::Timespec { tv_sec: floor_s, tv_nsec: 0 };
    rustix::time::clock_settime(rustix::time::ClockId::Realtime, time)?;
    Ok(true)
}

/// Seconds and nanoseconds on a clock; zeros where a filter refuses the call.
fn read(clock: u32) -> (i64, i64) {
    let mut now = raw::__kernel_timespec { tv_sec: 0, tv_nsec: 0 };
    let args = [clock as usize, &raw mut now as usize, 0, 0, 0, 0];
    // SAFETY: `now` is a live timespec that the call may write; both architectures' time is 64 bits wide.
    let told = unsafe { syscall(raw::__NR_clock_gettime, args) };
    told.map_or((0, 0), |_| (now.tv_sec, now.tv_nsec))
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

    #[test]
    fn a_clock_that_is_late_enough_is_left_alone() {
        assert_eq!(raise_realtime(1_000_000_000), Ok(false));
    }
}
