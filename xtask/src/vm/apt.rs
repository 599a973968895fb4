//! apt for the test machines: packages found, downloaded and verified, never installed.
//!
//! It reads the sources this machine already trusts, but with lists, cache and package state of its own in a temporary
//! folder: nothing outside `target/vm` changes, no root is needed, and another architecture is as near as the own.

use crate::build::Arch;
use crate::command;
use crate::setup::{self, Program};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// apt with its own state, for one architecture.
pub(super) struct Apt<'a> {
    pub(super) arch: Arch,
    work: &'a Path,
    options: Vec<String>,
}

impl Apt<'_> {
    /// Its state goes below `work`.
    ///
    /// # Errors
    /// [`setup::Missing`] without apt, or a folder that cannot be written to.
    pub(super) fn new(arch: Arch, work: &Path) -> Result<Apt<'_>> {
        setup::programs(&[
            Program { name: "apt-get", package: "apt" },
            Program { name: "dpkg-deb", package: "dpkg" },
        ])?;
        let folder = work.to_str().with_context(|| format!("giving {} to apt", work.display()))?;
        for path in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(work.join(path)).with_context(|| format!("making {path} for apt"))?;
        }
        fs::write(work.join("state/status"), "").context("making an empty list of installed packages")?;
        // What distributions hang on to an update (clearing the machine's cache, telling desktop programs) is
        // not for this one.
        let hooks = "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n\
                     #clear APT::Update::Post-Invoke-Success;\n";
        fs::write(work.join("apt.conf"), hooks).context("writing apt.conf")?;
        let architecture = debian(arch);
        let options = [
            format!("--config-file={folder}/apt.conf"),
            format!("--option=Dir::State={folder}/state"),
            format!("--option=Dir::State::status={folder}/state/status"),
            format!("--option=Dir::Cache={folder}/cache"),
            format!("--option=APT::Architecture={architecture}"),
            format!("--option=APT::Architectures={architecture}"),
            // apt's own user may not be able to reach the folder.
            "--option=APT::Sandbox::User=root".to_owned(),
            "--option=Acquire::Languages=none".to_owned(),
            "--option=Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ];
        Ok(Apt { arch, work, options: options.into() })
    }

    /// `apt-get`, `apt-cache` and the like, to be started.
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options).args(arguments).current_dir(self.work).env("LC_ALL", "C");
        command
    }

    /// Runs one of them, its complaints on the terminal.
    ///
    /// # Errors
    /// As [`command::run`].
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        command::run(&mut self.command(program, arguments))
    }
}

/// Unpacks every package in `folder` below `root`, but those whose names begin with one of `left_out`.
///
/// # Errors
/// An unreadable folder, or what dpkg-deb says.
pub(super) fn extract(folder: &Path, root: &Path, left_out: &[&str]) -> Result<()> {
    let reading = || format!("reading folder {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".deb") && !left_out.iter().any(|start| name.starts_with(start)) {
            command::run(Command::new("dpkg-deb").arg("--extract").arg(entry.path()).arg(root))?;
        }
    }
    Ok(())
}

/// Debian's name for an architecture.
pub(super) const fn debian(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    }
}
