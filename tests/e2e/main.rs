//! End-to-end tests: the shipped program, started as a user starts it, on this machine or in the test VM.
//!
//! One file per subject, each with a `cases` function; a case is a plain function that panics when its property does
//! not hold, and says what it needs ([`harness::Needs`]). One that cannot run here is left out: it runs on the other
//! side. Cases run one after another, each between two looks at everything a run could leave behind, inside an
//! enclosure of their own ([`harness::Enclosure`]): nothing of this machine's containers is seen or touched.
//!
//! The same program is the payload of containers and the start of a session on a terminal: `--payload NAME`.
//!
//! | variable | what it names |
//! |---|---|
//! | `PIPKIN` | the static program; cargo's own build of it when unset |
//! | `PIPKIN_HOOKS` | the same with the test-only pause points |
//! | `PIPKIN_ROOTFS` | a folder with an unpacked Alpine root file system |
//! | `PIPKIN_VM` | set in the test machine, which is all ours |

mod again;
mod argument;
mod attach;
mod confinement;
mod copy;
mod crash;
mod detached;
mod device;
mod disk;
mod dry_run;
mod environment;
mod escape;
mod exec;
mod exit;
mod harness;
mod identity;
mod image;
mod init;
mod input;
mod label;
mod limit;
mod listing;
mod logs;
mod machine;
mod manage;
mod mask;
mod named;
mod namespace;
mod nested;
mod network;
mod oci;
mod parallel;
mod payload;
mod process;
mod program;
mod recover;
mod refusal;
mod role;
mod root;
mod rootless;
mod seccomp;
mod self_check;
mod signal;
mod soak;
mod start;
mod stream;
mod terminal;
mod unmodified;
mod usage;
mod user;
mod verdict;
mod volume;
mod warden;

use harness::{Case, Enclosure};
use libtest_mimic::Arguments;
use pipkin::sys::signal::{Action, set_action};
use std::process::ExitCode;

const SIGHUP: i32 = 1;

fn cases() -> Vec<Case> {
    [
        namespace::cases(),
        identity::cases(),
        rootless::cases(),
        confinement::cases(),
        self_check::cases(),
        environment::cases(),
        user::cases(),
        image::cases(),
        process::cases(),
        argument::cases(),
        refusal::cases(),
        stream::cases(),
        device::cases(),
        root::cases(),
        mask::cases(),
        volume::cases(),
        named::cases(),
        network::cases(),
        nested::cases(),
        exit::cases(),
        signal::cases(),
        warden::cases(),
        exec::cases(),
        copy::cases(),
        manage::cases(),
        terminal::cases(),
        input::cases(),
        label::cases(),
        dry_run::cases(),
        limit::cases(),
        parallel::cases(),
        crash::cases(),
        detached::cases(),
        attach::cases(),
        again::cases(),
        recover::cases(),
        disk::cases(),
        soak::cases(),
        verdict::cases(),
        logs::cases(),
        oci::cases(),
        listing::cases(),
        escape::cases(),
    ]
    .concat()
}

fn main() -> ExitCode {
    if let Some(played) = role::asked() {
        return played;
    }
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if words.first().is_some_and(|word| word == "--payload") {
        return payload::run(&words[1..]);
    }
    // What a program that was started to outlive its terminal ignores, cases would ignore with it.
    set_action(SIGHUP, Action::Default).expect("SIGHUP as usual");
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let enclosure = if arguments.list { None } else { Enclosure::enter() };
    let mut trials = start::cases();
    trials.extend(
        [init::cases(), machine::cases(), seccomp::cases(), unmodified::cases(), usage::cases()]
            .into_iter()
            .flatten(),
    );
    trials.extend(cases().into_iter().filter(Case::can_run_here).map(Case::into_trial));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(enclosure);
    conclusion.exit_code()
}
