//! `bench`: how long a container takes that does nothing, beside the floor and beside other programs.
//!
//! Everything runs in turns in one session on this machine, so that ratios mean something where milliseconds do not.
//! Nothing here fails because it was slow.

mod boot;
mod bundle;
mod contender;
mod init;
mod plot;
mod sample;
mod split;
mod stopwatch;
mod trace;

use crate::build::{self, Arch};
use crate::rootfs::{self, Rootfs};
use crate::setup::{self, Program};
use crate::{cgroup, command};
use anyhow::{Context, Result, bail};
use argh::FromArgs;
use contender::{Contender, Ground};
use sample::Samples;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use trace::Trace;

/// Measure `run --rm IMAGE /bin/true` against the raw system calls and against other programs.
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
pub(crate) struct Bench {
    /// rounds, in each of which every program runs once; 40 when left out
    #[argh(option, default = "40")]
    runs: usize,
    /// also boot emulated machines with Pipkin and with busybox as PID 1
    #[argh(switch)]
    boot: bool,
}

/// Boots of each: a few seconds every time.
const BOOTS: usize = 5;

const NEEDED: &[Program] = &[
    Program { name: "musl-gcc", package: "musl-tools" },
    Program { name: "strace", package: "strace" },
    Program { name: "crun", package: "crun" },
    Program { name: "runc", package: "runc" },
    Program { name: "bwrap", package: "bubblewrap" },
    Program { name: "tini", package: "tini" },
    Program { name: "catatonit", package: "catatonit" },
    Program { name: "dumb-init", package: "dumb-init" },
];

/// Traced runs of the programs whose time is split into steps.
const TRACES: usize = 9;

/// One program with everything that was measured of it.
struct Measured {
    contender: Contender,
    samples: Samples,
    /// At least one.
    traces: Vec<Trace>,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        if !setup::is_root()? {
            bail!("the bench starts containers as root: please run it with sudo");
        }
        setup::programs(NEEDED)?;
        if !cgroup::is_unified()? {
            return self.run_unified();
        }
        let ground = prepare()?;
        let (working, told) = contender::working(contender::all(&ground));
        told.iter().for_each(|line| println!("{line}"));
        let samples = stopwatch::run(&ground.stopwatch, self.runs, &working)?;
        let mut measured = Vec::new();
        for (contender, samples) in working.into_iter().zip(samples) {
            let split = [contender::FLOOR, contender::PIPKIN].contains(&contender.name);
            let traces = (0..if split { TRACES } else { 1 }).map(|_| trace::run(&ground, &contender));
            let traces = traces.collect::<Result<Vec<Trace>>>()?;
            measured.push(Measured { contender, samples, traces });
        }
        let mut report = report(&measured, &told)? + &init::table(&ground, self.runs)?;
        if self.boot {
            report += &boot::table(&ground, BOOTS)?;
        }
        println!("\n{report}");
        let (text, picture) = (ground.folder.join("run.md"), ground.folder.join("run.svg"));
        fs::write(&text, report).with_context(|| format!("writing {}", text.display()))?;
        fs::write(&picture, plot::svg(&measured))
            .with_context(|| format!("writing {}", picture.display()))?;
        println!("written: {}, {}", text.display(), picture.display());
        Ok(())
    }
}

impl Bench {
    /// Starts this verb once more, where `/sys/fs/cgroup` is the v2 hierarchy: on a machine with the old ones beside
    /// it crun refuses to work, and every program has other things to do. The mount is seen by that process alone.
    fn run_unified(&self) -> Result<()> {
        println!(
            "The old cgroup hierarchies are mounted here; the bench sees the unified one in their place."
        );
        let own = std::env::current_exe().context("finding this program")?;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-c"]);
        unshare.args(["mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"", "sh"]).arg(own);
        unshare.args(["bench", "--runs", &self.runs.to_string()]);
        if self.boot {
            unshare.arg("--boot");
        }
        command::run(&mut unshare)
    }
}

/// Builds the programs and lays out what they run in.
fn prepare() -> Result<Ground> {
    let folder = command::target().join("bench");
    let state = folder.join("state");
    fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
    let pipkin = build::static_binary(Arch::HOST, "")?;
    let filter = write_filter(&folder)?;
    let floor = stopwatch::compile("floor", &[format!("-DFILTER=\"{}\"", filter.display())], &folder)?;
    let stopwatch = stopwatch::compile("stopwatch", &[], &folder)?;
    // Two copies: what the others do to the tree they run in must not be part of what Pipkin runs in.
    let (own, others) = (alpine(rootfs::obtain()?)?, alpine(rootfs::obtain_in(&folder.join("rootfs"))?)?);
    let bundle = bundle::write(&folder, &others)?;
    Ok(Ground { folder, state, pipkin, floor, stopwatch, rootfs: own, others, bundle })
}

/// Writes Pipkin's default filter as the C source that the floor includes.
fn write_filter(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("filter.h");
    let numbers =
        pipkin::bpf::default::NATIVE.program.iter().map(|instruction| format!("{instruction:#018x}ull,\n"));
    fs::write(&path, numbers.collect::<String>()).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn alpine(found: Rootfs) -> Result<PathBuf> {
    match found {
        Rootfs::Alpine { path, .. } => Ok(path),
        Rootfs::Nothing(why) => bail!("the bench needs Alpine: {why}"),
    }
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
