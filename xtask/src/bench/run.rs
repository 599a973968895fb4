//! `run --rm IMAGE /bin/true` from start to end, beside the floor and beside other programs.

use super::contender::{self, Contender, Ground};
use super::figure::{Bar, Figure, Findings};
use super::sample::Samples;
use super::standing::Standing;
use super::trace::{self, Trace};
use super::{plot, split, stopwatch};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;

/// Traced runs of the programs whose time is split into steps.
const TRACES: usize = 9;

/// One program with everything that was measured of it.
pub(super) struct Measured {
    pub(super) contender: Contender,
    pub(super) samples: Samples,
    /// At least one.
    pub(super) traces: Vec<Trace>,
}

/// Measures all that there are.
///
/// # Errors
/// A stopwatch or a trace that fails.
pub(super) fn measure(ground: &Ground, rounds: usize) -> Result<Findings> {
    let (working, told) = contender::working(contender::all(ground));
    told.iter().for_each(|line| println!("{line}"));
    let samples = stopwatch::run(&ground.stopwatch, rounds, &working)?;
    let mut measured = Vec::new();
    for (contender, samples) in working.into_iter().zip(samples) {
        let split = [contender::FLOOR, contender::PIPKIN].contains(&contender.name);
        let traces = (0..if split { TRACES } else { 1 }).map(|_| trace::run(ground, &contender));
        let traces = traces.collect::<Result<Vec<Trace>>>()?;
        measured.push(Measured { contender, samples, traces });
    }
    measured.extend(on_bridge(ground, rounds)?);
    let rows: Vec<_> = measured.iter().map(|one| (one.contender.name, &one.samples)).collect();
    Ok(Findings {
        text: report(&measured, &told)?,
        picture: Some(plot::svg(&rows)),
        figures: figures(&measured),
    })
}

/// Pipkin where another container keeps the bridge, by turns with the floor, which shows whether the machine has become
/// slower meanwhile.
fn on_bridge(ground: &Ground, rounds: usize) -> Result<Option<Measured>> {
    let Ok(_standing) = Standing::start(ground, &[]) else { return Ok(None) };
    let (working, _) = contender::working(contender::on_bridge(ground));
    let samples = stopwatch::run(&ground.stopwatch, rounds, &working)?;
    let joins = working.into_iter().zip(samples).find(|(one, _)| one.name == contender::PIPKIN_JOINS);
    let Some((contender, samples)) = joins else { return Ok(None) };
    let traces = vec![trace::run(ground, &contender)?];
    Ok(Some(Measured { contender, samples, traces }))
}

fn figures(measured: &[Measured]) -> Vec<Figure> {
    let median = |name: &str| {
        let one = measured.iter().find(|one| one.contender.name == name)?;
        Some(one.samples.median_wall_us() as f64)
    };
    let ratio = |what, own, other, bar| Some(Figure { what, seen: median(own)? / median(other)?, bar });
    let no_slower = Bar::AtMost(1.0);
    let all = [
        ratio("run, to the floor", contender::PIPKIN, contender::FLOOR, Bar::AtMost(1.25)),
        ratio("run, to crun without a cgroup", contender::PIPKIN, contender::CRUN_BARE, no_slower),
        ratio("run, to crun", contender::PIPKIN, contender::CRUN, no_slower),
        ratio("run on a standing bridge, to crun", contender::PIPKIN_JOINS, contender::CRUN, Bar::None),
        ratio("run with a bridge of its own, to crun", contender::PIPKIN_ALONE, contender::CRUN, Bar::None),
    ];
    all.into_iter().flatten().collect()
}

fn report(measured: &[Measured], told: &[String]) -> Result<String> {
    let rounds = measured.first().map_or(0, |first| first.samples.wall_us.len());
    let mut text = format!("# Start to end of a container that runs `true`\n\n{rounds} rounds in turns.");
    let load = fs::read_to_string("/proc/loadavg").context("reading /proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let processors = std::thread::available_parallelism().context("counting processors")?;
    writeln!(
        text,
        " Ratios are of medians, to the floor. {processors} processors, load {load} at the end.\n"
    )?;
    writeln!(text, "| program | ms, median | 10 % to 90 % | ratio | CPU ms | peak KiB | calls | execs |")?;
    writeln!(text, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
    let floor = measured.iter().find(|one| one.contender.name == contender::FLOOR);
    for one in measured {
        let ratio = floor.map_or(String::new(), |floor| {
            format!(
                "{:.2}",
                one.samples.median_wall_us() as f64 / floor.samples.median_wall_us().max(1) as f64
            )
        });
        let counts = one.traces.first().map(Trace::counts).unwrap_or_default();
        writeln!(
            text,
            "| {} | {} | {ratio} | {} | {} |",
            one.contender.name,
            one.samples.wall(),
            one.samples.rest(),
            counts
        )?;
    }
    writeln!(text)?;
    for one in measured.iter().filter(|one| !one.contender.note.is_empty()) {
        writeln!(text, "- {}: {}", one.contender.name, one.contender.note)?;
    }
    told.iter().try_for_each(|line| writeln!(text, "- {line}"))?;
    let pipkin = measured.iter().find(|one| one.contender.name == contender::PIPKIN);
    if let (Some(pipkin), Some(floor)) = (pipkin, floor) {
        text.push_str(&split::table(pipkin, floor)?);
    }
    Ok(text)
}
