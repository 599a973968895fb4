//! `bench`: how long things take and how much memory, beside the floor and beside other programs.
//!
//! Everything runs in turns in one session on this machine, so that ratios mean something where milliseconds do not.
//! Nothing here fails because it was slow.

mod boot;
mod bundle;
mod contender;
mod defence;
mod enclosure;
mod exec;
mod figure;
mod filter;
mod init;
mod log;
mod memory;
mod network;
mod oci;
mod plot;
mod podman;
mod run;
mod sample;
mod scale;
mod split;
mod standing;
mod state;
mod stopwatch;
mod trace;

use crate::build::{self, Arch, Face};
use crate::command;
use crate::rootfs::{self, Rootfs};
use crate::setup::{self, Program};
use anyhow::{Context, Result, bail};
use argh::FromArgs;
use contender::Ground;
use figure::Findings;
use std::fs;
use std::path::{Path, PathBuf};

/// Measure Pipkin against the raw system calls and against other programs.
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
pub(crate) struct Bench {
    /// rounds, in each of which every program runs once; 40 when left out
    #[argh(option, default = "40")]
    runs: usize,
    /// only this part, of run, exec, oci, init, memory, log, state, scale, network, filter, defence, boot; may be given
    /// several times
    #[argh(option)]
    part: Vec<String>,
    /// also boot emulated machines with Pipkin and with busybox as PID 1
    #[argh(switch)]
    boot: bool,
    /// set by the bench when it starts itself in namespaces of its own
    #[argh(switch)]
    enclosed: bool,
    /// set by the bench when it starts itself built with optimisation: a file to lease addresses in
    #[argh(option)]
    leases: Option<PathBuf>,
}

/// One part of the bench.
struct Part {
    name: &'static str,
    /// Whether it is measured when no part is named.
    usual: bool,
    measure: fn(&Ground, usize) -> Result<Findings>,
}

/// All parts, in the order they are measured in.
const PARTS: &[Part] = &[
    Part { name: "run", usual: true, measure: run::measure },
    Part { name: "exec", usual: true, measure: exec::measure },
    Part { name: "oci", usual: true, measure: oci::measure },
    Part { name: "init", usual: true, measure: init::measure },
    Part { name: "memory", usual: true, measure: memory::measure },
    Part { name: "log", usual: true, measure: log::measure },
    Part { name: "state", usual: true, measure: state::measure },
    Part { name: "scale", usual: true, measure: scale::measure },
    Part { name: "network", usual: true, measure: network::measure },
    Part { name: "filter", usual: true, measure: filter::measure },
    Part { name: "defence", usual: true, measure: defence::measure },
    Part { name: BOOT, usual: false, measure: boot::measure },
];
const BOOT: &str = "boot";

const NEEDED: &[Program] = &[
    Program { name: "musl-gcc", package: "musl-tools" },
    Program { name: "strace", package: "strace" },
    Program { name: "crun", package: "crun" },
    Program { name: "runc", package: "runc" },
    Program { name: "bwrap", package: "bubblewrap" },
    Program { name: "conmon", package: "conmon" },
    Program { name: podman::PROFILE, package: "golang-github-containers-common" },
    Program { name: "tini", package: "tini" },
    Program { name: "catatonit", package: "catatonit" },
    Program { name: "dumb-init", package: "dumb-init" },
];

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        if let Some(path) = &self.leases {
            println!("{}", network::lease_all(path)?);
            return Ok(());
        }
        if !setup::is_root()? {
            bail!("the bench starts containers as root: please run it with sudo");
        }
        if let Some(unknown) = self.part.iter().find(|name| !PARTS.iter().any(|part| part.name == **name)) {
            let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            bail!("there is no part {unknown}: give one of {}", names.join(", "));
        }
        setup::programs(NEEDED)?;
        let ground = prepare()?;
        if self.enclosed { self.measure(&ground) } else { enclosure::enter(&ground, &self.arguments()) }
    }

    /// Those that start this very bench once more, enclosed.
    fn arguments(&self) -> Vec<String> {
        let mut words = vec!["bench".into(), "--enclosed".into(), "--runs".into(), self.runs.to_string()];
        words.extend(self.part.iter().flat_map(|part| ["--part".into(), part.clone()]));
        words.extend(self.boot.then(|| "--boot".into()));
        words
    }

    fn is_wanted(&self, part: &Part) -> bool {
        (self.part.is_empty() && part.usual)
            || self.part.iter().any(|name| name == part.name)
            || (self.boot && part.name == BOOT)
    }

    fn measure(&self, ground: &Ground) -> Result<()> {
        let (mut figures, mut texts, mut failed) = (Vec::new(), String::new(), Vec::new());
        for part in PARTS.iter().filter(|part| self.is_wanted(part)) {
            println!("measuring: {}", part.name);
            let found = match (part.measure)(ground, self.runs) {
                Ok(found) => found,
                // The others took long enough: what they found is not lost.
                Err(error) => {
                    eprintln!("xtask: part {}: {error:#}", part.name);
                    failed.push(part.name);
                    continue;
                }
            };
            println!("\n{}", found.text);
            if let Some(picture) = found.picture {
                write(&ground.folder.join(format!("{}.svg", part.name)), &picture)?;
            }
            texts = texts + "\n" + &found.text;
            figures.extend(found.figures);
        }
        let table = figure::table(&figures);
        println!("\n{table}");
        write(&ground.folder.join("bench.md"), &(table + &texts))?;
        if failed.is_empty() { Ok(()) } else { bail!("parts that failed: {}", failed.join(", ")) }
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}

/// Builds the programs and lays out what they run in.
fn prepare() -> Result<Ground> {
    let folder = command::target().join("bench");
    let state = folder.join("state");
    fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
    let pipkin = build::static_binary(Arch::HOST, Face::All)?;
    let filter = write_filter(&folder)?;
    let floor = stopwatch::compile("floor", &[format!("-DFILTER=\"{}\"", filter.display())], &folder)?;
    let stopwatch = stopwatch::compile("stopwatch", &[], &folder)?;
    // Two copies: what the others do to the tree they run in must not be part of what Pipkin runs in.
    let (own, others) = (alpine(rootfs::obtain()?)?, alpine(rootfs::obtain_in(&folder.join("rootfs"))?)?);
    let bundle = bundle::write(&folder.join("bundle"), &others, &["/bin/true"])?;
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

#[cfg(test)]
mod tests {
    use super::{Bench, PARTS};

    #[test]
    fn the_usual_parts_are_measured_unless_some_are_named() {
        let wanted = |part: &[&str], boot| {
            let part = part.iter().map(ToString::to_string).collect();
            let bench = Bench { runs: 1, part, boot, enclosed: false, leases: None };
            PARTS.iter().filter(|part| bench.is_wanted(part)).map(|part| part.name).collect::<Vec<_>>()
        };
        assert_eq!(wanted(&["init", "boot"], false), ["init", "boot"]);
        assert_eq!(wanted(&["exec"], true), ["exec", "boot"]);
        assert!(!wanted(&[], false).contains(&"boot") && wanted(&[], false).contains(&"run"));
    }
}
