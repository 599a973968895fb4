//! End-to-end tests: the shipped program, started as a user starts it, on this machine or in the test VM.
//!
//! One file per subject, each with a `cases` function; a case is a function that gives an outcome. A case that
//! cannot run where it is gives [`libtest_mimic::Completion::ignored_with`] and the reason.
//!
//! | variable | what it names |
//! |---|---|
//! | `PIPKIN` | the static program; cargo's own build of it when unset |
//! | `PIPKIN_HOOKS` | the same with the test-only pause points |
//! | `PIPKIN_ROOTFS` | a folder with an unpacked Alpine root file system |
//! | `PIPKIN_VM` | set in the test machine |

mod init;
mod machine;
mod program;
mod role;
mod seccomp;
mod start;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(played) = role::asked() {
        return played;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let cases = [start::cases(), init::cases(), machine::cases(), seccomp::cases(), usage::cases()];
    libtest_mimic::run(&arguments, cases.into_iter().flatten().collect()).exit_code()
}
