//! `miri`: the unit tests of what reaches no kernel, in an interpreter that sees undefined behaviour.
//!
//! Miri comes with the nightly compiler only, which nothing else here needs, and is a hundred times slower than the
//! processor: properties are tried on few inputs, and the usual tests go without.

use crate::command;
use crate::setup;
use anyhow::Result;
use argh::FromArgs;
use std::process::Command;

/// Run the unit tests of the pure rooms in Miri, which sees undefined behaviour.
#[derive(FromArgs)]
#[argh(subcommand, name = "miri")]
pub(crate) struct Miri {
    /// only tests whose name contains one of these texts; those of all pure rooms when left out
    #[argh(positional)]
    tests: Vec<String>,
    /// inputs that each property is tried on, 2 when left out
    #[argh(option, default = "2")]
    inputs: u32,
}

/// Of the library. What else is in the room with `unsafe` makes system calls by instructions of its own, which Miri
/// cannot read.
const LIBRARY: &[&str] = &[
    "bpf::tests::attack::",
    "cgroup::controller::",
    "cgroup::line::",
    "cgroup::mountinfo::",
    "cgroup::read::",
    "error::",
    "init::boot::cmdline::",
    "init::boot::mountinfo::",
    "init::option::",
    "init::tests::",
    "netlink::wire::",
    "plan::limit::",
    "plan::report::",
    "plan::sysctl::",
    "spec::",
    "sys::auxv::tests::the_vector_ends_at_its_end",
];

/// Of the program.
const PROGRAM: &[&str] = &[
    "cli::argv::",
    "cli::json::",
    "cli::nearest::",
    "cli::run::quantity::",
    "oci::json::",
    "oci::systemd::wire::",
    "store::record::",
    "store::time::",
];

impl Miri {
    pub(crate) fn run(&self) -> Result<()> {
        setup::miri()?;
        for (target, rooms) in [("--lib", LIBRARY), ("--bins", PROGRAM)] {
            let mut miri = Command::new("rustup");
            miri.args(["run", "nightly", "cargo", "miri", "test", "--package", "pipkin", target, "--"]);
            if self.tests.is_empty() {
                miri.args(rooms);
            } else {
                miri.args(&self.tests);
            }
            miri.current_dir(command::repository());
            miri.env("CARGO_TARGET_DIR", command::target().join("miri"));
            // Whoever makes inputs remembers in a file those that failed.
            miri.env("MIRIFLAGS", "-Zmiri-disable-isolation");
            miri.env("PROPTEST_CASES", self.inputs.to_string());
            // The trace of a panic that a test wants takes a minute.
            miri.env("RUST_BACKTRACE", "0");
            command::run(&mut miri)?;
        }
        Ok(())
    }
}
