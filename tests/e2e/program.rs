//! The program under test.

use std::ffi::OsString;
use std::process::Command;

/// A command that starts the program with an empty environment.
pub(crate) fn pipkin() -> Command {
    let given = std::env::var_os("PIPKIN");
    let mut command = Command::new(given.unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_pipkin"))));
    command.env_clear();
    command
}
