//! What stands by while a container of the background does nothing: Pipkin's supervisor, and what engines have in its
//! place.

use super::bundle;
use super::contender::Ground;
use super::figure::{Bar, Figure, Findings};
use super::init::read_share;
use super::standing::{self, Standing};
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(10);
/// Longer than any of them takes to settle down.
const SETTLED: Duration = Duration::from_secs(3);

/// One that stands by.
struct Bystander {
    name: &'static str,
    pid: u32,
}

/// Measures all that there are.
///
/// # Errors
/// A container of Pipkin's that cannot be made; a bystander that ends.
pub(super) fn measure(ground: &Ground, _rounds: usize) -> Result<Findings> {
    let standing = Standing::start(ground, &["--net", "none"])?;
    let mut bystanders = vec![Bystander { name: "pipkin", pid: standing.supervisor }];
    let mut told = Vec::new();
    let conmon = Conmon::start(ground);
    match &conmon {
        Ok(conmon) => bystanders.push(Bystander { name: "conmon", pid: conmon.pid }),
        Err(error) => told.push(format!("conmon does not work here: {error:#}")),
    }
    sleep(SETTLED);
    let before = bystanders.iter().map(|one| switches(one.pid)).collect::<Result<Vec<_>>>()?;
    sleep(IDLE);
    let mut text = format!(
        "# What stands by a container that sleeps\n\n| program | KiB | wake-ups in {} s |\n|---|---:|---:|\n",
        IDLE.as_secs()
    );
    let mut figures = Vec::new();
    for (one, before) in bystanders.iter().zip(before) {
        let (share_kib, woken) = (read_share(one.pid)?, switches(one.pid)? - before);
        writeln!(text, "| {} | {share_kib} | {woken} |", one.name)?;
        if figures.is_empty() {
            let (what, bar) = ("memory of a supervisor, KiB", Bar::AtMost(400.0));
            figures.push(Figure { what, seen: share_kib as f64, bar });
            let (what, bar) = ("wake-ups of a supervisor in 10 s", Bar::AtMost(0.0));
            figures.push(Figure { what, seen: woken as f64, bar });
        }
    }
    writeln!(
        text,
        "\nMemory is the proportional share (PSS) of a process that has settled down. One that was not woken has made \
         no system call."
    )?;
    told.iter().try_for_each(|line| writeln!(text, "- {line}"))?;
    Ok(Findings { text, picture: None, figures })
}

/// How often a process has given up the processor, of itself or not.
fn switches(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let counts = text.lines().filter_map(|line| line.split_once("ctxt_switches:"));
    Ok(counts.map(|(_, count)| count.trim().parse::<u64>()).sum::<Result<u64, _>>()?)
}

/// conmon with a container of crun's, until this is dropped.
struct Conmon {
    pid: u32,
    state: std::path::PathBuf,
}

const ID: &str = "pipkin-bench-conmon";
const CGROUPS: &str = "--cgroup-manager=cgroupfs";
/// Longer than crun takes to make a container.
const MADE: Duration = Duration::from_secs(1);

impl Conmon {
    fn start(ground: &Ground) -> Result<Self> {
        let crun = which("crun")?;
        let folder = ground.folder.join("conmon");
        let sockets = folder.join("sockets");
        fs::create_dir_all(&sockets).with_context(|| format!("making {}", sockets.display()))?;
        let bundle = bundle::write(&folder, &ground.others, &standing::WAIT)?;
        let state = ground.state.join(ID);
        let pid_file = folder.join("conmon.pid");
        let mut conmon = Command::new("conmon");
        conmon.args(["--api-version", "1", "-c", ID, "-u", ID, "-n", ID, "-r"]).arg(crun);
        conmon.arg("--runtime-arg=--root").arg(format!("--runtime-arg={}", state.display()));
        conmon.arg("-b").arg(&bundle).arg("-l").arg(format!("k8s-file:{}", folder.join("log").display()));
        conmon.arg("-p").arg(folder.join("container.pid")).arg("--conmon-pidfile").arg(&pid_file);
        conmon.arg(format!("--runtime-arg={CGROUPS}"));
        conmon.arg("--exit-dir").arg(&folder).arg("--socket-dir-path").arg(&sockets);
        conmon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // It goes into the background when the container is made.
        if !conmon.status().context("starting conmon")?.success() {
            bail!("it does not start");
        }
        // It is its own child, and tells crun's failure to nobody but an engine.
        sleep(MADE);
        let pid = fs::read_to_string(&pid_file).with_context(|| format!("reading {}", pid_file.display()))?;
        let conmon = Self { pid: pid.trim().parse()?, state };
        conmon.crun(&["start", ID])?;
        Ok(conmon)
    }

    fn crun(&self, words: &[&str]) -> Result<()> {
        let mut crun = Command::new("crun");
        crun.arg("--root")
            .arg(&self.state)
            .arg(CGROUPS)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if crun.status().context("starting crun")?.success() { Ok(()) } else { bail!("crun {words:?} fails") }
    }
}

impl Drop for Conmon {
    fn drop(&mut self) {
        // conmon ends with its container.
        if let Err(error) = self.crun(&["delete", "--force", ID]) {
            eprintln!("xtask: {error:#}");
        }
    }
}

fn which(program: &str) -> Result<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| Path::is_file(path));
    found.with_context(|| format!("looking for {program}"))
}

#[cfg(test)]
mod tests {
    use super::switches;

    #[test]
    fn whoever_sleeps_is_woken() {
        let own = std::process::id();
        let before = switches(own).unwrap();
        // Of the first thread, which waits for this one.
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(switches(own).unwrap() >= before && before > 0);
    }
}
