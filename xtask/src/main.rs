//! Pipkin's own build, test and measuring commands: `cargo xtask VERB`.
//!
//! One file per verb. A verb calls [`setup`] for what it needs, so a fresh machine with rustup and a C
//! linker runs any of them as its first command. The program is never started through cargo: what is
//! tested, shown and measured is the file that [`build`] leaves in `target/dist`.

mod bench;
mod build;
mod cgroup;
mod command;
mod demo;
mod docs;
mod elf;
mod fuzz;
mod miri;
mod rootfs;
mod setup;
mod size;
mod test;
mod tidy;
mod vm;

use argh::FromArgs;
use std::process::ExitCode;

/// Pipkin's own build, test and measuring commands.
#[derive(FromArgs)]
struct Xtask {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Verb {
    Bench(bench::Bench),
    BuildStatic(build::BuildStatic),
    Demo(demo::Demo),
    Docs(docs::Docs),
    Fuzz(fuzz::Fuzz),
    Miri(miri::Miri),
    Size(size::Size),
    Test(test::Test),
    Tidy(tidy::Tidy),
    Vm(vm::Vm),
}

fn main() -> ExitCode {
    let xtask: Xtask = argh::from_env();
    let outcome = match xtask.verb {
        Verb::Bench(verb) => verb.run().map(|()| ExitCode::SUCCESS),
        Verb::BuildStatic(verb) => verb.run().map(|()| ExitCode::SUCCESS),
        Verb::Demo(verb) => verb.run(),
        Verb::Docs(verb) => verb.run().map(|()| ExitCode::SUCCESS),
        Verb::Fuzz(verb) => verb.run().map(|()| ExitCode::SUCCESS),
        Verb::Miri(verb) => verb.run().map(|()| ExitCode::SUCCESS),
        Verb::Size(verb) => verb.run().map(|()| ExitCode::SUCCESS),
        Verb::Test(verb) => verb.run(),
        Verb::Tidy(verb) => verb.run().map(|()| ExitCode::SUCCESS),
        Verb::Vm(verb) => verb.run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(if error.is::<setup::Missing>() { 125 } else { 1 })
        }
    }
}
