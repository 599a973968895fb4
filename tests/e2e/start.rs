//! What must hold before any verb: the program starts from nothing and ends by itself.

use crate::program::pipkin;
use libtest_mimic::{Failed, Trial};
use std::process::Stdio;

pub(crate) fn cases() -> Vec<Trial> {
    vec![Trial::test("start::needs_no_environment", needs_no_environment)]
}

/// No variable, no input, no argument: an answer with an exit code, never a signal (a panic is one).
fn needs_no_environment() -> Result<(), Failed> {
    let output = pipkin().current_dir("/").stdin(Stdio::null()).output()?;
    match output.status.code() {
        Some(_) => Ok(()),
        None => Err(format!("ended by {}", output.status).into()),
    }
}
