//! Brings the machine to where a verb can work: Rust targets and components by rustup, programs by apt-get.
//!
//! What is there is left alone, so a machine set up by hand or by another distribution works as well. As root
//! missing packages are installed; anyone else gets the one line that installs them, and exit code 125.

use crate::command;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fmt};

/// A program a verb starts and the Debian package that brings it.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    /// The file looked for in `PATH`; with a `/` in front, a path that a package without a program brings.
    pub(crate) name: &'static str,
    /// What `apt-get install` is given.
    pub(crate) package: &'static str,
}

/// Something is missing that this user cannot install: the line to run is in the text. Exit code 125.
#[derive(Debug)]
pub(crate) struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Makes the standard library for `triple` available.
///
/// # Errors
/// [`Missing`] with the line to run where there is no rustup or it fails.
pub(crate) fn rust_target(triple: &str) -> Result<()> {
    if rustlib()?.join(triple).join("lib").is_dir() {
        return Ok(());
    }
    rustup(&["target", "add", triple])
}

/// Makes clippy and rustfmt available.
///
/// # Errors
/// As [`rust_target`].
pub(crate) fn rust_checkers() -> Result<()> {
    let bin = sysroot()?.join("bin");
    for (file, component) in [("cargo-clippy", "clippy"), ("rustfmt", "rustfmt")] {
        if !bin.join(file).exists() && find(file).is_none() {
            rustup(&["component", "add", component])?;
        }
    }
    Ok(())
}

/// Makes the standard library's source, and the crates that source needs, available.
///
/// # Errors
/// [`Missing`] as in [`rust_target`], or cargo's failure to download the crates.
pub(crate) fn rust_source() -> Result<()> {
    let manifest = rustlib()?.join("src/rust/library/Cargo.toml");
    if !manifest.is_file() {
        rustup(&["component", "add", "rust-src"])?;
    }
    let fetch = ["fetch", "--quiet", "--locked", "--manifest-path"];
    command::run(command::cargo().env("RUSTC_BOOTSTRAP", "1").args(fetch).arg(manifest))
}

/// Makes the nightly compiler with Miri, and the source that Miri interprets, available.
///
/// # Errors
/// As [`rust_target`].
pub(crate) fn miri() -> Result<()> {
    let mut ask = Command::new("rustup");
    ask.args(["component", "list", "--toolchain", "nightly", "--installed"]).stderr(Stdio::null());
    let installed = ask.output().map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    let is_there = |component: &str| {
        installed.as_ref().is_ok_and(|list| list.lines().any(|line| line.starts_with(component)))
    };
    if is_there("miri") && is_there("rust-src") {
        return Ok(());
    }
    rustup(&["toolchain", "install", "nightly", "--profile", "minimal", "--component", "miri,rust-src"])
}

/// Makes every program of the list available.
///
/// # Errors
/// [`Missing`] with the line to run when not root, or where there is no apt-get.
pub(crate) fn programs(wanted: &[Program]) -> Result<()> {
    let missing: Vec<Program> = wanted.iter().copied().filter(|program| !is_there(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = install_line(&missing);
    if find("apt-get").is_none() {
        let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
        return Err(Missing(format!("please install: {}", names.join(" "))).into());
    }
    if !is_root()? {
        return Err(Missing(format!("please run: sudo sh -c '{install}'")).into());
    }
    eprintln!("xtask: {install}");
    let mut shell = Command::new("sh");
    command::run(shell.args(["-c", &install]).env("DEBIAN_FRONTEND", "noninteractive"))?;
    for program in missing {
        if !is_there(&program) {
            bail!("package {} was installed but brought no {}", program.package, program.name);
        }
    }
    Ok(())
}

fn is_there(program: &Program) -> bool {
    find(program.name).is_some() || (program.name.starts_with('/') && Path::new(program.name).exists())
}

/// Where `name` is found in `PATH`, or in the folders of system programs that a user's `PATH` may lack.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| is_executable(file))
}

/// Whether this process may do what root may.
pub(crate) fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self").context("reading the owner of /proc/self")?;
    Ok(own.uid() == 0)
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The package lists are fetched first: a fresh image has none, and installing from old ones fails.
fn install_line(missing: &[Program]) -> String {
    let mut packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let packages = packages.join(" ");
    format!("apt-get -q update && apt-get -q -y install --no-install-recommends {packages}")
}

/// Runs rustup for the toolchain that `rust-toolchain.toml` pins.
fn rustup(arguments: &[&str]) -> Result<()> {
    let line = format!("rustup {}", arguments.join(" "));
    eprintln!("xtask: {line}");
    let mut rustup = Command::new("rustup");
    command::run(rustup.args(arguments).current_dir(command::repository()))
        .map_err(|error| Missing(format!("{error:#}; please run: {line}")).into())
}

/// The folder of the pinned toolchain.
fn sysroot() -> Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut rustc = Command::new(rustc);
    rustc.args(["--print", "sysroot"]).current_dir(command::repository());
    Ok(PathBuf::from(command::output(&mut rustc)?.trim()))
}

/// The folder of the pinned toolchain that holds a folder per target.
pub(crate) fn rustlib() -> Result<PathBuf> {
    Ok(sysroot()?.join("lib/rustlib"))
}

#[cfg(test)]
mod tests {
    use super::{Program, find, install_line};

    #[test]
    fn the_install_line_names_each_package_once() {
        let one = Program { name: "qemu-system-aarch64", package: "qemu-system-arm" };
        let two = Program { name: "qemu-system-arm", package: "qemu-system-arm" };
        let three = Program { name: "bwrap", package: "bubblewrap" };
        assert_eq!(
            install_line(&[one, two, three]),
            "apt-get -q update && apt-get -q -y install --no-install-recommends bubblewrap qemu-system-arm"
        );
    }

    #[test]
    fn only_executable_files_are_programs() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-program-has-this-name"), None);
    }
}
