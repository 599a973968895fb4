//! The suites of `test`, in the order they run: what fails fastest comes first.

use super::tally::{self, Tally};
use super::{boot, clients, e2e, embed, profile};
use crate::build::{self, Arch, Face};
use crate::command::{self, cargo};
use crate::docs;
use crate::fuzz::{self, Fuzzer};
use crate::rootfs::{self, Rootfs};
use crate::setup::{self, Program};
use crate::tidy;
use anyhow::{Context, Result};
use rootfs_builder::alpine;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// A group of checks with a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    Format,
    Clippy,
    Tidy,
    Unit,
    Fuzz,
    RootfsBuilder,
    Docs,
    Host,
    Vm(Arch),
    Boot(Arch),
    Clients,
}

impl Suite {
    /// Those that every change must pass: all but the engines, which take long and come from the network.
    pub(super) fn usual() -> Vec<Suite> {
        use Suite::{Clippy, Docs, Format, Fuzz, Host, RootfsBuilder, Tidy, Unit};
        let here = [Format, Clippy, Tidy, Unit, Fuzz, RootfsBuilder, Docs, Host];
        here.into_iter().chain(Arch::ALL.map(Suite::Boot)).chain(Arch::ALL.map(Suite::Vm)).collect()
    }

    pub(super) fn all() -> Vec<Suite> {
        Suite::usual().into_iter().chain([Suite::Clients]).collect()
    }

    /// What `--only` takes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Suite::Format => "format",
            Suite::Clippy => "clippy",
            Suite::Tidy => "tidy",
            Suite::Unit => "unit",
            Suite::Fuzz => "fuzz",
            Suite::RootfsBuilder => "rootfs-builder",
            Suite::Docs => "docs",
            Suite::Host => "host",
            Suite::Vm(Arch::X86_64) => "vm-x86_64",
            Suite::Vm(Arch::Aarch64) => "vm-aarch64",
            Suite::Boot(Arch::X86_64) => "boot-x86_64",
            Suite::Boot(Arch::Aarch64) => "boot-aarch64",
            Suite::Clients => "clients",
        }
    }

    /// The rest of its heading.
    pub(super) const fn duty(self) -> &'static str {
        match self {
            Suite::Format => "every file as rustfmt writes it",
            Suite::Clippy => "no warning, on each architecture",
            Suite::Tidy => "the rules of the house",
            Suite::Unit => "unit tests, golden texts and the examples in the documentation",
            Suite::Fuzz => "mutated input for everything that reads what others wrote",
            Suite::RootfsBuilder => "making root file systems",
            Suite::Docs => "man pages and completions, read by what they are for",
            Suite::Host => "end to end on this machine",
            Suite::Boot(_) => "machines that boot from disks",
            Suite::Clients => "podman, containerd and Docker with Pipkin as their runtime",
            Suite::Vm(_) => "end to end in a machine whose PID 1 is Pipkin",
        }
    }

    /// The architecture of the machine that it boots, if it boots one.
    pub(super) const fn machine(self) -> Option<Arch> {
        match self {
            Suite::Vm(arch) | Suite::Boot(arch) => Some(arch),
            Suite::Clients => Some(Arch::HOST),
            _ => None,
        }
    }

    /// Runs it, end-to-end cases limited to those whose name contains `case`.
    ///
    /// # Errors
    /// When it could not run to its end; that counts as one failure.
    pub(super) fn run(self, case: Option<&str>) -> Result<Tally> {
        match self {
            Suite::Format => check(&["fmt", "--all", "--check"]),
            Suite::Clippy => clippy(),
            Suite::Tidy => tidy::Tidy::new().run().map(|()| Tally::SUCCESS),
            Suite::Unit => unit(),
            Suite::Fuzz => fuzz(),
            Suite::RootfsBuilder => rootfs_builder(),
            Suite::Docs => docs::test(),
            Suite::Host => e2e::on_host(case),
            Suite::Boot(arch) => boot::run(arch, case),
            Suite::Clients => clients::run(Arch::HOST, case),
            Suite::Vm(arch) => e2e::in_machine(arch, case),
        }
    }
}

/// A cargo command that is one check by itself.
fn check(arguments: &[&str]) -> Result<Tally> {
    command::run(cargo().args(arguments))?;
    Ok(Tally::SUCCESS)
}

/// The whole workspace for the machine that builds, what is shipped or runs beside it for each target, and the program
/// with faces left out.
fn clippy() -> Result<Tally> {
    let mut tallies =
        vec![check(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-Dwarnings"])?];
    for arch in Arch::ALL {
        let package = ["clippy", "--quiet", "--package", "pipkin", "--all-targets"];
        let rest = ["--all-features", "--target", arch.triple(), "--", "-Dwarnings"];
        tallies.push(check(&[package.as_slice(), &rest].concat())?);
    }
    for faces in ["", "runtime"] {
        let package = ["clippy", "--quiet", "--package", "pipkin", "--bin", "pipkin"];
        let rest = ["--no-default-features", "--features", faces, "--", "-Dwarnings"];
        tallies.push(check(&[package.as_slice(), &rest].concat())?);
    }
    Ok(tallies.into_iter().sum())
}

/// Each target for a number of rounds that takes a few seconds; `cargo xtask fuzz` goes on from there.
fn fuzz() -> Result<Tally> {
    const ROUNDS: u64 = 30_000;
    /// Of those that write to disk.
    const SLOW_ROUNDS: u64 = 1000;
    let fuzzer = Fuzzer::build()?;
    let mut tally = Tally::default();
    for target in fuzz::targets()? {
        let rounds = if target == "layer" { SLOW_ROUNDS } else { ROUNDS };
        let ran = fuzzer.run_rounds(&target, rounds);
        println!("test fuzz::{target} ... {}", if ran.is_ok() { "ok" } else { "FAILED" });
        tally = tally.and([match ran {
            Ok(_) => Tally::SUCCESS,
            Err(error) => {
                println!("{error:#}");
                Tally::FAILURE
            }
        }]);
    }
    Ok(tally)
}

/// With the programs of others that it is tried against, which a user who cannot install them goes without.
fn rootfs_builder() -> Result<Tally> {
    const OTHERS: [Program; 9] = [
        Program { name: "cpio", package: "cpio" },
        Program { name: "docker-registry", package: "docker-registry" },
        Program { name: "mke2fs", package: "e2fsprogs" },
        Program { name: "mkfs.erofs", package: "erofs-utils" },
        Program { name: "mksquashfs", package: "squashfs-tools" },
        Program { name: "openssl", package: "openssl" },
        Program { name: "podman", package: "podman" },
        Program { name: "skopeo", package: "skopeo" },
        Program { name: "umoci", package: "umoci" },
    ];
    let mut test = cargo();
    test.args(["test", "--quiet", "--package", "rootfs-builder"]);
    if setup::is_root()? {
        setup::programs(&OTHERS)?;
        // It runs apk in a container.
        test.env("PIPKIN", build::static_binary(Arch::HOST, Face::All)?);
        if let Rootfs::Alpine { path, .. } = rootfs::obtain()? {
            test.env("PIPKIN_ROOTFS", path);
        }
    }
    if let Some(folder) = rootfs::tarballs()? {
        test.env(alpine::GIVEN_DIRECTORY, folder);
    }
    tally::of(&mut test)
}

/// Every test target but the end-to-end cases, which need the shipped program: cargo can only be told what to take.
fn unit() -> Result<Tally> {
    // What the cases compare with or run under the filter; without it they would be skipped.
    const OTHERS: [Program; 9] = [
        Program { name: "/usr/share/doc/python3-seccomp", package: "python3-seccomp" },
        Program { name: "/usr/share/containers/seccomp.json", package: "golang-github-containers-common" },
        Program { name: "busybox", package: "busybox" },
        Program { name: "node", package: "nodejs" },
        Program { name: "runc", package: "runc" },
        Program { name: "openssl", package: "openssl" },
        Program { name: "nginx", package: "nginx-light" },
        Program { name: "ip", package: "iproute2" },
        Program { name: "nft", package: "nftables" },
    ];
    if setup::is_root()? {
        setup::programs(&OTHERS)?;
    }
    let members = ["--quiet", "--workspace", "--exclude", "rootfs-builder"];
    let mut own = cargo();
    own.arg("test").args(members).args(["--lib", "--bins"]);
    own.args(["--test", "replay"]);
    if let Some(profile) = profile::docker()? {
        own.env("PIPKIN_DOCKER_PROFILE", profile);
    }
    for target in test_targets(&command::repository().join("tests"))? {
        own.arg("--test").arg(target);
    }
    let own = tally::of(&mut own)?;
    let examples = tally::of(cargo().arg("test").args(members).arg("--doc"))?;
    Ok([own, examples, embed::run()?].into_iter().sum())
}

/// The names of the targets in `tests/`: folders with a `main.rs`, and single files.
fn test_targets(tests: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading folder {}", tests.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(tests).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        let is_target = path.join("main.rs").is_file() || path.extension().is_some_and(|found| found == "rs");
        let name = path.file_stem().and_then(OsStr::to_str).with_context(reading)?;
        if is_target && name != e2e::TARGET {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::test_targets;
    use std::fs;

    #[test]
    fn all_targets_but_the_end_to_end_cases_are_unit_tests() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plan", "e2e", "floor"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for file in ["plan/main.rs", "plan/other.rs", "e2e/main.rs", "floor/floor.c", "single.rs"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let mut names = test_targets(folder.path()).unwrap();
        names.sort();
        assert_eq!(names, ["plan", "single"]);
    }
}
