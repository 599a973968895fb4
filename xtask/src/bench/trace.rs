//! System calls, as strace sees them: how many, and when.

use super::contender::{Contender, Ground};
use super::stopwatch;
use crate::command;
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;

/// One system call, or the rest of one that was interrupted by another process's line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) pid: u32,
    /// When it began, or went on, in µs since some point in the past.
    pub(super) at_us: u64,
    pub(super) name: String,
    /// Everything after the opening bracket, the result with it.
    pub(super) rest: String,
    /// Whether the line only tells the end of an earlier one.
    pub(super) resumed: bool,
}

/// One traced run.
pub(super) struct Trace {
    pub(super) calls: Vec<Call>,
}

impl Trace {
    /// How many calls were made.
    pub(super) fn begun(&self) -> usize {
        self.calls.iter().filter(|call| !call.resumed).count()
    }

    /// The columns of the table: calls, and how many of them were a successful exec.
    pub(super) fn counts(&self) -> String {
        let execs =
            self.calls.iter().filter(|call| call.name == "execve" && call.rest.ends_with("= 0")).count();
        format!("{} | {execs}", self.begun())
    }
}

/// Runs the contender once under strace, its children with it; under the stopwatch, for its priority.
///
/// # Errors
/// No strace, a run that fails under it, or lines in it that cannot be read.
pub(super) fn run(ground: &Ground, contender: &Contender) -> Result<Trace> {
    let file = ground.folder.join("strace.txt");
    let mut strace = Command::new(&ground.stopwatch);
    strace.args(["1", stopwatch::SEPARATOR, "strace", "-f", "-ttt", "-qq", "-o"]).arg(&file);
    let told = command::output(strace.args(&contender.words))?;
    if !told.trim_end().ends_with(" 0") {
        bail!("{} fails under strace", contender.name);
    }
    let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    Ok(Trace { calls: parse(&String::from_utf8_lossy(&text))? })
}

fn parse(text: &str) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for line in text.lines() {
        calls.extend(parse_line(line).with_context(|| format!("strace says {line:?}"))?);
    }
    Ok(calls)
}

/// `PID SECONDS.MICROSECONDS name(arguments) = result`; `Ok(None)` for the arrival of a signal and the like.
fn parse_line(line: &str) -> Result<Option<Call>> {
    let (pid, line) = line.split_once(' ').context("no process id")?;
    let (time, line) = line.trim_start().split_once(' ').context("no time")?;
    let (seconds, us) = time.split_once('.').context("no time")?;
    let at_us = seconds.parse::<u64>()? * 1_000_000 + us.parse::<u64>()?;
    let pid = pid.parse()?;
    let call = |name: &str, rest: &str, resumed| {
        Ok(Some(Call { pid, at_us, name: name.to_owned(), rest: rest.to_owned(), resumed }))
    };
    if line.starts_with("---") || line.starts_with("+++") {
        return Ok(None);
    }
    if let Some(resumed) = line.strip_prefix("<... ") {
        let (name, rest) = resumed.split_once(" resumed>").context("no name")?;
        return call(name, rest, true);
    }
    let (name, rest) = line.split_once('(').context("no name")?;
    call(name, rest, false)
}

#[cfg(test)]
mod tests {
    use super::{Trace, parse};

    const TEXT: &str = "\
7 1000000.000001 execve(\"/floor\", [\"/floor\"], 0x7ff /* 3 vars */) = 0
7 1000000.000101 clone3({flags=CLONE_NEWPID}, 88) = 8
7 1000000.000201 wait4(8,  <unfinished ...>
8 1000000.000301 execve(\"/bin/x\", [\"/bin/x\"], 0x7ff) = -1 ENOENT (No such file or directory)
8 1000000.000401 exit_group(0)   = ?
7 1000001.000501 <... wait4 resumed>[{WIFEXITED(s)}], 0, NULL) = 8
7 1000001.000601 --- SIGCHLD {si_signo=SIGCHLD} ---
";

    #[test]
    fn every_call_counts_once() {
        let trace = Trace { calls: parse(TEXT).unwrap() };
        assert_eq!(trace.counts(), "5 | 1");
        let last = trace.calls.last().unwrap();
        assert_eq!((last.name.as_str(), last.resumed, last.at_us), ("wait4", true, 1_000_001_000_501));
    }

    #[test]
    fn an_unknown_line_is_an_error() {
        assert!(parse("strace: Process 8 attached\n").is_err());
    }
}
