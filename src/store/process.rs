//! Processes by pid and start time: a pid alone is soon somebody else's.

use super::container::read_whole;
use rustix::fd::OwnedFd;
use rustix::fs::CWD;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// When process `pid` was made, in clock ticks since boot (field 22 of `/proc/PID/stat`, proc_pid_stat(5)); `None` when
/// there is none.
pub(crate) fn start_of(pid: i32) -> Option<u64> {
    fields(&stat(pid)?).map(|(_, start)| start)
}

fn stat(pid: i32) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let length = read_whole(CWD, ["/proc/", &pid.to_string(), "/stat"].concat().as_ref(), &mut text).ok()?;
    text.truncate(length);
    Some(text)
}

/// The state and the start time. The name in parentheses may hold anything, so the fields are counted from its end:
/// field 3 comes next.
fn fields(text: &[u8]) -> Option<(u8, u64)> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let mut fields = text.get(end + 2..)?.split(|byte| *byte == b' ');
    let state = *fields.next()?.first()?;
    let start = fields.nth(22 - 4)?;
    Some((state, std::str::from_utf8(start).ok()?.parse().ok()?))
}

/// Takes hold of process `pid` made at `start`; `None` when that one has ended, reaped or not.
pub(crate) fn open(pid: i32, start: u64) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Whoever has this pid now, the descriptor stands for it: it is the right one if it began then.
    let (state, found) = fields(&stat(pid)?)?;
    (found == start && !b"ZX".contains(&state)).then_some(pidfd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_shift_the_fields() {
        let text = b"7 (a) 1 (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 6 7\n";
        assert_eq!(fields(text), Some((b'S', 12345)));
        assert_eq!(fields(b"7 (a) S 1"), None);
        assert_eq!(fields(b""), None);
    }

    #[test]
    fn we_are_who_we_are() {
        let own = i32::try_from(std::process::id()).unwrap();
        let start = start_of(own).unwrap();
        assert!(start > 0 && open(own, start).is_some());
        assert!(open(own, start + 1).is_none() && open(0, start).is_none());
    }
}
