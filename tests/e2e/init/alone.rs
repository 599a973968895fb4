//! The build that leaves out everything but the init.

use super::{Running, shell};
use crate::program::init_alone;
use libtest_mimic::{Failed, Trial};
use std::process::Command;

pub(super) fn cases() -> Vec<Trial> {
    vec![
        Trial::test("init::alone_it_serves_a_command", alone_it_serves_a_command),
        Trial::test("init::alone_it_is_other_inits_too", alone_it_is_other_inits_too),
        Trial::test("init::alone_it_names_what_it_is_not", alone_it_names_what_it_is_not),
    ]
}

fn alone() -> Command {
    let mut command = Command::new(init_alone());
    command.env_clear();
    command
}

fn alone_it_serves_a_command() -> Result<(), Failed> {
    let words = shell("trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.1; done");
    let mut command = alone();
    command.args(["init", "--"]).arg(words.get_program()).args(words.get_args());
    let mut running = Running::start(&mut command)?;
    running.tells("ready")?;
    running.kill(15)?;
    running.tells("asked")?;
    running.ends_with(7)
}

fn alone_it_is_other_inits_too() -> Result<(), Failed> {
    use std::os::unix::process::CommandExt;
    for name in ["tini", "dumb-init", "docker-init", "catatonit"] {
        let output = alone().arg0(name).args(["--", "/bin/sh", "-c", "exit 9"]).output()?;
        if output.status.code() != Some(9) {
            return Err(format!("as {name}: {output:?}").into());
        }
    }
    Ok(())
}

fn alone_it_names_what_it_is_not() -> Result<(), Failed> {
    for (verb, told) in [("run", true), ("create", true), ("nonsense", true), ("probe", false)] {
        let output = alone().arg(verb).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let refused = output.status.code() == Some(125)
            && said.starts_with(&format!("pipkin: unknown verb {verb} (this build is the init alone)\n"));
        if refused != told {
            return Err(format!("{verb}: {output:?}").into());
        }
    }
    Ok(())
}
