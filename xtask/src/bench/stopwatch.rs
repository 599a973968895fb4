//! The small C programs of `tests/floor`: compiling them, and reading what the stopwatch says.

use super::contender::Contender;
use super::sample::Samples;
use crate::command;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rounds before the counted ones: files are read into memory and caches in the kernel filled.
const WARM_UP: usize = 3;
/// Stands between the commands in the stopwatch's arguments; no command has such an argument.
pub(super) const SEPARATOR: &str = "%";

/// Compiles `tests/floor/NAME.c` into `folder`, with `options` for the compiler.
///
/// Against musl, because the start of a static glibc program is a dozen system calls and half a megabyte.
///
/// # Errors
/// The compiler's complaint.
pub(super) fn compile(name: &str, options: &[String], folder: &Path) -> Result<PathBuf> {
    let source = command::repository().join("tests/floor").join(format!("{name}.c"));
    let program = folder.join(name);
    let mut compiler = Command::new("musl-gcc");
    compiler
        .args(["-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .args(options)
        .arg(source);
    command::run(&mut compiler)?;
    Ok(program)
}

/// Runs every contender `rounds` times in turns.
///
/// # Errors
/// A stopwatch that fails or says what cannot be read.
pub(super) fn run(program: &Path, rounds: usize, contenders: &[Contender]) -> Result<Vec<Samples>> {
    let mut stopwatch = Command::new(program);
    stopwatch.arg((rounds + WARM_UP).to_string());
    for contender in contenders {
        stopwatch.arg(SEPARATOR).args(&contender.words);
    }
    read(&command::output(&mut stopwatch)?, contenders.len())
}

/// A command at the priority at which the stopwatch runs those that it measures.
pub(super) fn ahead_of_others(program: &Path) -> Command {
    let mut command = Command::new("chrt");
    command.args(["--fifo", "1"]).arg(program);
    command
}

fn read(output: &str, contenders: usize) -> Result<Vec<Samples>> {
    let mut samples: Vec<Samples> = (0..contenders).map(|_| Samples::default()).collect();
    for line in output.lines().skip(WARM_UP * contenders) {
        let bad = || format!("the stopwatch says {line:?}");
        let fields: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().with_context(bad)?;
        let Some((place, fields)) = fields.split_first() else { bail!(bad()) };
        let own = usize::try_from(*place).ok().and_then(|place| samples.get_mut(place)).with_context(bad)?;
        own.push(fields).with_context(bad)?;
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::{WARM_UP, read};

    #[test]
    fn the_first_rounds_do_not_count() {
        let early = "0 9000 1 1 1 0\n1 9000 1 1 1 0\n".repeat(WARM_UP);
        let samples = read(&format!("{early}1 2000000 1 1 1 0\n0 3000000 1 1 1 0\n"), 2).unwrap();
        assert_eq!([samples[0].median_wall_us(), samples[1].median_wall_us()], [3000, 2000]);
    }

    #[test]
    fn a_broken_line_is_an_error() {
        let early = "0 9000 1 1 1 0\n".repeat(WARM_UP);
        for line in ["0 1 2\n", "1 1 1 1 1 0\n", "x\n", "\n"] {
            assert!(read(&format!("{early}{line}"), 1).is_err(), "{line}");
        }
    }
}
