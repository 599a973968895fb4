//! What a case needs of the machine it runs on. One that has not got it says so and is done.
//!
//! libtest cannot skip at run time, and keeps what a case that passes prints to itself. So [`skip`] writes past it, a
//! line that `cargo xtask test` counts.

#![allow(dead_code, unreachable_pub, reason = "a module of several test programs, each of which uses a part")]

use std::io::Write;
use std::process::Command;

/// Tells that the case at hand is not run.
pub fn skip(why: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nskipped: {why}").and_then(|()| out.flush()).unwrap();
}

/// Whether these programs are there and this is root, who alone can make what they are given.
pub fn programs_and_root(programs: &[&str]) -> bool {
    programs.iter().all(|program| installed(program)) && root("owners are set by root alone")
}

/// Whether this is root.
pub fn root(why: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(why);
    }
    root
}

/// Whether this program is there.
pub fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        skip(&format!("{program} is not installed"));
    }
    found
}
