//! The test machine: a distribution's kernel under qemu, Pipkin as PID 1, Alpine around it.
//!
//! Duty: whatever the development machine cannot show (cgroup v2 limits, another architecture, the end of a
//! machine) runs here, the same on every machine. [`run`] is for programs, the verb `vm` for people.

mod apt;
mod console;
mod debian;
mod initramfs;
mod kernel;
mod machine;
mod module;
mod tiny;

use crate::build::{self, Arch, Face};
use crate::command;
use anyhow::{Context, Result, bail};
use argh::FromArgs;
use console::{Ended, Show};
pub(crate) use debian::Userland;
use initramfs::Contents;
use machine::Boot;
pub(crate) use machine::{Accelerator, Machine, program};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use std::{fs, io};
pub(crate) use tiny::Tiny;

/// Any value but an empty one lets the tests use KVM.
const KVM_VARIABLE: &str = "PIPKIN_VM_KVM";
/// A kernel that KVM can run has run `true` long before this.
const KVM_TRIAL: Duration = Duration::from_secs(30);

/// Boot the test machine: a shell on this terminal (Ctrl-A X switches it off), or one command whose exit status
/// becomes this one's.
#[derive(FromArgs)]
#[argh(subcommand, name = "vm")]
pub(crate) struct Vm {
    /// x86_64 or aarch64; the machine's own when left out
    #[argh(option, default = "Arch::HOST")]
    arch: Arch,
    /// let the processor itself run the machine
    #[argh(switch)]
    kvm: bool,
    /// memory in MiB, 1024 when left out
    #[argh(option, default = "1024")]
    memory: u32,
    /// raw disk image to attach, written to; can be given several times
    #[argh(option)]
    disk: Vec<PathBuf>,
    /// seconds after which a machine without terminal is killed, 600 when left out
    #[argh(option, default = "600")]
    timeout: u64,
    /// words for the kernel's command line, as security=selinux; can be given several times
    #[argh(option)]
    append: Vec<String>,
    /// the command and its arguments, after `--`
    #[argh(positional, greedy)]
    command: Vec<String>,
}

impl Vm {
    /// This command, or a shell without one, on a machine of the usual size.
    pub(crate) fn new(arch: Arch, command: Vec<String>) -> Vm {
        Vm { arch, kvm: false, memory: 1024, disk: Vec::new(), timeout: 600, append: Vec::new(), command }
    }

    pub(crate) fn run(&self) -> Result<ExitCode> {
        let on_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if self.command.is_empty() && !on_terminal {
            bail!("a shell needs a terminal: please give a command, cargo xtask vm -- COMMAND");
        }
        let mut machine = Machine::new(self.arch);
        machine.memory_mib = self.memory;
        machine.disks = self.disk.clone();
        if self.kvm {
            use_kvm(&mut machine)?;
        }
        let timeout = Duration::from_secs(self.timeout);
        let append = self.append.join(" ");
        let job = Job { command: self.command.clone(), timeout, append, ..Job::default() };
        if !on_terminal {
            return Ok(ExitCode::from(run(&machine, &job)?.status));
        }
        let prepared = Prepared::new(self.arch, &job)?;
        match machine.run_on_terminal(&prepared.boot())? {
            Some(status) => Ok(ExitCode::from(status)),
            // What Ctrl-A X does, and whatever else ended the machine was on this terminal.
            None if self.command.is_empty() => Ok(ExitCode::SUCCESS),
            None => bail!("the machine ended without telling an exit status"),
        }
    }
}

/// What a machine is booted for.
#[derive(Debug, Default)]
pub(crate) struct Job {
    /// The program, found in `PATH`, and its arguments; a login shell when empty.
    pub(crate) command: Vec<String>,
    /// Its environment, beside what PID 1 gives.
    pub(crate) env: Vec<(&'static str, String)>,
    /// Files of this machine that the other one needs.
    pub(crate) files: Vec<GuestFile>,
    /// Words for the kernel's command line.
    pub(crate) append: String,
    /// When the machine is given up and killed.
    pub(crate) timeout: Duration,
}

/// A file of this machine and where it goes.
#[derive(Debug)]
pub(crate) struct GuestFile {
    /// Absolute, as the machine sees it.
    pub(crate) path: String,
    /// Permission bits.
    pub(crate) mode: u32,
    /// The file here.
    pub(crate) host: PathBuf,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// As a shell tells it: 128 + n for signal n.
    pub(crate) status: u8,
    /// All that was printed on the console.
    pub(crate) output: String,
}

/// Boots `machine`, runs the job, and shows the console's output as it comes.
///
/// # Errors
/// Anything missing that cannot be fetched, the deadline, or a machine that ended (a kernel panic, for one) without
/// telling a status.
pub(crate) fn run(machine: &Machine, job: &Job) -> Result<Outcome> {
    let prepared = Prepared::new(machine.arch, job)?;
    outcome(machine.run(&prepared.boot(), job.timeout, Show::Live)?)
}

/// The machine of the tests: emulated, unless `PIPKIN_VM_KVM` allows another and it works.
///
/// # Errors
/// As [`use_kvm`].
pub(crate) fn for_tests(arch: Arch) -> Result<Machine> {
    let mut machine = Machine::new(arch);
    let allowed = std::env::var_os(KVM_VARIABLE).is_some_and(|value| !value.is_empty());
    if allowed && arch == Arch::HOST {
        use_kvm(&mut machine)?;
    }
    Ok(machine)
}

/// Turns KVM on, after a trial: a `/dev/kvm` that can be opened may still not run this kernel.
///
/// # Errors
/// The trial's failure.
fn use_kvm(machine: &mut Machine) -> Result<()> {
    machine.accelerator = Accelerator::Kvm;
    let job = Job { command: vec!["true".to_owned()], ..Job::default() };
    let prepared = Prepared::new(machine.arch, &job)?;
    let trial = machine.run(&prepared.boot(), KVM_TRIAL, Show::LastWords).and_then(outcome);
    let status = trial.context("KVM does not work here; please go without it")?.status;
    if status != 0 { bail!("KVM does not work here: `true` gave {status}") } else { Ok(()) }
}

fn outcome(ended: Ended) -> Result<Outcome> {
    let status = ended.status.context("the machine ended without telling an exit status")?;
    Ok(Outcome { status, output: ended.output })
}

/// What the machine boots, on disk; the initramfs goes with this value.
struct Prepared {
    kernel: kernel::Kernel,
    initramfs: tempfile::TempPath,
    arguments: String,
}

impl Prepared {
    fn new(arch: Arch, job: &Job) -> Result<Prepared> {
        let kernel = kernel::obtain(arch)?;
        let pipkin = build::static_binary(arch, Face::All)?;
        let initramfs = tempfile::Builder::new().prefix("initramfs-").tempfile_in(folder(arch)?);
        let initramfs = initramfs.context("making a file for the initramfs")?.into_temp_path();
        let contents =
            Contents { kernel: &kernel, pipkin: &pipkin, job: script(job, size()), files: &job.files };
        initramfs::write(arch, &contents, &initramfs).context("making the initramfs")?;
        let arguments = format!("{} pipkin.hostname=pipkin-vm -- sh {}", job.append, initramfs::JOB);
        Ok(Prepared { kernel, initramfs, arguments })
    }

    fn boot(&self) -> Boot<'_> {
        Boot { kernel: &self.kernel.image, initramfs: &self.initramfs, arguments: &self.arguments }
    }
}

/// Where everything about machines of one architecture is kept.
fn folder(arch: Arch) -> Result<PathBuf> {
    let folder = command::target().join("vm").join(arch.name());
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// The job as a script: the kernel's command line holds 32 words and no quotes, this holds anything.
fn script(job: &Job, size: Option<String>) -> String {
    let mut script = String::from("cd /root\n");
    for (name, value) in &job.env {
        script.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    if let Some(size) = size {
        script.push_str(&format!("stty {size}\n"));
    }
    let words: Vec<String> = job.command.iter().map(|word| quoted(word)).collect();
    match words.as_slice() {
        [] => script.push_str("exec sh -l\n"),
        words => script.push_str(&format!("exec {}\n", words.join(" "))),
    }
    script
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// This terminal's size as `stty` takes it: a serial line does not tell it.
fn size() -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let output =
        Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (rows, columns) = text.trim().split_once(' ')?;
    let (rows, columns): (u16, u16) = (rows.parse().ok()?, columns.parse().ok()?);
    (rows > 0 && columns > 0).then(|| format!("rows {rows} cols {columns}"))
}

#[cfg(test)]
mod tests {
    use super::{Job, quoted, script};
    use std::process::Command;

    #[test]
    fn a_script_gives_words_and_environment_unchanged() {
        let words = ["printf", "%s|", "it's", "$HOME `x`", "a\nb", "\\", ""].map(str::to_owned);
        let job =
            Job { command: words.to_vec(), env: vec![("V", "a 'b' \"c\"".to_owned())], ..Job::default() };
        // The machine's home folder is not there on this one.
        let script =
            script(&job, None).replace("cd /root\n", "").replace("exec ", "printf '%s|' \"$V\"; exec ");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a 'b' \"c\"|it's|$HOME `x`|a\nb|\\||");
    }

    #[test]
    fn a_shell_knows_the_size_of_the_terminal() {
        let script = script(&Job::default(), Some("rows 24 cols 80".to_owned()));
        assert_eq!(script, "cd /root\nstty rows 24 cols 80\nexec sh -l\n");
        assert_eq!(quoted("a'b"), r"'a'\''b'");
    }
}
