//! What single defences take of the start: the test build of Pipkin with each of them taken away, in turns.

use super::contender::{Contender, Ground, working};
use super::figure::{Bar, Figure, Findings};
use super::filter::added_us;
use super::sample::Samples;
use super::stopwatch;
use crate::build::{self, Arch};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

const WHOLE: &str = "whole";
/// With any defence the self-check goes, which would find it missing: the others are compared with a start without it.
const UNCHECKED: &str = "self-check";
/// How many times as many rounds as for other comparisons: these differences are small beside the scatter.
const MORE: usize = 8;
const OTHERS: [&str; 4] = ["filter", "own-file", "masks", "not-dumpable"];

/// Measures them.
///
/// # Errors
/// A build or a stopwatch that fails.
pub(super) fn measure(ground: &Ground, rounds: usize) -> Result<Findings> {
    let hooks = build::hooks_binary(Arch::HOST)?;
    let all = [(WHOLE, ""), (UNCHECKED, UNCHECKED)].into_iter().chain(OTHERS.map(|name| (name, name)));
    let (working, told) =
        working(all.map(|(name, without)| contender(ground, &hooks, name, without)).collect());
    let rounds = rounds * MORE;
    let samples = stopwatch::run(&ground.stopwatch, rounds, &working)?;
    let starts: Vec<(&str, &Samples)> = working.iter().map(|one| one.name).zip(&samples).collect();
    let whole =
        starts.iter().find(|(name, _)| *name == WHOLE).context("the test build does not work here")?;
    let whole = whole.1.median_wall_us().max(1) as f64;
    let mut text = format!(
        "# What defences take of the start\n\n{rounds} rounds in turns of the test build, {:.2} ms from start to end as \
         the median; medians of the differences in each round.\n\n| defence | ms | share |\n|---|---:|---:|\n",
        whole / 1000.0
    );
    let check = added_us(&starts, WHOLE, UNCHECKED);
    let rows = OTHERS.iter().map(|name| (*name, added_us(&starts, UNCHECKED, name)));
    for (name, added) in [(UNCHECKED, check)].into_iter().chain(rows) {
        if let Some(us) = added {
            writeln!(text, "| {name} | {:.3} | {:.1} % |", us / 1000.0, 100.0 * us / whole)?;
        }
    }
    writeln!(text)?;
    told.iter().try_for_each(|line| writeln!(text, "- {line}"))?;
    let figure = check.map(|us| Figure {
        what: "self-check: its share of the start, in %",
        seen: 100.0 * us / whole,
        bar: Bar::AtMost(3.0),
    });
    Ok(Findings { text, picture: None, figures: figure.into_iter().collect() })
}

/// All start by way of env(1), which costs each the same.
fn contender(ground: &Ground, hooks: &Path, name: &'static str, without: &str) -> Contender {
    let mut words: Vec<OsString> =
        vec!["env".into(), ["PIPKIN_WITHOUT=", without].concat().into(), hooks.into()];
    words.extend(["run", "--rm", "--net", "none"].map(OsString::from));
    words.extend([ground.rootfs.clone().into(), "/bin/true".into()]);
    Contender { name, note: "", words }
}
