//! The programs under test.

use std::ffi::OsString;
use std::process::Command;

/// Path of the shipped program.
pub(crate) fn path() -> OsString {
    std::env::var_os("PIPKIN").unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_pipkin")))
}

/// Path of the one with pause points, and whose defences can be taken away.
pub(crate) fn hooks() -> OsString {
    std::env::var_os("PIPKIN_HOOKS").expect("PIPKIN_HOOKS names the program with test hooks")
}

/// Path of the one that is the init alone.
pub(crate) fn init_alone() -> OsString {
    std::env::var_os("PIPKIN_INIT").expect("PIPKIN_INIT names the program that is the init alone")
}

/// A command that starts the program with an empty environment.
pub(crate) fn pipkin() -> Command {
    let mut command = Command::new(path());
    command.env_clear();
    command
}
