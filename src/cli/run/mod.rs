//! `pipkin run`: from what was typed to a container.
//!
//! | module | duty |
//! |---|---|
//! | `help` | the text that names the options |
//! | `options` | what was typed, by option |
//! | `quantity`, `volume`, `environment`, `privilege` | values, read without a look at the machine |
//! | `device`, `image`, `namespace`, `resource` | values that need one |
//! | `request` | all of it together, and the [`Spec`](pipkin::spec::Spec) made of it |
//!
//! Dangers: everything typed is checked here or in the plan; a value that no rule of ours or of the kernel can
//! enforce is refused.

mod device;
mod environment;
mod explain;
pub(super) mod help;
mod image;
mod keep;
mod namespace;
mod options;
mod privilege;
mod quantity;
mod request;
mod resource;
mod volume;

use super::argv::Sorted;
use super::launch::launch;
use super::message::Failure;
use super::{Outcome, open_store};
use crate::store::{Record, Status};
use pipkin::plan::{Plan, resolve};
use pipkin::spec::Id;
use quantity::Why;
use request::Request;
use std::time::SystemTime;

/// A checked value, or the failure to show.
type Checked<T> = Result<T, Failure>;

/// The verb.
pub(super) fn run(typed: &Sorted<'_>) -> Outcome {
    let store = open_store()?;
    let request = Request::new(typed, random_id()?, &store.images())?;
    let spec = request.spec(&store.layer(&request.id));
    let facts = pipkin::host::probe()?;
    let mut plan = Plan::default();
    resolve(&spec, &facts, &mut plan)?;
    match (request.dry_run, request.json) {
        (true, true) => explain::as_json(&plan, &request),
        (true, false) => explain::in_words(&plan),
        (false, _) => {
            request.make_sources()?;
            launch(&store, &spec, &plan, record(&request))
        }
    }
}

fn random_id() -> Checked<Id> {
    let mut random = [0; 8];
    let fail = |errno| Failure::errno("draw an id", b"", errno);
    match rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(fail)? {
        8 => Ok(Id::from_random(u64::from_ne_bytes(random))),
        _ => Err(fail(rustix::io::Errno::IO)),
    }
}

fn record(request: &Request) -> Record {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Record {
        name: request.name.clone(),
        image: request.image.clone(),
        command: request.command(),
        status: Status::Creating,
        pid: 0,
        created_ns: since_1970.map_or(0, |since| since.as_nanos()),
        exit: None,
        remove: request.remove,
    }
}

/// The last of `values`, read by `parse`.
fn given<'a, T>(
    name: &str,
    values: &'a [String],
    parse: impl FnOnce(&'a str) -> Result<T, Why>,
) -> Checked<Option<T>> {
    let Some(text) = values.last() else { return Ok(None) };
    parse(text).map(Some).map_err(|why| refuse(name, text, why))
}

/// Option `name` cannot have the value `text`; `why` says what would be right.
fn refuse(name: &str, text: &str, why: &str) -> Failure {
    Failure::usage("run", &[name, " ", text, ": ", why].concat())
}
