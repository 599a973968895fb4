//! How fast a payload can write whose output is logged, beside one that writes into a pipe that `cat` reads.
//!
//! Beside it stand the bare system calls of a logger (`tests/floor/logger.c`), which write as many bytes as the log has
//! to files of the same size on the same disk, and look at none: a log is hardly faster, unless it is woken less often.
//! All run at the normal priority: the kernel's own workers, which write pages back, have to get their turn as they do
//! beside any container.

use super::contender::Ground;
use super::figure::{Bar, Figure, Findings};
use super::sample::percentile;
use super::stopwatch;
use crate::command;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
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
const MEGABYTES: u64 = 200;
const ROUNDS: usize = 5;
const NAME: &str = "pipkin-bench-log";

/// Measures all manners, by turns.
///
/// # Errors
/// A writer that fails, or whose log does not end as it should.
pub(super) fn measure(ground: &Ground, _rounds: usize) -> Result<Findings> {
    let writer = stopwatch::compile("writer", &[], &ground.folder)?;
    let logger = stopwatch::compile("logger", &[], &ground.folder)?;
    let mut text = format!(
        "# Writing at full speed while it is logged\n\n{MEGABYTES} MB, medians of {ROUNDS} rounds in turns, MB/s. A \
         log entry is 40 bytes longer than its line.\n\n| the payload writes | read by cat | bare calls | logged | \
         ratio | to the bare calls |\n|---|---:|---:|---:|---:|---:|\n"
    );
    let mut figures = Vec::new();
    for manner in &MANNERS {
        let mut times_ns: [Vec<u64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            times_ns[0].push(into_pipe(&writer, manner, Command::new("cat").stdout(Stdio::null()))?);
            let mut logger = Command::new(&logger);
            logger.arg(manner.line.to_string()).current_dir(&ground.folder);
            times_ns[1].push(into_pipe(&writer, manner, &mut logger)?);
            times_ns[2].push(into_log(ground, &writer, manner)?);
        }
        let [read, bare, logged] = times_ns.map(|times| percentile(&times, 50).max(1) as f64);
        let speed = |ns: f64| MEGABYTES as f64 * 1e9 / ns;
        writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} |",
            manner.told,
            speed(read),
            speed(bare),
            speed(logged),
            read / logged,
            bare / logged
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

/// The time that the payload takes when `reader` reads it, in ns.
fn into_pipe(writer: &Path, manner: &Manner, reader: &mut Command) -> Result<u64> {
    let mut reader = reader.stdin(Stdio::piped()).spawn().context("starting the pipe's reader")?;
    let pipe = reader.stdin.take().context("taking the pipe")?;
    let mut payload = Command::new(writer);
    let told = payload.args(manner.words()).stdout(pipe).stderr(Stdio::piped()).output();
    // The pipe's other end is closed with the command that held it.
    drop(payload);
    let read = reader.wait().context("waiting for the pipe's reader")?;
    let told = told.context("starting the writer")?;
    if !read.success() || !told.status.success() {
        bail!("the writer: {}, the pipe's reader: {read}", told.status);
    }
    took(&String::from_utf8_lossy(&told.stderr))
}

/// The same in a container of the background.
fn into_log(ground: &Ground, writer: &Path, manner: &Manner) -> Result<u64> {
    let pipkin = |words: &[&str]| command::output(Command::new(&ground.pipkin).args(words));
    let volume = format!("{}:/writer:ro", writer.display());
    let mut run = Command::new(&ground.pipkin);
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
