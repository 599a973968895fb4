//! `pipkin update`: other limits for running containers.

use super::help::RUN;
use super::lasting;
use super::resource::resources;
use crate::cli::argv::Sorted;
use crate::cli::operand::each;
use crate::cli::{Outcome, report};
use pipkin::host::{probe, update_group};
use pipkin::plan::{Plan, update};
use std::borrow::Cow;

/// Its help, and the table of its options: where [`LIMITS`] stands are those of `run`.
pub(in super::super) const HELP: &str = "\
Usage: pipkin update [OPTIONS] CONTAINER ...

Changes limits of running containers; those that are not given stay as they are.
When one cannot be set, none is changed. They hold for the next runs too.

Options; SIZE is in bytes or ends in k, m or g:
<limits>      --help                       show this help";

/// The mark in [`HELP`].
const LIMITS: &str = "<limits>";

/// `help` with the options of `run` in the place of the mark, if it has one.
pub(in super::super) fn whole(help: &'static str) -> Cow<'static, str> {
    let limits = RUN.split_once("m or g:\n").and_then(|(_, rest)| rest.split_once("\n\n"));
    match (help.split_once(LIMITS), limits) {
        (Some((before, after)), Some((limits, _))) => [before, limits, "\n", after].concat().into(),
        _ => help.into(),
    }
}

/// The verb.
pub(in super::super) fn run(typed: &Sorted<'_>) -> Outcome {
    change(typed).map_err(|failure| failure.of("update"))
}

fn change(typed: &Sorted<'_>) -> Outcome {
    let resources = resources(typed)?;
    let mut plan = Box::<Plan>::default();
    update(&resources, &probe()?, &mut plan)?;
    each(typed, "update", "change the limits of", &mut |found| {
        found.group()?;
        update_group(&found.id, None, &plan)?;
        lasting::note(found.store, &found.id, &plan)?;
        report::write(found.id.as_str().as_bytes()).map(drop)
    })
}
