//! One more command in a container that runs, beside nsenter and the OCI runtimes' `exec`.
//!
//! Each program enters a container of its own making; nsenter, which makes none, enters Pipkin's.

use super::contender::{Contender, Ground, working};
use super::figure::{Bar, Figure, Findings};
use super::sample::Samples;
use super::standing::{self, Standing};
use super::trace::{self, Trace};
use super::{bundle, plot, stopwatch};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

const NSENTER: &str = "nsenter";
const PIPKIN: &str = "pipkin exec";

/// Measures all that there are.
///
/// # Errors
/// A container of Pipkin's that cannot be made, a stopwatch or a trace that fails.
pub(super) fn measure(ground: &Ground, rounds: usize) -> Result<Findings> {
    let standing = Standing::start(ground, &["--net", "none"])?;
    let _others = Others::start(ground)?;
    let (working, told) = working(contenders(ground, standing.pid));
    let samples = stopwatch::run(&ground.stopwatch, rounds, &working)?;
    let mut text = format!(
        "# `true` as a further command in a running container\n\n{rounds} rounds in turns. Ratios are of medians, to \
         nsenter.\n\n| program | ms, median | 10 % to 90 % | ratio | CPU ms | peak KiB | calls | execs |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    let named = |name: &str| {
        let place = working.iter().position(|one| one.name == name)?;
        samples.get(place).map(|samples| samples.median_wall_us().max(1) as f64)
    };
    let base = named(NSENTER).unwrap_or(1.0);
    for (contender, samples) in working.iter().zip(&samples) {
        let (ratio, counts) = (samples.median_wall_us() as f64 / base, trace::run(ground, contender)?);
        let (wall, rest, counts) = (samples.wall(), samples.rest(), Trace::counts(&counts));
        writeln!(text, "| {} | {wall} | {ratio:.2} | {rest} | {counts} |", contender.name)?;
    }
    writeln!(text)?;
    for one in working.iter().filter(|one| !one.note.is_empty()) {
        writeln!(text, "- {}: {}", one.name, one.note)?;
    }
    told.iter().try_for_each(|line| writeln!(text, "- {line}"))?;
    let own = named(PIPKIN).context("pipkin exec does not work here")?;
    let ratio = |what, other: &str, most| {
        named(other).map(|other| Figure { what, seen: own / other, bar: Bar::AtMost(most) })
    };
    let figures =
        [ratio("exec, to nsenter", NSENTER, 1.3), ratio("exec, to crun without a cgroup", CRUN_BARE, 1.0)];
    let rows: Vec<(&str, &Samples)> = working.iter().map(|one| one.name).zip(&samples).collect();
    Ok(Findings { text, picture: Some(plot::svg(&rows)), figures: figures.into_iter().flatten().collect() })
}

const CRUN_BARE: &str = "crun exec, no cgroup";

fn contenders(ground: &Ground, pid: u32) -> Vec<Contender> {
    let command = "/bin/true";
    let of = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let mut pipkin = vec![ground.pipkin.clone().into_os_string()];
    pipkin.extend(of(&["exec", standing::NAME, command]));
    let oci = |engine: &Engine| {
        let mut words = engine.words(ground);
        words.extend(of(&["exec", engine.id, command]));
        words
    };
    let [bare, crun, runc] = &ENGINES;
    vec![
        Contender {
            name: NSENTER,
            note: "no cgroup, no user, no capabilities, no filter, nobody who reaps",
            words: of(&[NSENTER, "--all", "--target", &pid.to_string(), command]),
        },
        Contender { name: PIPKIN, note: "", words: pipkin },
        Contender { name: CRUN_BARE, note: "no cgroup, no filter", words: oci(bare) },
        Contender { name: "crun exec", note: "no filter", words: oci(crun) },
        Contender { name: "runc exec", note: "no filter", words: oci(runc) },
    ]
}

/// An OCI runtime and the container that it makes.
struct Engine {
    program: &'static str,
    options: &'static [&'static str],
    id: &'static str,
}

const ENGINES: [Engine; 3] = [
    Engine { program: "crun", options: &["--cgroup-manager=disabled"], id: "pipkin-bench-bare" },
    Engine { program: "crun", options: &["--cgroup-manager=cgroupfs"], id: "pipkin-bench-crun" },
    Engine { program: "runc", options: &[], id: "pipkin-bench-runc" },
];

impl Engine {
    /// The program with the options that stand before a verb.
    fn words(&self, ground: &Ground) -> Vec<OsString> {
        let mut words =
            vec![self.program.into(), "--root".into(), ground.state.join(self.id).into_os_string()];
        words.extend(self.options.iter().map(OsString::from));
        words
    }

    fn run(&self, ground: &Ground, words: &[&OsString]) -> bool {
        let mut all = self.words(ground).into_iter();
        let mut command = Command::new(all.next().unwrap_or_default());
        command.args(all).args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// Containers of the engines that wait, until this is dropped.
struct Others<'g> {
    ground: &'g Ground,
}

impl<'g> Others<'g> {
    fn start(ground: &'g Ground) -> Result<Self> {
        let bundle = bundle::write(&ground.folder.join("bundle-wait"), &ground.others, &standing::WAIT)?;
        for engine in &ENGINES {
            let words = ["run", "--detach", "--bundle"].map(OsString::from);
            let (bundle, id) = (bundle.clone().into_os_string(), OsString::from(engine.id));
            // One that cannot is told of when it is called.
            engine.run(ground, &words.iter().chain([&bundle, &id]).collect::<Vec<_>>());
        }
        Ok(Self { ground })
    }
}

impl Drop for Others<'_> {
    fn drop(&mut self) {
        for engine in &ENGINES {
            let words = ["delete", "--force", engine.id].map(OsString::from);
            // One that made no container has none to delete.
            engine.run(self.ground, &words.iter().collect::<Vec<_>>());
        }
    }
}
