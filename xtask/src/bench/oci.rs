//! A container by the OCI interface, from `create` over `start` to `delete`, beside crun and runc.
//!
//! A small program in C stands for the engine: it calls the runtime three times and, before the last, waits for the
//! container as conmon and containerd's shim do.

use super::bundle;
use super::contender::{Contender, Ground, working};
use super::figure::{Bar, Figure, Findings};
use super::sample::Samples;
use super::trace::{self, Trace};
use super::{plot, stopwatch};
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::Path;

const PIPKIN: &str = "pipkin";
const CRUN: &str = "crun";
const RUNC: &str = "runc";
/// Stands between the engine's commands.
const SEPARATOR: &str = "+";

/// Measures all that there are.
///
/// # Errors
/// A Pipkin that does not work here, a stopwatch or a trace that fails.
pub(super) fn measure(ground: &Ground, rounds: usize) -> Result<Findings> {
    let engine = stopwatch::compile("engine", &[], &ground.folder)?;
    let bundle = bundle::write(&ground.folder.join("bundle-oci"), &ground.others, &["/bin/true"])?;
    let (working, told) = working(contenders(ground, &engine, &bundle));
    let samples = stopwatch::run(&ground.stopwatch, rounds, &working)?;
    let traces = working.iter().map(|one| trace::run(ground, one)).collect::<Result<Vec<Trace>>>()?;
    let mut text = format!(
        "# `create`, `start` and `delete` of a container that runs `true`\n\n{rounds} rounds in turns. Ratios are of \
         medians, to Pipkin.\n\n| runtime | ms, median | 10 % to 90 % | ratio | CPU ms | peak KiB | calls | execs |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    let place = |name: &str| working.iter().position(|one| one.name == name);
    let median = |name: &str| Some(samples.get(place(name)?)?.median_wall_us().max(1) as f64);
    let calls = |name: &str| Some(traces.get(place(name)?)?.begun() as f64);
    let own = median(PIPKIN).context("Pipkin does not work here")?;
    let own_calls = calls(PIPKIN).unwrap_or_default();
    for ((contender, samples), trace) in working.iter().zip(&samples).zip(&traces) {
        let ratio = samples.median_wall_us() as f64 / own;
        let (wall, rest, counts) = (samples.wall(), samples.rest(), trace.counts());
        writeln!(text, "| {} | {wall} | {ratio:.2} | {rest} | {counts} |", contender.name)?;
    }
    writeln!(text)?;
    for one in working.iter().filter(|one| !one.note.is_empty()) {
        writeln!(text, "- {}: {}", one.name, one.note)?;
    }
    told.iter().try_for_each(|line| writeln!(text, "- {line}"))?;
    let figure = |what, seen: Option<f64>, most| Some(Figure { what, seen: seen?, bar: Bar::AtMost(most) });
    let figures = [
        figure("create, start, delete, to crun", median(CRUN).map(|other| own / other), 1.0 / 1.5),
        figure("create, start, delete, to runc", median(RUNC).map(|other| own / other), 1.0 / 5.0),
        figure("their system calls, to crun", calls(CRUN).map(|other| own_calls / other), 1.0),
        figure("their system calls, to runc", calls(RUNC).map(|other| own_calls / other), 1.0),
    ];
    let rows: Vec<(&str, &Samples)> = working.iter().map(|one| one.name).zip(&samples).collect();
    Ok(Findings { text, picture: Some(plot::svg(&rows)), figures: figures.into_iter().flatten().collect() })
}

fn contenders(ground: &Ground, engine: &Path, bundle: &Path) -> Vec<Contender> {
    let words = |program: &OsStr, name: &str, options: &[&str]| {
        let mut runtime = vec![program.to_owned(), "--root".into(), ground.state.join(name).into_os_string()];
        runtime.extend(options.iter().map(OsString::from));
        let id = OsString::from(format!("pipkin-bench-oci-{name}"));
        let bundle: &OsStr = bundle.as_os_str();
        let verbs: [&[&OsStr]; 3] = [
            &["create".as_ref(), "--bundle".as_ref(), bundle, &id],
            &["start".as_ref(), &id],
            &["delete".as_ref(), &id],
        ];
        let mut words = vec![engine.as_os_str().to_owned()];
        for verb in verbs {
            words.push(SEPARATOR.into());
            words.extend(runtime.iter().cloned().chain(verb.iter().map(|&word| word.to_owned())));
        }
        words
    };
    vec![
        Contender { name: PIPKIN, note: "", words: words(ground.pipkin.as_os_str(), PIPKIN, &[]) },
        Contender {
            name: "crun, no cgroup",
            note: "no cgroup",
            words: words(CRUN.as_ref(), "crun-bare", &["--cgroup-manager=disabled"]),
        },
        Contender { name: CRUN, note: "", words: words(CRUN.as_ref(), CRUN, &["--cgroup-manager=cgroupfs"]) },
        Contender { name: RUNC, note: "", words: words(RUNC.as_ref(), RUNC, &[]) },
    ]
}
