//! A thousand containers at once: starting, seeing and ending them, and what is left.

use super::contender::Ground;
use super::figure::{Bar, Figure, Findings};
use super::init::read_share;
use super::standing::WAIT;
use super::stopwatch::ahead_of_others;
use crate::{cgroup, command};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const CONTAINERS: usize = 1000;
/// Callers at a time.
const CALLERS: usize = 2;
const LOOKS: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Measures all of it.
///
/// # Errors
/// A container that does not start or end, or something that is left.
pub(super) fn measure(ground: &Ground, _rounds: usize) -> Result<Findings> {
    let crowd = Crowd { ground };
    let (before, mounts) = (available_kib()?, mounts()?);
    let start = Instant::now();
    crowd.start()?;
    let started = start.elapsed();
    let taken_kib = before.saturating_sub(available_kib()?);
    let (ids, supervisors) = (crowd.ids()?, supervisors(ground)?);
    let shares_kib = supervisors.iter().map(|pid| read_share(*pid)).sum::<Result<u64>>()?;
    let seen = |words: &[&str]| {
        let start = Instant::now();
        let told = command::output(ahead_of_others(&ground.pipkin).args(words))?;
        let found = told.lines().count();
        if found < CONTAINERS { bail!("{words:?} lists {found}") } else { Ok(start.elapsed()) }
    };
    let (listed, measured) = (seen(&["ps"])?, seen(&["stats", "--no-stream"])?);
    let start = Instant::now();
    crowd.end()?;
    let ended = start.elapsed();
    let mut left = find_left(&ids, &supervisors, mounts)?;
    // What is on its way out when `rm` returns is not left.
    for _ in 0..LOOKS {
        if left.is_empty() {
            break;
        }
        sleep(PAUSE);
        left = find_left(&ids, &supervisors, mounts)?;
    }
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let rate = |time: Duration| CONTAINERS as f64 / time.as_secs_f64();
    let mut text = format!("# {CONTAINERS} containers at once\n\n| | |\n|---|---:|\n");
    let rows = [
        (format!("started each second, by {CALLERS} callers"), format!("{:.0}", rate(started))),
        ("memory of all supervisors (PSS), MiB".into(), format!("{:.1}", shares_kib as f64 / 1024.0)),
        (
            "memory taken for each, KiB, the kernel's included".into(),
            format!("{}", taken_kib / CONTAINERS as u64),
        ),
        ("`ps`, ms".into(), format!("{:.0}", ms(listed))),
        ("`stats --no-stream`, ms".into(), format!("{:.0}", ms(measured))),
        ("ended and removed each second, by one `rm -f`".into(), format!("{:.0}", rate(ended))),
        ("left a second later".into(), if left.is_empty() { "nothing".into() } else { left.join(", ") }),
    ];
    rows.iter().try_for_each(|(what, value)| writeln!(text, "| {what} | {value} |"))?;
    let share_kib = shares_kib as f64 / CONTAINERS as f64;
    let figures = vec![
        Figure { what: "started each second, of 1000", seen: rate(started), bar: Bar::None },
        Figure { what: "memory of each of 1000 supervisors, KiB", seen: share_kib, bar: Bar::AtMost(400.0) },
        Figure { what: "ended each second, of 1000", seen: rate(ended), bar: Bar::None },
        Figure { what: "kinds of things left of 1000", seen: left.len() as f64, bar: Bar::AtMost(0.0) },
    ];
    Ok(Findings { text, picture: None, figures })
}

/// The containers, which end with this.
struct Crowd<'g> {
    ground: &'g Ground,
}

impl Crowd<'_> {
    fn start(&self) -> Result<()> {
        let call = |caller: usize| {
            for number in (caller..CONTAINERS).step_by(CALLERS) {
                let mut run = Command::new(&self.ground.pipkin);
                run.args(["run", "-d", "--net", "none", "--name", &format!("pipkin-crowd-{number}")]);
                command::output(run.arg(&self.ground.rootfs).args(WAIT).stdin(Stdio::null()))?;
            }
            anyhow::Ok(())
        };
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS).map(|caller| scope.spawn(move || call(caller))).collect();
            callers.into_iter().try_for_each(|caller| match caller.join() {
                Ok(done) => done,
                Err(_) => bail!("a caller panicked"),
            })
        })
    }

    /// Their ids, a line each.
    fn ids(&self) -> Result<String> {
        command::output(Command::new(&self.ground.pipkin).args(["ps", "-aq"]))
    }

    fn end(&self) -> Result<()> {
        let ids = self.ids()?;
        if ids.is_empty() {
            return Ok(());
        }
        command::output(Command::new(&self.ground.pipkin).args(["rm", "-f"]).args(ids.split_whitespace()))?;
        Ok(())
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("xtask: {error:#}");
        }
    }
}

/// The parents of all first processes.
fn supervisors(ground: &Ground) -> Result<Vec<u32>> {
    let told = command::output(Command::new(&ground.pipkin).args(["ps", "--format", "json"]))?;
    let told: Value = serde_json::from_str(&told).context("reading what ps says")?;
    let pids = told.as_array().context("reading a list")?.iter().filter_map(|one| one.get("PID")?.as_u64());
    pids.map(|pid| {
        let path = format!("/proc/{pid}/status");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let parent = text.lines().find_map(|line| line.strip_prefix("PPid:")).context("looking for PPid")?;
        Ok(parent.trim().parse()?)
    })
    .collect()
}

/// Whether a process is there and has not ended. When an ended one is taken leave of is up to the machine's PID 1.
fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("State:").is_some_and(|state| !state.contains('Z')))
}

fn available_kib() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("no MemAvailable")?;
    line.trim().trim_end_matches(" kB").parse().context("reading MemAvailable")
}

fn mounts() -> Result<usize> {
    Ok(fs::read_to_string("/proc/self/mountinfo").context("reading the mounts")?.lines().count())
}

/// What there is that should not be, in words.
fn find_left(ids: &str, supervisors: &[u32], mounts_before: usize) -> Result<Vec<String>> {
    let count = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    // The hierarchy is the machine's, and may hold other containers.
    let groups = Path::new(cgroup::UNIFIED).join("pipkin");
    let groups = ids.lines().filter(|id| groups.join(id).exists()).count();
    let alive = supervisors.iter().filter(|pid| is_alive(**pid)).count();
    let found = [
        ("records", count("/run/pipkin/containers")),
        ("names", count("/run/pipkin/names")),
        ("layers", count("/var/lib/pipkin/containers")),
        ("cgroups", groups),
        ("supervisors", alive),
        ("mounts", mounts()?.abs_diff(mounts_before)),
    ];
    Ok(found.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect())
}
