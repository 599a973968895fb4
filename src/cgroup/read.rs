//! The value formats of a group's files: one number or `max`, flat and nested keys, lists of processes, pressure.

use super::group::Group;
use super::line::{self, Line};
use crate::error::{Error, Result};
use rustix::fs::OFlags;
use rustix::io::{Errno, read, retry_on_intr};
use rustix::process::Pid;

/// Longest line of a keyed file; a longer one is an error. `io.stat` has the longest, below 200 bytes.
const LINE_CAPACITY: usize = 512;

const STAGE: &str = "read the cgroup file";

/// What of pressure stall information one line tells: shares of time in which tasks waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stall {
    /// Hundredths of a percent over the last 10 s.
    pub avg10: u32,
    /// Hundredths of a percent over the last 60 s.
    pub avg60: u32,
    /// Hundredths of a percent over the last 300 s.
    pub avg300: u32,
    /// All time waited, in microseconds.
    pub total_us: u64,
}

/// Pressure stall information (Documentation/accounting/psi.rst).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks waited. `None` where the kernel does not tell.
    pub full: Option<Stall>,
}

/// One number of a nested keyed file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nested<'a> {
    /// The line's first word, such as a device number.
    pub entry: &'a [u8],
    /// The key within the line.
    pub key: &'a [u8],
    /// Its number.
    pub value: u64,
}

impl Group {
    /// Reads the whole of `file` into `buffer`, and gives it without white space at its end.
    ///
    /// # Errors
    /// `EOVERFLOW` when it does not fit with a byte to spare, `EINVAL` for a file name other than `[A-Za-z0-9_.-]+`,
    /// `ENOENT` when the controller is not enabled for this group, `ENODEV` when the group is gone.
    pub fn read<'b>(&self, file: &str, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
        let failed = |errno| Error::on(STAGE, file.as_bytes(), errno);
        let from = self.open_file(file, OFlags::RDONLY).map_err(failed)?;
        let mut length = 0_usize;
        loop {
            let room = buffer.get_mut(length..).filter(|room| !room.is_empty());
            let room = room.ok_or(failed(Errno::OVERFLOW))?;
            match retry_on_intr(|| read(&from, &mut *room)).map_err(failed)? {
                0 => break,
                got => length = length.saturating_add(got),
            }
        }
        Ok(buffer.get(..length).unwrap_or_default().trim_ascii_end())
    }

    /// Reads a file that holds one number.
    ///
    /// # Errors
    /// As [`Group::read`]; `EBADMSG` for anything else.
    pub fn read_number(&self, file: &str) -> Result<u64> {
        self.read_one(file, number)
    }

    /// Reads a file that holds one number or `max`, which is `None`.
    ///
    /// # Errors
    /// As [`Group::read_number`].
    pub fn read_limit(&self, file: &str) -> Result<Option<u64>> {
        self.read_one(file, |text| if text == b"max" { Some(None) } else { number(text).map(Some) })
    }

    fn read_one<T>(&self, file: &str, parse: impl Fn(&[u8]) -> Option<T>) -> Result<T> {
        let mut buffer = [0; 64];
        parse(self.read(file, &mut buffer)?).ok_or(Error::on(STAGE, file.as_bytes(), Errno::BADMSG))
    }

    /// Reads a flat keyed file such as `memory.stat` or `cpu.stat`: calls `each` with every key and its number.
    ///
    /// # Errors
    /// As [`Group::read_number`].
    pub fn read_keyed(&self, file: &str, each: &mut dyn FnMut(&[u8], u64)) -> Result<()> {
        self.each_line(file, &mut |line| {
            let (key, value) = keyed(line)?;
            each(key, value);
            Some(())
        })
    }

    /// Reads a nested keyed file such as `io.stat`: calls `each` with every key. Values that are no whole numbers are
    /// left out.
    ///
    /// # Errors
    /// As [`Group::read_number`].
    pub fn read_nested(&self, file: &str, each: &mut dyn FnMut(Nested<'_>)) -> Result<()> {
        self.each_line(file, &mut |line| {
            let mut words = line.split(|byte| *byte == b' ');
            let entry = words.next()?;
            for (key, value) in words.filter_map(pair) {
                if let Some(value) = number(value) {
                    each(Nested { entry, key, value });
                }
            }
            Some(())
        })
    }

    /// Reads a pressure file such as `memory.pressure`.
    ///
    /// # Errors
    /// As [`Group::read_number`]; `EOPNOTSUPP` where pressure stall information is switched off.
    pub fn read_pressure(&self, file: &str) -> Result<Pressure> {
        let mut pressure = Pressure::default();
        self.each_line(file, &mut |line| {
            let (kind, stall) = stall(line)?;
            match kind {
                b"some" => pressure.some = stall,
                b"full" => pressure.full = Some(stall),
                _ => {}
            }
            Some(())
        })?;
        Ok(pressure)
    }

    /// Calls `each` with the processes of this group, without those of groups below it, in no order; one may come
    /// twice or go meanwhile. Gives the number of processes that have no id in our pid namespace.
    ///
    /// # Errors
    /// As [`Group::read_number`]; `EOPNOTSUPP` for a threaded group.
    pub fn processes(&self, each: &mut dyn FnMut(Pid) -> Result<()>) -> Result<usize> {
        let mut hidden = 0_usize;
        let mut verdict = Ok(());
        self.each_line("cgroup.procs", &mut |line| {
            let pid = number(line).and_then(|pid| i32::try_from(pid).ok())?;
            match Pid::from_raw(pid) {
                // The kernel shows as 0 what it cannot name here; to kill(2) that would be our own group.
                None => hidden = hidden.saturating_add(1),
                Some(pid) if verdict.is_ok() => verdict = each(pid),
                Some(_) => {}
            }
            Some(())
        })?;
        verdict.map(|()| hidden)
    }

    /// Whether processes are in this group itself.
    ///
    /// # Errors
    /// As [`Group::processes`].
    pub fn holds_processes(&self) -> Result<bool> {
        let mut visible = false;
        let hidden = self.processes(&mut |_| {
            visible = true;
            Ok(())
        })?;
        Ok(visible || hidden > 0)
    }

    fn each_line(&self, file: &str, each: &mut dyn FnMut(&[u8]) -> Option<()>) -> Result<()> {
        let failed = |errno| Error::on(STAGE, file.as_bytes(), errno);
        let from = self.open_file(file, OFlags::RDONLY).map_err(failed)?;
        let mut lines = line::of_file::<_, LINE_CAPACITY>(from);
        while let Some(Line { text, whole }) = lines.next().map_err(failed)? {
            each(text).filter(|()| whole).ok_or(failed(Errno::BADMSG))?;
        }
        Ok(())
    }
}

/// A decimal number of digits only.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// `key number`.
pub(super) fn keyed(line: &[u8]) -> Option<(&[u8], u64)> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (key, value) = line.split_at_checked(space)?;
    Some((key, number(value.get(1..)?)?)).filter(|_| !key.is_empty())
}

/// `key=value`.
fn pair(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = word.iter().position(|byte| *byte == b'=')?;
    let (key, value) = word.split_at_checked(equals)?;
    Some((key, value.get(1..)?))
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn stall(line: &[u8]) -> Option<(&[u8], Stall)> {
    let mut words = line.split(|byte| *byte == b' ');
    let kind = words.next()?;
    let mut stall = Stall::default();
    for (key, value) in words.filter_map(pair) {
        match key {
            b"avg10" => stall.avg10 = hundredths(value)?,
            b"avg60" => stall.avg60 = hundredths(value)?,
            b"avg300" => stall.avg300 = hundredths(value)?,
            b"total" => stall.total_us = number(value)?,
            _ => {}
        }
    }
    Some((kind, stall))
}

/// A number with exactly two decimals, in hundredths.
fn hundredths(text: &[u8]) -> Option<u32> {
    let (whole, decimals) = text.split_at_checked(text.len().checked_sub(3)?)?;
    let decimals = number(decimals.strip_prefix(b".")?)?;
    u32::try_from(number(whole)?.checked_mul(100)?.checked_add(decimals)?).ok()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in
            [&b""[..], b"+1", b"-1", b" 1", b"1 ", b"1\n", b"0x1", b"18446744073709551616", b"max", b"\xff"]
        {
            assert_eq!(number(bad), None);
        }
    }

    #[test]
    fn keys_have_numbers() {
        assert_eq!(keyed(b"oom_kill 3"), Some((&b"oom_kill"[..], 3)));
        for bad in [&b""[..], b"oom_kill", b"oom_kill ", b" 3", b"oom_kill  3", b"a 1 2"] {
            assert_eq!(keyed(bad), None);
        }
    }

    #[test]
    fn pressure_is_read() {
        let (kind, read) = stall(b"some avg10=12.34 avg60=0.05 avg300=100.00 total=987654321").unwrap();
        assert_eq!(kind, b"some");
        assert_eq!(read, Stall { avg10: 1234, avg60: 5, avg300: 10_000, total_us: 987_654_321 });
        for bad in
            [&b"some avg10=1"[..], b"some avg10=.1", b"some avg10=1.2", b"some avg10=-1.00", b"full total="]
        {
            assert_eq!(stall(bad), None);
        }
        assert_eq!(hundredths(b"99999999999999999999.00"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            number(&line);
            keyed(&line);
            stall(&line);
            hundredths(&line);
        }

        #[test]
        fn what_is_written_is_read(key in "[a-z_]{1,20}", value: u64) {
            let line = std::format!("{key} {value}");
            prop_assert_eq!(keyed(line.as_bytes()), Some((key.as_bytes(), value)));
        }

        #[test]
        fn hundredths_are_exact(whole in 0u32..40_000_000, part in 0u32..100) {
            let text = std::format!("{whole}.{part:02}");
            prop_assert_eq!(hundredths(text.as_bytes()), Some(whole * 100 + part));
        }
    }
}
