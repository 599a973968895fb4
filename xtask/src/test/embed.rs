//! The library in a program of somebody else's: `tests/embed`, built as it would be and run.

use super::tally::Tally;
use crate::build::Arch;
use crate::command::{self, cargo};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// Command lines, the exit code that each must give, and what it must print.
const RUNS: [(&[&str], i32, &str); 4] = [
    (&["sh", "-c", "echo here; exit 7"], 7, "here\n"),
    // Its policy: a stop by TERM went well.
    (&["sh", "-c", "kill -TERM $$"], 0, ""),
    (&["no-such-program"], 127, ""),
    (&[], 125, ""),
];

/// Builds it for each architecture, and runs the one of this machine.
///
/// # Errors
/// When it does not compile or cannot be started.
pub(super) fn run() -> Result<Tally> {
    let mut own = None;
    for arch in Arch::ALL {
        let built = build(arch)?;
        if arch == Arch::HOST {
            own = Some(built);
        }
    }
    let program = own.context("looking for the program of this architecture")?;
    let mut tally = Tally::default();
    for (words, code, expected) in RUNS {
        let output = Command::new(&program).args(words).output().context("starting the embedding program")?;
        let right = output.status.code() == Some(code) && output.stdout == expected.as_bytes();
        println!("test embed::{words:?} ... {}", if right { "ok" } else { "FAILED" });
        tally = tally.and([if right { Tally::SUCCESS } else { Tally::FAILURE }]);
    }
    Ok(tally)
}

fn build(arch: Arch) -> Result<PathBuf> {
    let target = command::target().join("embed");
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--locked", "--release", "--target", arch.triple(), "--manifest-path"]);
    cargo.arg(command::repository().join("tests/embed/Cargo.toml")).env("CARGO_TARGET_DIR", &target);
    command::run(&mut cargo)?;
    Ok(target.join(arch.triple()).join("release/embed"))
}
