//! State: how many records are written each second, and how long it takes to list ten thousand; beside each, what the
//! bare system calls take for files of that size, which nothing that keeps a file for each container can be below.

use super::contender::Ground;
use super::figure::{Bar, Figure, Findings};
use super::sample::percentile;
use super::stopwatch::ahead_of_others;
use crate::command;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const RECORDS: usize = 10_000;
const ROUNDS: usize = 11;
/// The measurement among the unit tests of the store; it is not part of the shipped program.
const RATE: &str = "store::container::tests::rate_of_records";
/// Where the enclosure has a tmpfs for the state.
const STATE: &str = "/run/pipkin";

/// Measures both.
///
/// # Errors
/// A store that cannot be written, a `ps` that fails or does not list all.
pub(super) fn measure(ground: &Ground, _rounds: usize) -> Result<Findings> {
    let mut text = String::from("# State\n\n| written | each second |\n|---|---:|\n");
    let mut figures = Vec::new();
    let many = Many::make(ground)?;
    for (place, folder) in [("tmpfs", Path::new(STATE)), ("the disk", &ground.folder)] {
        let bare =
            (String::from("open, write, rename and close of as many bytes"), bare_rate(folder, many.size)?);
        for (what, rate) in rates(folder)?.into_iter().chain([bare]) {
            writeln!(text, "| {what}, on {place} | {rate:.0} |")?;
            if figures.is_empty() {
                let (what, bar) = ("records each second on tmpfs", Bar::AtLeast(50_000.0));
                figures.push(Figure { what, seen: rate, bar });
            }
        }
    }
    writeln!(text, "\n| listing {RECORDS} containers, medians of {ROUNDS} | ms |\n|---|---:|")?;
    let mut bare_us = Vec::new();
    for words in [&["ps", "-a"][..], &["ps", "-aq"], &["ps", "-a", "--format", "json"], &["ps"]] {
        let mut times_us = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let told = command::output(ahead_of_others(&ground.pipkin).args(words))?;
            times_us.push(u64::try_from(start.elapsed().as_micros())?);
            bare_us.push(many.read_bare()?);
            if words.len() > 1 && told.matches(Many::PREFIX).count() < RECORDS {
                bail!("{words:?} does not list all");
            }
        }
        let median = percentile(&times_us, 50) as f64 / 1000.0;
        writeln!(text, "| `{}` | {median:.1} |", words.join(" "))?;
        if words == ["ps", "-a"] {
            figures.push(Figure { what: "ps of 10 000, ms", seen: median, bar: Bar::AtMost(100.0) });
        }
    }
    writeln!(
        text,
        "| open, read and close of each record | {:.1} |",
        percentile(&bare_us, 50) as f64 / 1000.0
    )?;
    drop(many);
    Ok(Findings { text, picture: None, figures })
}

/// What the measurement in the store says, of `folder`: `rate NUMBER of WHAT`, a line each.
fn rates(folder: &Path) -> Result<Vec<(String, f64)>> {
    let mut test = command::cargo();
    test.args(["test", "--quiet", "--release", "--package", "pipkin", "--bin", "pipkin", "--"]);
    test.args(["--exact", RATE, "--nocapture"]).env("TMPDIR", folder).env("PIPKIN_RATE_MS", "1000");
    let told = command::output(&mut test)?;
    let rates: Vec<(String, f64)> = told
        .lines()
        .filter_map(|line| line.strip_prefix("rate ")?.split_once(" of "))
        .filter_map(|(rate, what)| Some((what.to_owned(), rate.parse().ok()?)))
        .collect();
    if rates.is_empty() { bail!("the measurement in the store says {told:?}") } else { Ok(rates) }
}

/// How many files of `size` bytes are put in the place of others each second by bare system calls.
fn bare_rate(folder: &Path, size: usize) -> Result<f64> {
    let ([fresh, whole], text) = (["bare.new", "bare"].map(|name| folder.join(name)), vec![b'x'; size]);
    let start = Instant::now();
    for _ in 0..RECORDS {
        let mut file = fs::File::create(&fresh).context("making a file")?;
        file.write_all(&text).context("writing a file")?;
        fs::rename(&fresh, &whole).context("renaming a file")?;
    }
    let rate = RECORDS as f64 / start.elapsed().as_secs_f64();
    fs::remove_file(&whole).context("removing a file")?;
    Ok(rate)
}

/// Copies of the record of a container that has ended.
struct Many<'g> {
    ground: &'g Ground,
    /// Of each record, in bytes.
    size: usize,
}

impl<'g> Many<'g> {
    const NAME: &'static str = "pipkin-bench-ended";
    /// What the ids of the copies begin with.
    const PREFIX: &'static str = "beef";

    fn id(number: usize) -> String {
        format!("{}{number:012x}", Self::PREFIX)
    }

    fn make(ground: &'g Ground) -> Result<Self> {
        let mut run = Command::new(&ground.pipkin);
        run.args(["run", "--net", "none", "--name", Self::NAME]).arg(&ground.rootfs).arg("/bin/true");
        command::run(run.stdin(Stdio::null()))?;
        let mut many = Self { ground, size: 0 };
        let folder = Path::new(STATE).join("containers");
        let id = fs::read_link(Path::new(STATE).join("names").join(Self::NAME)).context("reading a name")?;
        let record = fs::read_to_string(folder.join(id)).context("reading a record")?;
        let record = record.replace(Self::NAME, "");
        many.size = record.len();
        for number in 0..RECORDS {
            let id = Self::id(number);
            fs::write(folder.join(format!("{id}.lock")), "").context("making a lock")?;
            fs::write(folder.join(id), &record).context("making a record")?;
        }
        Ok(many)
    }

    /// How long it takes to read them all by bare system calls, in µs.
    fn read_bare(&self) -> Result<u64> {
        let paths: Vec<_> =
            (0..RECORDS).map(|number| Path::new(STATE).join("containers").join(Self::id(number))).collect();
        let (start, mut room) = (Instant::now(), [0; 4096]);
        for path in &paths {
            let mut file = fs::File::open(path).context("opening a record")?;
            if file.read(&mut room).context("reading a record")? != self.size {
                bail!("{} is not whole", path.display());
            }
        }
        Ok(u64::try_from(start.elapsed().as_micros())?)
    }
}

impl Drop for Many<'_> {
    fn drop(&mut self) {
        let folder = Path::new(STATE).join("containers");
        for id in (0..RECORDS).map(Self::id) {
            // One that was not made is not there.
            fs::remove_file(folder.join(&id)).unwrap_or(());
            fs::remove_file(folder.join(format!("{id}.lock"))).unwrap_or(());
        }
        let mut remove = Command::new(&self.ground.pipkin);
        if command::output(remove.args(["rm", "-f", Self::NAME])).is_err() {
            eprintln!("xtask: {} is left behind", Self::NAME);
        }
    }
}
