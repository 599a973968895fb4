//! The `pipkin` program: from how it was called to the front end that answers.
#![deny(unsafe_code)]

mod cli;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let called_as = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    if cli::init::boots(&called_as) {
        cli::init::boot(called_as, args);
    }
    cli::main(&args)
}
