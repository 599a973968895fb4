//! The engine's programs at their places in a container's life.

use super::super::message::Failure;
use super::state::{self, View};
use super::tell;
use crate::oci::config;
use crate::oci::json::Value;
use crate::oci::keep;
use pipkin::host::{Program, run_hook};
use rustix::fd::BorrowedFd;

/// Runs the hooks called `kind` in order, each with the container's state on its standard input; `inside` is the pidfd
/// of the container's process for those that run in its namespaces.
///
/// # Errors
/// The first that could not be run, ended with another status than 0, or took too long; of those called `poststop` each
/// such one is only told.
pub(super) fn run(
    config: &Value<'_>,
    kind: &str,
    view: &View<'_>,
    inside: Option<BorrowedFd<'_>>,
) -> Result<(), Failure> {
    if config.elements(&["hooks.", kind].concat()).is_empty() {
        return Ok(());
    }
    let state = state::json(view);
    let here = keep::text(view.record.bundle.clone()).unwrap_or(c"/");
    let hooks = config::hooks(config, kind)
        .map_err(|fault| Failure::new("run the hooks", kind.as_bytes(), fault.what.as_bytes()))?;
    for hook in hooks {
        let program = Program {
            path: hook.path,
            args: hook.args.array,
            env: hook.env.array,
            timeout_s: hook.timeout,
            cwd: if inside.is_some() { c"/" } else { here },
        };
        let what = ["run the ", kind, " hook"].concat();
        let failure = match run_hook(&program, &state, inside) {
            Ok(0) => continue,
            Ok(status) => {
                let why = ["it ended with status ", &status.to_string()].concat();
                Failure::new(&what, hook.path.to_bytes(), why.as_bytes())
            }
            Err(error) => Failure::errno(&what, hook.path.to_bytes(), error.errno),
        };
        if kind != "poststop" {
            return Err(failure);
        }
        // The container goes all the same, and so do the others of them (runtime.md, lifecycle).
        tell(&failure);
    }
    Ok(())
}
