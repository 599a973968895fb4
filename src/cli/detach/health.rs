//! The health command: run inside at intervals, and what its exit codes mean.

use pipkin::sys::clock::monotonic_ms;
use pipkin::sys::process::{Side, clone, exit};
use pipkin::sys::signal;
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// A line for the container's shell.
    pub(crate) command: String,
    /// From the end of one to the next, and to the first.
    pub(crate) interval_ms: u64,
    /// How long one may take.
    pub(crate) timeout_ms: u64,
    /// How many must fail in a row.
    pub(crate) retries: u64,
    /// How long after the start failures do not count.
    pub(crate) start_ms: u64,
}

/// The words for its states.
pub(super) const STARTING: &str = "starting";
const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

/// One container's health.
#[derive(Debug)]
pub(super) struct Health<'c> {
    check: &'c Check,
    /// The process that runs the command, while it does.
    running: Option<OwnedFd>,
    /// When the next one begins, or the present one has taken too long.
    at_ms: u64,
    /// Until when failures do not count.
    grace_ms: u64,
    failures: u64,
}

impl<'c> Health<'c> {
    /// Of a container that has just started.
    pub(super) fn new(check: &'c Check) -> Self {
        let now_ms = monotonic_ms();
        let (at_ms, grace_ms) = (now_ms + check.interval_ms, now_ms + check.start_ms);
        Self { check, running: None, at_ms, grace_ms, failures: 0 }
    }

    /// What to wait for.
    pub(super) fn process(&self) -> Option<&OwnedFd> {
        self.running.as_ref()
    }

    /// When to look again at the latest.
    pub(super) fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// Looks at the clock and at the process. `run` is to run the command in a process of its own, and to end that with
    /// its exit code. Gives the state that is known now, when something is.
    pub(super) fn turn(&mut self, run: &dyn Fn(&str) -> u8) -> Option<&'static str> {
        let now_ms = monotonic_ms();
        let Some(process) = &self.running else {
            if now_ms < self.at_ms {
                return None;
            }
            // One that cannot be started now is tried again in time.
            self.at_ms = now_ms + self.check.timeout_ms;
            match clone(0, None) {
                Ok(Side::Child) => exit(run(&self.check.command)),
                Ok(Side::Parent(_, pidfd)) => self.running = Some(pidfd),
                Err(_) => {}
            }
            return None;
        };
        let late = now_ms >= self.at_ms;
        if late {
            // Best effort: the only way to fail is that it is gone already.
            signal::send(process, SIGKILL).unwrap_or(());
        }
        let options =
            if late { WaitIdOptions::EXITED } else { WaitIdOptions::EXITED | WaitIdOptions::NOHANG };
        let status = waitid(WaitId::PidFd(process.as_fd()), options).unwrap_or(None)?;
        self.running = None;
        self.at_ms = monotonic_ms() + self.check.interval_ms;
        self.judge(!late && status.exit_status() == Some(0), now_ms)
    }

    fn judge(&mut self, good: bool, now_ms: u64) -> Option<&'static str> {
        if good {
            self.failures = 0;
            return Some(HEALTHY);
        }
        self.failures += u64::from(now_ms >= self.grace_ms);
        (self.failures >= self.check.retries).then_some(UNHEALTHY)
    }
}

const SIGKILL: i32 = 9;

impl Drop for Health<'_> {
    /// A command whose container has ended has nothing to tell.
    fn drop(&mut self) {
        if let Some(process) = &self.running {
            signal::send(process, SIGKILL).unwrap_or(());
            waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED).unwrap_or(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(retries: u64, start_ms: u64) -> Check {
        Check { command: String::new(), interval_ms: 0, timeout_ms: 60_000, retries, start_ms }
    }

    #[test]
    fn failures_count_in_a_row() {
        let check = check(2, 0);
        let mut health = Health::new(&check);
        let now_ms = monotonic_ms();
        assert_eq!(health.judge(false, now_ms), None);
        assert_eq!(health.judge(true, now_ms), Some(HEALTHY));
        assert_eq!(health.judge(false, now_ms), None);
        assert_eq!(health.judge(false, now_ms), Some(UNHEALTHY));
    }

    #[test]
    fn a_start_may_take_its_time() {
        let check = check(1, 1000);
        let mut health = Health::new(&check);
        let now_ms = monotonic_ms();
        assert_eq!(health.judge(false, now_ms), None);
        assert_eq!(health.judge(false, now_ms + 1000), Some(UNHEALTHY));
    }

    #[test]
    fn the_command_runs_beside_us() {
        let check = check(1, 0);
        let mut health = Health::new(&check);
        let mut state = None;
        while state.is_none() {
            state = health.turn(&|_| 0);
        }
        assert_eq!(state, Some(HEALTHY));
    }
}
