//! The suites of `test`, in the order they run: what fails fastest comes first.

use super::e2e;
use super::tally::{self, Tally};
use crate::build::Arch;
use crate::command::{self, cargo};
use crate::tidy;
use anyhow::Result;

/// A group of checks with a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    Format,
    Clippy,
    Tidy,
    Unit,
    RootfsBuilder,
    Host,
    Vm(Arch),
}

impl Suite {
    pub(super) fn all() -> Vec<Suite> {
        let here =
            [Suite::Format, Suite::Clippy, Suite::Tidy, Suite::Unit, Suite::RootfsBuilder, Suite::Host];
        here.into_iter().chain(Arch::ALL.map(Suite::Vm)).collect()
    }

    /// What `--only` takes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Suite::Format => "format",
            Suite::Clippy => "clippy",
            Suite::Tidy => "tidy",
            Suite::Unit => "unit",
            Suite::RootfsBuilder => "rootfs-builder",
            Suite::Host => "host",
            Suite::Vm(Arch::X86_64) => "vm-x86_64",
            Suite::Vm(Arch::Aarch64) => "vm-aarch64",
        }
    }

    /// The rest of its heading.
    pub(super) const fn duty(self) -> &'static str {
        match self {
            Suite::Format => "every file as rustfmt writes it",
            Suite::Clippy => "no warning, on each architecture",
            Suite::Tidy => "the rules of the house",
            Suite::Unit => "unit tests and the examples in the documentation",
            Suite::RootfsBuilder => "making root file systems",
            Suite::Host => "end to end on this machine",
            Suite::Vm(_) => "end to end in a machine whose PID 1 is Pipkin",
        }
    }

    /// Whether it boots a virtual machine.
    pub(super) const fn needs_vm(self) -> bool {
        matches!(self, Suite::Vm(_))
    }

    /// Runs it, end-to-end cases limited to those whose name contains `case`.
    ///
    /// # Errors
    /// When it could not run to its end; that counts as one failure.
    pub(super) fn run(self, case: Option<&str>) -> Result<Tally> {
        match self {
            Suite::Format => check(&["fmt", "--all", "--check"]),
            Suite::Clippy => clippy(),
            Suite::Tidy => tidy::Tidy {}.run().map(|()| Tally::SUCCESS),
            Suite::Unit => unit(),
            Suite::RootfsBuilder => {
                tally::of(cargo().args(["test", "--quiet", "--package", "rootfs-builder"]))
            }
            Suite::Host => e2e::on_host(case),
            Suite::Vm(arch) => e2e::in_machine(arch, case),
        }
    }
}

/// A cargo command that is one check by itself.
fn check(arguments: &[&str]) -> Result<Tally> {
    command::run(cargo().args(arguments))?;
    Ok(Tally::SUCCESS)
}

/// The whole workspace for the machine that builds, and what is shipped or runs beside it for each target.
fn clippy() -> Result<Tally> {
    let mut tallies =
        vec![check(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-Dwarnings"])?];
    for arch in Arch::ALL {
        let package = ["clippy", "--quiet", "--package", "pipkin", "--all-targets"];
        let rest = ["--all-features", "--target", arch.triple(), "--", "-Dwarnings"];
        tallies.push(check(&[package.as_slice(), &rest].concat())?);
    }
    Ok(tallies.into_iter().sum())
}

fn unit() -> Result<Tally> {
    let members = ["--quiet", "--workspace", "--exclude", "rootfs-builder"];
    let unit = tally::of(cargo().arg("test").args(members).args(["--lib", "--bins"]))?;
    let examples = tally::of(cargo().arg("test").args(members).arg("--doc"))?;
    Ok([unit, examples].into_iter().sum())
}
