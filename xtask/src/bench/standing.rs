//! A container of Pipkin's that waits in the background.

use super::contender::Ground;
use crate::command;
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;

/// Its name.
pub(super) const NAME: &str = "pipkin-bench";
/// Its command.
pub(super) const WAIT: [&str; 2] = ["/bin/sleep", "100000"];

/// It is there as long as this is.
pub(super) struct Standing<'g> {
    ground: &'g Ground,
    /// Its first process.
    pub(super) pid: u32,
    pub(super) supervisor: u32,
}

impl<'g> Standing<'g> {
    /// Starts it with these options of `run`.
    ///
    /// # Errors
    /// Pipkin's.
    pub(super) fn start(ground: &'g Ground, options: &[&str]) -> Result<Self> {
        let mut run = Command::new(&ground.pipkin);
        run.args(["run", "-d", "--name", NAME]).args(options).arg(&ground.rootfs).args(WAIT);
        command::output(&mut run)?;
        let mut standing = Self { ground, pid: 0, supervisor: 0 };
        let told = command::output(Command::new(&ground.pipkin).args(["inspect", NAME]))?;
        let told: Value = serde_json::from_str(&told).context("reading what inspect says")?;
        let number = |key: &str| {
            let number =
                told.get(key).and_then(Value::as_u64).with_context(|| format!("looking for {key}"))?;
            anyhow::Ok(u32::try_from(number)?)
        };
        (standing.pid, standing.supervisor) = (number("PID")?, number("Supervisor")?);
        Ok(standing)
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        let mut remove = Command::new(&self.ground.pipkin);
        if command::output(remove.args(["rm", "-f", NAME])).is_err() {
            eprintln!("xtask: {NAME} is left behind");
        }
    }
}
