//! `test`: everything a change must pass, suite by suite, and one line that sums it up.

mod boot;
mod clients;
mod e2e;
mod embed;
mod profile;
mod suite;
pub(crate) mod tally;

use crate::build::Arch;
use crate::{setup, vm};
use anyhow::{Result, bail};
use argh::FromArgs;
use std::process::ExitCode;
use suite::Suite;
use tally::Tally;

/// Run every check and test. The last line is "N passed, N failed, N skipped".
#[derive(FromArgs)]
#[argh(subcommand, name = "test")]
pub(crate) struct Test {
    /// leave out the virtual machines
    #[argh(switch)]
    quick: bool,
    /// only the engines that use Pipkin as their runtime, which the usual suites leave out
    #[argh(switch)]
    clients: bool,
    /// run one suite; can be given several times
    #[argh(option)]
    only: Vec<String>,
    /// run only the end-to-end cases and boots whose name contains this text
    #[argh(option)]
    case: Option<String>,
}

impl Test {
    /// A failed test is no error of this program: it is told by the exit code, and the sum stays the last line.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let suites = self.suites()?;
        setup::rust_checkers()?;
        for arch in Arch::ALL {
            setup::rust_target(arch.triple())?;
        }
        // Before the first suite, so that nobody waits minutes to be told what is missing.
        let machines: Vec<setup::Program> =
            suites.iter().filter_map(|suite| suite.machine()).map(vm::program).collect();
        setup::programs(&machines)?;
        let mut told = Vec::new();
        for suite in suites {
            println!("\n== {}: {}", suite.name(), suite.duty());
            let tally = suite.run(self.case.as_deref()).unwrap_or_else(|error| {
                println!("test {} ... FAILED\n{error:#}", suite.name());
                Tally::FAILURE
            });
            told.push((suite, tally));
        }
        println!();
        for (suite, tally) in &told {
            println!("{:<16}{tally}", suite.name());
        }
        let sum: Tally = told.into_iter().map(|(_, tally)| tally).sum();
        println!("{sum}");
        let complete = sum.skipped == 0 || !is_ci();
        Ok(if sum.failed == 0 && complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn suites(&self) -> Result<Vec<Suite>> {
        if self.clients {
            return Ok(vec![Suite::Clients]);
        }
        if self.only.is_empty() {
            return Ok(Suite::usual()
                .into_iter()
                .filter(|suite| !(self.quick && suite.machine().is_some()))
                .collect());
        }
        let mut chosen = Vec::new();
        for name in &self.only {
            match Suite::all().into_iter().find(|suite| suite.name() == name) {
                Some(suite) => chosen.push(suite),
                None => {
                    let names: Vec<&str> = Suite::all().iter().map(|suite| suite.name()).collect();
                    bail!("unknown suite {name}: use {}", names.join(", "));
                }
            }
        }
        Ok(chosen)
    }
}

/// Whether a machine, not a person, reads the result. A skipped test is then a failure: nobody looks at it.
fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}
