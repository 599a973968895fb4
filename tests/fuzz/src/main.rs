//! Fuzz targets: everything that reads what others wrote, given arbitrary bytes.
//!
//! Two programs come of it. Built with `--cfg fuzzing`, by `cargo xtask fuzz`, it is libFuzzer with the target that
//! the environment variable `FUZZ_TARGET` names. Built as anything else is, it tries a target on files:
//! `fuzz TARGET FILE…`; the test in `replay.rs` does so with everything in `seed/`, which holds honest beginnings for each
//! target and every input that once was a finding.
//!
//! Readers that are not part of the library are included from their files.
#![cfg_attr(fuzzing, no_main)]

// What a target has no use for is dead code here, and alive in the program.
#[path = "../../../src/child/account.rs"]
mod account;
#[path = "../../../src/init/boot/mountinfo.rs"]
#[allow(dead_code)]
mod boot_mountinfo;
#[path = "../../../src/cli"]
#[allow(dead_code)]
mod cli {
    pub(crate) mod argv;
    mod run {
        pub(super) mod help;
    }

    /// The help text of `run`, which is the table of its options.
    pub(crate) const fn help() -> &'static str {
        run::help::RUN
    }
}
#[path = "../../../src/init/boot/file.rs"]
#[allow(dead_code)]
mod file;
#[path = "../../../src/cgroup/mountinfo.rs"]
#[allow(dead_code)]
mod mountinfo;
#[path = "../../../src/oci"]
#[allow(dead_code, unused_imports)]
mod oci {
    pub(crate) mod config;
    pub(crate) mod json;
    pub(crate) mod keep;
    pub(crate) mod seccomp;
}
mod target;

// Where the included files look for the rooms of the library.
use pipkin::{error, spec};

#[cfg(fuzzing)]
mod fuzzer {
    use super::target::{self, Target};
    use std::sync::LazyLock;

    static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        target::named(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name}: use {}", target::names()))
    });

    libfuzzer_sys::fuzz_target!(|data: &[u8]| (CHOSEN.run)(data));
}

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(target) = words.next().and_then(|name| target::named(&name)) else {
        eprintln!("use: fuzz TARGET FILE…, with one of {}", target::names());
        return std::process::ExitCode::from(2);
    };
    for path in words {
        match std::fs::read(&path) {
            Ok(data) => (target.run)(&data),
            Err(error) => {
                eprintln!("{path}: {error}");
                return std::process::ExitCode::FAILURE;
            }
        }
    }
    std::process::ExitCode::SUCCESS
}
