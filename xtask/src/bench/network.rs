//! Bridge mode: what it adds to a start, what passes through it, and what many containers cost.

mod throughput;

use super::contender::{Contender, Ground, working};
use super::figure::{Bar, Figure, Findings};
use super::sample::{Samples, percentile};
use super::standing::Standing;
use super::stopwatch;
use crate::command;
use anyhow::{Context, Result};
use pipkin::host::lease::{Leases, Owner};
use pipkin::netlink::wire::ip::Cidr;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The bridge that Pipkin's containers are on unless told otherwise.
const BRIDGE: &str = "pipkin0";
/// How many containers there are at most.
const MANY: usize = 500;
/// Addresses that a /16 has to give, and how many are leased between two looks at the clock.
const ALL: u32 = 65_533;
const AT_ONCE: u32 = 64;

/// Measures it all.
///
/// # Errors
/// A container that cannot be made, a program that fails.
pub(super) fn measure(ground: &Ground, rounds: usize) -> Result<Findings> {
    let standing = Standing::start(ground, &[])?;
    let mut found = set_up(ground, rounds)?;
    let passed = throughput::measure(ground, &standing)?;
    drop(standing);
    let many = many(ground, rounds.min(20))?;
    let leased = leases(&ground.state)?;
    found.text = [found.text, passed.text, many.text].concat();
    found.figures.extend(passed.figures.into_iter().chain(many.figures).chain([leased]));
    Ok(found)
}

/// What bridge mode adds to Pipkin's start, beside what the same netlink calls take and the same by `ip` programs.
fn set_up(ground: &Ground, rounds: usize) -> Result<Findings> {
    let floor = floor(ground)?;
    let by = |mode| by(&floor, mode);
    let contenders = vec![
        Contender { name: "namespace only", note: "", words: by("none") },
        Contender { name: "netlink calls", note: "", words: by("netlink") },
        Contender { name: "ip programs", note: "", words: by("ip") },
        Contender { name: "pipkin, no network", note: "", words: run(ground, "none") },
        Contender { name: "pipkin, bridge", note: "", words: run(ground, "bridge") },
    ];
    let names: Vec<&str> = contenders.iter().map(|one| one.name).collect();
    let (working, told) = working(contenders);
    let samples = stopwatch::run(&ground.stopwatch, rounds, &working)?;
    let mut text = format!(
        "# Bridge mode, on a bridge that is there\n\n{rounds} rounds in turns.\n\n\
         | program | ms, median | 10 % to 90 % | CPU ms | peak KiB |\n|---|---:|---:|---:|---:|\n"
    );
    for (one, samples) in working.iter().zip(&samples) {
        writeln!(text, "| {} | {} | {} |", one.name, samples.wall(), samples.rest())?;
    }
    writeln!(text)?;
    told.iter().try_for_each(|line| writeln!(text, "- {line}"))?;
    let median = |place: usize| {
        let name = names.get(place)?;
        let found = working.iter().position(|one| one.name == *name)?;
        samples.get(found).map(|samples| samples.median_wall_us() as f64)
    };
    // What each adds to itself without a network. A difference of two medians can come out below nothing.
    let added = |with, without| Some((median(with)? - median(without)?).max(1.0));
    let pipkin = added(4, 3).context("pipkin does not work here")?;
    let figures = [
        Some(Figure { what: "bridge mode adds, µs", seen: pipkin, bar: Bar::None }),
        added(1, 0).map(|floor| {
            let what = "bridge mode, to the same netlink calls";
            Figure { what, seen: pipkin / floor, bar: Bar::AtMost(1.3) }
        }),
        added(2, 0).map(|programs| {
            let what = "the same by ip programs, to bridge mode";
            Figure { what, seen: programs / pipkin, bar: Bar::AtLeast(5.0) }
        }),
    ];
    Ok(Findings { text, picture: None, figures: figures.into_iter().flatten().collect() })
}

/// The minimal netlink program.
fn floor(ground: &Ground) -> Result<PathBuf> {
    let headers = ["-idirafter".into(), "/usr/include".into(), "-idirafter".into(), multiarch()];
    stopwatch::compile("network", &headers, &ground.folder)
}

fn by(floor: &Path, mode: &str) -> Vec<OsString> {
    [floor.as_os_str().to_owned(), mode.into(), BRIDGE.into()].to_vec()
}

/// Where this machine's compiler has the kernel's headers for its architecture.
fn multiarch() -> String {
    format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH)
}

fn run(ground: &Ground, network: &str) -> Vec<OsString> {
    let mut words = vec![ground.pipkin.clone().into_os_string()];
    words.extend(["run", "--rm", "--net", network].map(OsString::from));
    words.extend([ground.rootfs.clone().into(), "/bin/true".into()]);
    words
}

/// One more container, beside one and beside all but one of many; and what the kernel takes longer by itself then, which
/// the minimal netlink program shows: it floods what a new link sends to all links of the bridge.
fn many(ground: &Ground, rounds: usize) -> Result<Findings> {
    let floor = floor(ground)?;
    let mut crowd = Crowd { ground, ids: Vec::new() };
    let mut text = String::from(
        "\n# One more container on a bridge\n\n| it is the | ms, median | 10 % to 90 % | the same netlink calls, ms | 10 % to 90 % |\n\
         |---|---:|---:|---:|---:|\n",
    );
    let mut medians = Vec::new();
    for count in [1, MANY - 1] {
        crowd.grow(count)?;
        let contenders = [
            Contender { name: "one more", note: "", words: run(ground, "bridge") },
            Contender { name: "netlink calls", note: "", words: by(&floor, "netlink") },
        ];
        let samples: Vec<Samples> = stopwatch::run(&ground.stopwatch, rounds, &contenders)?;
        let [one, least] = &samples[..] else { anyhow::bail!("the stopwatch has lost a command") };
        writeln!(text, "| {}. | {} | {} |", count + 1, one.wall(), least.wall())?;
        medians.push([one, least].map(|samples| samples.median_wall_us().max(1) as f64));
    }
    drop(crowd);
    let [[first, least], [last, least_last]] = medians[..] else { return Ok(Findings::default()) };
    let kernel = (least_last - least).max(0.0);
    let figure = |what, seen, bar| Figure { what, seen, bar };
    let figures = vec![
        figure("the 500th container on a bridge, to the second", last / first, Bar::AtMost(1.5)),
        figure("of that the kernel's own, as the same netlink calls show", kernel / first, Bar::None),
    ];
    Ok(Findings { text, picture: None, figures })
}

/// Containers that wait, until this is dropped.
struct Crowd<'g> {
    ground: &'g Ground,
    ids: Vec<String>,
}

impl Crowd<'_> {
    fn grow(&mut self, count: usize) -> Result<()> {
        while self.ids.len() < count {
            let mut run = Command::new(&self.ground.pipkin);
            run.args(["run", "-d"]).arg(&self.ground.rootfs).args(super::standing::WAIT);
            self.ids.push(command::output(&mut run)?.trim().to_owned());
        }
        Ok(())
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        for some in self.ids.chunks(50) {
            let mut remove = Command::new(&self.ground.pipkin);
            if command::output(remove.args(["rm", "-f"]).args(some)).is_err() {
                eprintln!("xtask: of {} containers some are left behind", some.len());
            }
        }
    }
}

/// How many addresses of a whole /16 are leased in a second, each by an opening of the file of its own: by this program
/// built with optimisation, since all else here is measured of what is shipped.
fn leases(folder: &Path) -> Result<Figure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut optimised = Command::new(cargo);
    optimised.args(["run", "--quiet", "--release", "--package", "xtask", "--", "bench", "--leases"]);
    let seen = command::output(optimised.arg(folder.join("leases")))?;
    let seen = seen.trim().parse().context("reading how many addresses were leased")?;
    Ok(Figure { what: "addresses leased in a second", seen, bar: Bar::AtLeast(50_000.0) })
}

/// The median over all addresses, from one thread.
pub(super) fn lease_all(path: &Path) -> Result<u64> {
    let gateway = Cidr::parse("172.20.0.1/16").context("a subnet")?;
    let file: OwnedFd =
        fs::File::options().read(true).write(true).create(true).truncate(true).open(path)?.into();
    let lease = |number: u32| -> Result<()> {
        let mut leases = Leases::open(file.try_clone()?, gateway).map_err(told)?;
        leases.allocate(Owner::new(&number.to_le_bytes())).map(drop).map_err(told)
    };
    let mut taken_ns = Vec::new();
    for some in 0..ALL / AT_ONCE {
        let start = Instant::now();
        (0..AT_ONCE).try_for_each(|number| lease(some * AT_ONCE + number))?;
        taken_ns.push(u64::try_from(start.elapsed().as_nanos())?);
    }
    (ALL / AT_ONCE * AT_ONCE..ALL).try_for_each(lease)?;
    anyhow::ensure!(lease(ALL).is_err(), "a /16 has more than {ALL} addresses");
    fs::remove_file(path)?;
    Ok(u64::from(AT_ONCE) * 1_000_000_000 / percentile(&taken_ns, 50).max(1))
}

fn told(error: pipkin::error::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}
