//! Running other programs: where from, and what counts as success.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The top folder of the repository.
///
/// Cargo names xtask's folder in the environment; the one known at compile time serves a directly started xtask.
pub(crate) fn repository() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let xtask = xtask.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    xtask.parent().map(Path::to_path_buf).unwrap_or(xtask)
}

/// Cargo's output folder, which people move with `CARGO_TARGET_DIR`.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => repository().join(path),
        None => repository().join("target"),
    }
}

/// The cargo that started this program, in the repository's top folder.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository());
    // Set by `cargo run` for xtask itself; a build of another package must not take them for its own.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR") {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Runs `command` with its output on the terminal; any end but exit status 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", spelled(command)))?;
    if !status.success() {
        bail!("{}: {status}", spelled(command));
    }
    Ok(())
}

/// Runs `command` and gives its standard output; standard error stays on the terminal.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    command.stderr(std::process::Stdio::inherit());
    let output = command.output().with_context(|| format!("starting {}", spelled(command)))?;
    if !output.status.success() {
        bail!("{}: {}", spelled(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading what {} printed", spelled(command)))
}

/// The program's name and arguments, as a person would type them.
pub(crate) fn spelled(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
