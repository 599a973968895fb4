//! The end-to-end tests: what they are built from, and their run on this machine and in the test machine.

use super::tally::{self, Tally};
use crate::build::{self, Arch, Face};
use crate::command::{self, cargo};
use crate::rootfs::{self, Rootfs};
use crate::setup::{self, Program};
use crate::vm::{self, GuestFile, Job};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The cases' test target.
pub(super) const TARGET: &str = "e2e";
/// In the names of the cases for a machine with it.
const SELINUX: &str = "selinux";
/// All cases together, emulated on a slow machine: longer is a hang.
const MACHINE_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// The static programs of one end-to-end run, of one architecture.
pub(crate) struct EndToEnd {
    /// The cases: a test program with libtest's options.
    pub(crate) test: PathBuf,
    /// The shipped program, for `PIPKIN`.
    pub(crate) pipkin: PathBuf,
    /// The program with pause points, for `PIPKIN_HOOKS`.
    pub(crate) hooks: PathBuf,
    /// The program as the init alone, for `PIPKIN_INIT`.
    pub(crate) init: PathBuf,
}

impl EndToEnd {
    /// Builds all four.
    pub(crate) fn build(arch: Arch) -> Result<EndToEnd> {
        let pipkin = build::static_binary(arch, Face::All)?;
        let hooks = build::hooks_binary(arch)?;
        let init = build::static_binary(arch, Face::Init)?;
        Ok(EndToEnd { test: test_program(arch)?, pipkin, hooks, init })
    }
}

/// Runs the cases whose name contains `case` here.
pub(super) fn on_host(case: Option<&str>) -> Result<Tally> {
    // For cases that are somebody else than root.
    setup::programs(&[
        Program { name: "newuidmap", package: "uidmap" },
        Program { name: "setpriv", package: "util-linux" },
        Program { name: "pasta", package: "passt" },
        Program { name: "ip", package: "iproute2" },
        Program { name: "iptables-legacy", package: "iptables" },
    ])?;
    // Which containers run as the distribution ships them.
    setup::programs(&[
        Program { name: "python3", package: "python3" },
        Program { name: "node", package: "nodejs" },
        Program { name: "openssl", package: "openssl" },
        Program { name: "nginx", package: "nginx-light" },
        Program { name: "fzf", package: "fzf" },
    ])?;
    let built = EndToEnd::build(Arch::HOST)?;
    let mut test = Command::new(&built.test);
    test.args(case).current_dir(command::repository());
    test.env("PIPKIN", &built.pipkin).env("PIPKIN_HOOKS", &built.hooks).env("PIPKIN_INIT", &built.init);
    match rootfs::obtain()? {
        Rootfs::Alpine { path, .. } => test.env("PIPKIN_ROOTFS", path),
        Rootfs::Nothing(why) => {
            println!("cases that need Alpine will be skipped: {why}");
            test.env_remove("PIPKIN_ROOTFS")
        }
    };
    tally::of(&mut test)
}

/// Runs the same cases in a machine of architecture `arch`, where Pipkin is PID 1, and those of SELinux in a second one:
/// a kernel has either AppArmor or it.
pub(super) fn in_machine(arch: Arch, case: Option<&str>) -> Result<Tally> {
    let built = EndToEnd::build(arch)?;
    let machine = vm::for_tests(arch)?;
    let mut tallies = Vec::new();
    let (only_second, only_first) = (case == Some(SELINUX), case.is_some_and(|case| case != SELINUX));
    for (left_out, case, append) in [(only_second, case, ""), (only_first, Some(SELINUX), "security=selinux")]
    {
        if !left_out {
            let outcome = vm::run(&machine, &job(&built, case, append))?;
            tallies.push(tally::of_output(&outcome.output, outcome.status)?);
        }
    }
    Ok(tallies.into_iter().sum())
}

fn job(built: &EndToEnd, case: Option<&str>, append: &str) -> Job {
    let program = |path: &str, host: &Path| GuestFile { path: path.into(), mode: 0o755, host: host.into() };
    // Colours would stand between the words of the summary.
    let mut command = vec!["/test/e2e".to_owned(), "--color=never".to_owned()];
    command.extend(case.map(str::to_owned));
    Job {
        command,
        env: vec![
            ("PIPKIN", "/usr/bin/pipkin".to_owned()),
            ("PIPKIN_HOOKS", "/usr/bin/pipkin-hooks".to_owned()),
            ("PIPKIN_INIT", "/usr/bin/pipkin-init".to_owned()),
            ("PIPKIN_ROOTFS", "/alpine".to_owned()),
            ("PIPKIN_VM", "1".to_owned()),
        ],
        files: vec![
            program("/test/e2e", &built.test),
            program("/usr/bin/pipkin-hooks", &built.hooks),
            program("/usr/bin/pipkin-init", &built.init),
        ],
        append: append.to_owned(),
        timeout: MACHINE_TIMEOUT,
    }
}

/// Compiles the cases and asks cargo where the program went: its name holds a hash.
fn test_program(arch: Arch) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["test", "--quiet", "--package", "pipkin", "--test", TARGET, "--no-run"]);
    cargo.args(["--target", arch.triple(), "--message-format", "json"]);
    executable(&command::output(&mut cargo)?)
        .context("looking for the end-to-end test program in cargo's messages")
}

/// The `executable` of the message about the `e2e` target.
fn executable(messages: &str) -> Option<PathBuf> {
    let about =
        |line: &&str| line.contains(r#""reason":"compiler-artifact""#) && line.contains(r#""name":"e2e""#);
    let message = messages.lines().find(about)?;
    let (_, rest) = message.split_once(r#""executable":""#)?;
    let (path, _) = rest.split_once('"')?;
    Some(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::executable;
    use std::path::PathBuf;

    #[test]
    fn the_test_program_is_found_among_others() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"pipkin"},"executable":"/t/pipkin"}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"e2e"},"executable":"/t/deps/e2e-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/t/deps/e2e-1")));
    }
}
