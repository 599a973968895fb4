//! Programs that know nothing of Pipkin run unmodified under the default filter, and profiles come out as libseccomp
//! has them.
//!
//! Called as `seccomp --under-filter PROGRAM [ARGUMENT…]` this program installs the default filter and becomes PROGRAM;
//! the cases call it so. A program that is not installed counts as skipped.

/// The program's reader of profiles.
#[path = "../../src/oci"]
#[allow(dead_code)]
mod oci {
    pub(crate) mod json;
    pub(crate) mod seccomp;
}
mod oracle;
mod program;

use libtest_mimic::Arguments;
use pipkin::bpf::default::{CAPABILITIES, filter};
use pipkin::sys::seccomp::{Flags, install};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The first argument that asks for a program under the filter.
const UNDER_FILTER: &str = "--under-filter";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == UNDER_FILTER) {
        let program = arguments.next().expect("a program");
        rustix::thread::set_no_new_privs(true).expect("no_new_privs");
        let flags = Flags { allow_speculation: true, ..Flags::default() };
        install(filter(CAPABILITIES, &mut []).expect("the constant filter"), flags).expect("the filter");
        let error = Command::new(program).args(arguments).exec();
        panic!("exec: {error}");
    }
    let cases = program::cases().into_iter().chain(oracle::cases()).collect();
    libtest_mimic::run(&Arguments::from_args(), cases).exit_code()
}
