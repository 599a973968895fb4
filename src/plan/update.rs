//! From limits that are wanted of a running container to the list of writes.

use super::{Conflict, HostFacts, Plan, limit};
use crate::spec::Resources;

/// Decides how to bring the limits of a running container to `resources`, of which what is `None` stays as it is, and
/// writes the steps into `plan`, which must be empty.
///
/// # Errors
/// Nothing to change, a limit out of its range, or one that cannot be had here.
pub fn update<'a>(resources: &Resources<'a>, facts: &HostFacts, plan: &mut Plan<'a>) -> Result<(), Conflict> {
    if !limit::any(resources) {
        return Err(Conflict::new("change the limits", "none is given", "give one, as --memory 64m"));
    }
    let host = &mut plan.host;
    limit::resolve(resources, &facts.controllers, &mut |step| {
        host.push(step).map_err(|_| Conflict::full("set limits"))
    })
}
