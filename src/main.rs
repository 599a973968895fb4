//! The `pipkin` program: from how it was called to the front end that answers.
#![deny(unsafe_code)]

mod cli;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let _called_as = args.next();
    let args: Vec<OsString> = args.collect();
    cli::main(&args)
}
