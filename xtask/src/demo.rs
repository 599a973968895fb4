//! `demo`: from a fresh clone to a container that tells what it is.

use crate::build::{self, Arch, Face};
use crate::rootfs::{self, Rootfs};
use crate::vm::{Machine, Tiny, Vm};
use crate::{cgroup, command, setup};
use anyhow::{Context, Result, bail};
use argh::FromArgs;
use rootfs_builder::tree::Tree;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Build the program, get a root file system, run a container in it and show what came of it.
#[derive(FromArgs)]
#[argh(subcommand, name = "demo")]
pub(crate) struct Demo {
    /// take the built-in image that needs no download
    #[argh(switch)]
    scratch: bool,
    /// boot a virtual machine that consists of a kernel and the program
    #[argh(switch)]
    vm: bool,
    /// with --vm: a command to run in a machine with Alpine; on a terminal a shell if not given
    #[argh(positional, greedy)]
    command: Vec<String>,
}

/// A machine that only tells what it sees is done long before this, emulated on a slow one too.
const MACHINE_TIMEOUT: Duration = Duration::from_secs(300);
/// Starts for the line that tells the time: enough for a median.
const STARTS: usize = 21;

impl Demo {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if self.vm {
            return self.boot();
        }
        if !self.command.is_empty() {
            bail!("a command is for --vm; cargo xtask demo shows containers of its own");
        }
        heading("The program");
        let pipkin = build::static_binary(Arch::HOST, Face::All)?;
        let size = fs::metadata(&pipkin).with_context(|| format!("reading {}", pipkin.display()))?.len();
        println!("{}", build::sentence(Arch::HOST, &pipkin, size));

        heading("The root file system");
        let image = if self.scratch { Image::Scratch } else { Image::obtain()? };

        let demo = Running { pipkin, image, memory: memory_limit()? };
        demo.show()?;
        demo.time()?;
        Ok(ExitCode::SUCCESS)
    }

    /// The smallest machine there is, and then one with Alpine around it.
    fn boot(&self) -> Result<ExitCode> {
        heading("The machine");
        let whole = Tiny::new(Arch::HOST, Face::All, Tree::new(), &[])?.sizes()?;
        let tiny = Tiny::new(Arch::HOST, Face::Init, Tree::new(), &[])?;
        println!("{}", machine_sentence(whole, tiny.sizes()?));
        heading("Its init alone on it, telling what it sees");
        let machine = Machine::new(Arch::HOST);
        let told = tiny.run(&machine, "pipkin.hostname=tiny -- /pipkin probe", MACHINE_TIMEOUT)?;
        if told.status != 0 {
            bail!("the machine ended with {}", told.status);
        }
        if self.command.is_empty() && !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            return Ok(ExitCode::SUCCESS);
        }
        heading("Alpine around it");
        Vm::new(Arch::HOST, self.command.clone()).run()
    }
}

/// What a machine consists of, with all of Pipkin and with its init alone: bytes of kernel and initramfs, 1024 of them
/// to a KiB.
fn machine_sentence((kernel, whole): (u64, u64), (_, init): (u64, u64)) -> String {
    format!(
        "kernel {} KiB, initramfs with Pipkin {} KiB, with its init alone {} KiB (the promise is 200): {} KiB in all",
        kernel / 1024,
        whole.div_ceil(1024),
        init.div_ceil(1024),
        (kernel + init).div_ceil(1024)
    )
}

/// What the container's root is made of.
enum Image {
    Alpine(PathBuf),
    /// An empty root with only the program in it, which the program makes itself.
    Scratch,
}

impl Image {
    fn obtain() -> Result<Image> {
        match rootfs::obtain()? {
            Rootfs::Alpine { path, told } => {
                println!("{told}: {}", path.display());
                Ok(Image::Alpine(path))
            }
            Rootfs::Nothing(why) => {
                println!(
                    "No Alpine here ({why}), so the built-in image `scratch` serves: Pipkin and nothing else."
                );
                Ok(Image::Scratch)
            }
        }
    }
}

struct Running {
    pipkin: PathBuf,
    image: Image,
    /// The value of `--memory`, where the machine can enforce one.
    memory: Option<&'static str>,
}

impl Running {
    /// One container that shows itself: as a person in it sees it, and as `pipkin probe` reports it.
    fn show(&self) -> Result<()> {
        if let Image::Alpine(_) = self.image {
            heading("A shell in a container");
            let script = "hostname; cat /etc/alpine-release; ps; mount | head -5; df -h /";
            run_shown(&mut self.command(&["/bin/sh", "-c", script])?)?;
        }
        heading("What a process in it can see and do");
        run_shown(&mut self.command(&["/pipkin", "probe"])?)
    }

    /// How long a container takes that does nothing, start to clean-up.
    fn time(&self) -> Result<()> {
        heading("Time");
        let nothing: &[&str] = match self.image {
            Image::Alpine(_) => &["/bin/true"],
            Image::Scratch => &["/pipkin", "--version"],
        };
        let mut times = Vec::with_capacity(STARTS);
        for _ in 0..STARTS {
            let mut command = self.command(nothing)?;
            let start = Instant::now();
            command::run(command.stdout(Stdio::null()))?;
            times.push(start.elapsed());
        }
        println!("{}", time_sentence(&mut times, nothing));
        Ok(())
    }

    /// `pipkin run` with this command in it; through sudo for a user who is not root.
    fn command(&self, payload: &[&str]) -> Result<Command> {
        let mut words: Vec<OsString> = Vec::new();
        if !setup::is_root()? {
            let Some(sudo) = setup::find("sudo") else { bail!("the demo needs root, or sudo to become it") };
            words.push(sudo.into());
        }
        words.push(self.pipkin.clone().into());
        words.extend(["run", "--rm", "--hostname", "pipkin-demo"].map(OsString::from));
        words.extend(self.memory.iter().flat_map(|limit| ["--memory".into(), (*limit).into()]));
        match &self.image {
            Image::Alpine(path) => {
                let mut volume = self.pipkin.clone().into_os_string();
                volume.push(":/pipkin:ro");
                words.extend(["-v".into(), volume, path.into()]);
            }
            Image::Scratch => words.push("scratch".into()),
        }
        words.extend(payload.iter().map(OsString::from));
        let (program, arguments) = words.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }
}

/// The limit that this machine can enforce; a line says so where it cannot.
fn memory_limit() -> Result<Option<&'static str>> {
    if cgroup::hierarchies()?.iter().any(|hierarchy| cgroup::has_memory(hierarchy)) {
        return Ok(Some("64m"));
    }
    println!("This machine has no cgroup v2 memory controller: the container runs without a memory limit.");
    Ok(None)
}

fn heading(text: &str) {
    println!("\n== {text}");
}

/// Runs it below the line that a person would type.
fn run_shown(command: &mut Command) -> Result<()> {
    println!("$ {}", command::spelled(command));
    let status = command.status().context("starting the line above")?;
    if status.success() { Ok(()) } else { bail!("the line above ended with {status}") }
}

fn time_sentence(times: &mut [Duration], payload: &[&str]) -> String {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let least = times.first().copied().unwrap_or_default();
    let payload = payload.join(" ");
    format!("{} containers that run `{payload}`: median {median:.1?}, shortest {least:.1?}", times.len())
}

#[cfg(test)]
mod tests {
    use super::{machine_sentence, time_sentence};
    use std::time::Duration;

    #[test]
    fn a_machine_is_told_whole() {
        let told = machine_sentence((7 << 20, 322 << 10), (7 << 20, (65 << 10) + 1));
        assert_eq!(
            told,
            "kernel 7168 KiB, initramfs with Pipkin 322 KiB, with its init alone 66 KiB (the promise is 200): 7234 KiB in all"
        );
    }

    #[test]
    fn the_median_is_the_middle_one() {
        let mut times = [9, 1, 5].map(Duration::from_millis);
        let told = time_sentence(&mut times, &["/bin/true"]);
        assert_eq!(told, "3 containers that run `/bin/true`: median 5.0ms, shortest 1.0ms");
    }
}
