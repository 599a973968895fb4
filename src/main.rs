//! The `pipkin` program: from how it was called to the front end that answers.
#![cfg_attr(not(test), no_main)]
#![deny(unsafe_code)]
#![cfg_attr(not(feature = "oci"), allow(dead_code, unused_imports, reason = "the faces left out use it"))]

mod cli;
#[cfg(feature = "runtime")]
mod oci;
#[cfg(feature = "runtime")]
mod store;

use pipkin::sys::entry::Strings;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

#[cfg(not(test))]
pipkin::entry_point!(start);

#[cfg_attr(test, allow(dead_code, reason = "the test harness brings a main of its own"))]
fn start(args: Strings) -> ! {
    let mut words = args.iter().map(|arg| OsStr::from_bytes(arg.to_bytes()).to_owned());
    let called_as = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    args.release();
    let code = cli::main(&called_as, &words);
    // Writes out what std has buffered, which the end of a program without std's start would not.
    std::process::exit(code.number())
}
