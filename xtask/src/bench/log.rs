//! How fast a payload can write whose output is logged, beside one that writes into a pipe that `cat` reads.
//!
//! `cat` is measured twice: reading alone, and copying to a file on the same disk, as a log has to. It adds no time
//! stamps.

use super::contender::Ground;
use super::figure::{Bar, Figure, Findings};
use super::sample::percentile;
use super::stopwatch::{self, ahead_of_others};
use crate::command;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// How the payload writes.
struct Manner {
    told: &'static str,
    /// Length of a line, 0 for none at all, and of a write, in bytes.
    line: u32,
    chunk: u32,
    figure: &'static str,
}

const MANNERS: [Manner; 5] = [
    Manner {
        told: "lines of 100 bytes, one write each",
        line: 100,
        chunk: 100,
        figure: "log, a line a write",
    },
    Manner {
        told: "lines of 100 bytes, 4 KiB a write",
        line: 100,
        chunk: 4 << 10,
        figure: "log, small lines",
    },
    Manner { told: "lines of 20 bytes, 4 KiB a write", line: 20, chunk: 4 << 10, figure: "log, tiny lines" },
    Manner {
        told: "lines of 1000 bytes, 64 KiB a write",
        line: 1000,
        chunk: 64 << 10,
        figure: "log, long lines",
    },
    Manner { told: "no lines, 64 KiB a write", line: 0, chunk: 64 << 10, figure: "log, no lines" },
];

/// How much is written each time.
const MEGABYTES: u64 = 100;
const ROUNDS: usize = 5;
const NAME: &str = "pipkin-bench-log";

/// Measures all manners, by turns.
///
/// # Errors
/// A writer that fails, or whose log does not end as it should.
pub(super) fn measure(ground: &Ground, _rounds: usize) -> Result<Findings> {
    let writer = stopwatch::compile("writer", &[], &ground.folder)?;
    let file = ground.folder.join("cat");
    let mut text = format!(
        "# Writing at full speed while it is logged\n\n{MEGABYTES} MB, medians of {ROUNDS} rounds in turns, MB/s. A \
         log entry is 40 bytes longer than its line.\n\n| the payload writes | read by cat | copied by cat | logged | \
         ratio | ratio to a copy |\n|---|---:|---:|---:|---:|---:|\n"
    );
    let mut figures = Vec::new();
    for manner in &MANNERS {
        let mut times_ns: [Vec<u64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            times_ns[0].push(into_cat(&writer, manner, Path::new("/dev/null"))?);
            times_ns[1].push(into_cat(&writer, manner, &file)?);
            times_ns[2].push(into_log(ground, &writer, manner)?);
        }
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        let [read, copied, logged] = times_ns.map(|times| percentile(&times, 50).max(1) as f64);
        let speed = |ns: f64| MEGABYTES as f64 * 1e9 / ns;
        writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} |",
            manner.told,
            speed(read),
            speed(copied),
            speed(logged),
            read / logged,
            copied / logged
        )?;
        figures.push(Figure { what: manner.figure, seen: read / logged, bar: Bar::AtLeast(0.8) });
    }
    writeln!(text, "\nThe figures are the ratios to a pipe that cat reads and throws away.")?;
    Ok(Findings { text, picture: None, figures })
}

impl Manner {
    fn words(&self) -> [String; 3] {
        [MEGABYTES.to_string(), self.line.to_string(), self.chunk.to_string()]
    }
}

/// The time that the payload takes when `cat` reads it, in ns.
fn into_cat(writer: &Path, manner: &Manner, output: &Path) -> Result<u64> {
    let output = fs::File::create(output).with_context(|| format!("making {}", output.display()))?;
    let mut cat = ahead_of_others(Path::new("cat"))
        .stdin(Stdio::piped())
        .stdout(output)
        .spawn()
        .context("starting cat")?;
    let pipe = cat.stdin.take().context("taking the pipe to cat")?;
    let mut payload = ahead_of_others(writer);
    let told = payload.args(manner.words()).stdout(pipe).stderr(Stdio::piped()).output();
    // The pipe's other end is closed with the command that held it.
    drop(payload);
    let read = cat.wait().context("waiting for cat")?;
    let told = told.context("starting the writer")?;
    if !read.success() || !told.status.success() {
        bail!("the writer: {}, cat: {read}", told.status);
    }
    took(&String::from_utf8_lossy(&told.stderr))
}

/// The same in a container of the background.
fn into_log(ground: &Ground, writer: &Path, manner: &Manner) -> Result<u64> {
    let pipkin = |words: &[&str]| command::output(Command::new(&ground.pipkin).args(words));
    let volume = format!("{}:/writer:ro", writer.display());
    let mut run = ahead_of_others(&ground.pipkin);
    run.args(["run", "-d", "--net", "none", "--name", NAME, "-v", &volume]).arg(&ground.rootfs);
    command::output(run.arg("/writer").args(manner.words()))?;
    let told = pipkin(&["wait", NAME]).and_then(|_| {
        let mut logs = Command::new(&ground.pipkin);
        let told =
            logs.args(["logs", "--stderr", "--tail", "1", NAME]).output().context("reading the log")?;
        // It writes to the stream that the payload wrote to.
        Ok([told.stdout, told.stderr].concat())
    });
    pipkin(&["rm", "-f", NAME])?;
    took(&String::from_utf8_lossy(&told?))
}

/// `took N`
fn took(told: &str) -> Result<u64> {
    let number = told.lines().find_map(|line| line.strip_prefix("took "));
    number.with_context(|| format!("the writer says {told:?}"))?.parse().context("reading a time")
}

#[cfg(test)]
mod tests {
    use super::took;

    #[test]
    fn the_time_is_what_the_writer_says() {
        assert_eq!(took("took 5827140814\n").unwrap(), 5_827_140_814);
        assert!(took("").is_err() && took("took x\n").is_err());
    }
}
