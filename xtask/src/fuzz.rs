//! `fuzz`: the targets of `tests/fuzz`, mutated under the guidance of coverage.
//!
//! libFuzzer, with the coverage that the pinned stable compiler can have LLVM put in: no nightly compiler and no
//! cargo plugin, but a C++ compiler. What a run learns stays in `target/fuzz/corpus` and is where the next begins.

use crate::command::{self, cargo};
use crate::setup::{self, Program};
use anyhow::{Context, Result, bail};
use argh::FromArgs;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Mutate the input of everything that reads what others wrote, for a while.
#[derive(FromArgs)]
#[argh(subcommand, name = "fuzz")]
pub(crate) struct Fuzz {
    /// the targets; all when left out
    #[argh(positional)]
    targets: Vec<String>,
    /// how long for each, in seconds; 60 when left out
    #[argh(option, default = "60")]
    seconds: u64,
}

/// One process is not left to run for longer: what some targets keep for as long as the program lives adds up.
const PIECE: Duration = Duration::from_secs(20);

/// Coverage of edges by counters, and comparisons, as libFuzzer reads them.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
                     -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

impl Fuzz {
    pub(crate) fn run(&self) -> Result<()> {
        let fuzzer = Fuzzer::build()?;
        let known = targets()?;
        if let Some(wrong) = self.targets.iter().find(|name| !known.contains(name)) {
            bail!("unknown target {wrong}: use {}", known.join(", "));
        }
        let chosen = if self.targets.is_empty() { &known } else { &self.targets };
        println!("| target | executions | seconds | edges | inputs kept |\n|---|---:|---:|---:|---:|");
        let mut failed = Vec::new();
        for target in chosen {
            match fuzzer.run_for(target, Duration::from_secs(self.seconds)) {
                Ok(line) => println!("{line}"),
                Err(error) => {
                    eprintln!("{error:#}");
                    failed.push(target.as_str());
                }
            }
        }
        if failed.is_empty() { Ok(()) } else { bail!("findings in {}", failed.join(", ")) }
    }
}

/// The names of all targets: each has a folder of seeds.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn targets() -> Result<Vec<String>> {
    let seeds = seeds();
    let reading = || format!("reading folder {}", seeds.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&seeds).with_context(reading)? {
        names.push(entry.with_context(reading)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn seeds() -> PathBuf {
    command::repository().join("tests/fuzz/seed")
}

/// The program with all targets.
pub(crate) struct Fuzzer {
    program: PathBuf,
    /// `target/fuzz`
    folder: PathBuf,
}

/// What a process of libFuzzer said at its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Inputs tried.
    pub(crate) executions: u64,
    /// Edges of the program that were taken.
    pub(crate) edges: u64,
}

impl Fuzzer {
    /// Builds it with coverage.
    ///
    /// # Errors
    /// A compiler that is missing or complains.
    pub(crate) fn build() -> Result<Fuzzer> {
        setup::programs(&[Program { name: "c++", package: "g++" }])?;
        let folder = command::target().join("fuzz");
        let host = command::output(Command::new("rustc").arg("-vV").current_dir(command::repository()))?;
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("finding the host")?;
        // With a target named, what runs while building is built without coverage.
        let mut cargo = cargo();
        cargo.args(["build", "--quiet", "--release", "--package", "fuzz", "--target", host]);
        command::run(cargo.env("CARGO_TARGET_DIR", &folder).env("RUSTFLAGS", FLAGS))?;
        Ok(Fuzzer { program: folder.join(host).join("release/fuzz"), folder })
    }

    /// Tries `target` on `rounds` inputs, the same ones each time.
    ///
    /// # Errors
    /// A finding, with the end of what libFuzzer says of it.
    pub(crate) fn run_rounds(&self, target: &str, rounds: u64) -> Result<Numbers> {
        self.piece(target, &[&format!("-runs={rounds}"), "-seed=1"], &[&seeds().join(target)])
    }

    /// A line of the table of what came of `time` with `target`.
    fn run_for(&self, target: &str, time: Duration) -> Result<String> {
        let corpus = self.folder.join("corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("making {}", corpus.display()))?;
        let begun = Instant::now();
        let mut sum = Numbers::default();
        while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| left.as_secs() > 0) {
            let limit = format!("-max_total_time={}", left.min(PIECE).as_secs());
            let numbers = self.piece(target, &[&limit], &[&corpus, &seeds().join(target)])?;
            sum.executions += numbers.executions;
            sum.edges = sum.edges.max(numbers.edges);
        }
        let kept = fs::read_dir(&corpus).with_context(|| format!("reading {}", corpus.display()))?.count();
        let seconds = begun.elapsed().as_secs();
        Ok(format!("| {target} | {} | {seconds} | {} | {kept} |", sum.executions, sum.edges))
    }

    /// One process.
    fn piece(&self, target: &str, options: &[&str], corpora: &[&Path]) -> Result<Numbers> {
        let findings = self.folder.join("finding");
        fs::create_dir_all(&findings).with_context(|| format!("making {}", findings.display()))?;
        let mut fuzz = Command::new(&self.program);
        fuzz.env("FUZZ_TARGET", target).stdin(Stdio::null());
        fuzz.args(options).args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=8192",
            "-print_final_stats=1",
        ]);
        fuzz.arg(format!("-artifact_prefix={}/{target}-", findings.display())).args(corpora);
        let output = fuzz.output().with_context(|| format!("starting {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with('#')).collect();
            let last = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
            bail!("{target}: {}\n{}", output.status, last.join("\n"));
        }
        read(&said).with_context(|| format!("{target}: reading what libFuzzer says"))
    }
}

/// The number of executions, and of edges as the last line about progress has it.
fn read(said: &str) -> Option<Numbers> {
    let executions = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    let covered = said.lines().rev().find_map(|line| line.split_once(" cov: "))?.1;
    let edges = covered.split(' ').next()?.parse().ok()?;
    Some(Numbers { executions: executions.trim().parse().ok()?, edges })
}

#[cfg(test)]
mod tests {
    use super::{Numbers, read, targets};

    #[test]
    fn the_end_of_a_run_is_read() {
        let said = "#2\tINITED cov: 10 ft: 11 corp: 1/1b\n#9\tDONE   cov: 12 ft: 14 corp: 3/9b exec/s: 9\n\
                    stat::number_of_executed_units: 90\nstat::average_exec_per_sec:     9\n";
        assert_eq!(read(said), Some(Numbers { executions: 90, edges: 12 }));
        assert_eq!(read("Killed"), None);
    }

    #[test]
    fn targets_are_found() {
        assert!(targets().unwrap().contains(&"argv".to_owned()));
    }
}
