//! When a container that has ended is started again.

use crate::store::Record;

/// A restart policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Policy {
    /// Never.
    #[default]
    No,
    /// When it failed; at most so many times in a row, 0 for any number.
    OnFailure(u64),
    /// Whatever it ended with, unless it was stopped. `unless-stopped` differs from `always` in [`wants_boot`] only.
    Always,
}

/// The first pause; each further one is twice as long.
const FIRST_MS: u64 = 100;
/// The longest pause.
const LONGEST_MS: u64 = 60_000;

impl Policy {
    /// Reads `no`, `on-failure[:N]`, `always` or `unless-stopped`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':') {
            None if text == "no" => Self::No,
            None if text == "on-failure" => Self::OnFailure(0),
            None if text == "always" || text == "unless-stopped" => Self::Always,
            Some(("on-failure", number)) if !number.starts_with('+') => Self::OnFailure(number.parse().ok()?),
            _ => return None,
        })
    }

    /// How long to wait until it is started again after it ended with `exit`, which is `None` when it could not even
    /// be started, having been started again `failures` times in a row. `None` when it is not.
    pub(super) fn delay_ms(self, exit: Option<u8>, failures: u64) -> Option<u64> {
        let again = match self {
            Self::No => false,
            Self::OnFailure(most) => exit != Some(0) && (most == 0 || failures < most),
            Self::Always => true,
        };
        let doubled = FIRST_MS << failures.min(16);
        again.then_some(doubled.min(LONGEST_MS))
    }
}

/// The key in the record of a container that somebody stopped, until it is started again.
pub(super) const STOPPED: &str = "stopped";

/// Whether the policy of a container that has ended has it started when the machine has come up: `always` in any case;
/// `unless-stopped` unless somebody stopped it; `on-failure` when nobody saw it end, as by a power cut.
pub(crate) fn wants_boot(record: &Record) -> bool {
    let stopped = record.get(STOPPED).is_some();
    match record.restart.split(':').next() {
        Some("always") => true,
        Some("unless-stopped") => !stopped,
        Some("on-failure") => !stopped && record.exit.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stopped_stays_so_unless_it_is_always_to_run() {
        let wants = |restart: &str, exit: Option<u8>, stopped: bool| {
            let mut record = Record { restart: restart.to_owned(), exit, ..Record::default() };
            if stopped {
                record.set(STOPPED, b"1");
            }
            wants_boot(&record)
        };
        for (restart, running, failed, stopped) in [
            ("", false, false, false),
            ("no", false, false, false),
            ("always", true, true, true),
            ("unless-stopped", true, true, false),
            ("on-failure", true, false, false),
            ("on-failure:3", true, false, false),
        ] {
            assert_eq!(wants(restart, None, false), running, "{restart}");
            assert_eq!(wants(restart, Some(1), false), failed, "{restart}");
            assert_eq!(wants(restart, Some(137), true), stopped, "{restart}");
            assert_eq!(wants(restart, None, true), stopped, "{restart}");
        }
    }

    #[test]
    fn policies_are_dockers() {
        assert_eq!(Policy::parse("no"), Some(Policy::No));
        assert_eq!(Policy::parse("on-failure"), Some(Policy::OnFailure(0)));
        assert_eq!(Policy::parse("on-failure:3"), Some(Policy::OnFailure(3)));
        assert_eq!(Policy::parse("unless-stopped"), Some(Policy::Always));
        for bad in ["", "yes", "on-failure:", "on-failure:x", "on-failure:-1", "on-failure:+1", "always:3"] {
            assert_eq!(Policy::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let delays: Vec<_> =
            (0..12).map(|failures| Policy::Always.delay_ms(Some(0), failures).unwrap()).collect();
        assert_eq!(delays[..4], [100, 200, 400, 800]);
        assert_eq!(delays[11], 60_000);
        assert_eq!(Policy::Always.delay_ms(None, u64::MAX), Some(60_000));
    }

    #[test]
    fn failures_are_counted() {
        let policy = Policy::OnFailure(2);
        assert_eq!(policy.delay_ms(Some(0), 0), None);
        assert_eq!(policy.delay_ms(Some(1), 1), Some(200));
        assert_eq!(policy.delay_ms(Some(1), 2), None);
        assert_eq!(policy.delay_ms(None, 0), Some(100));
        assert_eq!(Policy::No.delay_ms(Some(1), 0), None);
    }
}
