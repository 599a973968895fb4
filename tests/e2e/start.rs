//! What must hold before any verb: the program starts from nothing, says what it is, and ends by itself.

use crate::program::pipkin;
use libtest_mimic::{Failed, Trial};
use std::process::{Output, Stdio};

pub(crate) fn cases() -> Vec<Trial> {
    vec![
        Trial::test("start::prints_its_version", prints_its_version),
        Trial::test("start::refuses_an_unknown_verb", refuses_an_unknown_verb),
        Trial::test("start::refuses_to_guess_a_verb", refuses_to_guess_a_verb),
    ]
}

/// With no variable and no input.
fn outcome(arguments: &[&str]) -> std::io::Result<Output> {
    pipkin().args(arguments).current_dir("/").stdin(Stdio::null()).output()
}

fn prints_its_version() -> Result<(), Failed> {
    let output = outcome(&["--version"])?;
    let expected = format!("pipkin version {}\nspec: 1.3.0\n", env!("CARGO_PKG_VERSION"));
    if !output.status.success() || output.stdout != expected.as_bytes() || !output.stderr.is_empty() {
        return Err(format!("{output:?}").into());
    }
    Ok(())
}

fn refuses_an_unknown_verb() -> Result<(), Failed> {
    refused(&outcome(&["frobnicate"])?, "frobnicate")
}

fn refuses_to_guess_a_verb() -> Result<(), Failed> {
    refused(&outcome(&[])?, "verb")
}

/// Exit code 125, nothing on standard output, and a message that names the culprit.
fn refused(output: &Output, culprit: &str) -> Result<(), Failed> {
    let told = String::from_utf8_lossy(&output.stderr);
    let right = output.status.code() == Some(125) && output.stdout.is_empty() && told.contains(culprit);
    if right { Ok(()) } else { Err(format!("{output:?}").into()) }
}
