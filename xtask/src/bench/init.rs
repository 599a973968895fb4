//! Inits beside one another: the time one takes to start and end a command that does nothing, and what one that waits
//! takes of the memory.

use super::contender::{Contender, Ground, working};
use super::figure::{Bar, Figure, Findings};
use super::stopwatch;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NOTHING: &str = "/bin/true";
/// What an init is put in front of.
const NONE: &str = "no init";
const PIPKIN: &str = "pipkin init";
/// Longer than any of them takes to settle down.
const SETTLED: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(10);

/// Each init with its options, the command to come.
fn inits(pipkin: &Path) -> Vec<(&'static str, Vec<OsString>)> {
    let of = |words: &[&str]| words.iter().map(OsString::from).collect();
    vec![
        (PIPKIN, vec![pipkin.into(), "init".into(), "--".into()]),
        ("tini", of(&["tini", "-s", "--"])),
        ("tini-static", of(&["tini-static", "-s", "--"])),
        ("catatonit", of(&["catatonit", "--"])),
        ("dumb-init", of(&["dumb-init", "--"])),
    ]
}

/// Measures all that there are.
///
/// # Errors
/// A stopwatch that fails, or an init that ends when it should wait.
pub(super) fn measure(ground: &Ground, rounds: usize) -> Result<Findings> {
    let inits = inits(&ground.pipkin);
    let mut all = vec![Contender { name: NONE, note: "", words: vec![NOTHING.into()] }];
    all.extend(inits.iter().map(|(name, words)| {
        let words = words.iter().cloned().chain([NOTHING.into()]).collect();
        Contender { name, note: "", words }
    }));
    let (working, told) = working(all);
    let samples = stopwatch::run(&ground.stopwatch, rounds, &working)?;
    let mut text =
        format!("# Inits in front of `true`, and waiting as PID 1\n\n{rounds} rounds in turns.\n\n");
    writeln!(
        text,
        "| init | ms, median | 10 % to 90 % | CPU ms | peak KiB | KiB of its own while waiting |"
    )?;
    writeln!(text, "|---|---:|---:|---:|---:|---:|")?;
    let mut figures = Vec::new();
    for (contender, samples) in working.iter().zip(samples) {
        let share = match inits.iter().find(|(name, _)| *name == contender.name) {
            Some((_, words)) => {
                let share_kib = share_kib(words)?;
                if contender.name == PIPKIN {
                    let bar = Bar::AtMost(150.0);
                    figures.push(Figure { what: "memory of an init, KiB", seen: share_kib as f64, bar });
                }
                share_kib.to_string()
            }
            None => String::new(),
        };
        writeln!(text, "| {} | {} | {} | {share} |", contender.name, samples.wall(), samples.rest())?;
    }
    writeln!(text, "\nMemory is the proportional share (PSS) of a process that has settled down.")?;
    told.iter().try_for_each(|line| writeln!(text, "- {line}"))?;
    Ok(Findings { text, picture: None, figures })
}

/// The share of memory of an init that is PID 1 of its namespace and waits.
fn share_kib(words: &[OsString]) -> Result<u64> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "--"]).args(words).args(["sleep", "1000"]);
    let unshare = unshare.stdin(Stdio::null()).stderr(Stdio::null()).spawn().context("starting unshare")?;
    let unshare = Waiting(unshare);
    let start = Instant::now();
    loop {
        if let Some(init) = child_of(unshare.0.id())
            && child_of(init).is_some()
        {
            std::thread::sleep(SETTLED);
            return read_share(init);
        }
        if start.elapsed() > DEADLINE {
            bail!("{words:?} starts nothing");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// The proportional share (PSS) of memory of a process, in KiB.
///
/// # Errors
/// No such process.
pub(super) fn read_share(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("looking for Pss")?;
    line.trim().trim_end_matches(" kB").parse().context("reading Pss")
}

/// Everything in the namespace ends with it.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        // Both fail only for a process that has been waited for.
        if self.0.kill().is_ok() && self.0.wait().is_err() {}
    }
}

#[cfg(test)]
mod tests {
    use super::{child_of, read_share};

    #[test]
    fn a_share_is_read_and_children_are_found() {
        assert!(read_share(std::process::id()).unwrap() > 0);
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        // Of the thread that made it.
        let found = child_of(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, None);
    }
}
