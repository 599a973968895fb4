//! Programs that know nothing of Pipkin run unmodified under the default filter.
//!
//! Called as `seccomp --under-filter PROGRAM [ARGUMENT…]` this program installs the default filter and becomes PROGRAM;
//! the cases call it so. A program that is not installed counts as skipped.

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
    libtest_mimic::run(&Arguments::from_args(), program::cases()).exit_code()
}
