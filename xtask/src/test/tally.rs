//! How many tests passed, failed and were skipped, as counted from what test programs print.

use anyhow::{Context, Result, bail};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Counts of one suite or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// A check that is one test by itself, or a suite that could not start.
    pub(crate) const FAILURE: Tally = Tally { passed: 0, failed: 1, skipped: 0 };
    pub(crate) const SUCCESS: Tally = Tally { passed: 1, failed: 0, skipped: 0 };

    /// Reads libtest's summary: `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; …`.
    ///
    /// `None` for any other line.
    pub(crate) fn from_summary(line: &str) -> Option<Tally> {
        let (_verdict, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let mut tally = Tally::default();
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let place = match what {
                "passed" => &mut tally.passed,
                "failed" => &mut tally.failed,
                "ignored" => &mut tally.skipped,
                _ => continue,
            };
            *place = number.parse().ok()?;
        }
        Some(tally)
    }
}

impl Tally {
    /// This one and those together.
    pub(crate) fn and<const N: usize>(self, others: [Tally; N]) -> Tally {
        others.into_iter().chain([self]).sum()
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Tally>>(tallies: I) -> Tally {
        tallies.fold(Tally::default(), |sum, one| Tally {
            passed: sum.passed + one.passed,
            failed: sum.failed + one.failed,
            skipped: sum.skipped + one.skipped,
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// What a case writes that finds at run time that it cannot run here. libtest, which cannot skip so late, counts it as
/// passed.
const SKIPPED: &str = "skipped: ";

/// Runs a test command, shows its output as it comes, and sums the summaries in it.
///
/// # Errors
/// When the command cannot start, prints no summary at all, or fails although every summary is good (a test
/// program that died, or did not compile): such a suite has not been run.
pub(crate) fn of(command: &mut Command) -> Result<Tally> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting the tests")?;
    let output = child.stdout.take().context("taking the output of the tests")?;
    let (mut tallies, mut skipped, mut last) = (Vec::new(), 0, String::new());
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("reading the output of the tests")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tallies.extend(Tally::from_summary(&line));
        skipped += u64::from(line.starts_with(SKIPPED));
        last = line.into_owned();
    }
    let status = child.wait().context("waiting for the tests")?;
    // The case that was running stands at the end of what it printed.
    let sum = whole(tallies, status.success()).with_context(|| format!("{status} after: {last}"))?;
    Ok(Tally { passed: sum.passed.saturating_sub(skipped), skipped: sum.skipped + skipped, ..sum })
}

/// Sums the summaries in what a test program printed before it ended with exit status `status`.
///
/// # Errors
/// As [`of`].
pub(crate) fn of_output(output: &str, status: u8) -> Result<Tally> {
    let tallies = output.lines().filter_map(Tally::from_summary).collect();
    whole(tallies, status == 0).with_context(|| format!("exit status {status}"))
}

/// The sum, if the program that printed these summaries ended as they say.
fn whole(tallies: Vec<Tally>, success: bool) -> Result<Tally> {
    let found = !tallies.is_empty();
    let sum: Tally = tallies.into_iter().sum();
    if !found || (!success && sum.failed == 0) {
        bail!("the tests ended early");
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::{Tally, of, of_output};
    use std::process::Command;

    fn shell(script: &str) -> anyhow::Result<Tally> {
        of(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn a_summary_is_read() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 4 filtered out; finished in 0.00s";
        assert_eq!(Tally::from_summary(line), Some(Tally { passed: 12, failed: 1, skipped: 2 }));
        assert_eq!(Tally::from_summary("test result of mine"), None);
    }

    #[test]
    fn several_summaries_add_up() {
        let line = "echo 'test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out'";
        let sum = shell(&format!("{line}; {line}")).unwrap();
        assert_eq!(sum, Tally { passed: 4, failed: 0, skipped: 2 });
    }

    #[test]
    fn what_could_not_run_has_not_passed() {
        let lines = "echo ..; echo 'skipped: no tool'; echo ..; echo 'not skipped: x'";
        let sum = shell(&format!("{lines}; echo 'test result: ok. 4 passed; 0 failed; 1 ignored'")).unwrap();
        assert_eq!(sum, Tally { passed: 3, failed: 0, skipped: 2 });
    }

    #[test]
    fn silence_and_death_are_failures() {
        assert!(shell("true").is_err());
        assert!(shell("echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; kill -9 $$").is_err());
    }
    #[test]
    fn what_was_printed_elsewhere_counts_the_same() {
        let good = "test result: ok. 2 passed; 0 failed; 0 ignored";
        assert_eq!(of_output(good, 0).unwrap().passed, 2);
        assert!(of_output(good, 137).is_err());
        assert!(of_output("", 0).is_err());
        assert_eq!(of_output("test result: FAILED. 1 passed; 1 failed; 0 ignored", 101).unwrap().failed, 1);
    }
}
