//! What a filter costs: each system call under it, and the start of a container with it.
//!
//! The runtimes have podman's profile, resolved as podman resolves it for the same capabilities; Pipkin has its own.
//! Some of the cost is the kernel's way to any filter: the least filter there can be shows how much.

use super::contender::{Contender, Ground, working};
use super::figure::{Bar, Figure, Findings};
use super::sample::Samples;
use super::{bundle, podman, stopwatch};
use crate::command;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The program that makes the calls, in every root file system.
const CALLS: &str = "/calls";
/// More rounds than this tell no more: each is a median of many thousand calls, and the lowest counts. A processor that
/// is shared with other machines has a fast and a slow time, and a median over both tells which of them a program met.
const MOST_ROUNDS: usize = 20;
const NONE: &str = "no filter";
const LEAST: &str = "the least filter";
const PIPKIN: &str = "pipkin";
const CRUN: &str = "crun";
const RUNC: &str = "runc";
/// Calls that the bar was set for: one that is always allowed, and one whose argument is looked at.
const UNCONDITIONAL: &str = "getppid";
const CONDITIONAL: &str = "personality";

/// Measures all that there are.
///
/// # Errors
/// A program that cannot be compiled, a stopwatch that fails.
pub(super) fn measure(ground: &Ground, rounds: usize) -> Result<Findings> {
    let calls = stopwatch::compile("calls", &[], &ground.folder)?;
    let inside = ground.others.join(CALLS.trim_start_matches('/'));
    fs::copy(&calls, &inside).with_context(|| format!("writing {}", inside.display()))?;
    let bundles = Bundles::write(ground)?;
    let (callers, mut told) = working(callers(ground, &calls, &bundles));
    let costs = Costs::measure(&callers, rounds.min(MOST_ROUNDS))?;
    let (starters, more) = working(starters(ground, &bundles));
    told.extend(more);
    let samples = stopwatch::run(&ground.stopwatch, rounds, &starters)?;
    let starts: Vec<(&str, &Samples)> = starters.iter().map(|one| one.name).zip(&samples).collect();
    let mut text = costs.table()? + &starts_table(&starts, rounds)?;
    told.iter().try_for_each(|line| writeln!(text, "- {line}"))?;
    Ok(Findings { text, picture: None, figures: figures(&costs, &starts) })
}

fn figures(costs: &Costs, starts: &[(&str, &Samples)]) -> Vec<Figure> {
    let third = Bar::AtMost(1.0 / 3.0);
    let ratio = |what, call, least, bar| {
        let (own, other) = (costs.added(call, PIPKIN)?, costs.added(call, CRUN)?);
        let floor = if least { costs.added(call, LEAST)? } else { 0.0 };
        Some(Figure { what, seen: (own - floor) / (other - floor), bar })
    };
    let start = added_us(starts, PIPKIN, NONE).map(|us| Figure {
        what: "filter: what it adds to the start, in ms",
        seen: us / 1000.0,
        bar: Bar::AtMost(0.1),
    });
    [
        ratio("filter: cost of an unconditional call, to crun's", UNCONDITIONAL, false, third),
        ratio("filter: cost of a call with argument rules, to crun's", CONDITIONAL, false, third),
        ratio("the same without what any filter costs", CONDITIONAL, true, third),
        start,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Bundles of the runtimes: `true` without a filter and with podman's, and the calls with podman's.
struct Bundles {
    plain: PathBuf,
    filtered: PathBuf,
    calls: PathBuf,
}

impl Bundles {
    fn write(ground: &Ground) -> Result<Self> {
        let folder = |name: &str| ground.folder.join(name);
        let write = |name: &str, command: &str| bundle::write(&folder(name), &ground.others, &[command]);
        let this = Self {
            plain: write("bundle-plain", "/bin/true")?,
            filtered: write("bundle-filtered", "/bin/true")?,
            calls: write("bundle-calls", CALLS)?,
        };
        podman::add_filter(&this.filtered)?;
        podman::add_filter(&this.calls)?;
        Ok(this)
    }
}

fn pipkin(ground: &Ground, name: &'static str, options: &[&str], command: &[&str]) -> Contender {
    let mut words = vec![ground.pipkin.clone().into_os_string()];
    words.extend(["run", "--rm", "--net", "none"].iter().chain(options).map(OsString::from));
    words.push(ground.rootfs.clone().into());
    words.extend(command.iter().map(OsString::from));
    Contender { name, note: "", words }
}

fn oci(ground: &Ground, name: &'static str, program: &str, bundle: &Path) -> Contender {
    let mut words: Vec<OsString> = vec![program.into(), "--root".into()];
    words.push(ground.state.join(program).into());
    words.extend(["run", "--bundle"].map(OsString::from));
    words.extend([bundle.into(), ["pipkin-bench-filter-", program].concat().into()]);
    Contender { name, note: "", words }
}

const UNCONFINED: [&str; 2] = ["--security-opt", "seccomp=unconfined"];

fn callers(ground: &Ground, calls: &Path, bundles: &Bundles) -> Vec<Contender> {
    let volume = [&calls.to_string_lossy(), ":", CALLS, ":ro"].concat();
    let shown = ["-v", &volume];
    let open = [shown, UNCONFINED].concat();
    vec![
        pipkin(ground, NONE, &open, &[CALLS]),
        pipkin(ground, LEAST, &open, &[CALLS, "least"]),
        pipkin(ground, PIPKIN, &shown, &[CALLS]),
        oci(ground, CRUN, "crun", &bundles.calls),
        oci(ground, RUNC, "runc", &bundles.calls),
    ]
}

const CRUN_PLAIN: &str = "crun without";
const RUNC_PLAIN: &str = "runc without";

fn starters(ground: &Ground, bundles: &Bundles) -> Vec<Contender> {
    vec![
        pipkin(ground, NONE, &UNCONFINED, &["/bin/true"]),
        pipkin(ground, PIPKIN, &[], &["/bin/true"]),
        oci(ground, CRUN_PLAIN, "crun", &bundles.plain),
        oci(ground, CRUN, "crun", &bundles.filtered),
        oci(ground, RUNC_PLAIN, "runc", &bundles.plain),
        oci(ground, RUNC, "runc", &bundles.filtered),
    ]
}

/// How much longer `with` takes than `without`, in microseconds: the median over rounds, each of which ran both.
pub(super) fn added_us(starts: &[(&str, &Samples)], with: &str, without: &str) -> Option<f64> {
    let of =
        |wanted: &str| starts.iter().find(|(name, _)| *name == wanted).map(|(_, samples)| &samples.wall_us);
    let mut added: Vec<i64> =
        of(with)?.iter().zip(of(without)?).map(|(a, b)| *a as i64 - *b as i64).collect();
    added.sort_unstable();
    added.get(added.len() / 2).map(|us| *us as f64)
}

fn starts_table(starts: &[(&str, &Samples)], rounds: usize) -> Result<String> {
    let mut text = format!(
        "\n# What a filter adds to the start of a container\n\n{rounds} rounds in turns; the median of the differences \
         in each round.\n\n| program | added, ms |\n|---|---:|\n"
    );
    for (with, without) in [(PIPKIN, NONE), (CRUN, CRUN_PLAIN), (RUNC, RUNC_PLAIN)] {
        if let Some(us) = added_us(starts, with, without) {
            writeln!(text, "| {with} | {:.3} |", us / 1000.0)?;
        }
    }
    Ok(text + "\n")
}

/// What calls took.
struct Costs {
    rounds: usize,
    /// Each program by its name.
    programs: Vec<(&'static str, Kinds)>,
}

/// What each kind of call took in each round, in tenths of nanoseconds.
type Kinds = Vec<(String, Vec<u64>)>;

impl Costs {
    fn measure(callers: &[Contender], rounds: usize) -> Result<Self> {
        let mut programs: Vec<(&str, Kinds)> = callers.iter().map(|one| (one.name, Vec::new())).collect();
        for round in 0..rounds {
            for step in 0..callers.len() {
                let place = (round + step) % callers.len();
                let (Some(caller), Some((_, kinds))) = (callers.get(place), programs.get_mut(place)) else {
                    continue;
                };
                let said = command::output(&mut caller.command())?;
                said.lines()
                    .try_for_each(|line| push(kinds, line))
                    .with_context(|| format!("reading {said:?}"))?;
            }
        }
        Ok(Self { rounds, programs })
    }

    /// What a call takes under `program`, in nanoseconds: in the round where it took least.
    fn least(&self, call: &str, program: &str) -> Option<f64> {
        let (_, kinds) = self.programs.iter().find(|(name, _)| *name == program)?;
        let (_, took) = kinds.iter().find(|(name, _)| name == call)?;
        Some(*took.iter().min()? as f64 / 10.0)
    }

    /// How much more it takes there than without a filter.
    fn added(&self, call: &str, program: &str) -> Option<f64> {
        Some(self.least(call, program)? - self.least(call, NONE)?)
    }

    fn table(&self) -> Result<String> {
        let mut text = format!(
            "# What a filter costs a system call\n\nIn nanoseconds, the least of {} rounds in turns, each of them a median. crun and runc have \
             podman's profile, which looks at no argument of clone, ioctl and prctl.\n\n| call | {NONE} | {LEAST} \
             adds | pipkin adds | crun adds | runc adds | pipkin to crun |\n|---|---:|---:|---:|---:|---:|---:|\n",
            self.rounds
        );
        let kinds = self.programs.first().map(|(_, kinds)| kinds.as_slice()).unwrap_or_default();
        for (call, _) in kinds {
            let cell = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
            let added = [LEAST, PIPKIN, CRUN, RUNC].map(|program| cell(self.added(call, program)));
            let ratio = self.added(call, PIPKIN).zip(self.added(call, CRUN)).map(|(own, other)| own / other);
            let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            writeln!(
                text,
                "| {call} | {} | {} | {ratio} |",
                cell(self.least(call, NONE)),
                added.join(" | ")
            )?;
        }
        Ok(text)
    }
}

/// Takes a line `NAME TENTHS`.
fn push(kinds: &mut Kinds, line: &str) -> Option<()> {
    let (name, tenths) = line.split_once(' ')?;
    let tenths = tenths.parse().ok()?;
    match kinds.iter_mut().find(|(known, _)| known == name) {
        Some((_, took)) => took.push(tenths),
        None => kinds.push((name.to_owned(), vec![tenths])),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{Costs, NONE, PIPKIN, push};

    #[test]
    fn what_is_added_is_the_difference_of_the_least() {
        let (mut plain, mut own) = (Vec::new(), Vec::new());
        ["getppid 100", "getppid 120", "getppid 900"].iter().for_each(|line| push(&mut plain, line).unwrap());
        ["getppid 150", "getppid 150", "getppid 150"].iter().for_each(|line| push(&mut own, line).unwrap());
        assert_eq!(push(&mut own, "getppid"), None);
        let costs = Costs { rounds: 3, programs: vec![(NONE, plain), (PIPKIN, own)] };
        assert_eq!(costs.added("getppid", PIPKIN), Some(5.0));
        assert!(costs.table().unwrap().contains("| getppid | 10 | - | 5 | - | - | - |"));
    }
}
