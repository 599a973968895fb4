//! `pipkin run`: from what was typed to a container.
//!
//! | module | duty |
//! |---|---|
//! | `help` | the text that names the options |
//! | `quantity`, `volume`, `environment`, `privilege` | values, read without a look at the machine |
//! | `device`, `image`, `namespace`, `network`, `user`, `resource` | values that need one |
//! | `request` | all of it together: the [`Spec`](pipkin::spec::Spec) |
//! | `metadata` | what the image says where the command line does not |
//! | `explain` | the plan in words or as JSON |
//! | `exec` | one more command in a container that runs |
//! | `update` | other limits for one that runs |
//! | `lasting` | these limits, for its next runs |
//! | `warden` | who ends it before its time |
//! | `origin` | what that is made of, in the record |
//! | `line` | what was typed, in the record |
//!
//! Dangers: everything typed is checked here or in the plan; what neither we nor the kernel can enforce is refused.

mod confinement;
mod device;
mod environment;
pub(super) mod exec;
mod explain;
pub(super) mod help;
mod image;
pub(super) mod lasting;
mod life;
mod line;
mod metadata;
mod namespace;
pub(super) mod network;
mod origin;
mod privilege;
mod quantity;
mod request;
mod resource;
mod seccomp;
#[cfg(test)]
mod tests;
pub(super) mod update;
mod user;
mod volume;
mod warden;

use super::argv::{self, Order, Sorted};
use super::detach::detach;
use super::launch::{self, Job};
use super::message::Failure;
use super::remove::remove;
use super::{ExitCode, Outcome, open_store, report};
use crate::oci::keep;
use crate::store::{Record, Store};
use namespace::Joined;
use pipkin::plan::{Plan, resolve};
use pipkin::spec::Id;
use quantity::Why;
pub(super) use quantity::size;
use request::{Directories, Request, user, workdir};
use rustix::fd::OwnedFd;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use warden::Warden;

/// A checked value, or the failure to show.
type Checked<T> = Result<T, Failure>;

/// What reads a value. A pointer, so that code is made for each type of value and not for each option.
type Parse<'a, T> = fn(&'a str) -> Result<T, Why>;

/// The verb.
pub(super) fn run(typed: &Sorted<'_>) -> Outcome {
    if typed.has("--detach") {
        // Nothing is open yet but what the caller left open; a supervisor would keep it so.
        pipkin::sys::spawn::close_inherited(0, &[]);
    }
    let parent = warden::parent(typed)?;
    carry_out(typed, &open_store()?, random_id()?, (parent, None))
}

/// Runs container `id`, of which `former` is known and which has ended, once more, in the background. Its exit code is 0
/// once it runs; the supervisor tells what keeps it from running. `None` when what it was made of is not known.
///
/// # Errors
/// What it is made of cannot be had any more.
pub(super) fn again(store: &Store, id: Id, former: &Record) -> Option<Outcome> {
    let words = line::read(former)?;
    let directory = OsStr::from_bytes(former.get("run.cwd").unwrap_or(b"/"));
    if let Err(error) = std::env::set_current_dir(directory) {
        return Some(Err(Failure::io("go to", directory.as_bytes(), &error)));
    }
    let typed = argv::sort(help::RUN, Order::OptionsFirst, &words).map_err(|why| Failure::usage("run", &why));
    let outcome = typed.and_then(|typed| carry_out(&typed, store, id, (None, Some(former))));
    Some(outcome.map_err(|failure| failure.of("start")))
}

/// Makes a container and runs it, or one again of which something is known; in the foreground it may end with its parent.
fn carry_out(
    typed: &Sorted<'_>,
    store: &Store,
    id: Id,
    (parent, former): (Option<OwnedFd>, Option<&Record>),
) -> Outcome {
    let joined = Joined::new(typed, store)?;
    let (images, own, networks) = (&store.images(), &store.layer(&id), &store.networks());
    let volumes = &store.volumes();
    let bridge_is_usual = pipkin::host::is_privileged();
    let claims = (!typed.has("--dry-run")).then_some(store);
    let directories = Directories { images, own, volumes, networks, joined, claims, bridge_is_usual };
    let request = Request::new(typed, id, directories)?;
    let facts = pipkin::host::probe()?;
    let mut plan = Box::<Plan>::default();
    resolve(&request.spec, &facts, &mut plan)?;
    if former.is_some() {
        lasting::apply(store, &id, &mut plan)?;
    }
    let (orders, record) = (life::orders(typed)?, life::record(typed, &request, &plan)?);
    let mut warden = Warden::new(typed, parent, record.stop_signal)?;
    if typed.has("--json") {
        return explain::as_json(&plan, &request);
    }
    if typed.has("--dry-run") {
        return explain::in_words(&plan);
    }
    request.make_sources()?;
    let _volumes = request.hold_volumes(store)?;
    launch::sweep(store);
    life::note_id(typed, &id)?;
    let job = Job { store, spec: &request.spec, plan: &plan, files: &request.files, record, former };
    let (outcome, background) = match orders {
        Some(orders) => (detach(&job, &orders), true),
        None => (launch::launch(&job, &mut warden), false),
    };
    let outcome = match outcome {
        Ok(ExitCode::SUCCESS) if background && former.is_none() => show_id(store, &id),
        other => other,
    };
    match outcome {
        Ok(code) if code == ExitCode::SUCCESS || !background => Ok(code),
        failed => {
            life::forget_id(typed);
            failed
        }
    }
}

/// Prints the id of a container that runs in the background. One that nobody was told of, nobody could name.
fn show_id(store: &Store, id: &Id) -> Outcome {
    let id = id.as_str();
    report::write(id.as_bytes()).inspect_err(|_| {
        remove(store, id.as_ref(), true).unwrap_or_else(|failure| {
            failure.tell();
        });
    })
}

/// Checks a volume's name.
///
/// # Errors
/// What a name is made of.
pub(super) fn volume_name(text: &str) -> Result<&str, &'static str> {
    volume::name(text)
}

/// Checks a container's name.
pub(super) fn container_name(text: &str) -> Result<&str, &'static str> {
    request::name(text)
}

fn random_id() -> Checked<Id> {
    let mut random = [0; 8];
    let fail = |errno| Failure::errno("draw an id", b"", errno);
    match rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(fail)? {
        8 => Ok(Id::from_random(u64::from_ne_bytes(random))),
        _ => Err(fail(rustix::io::Errno::IO)),
    }
}

/// The last value of option `name`, read by `parse`.
fn given<'a, T>(typed: &Sorted<'a>, name: &str, parse: Parse<'a, T>) -> Checked<Option<T>> {
    let Some(text) = typed.last(name) else { return Ok(None) };
    parse(text).map(Some).map_err(|why| refuse(name, text, why))
}

/// Every value of option `name`, read by `parse`.
fn each<'a, T>(typed: &Sorted<'a>, name: &str, parse: Parse<'a, T>) -> Checked<Vec<T>> {
    let mut values = Vec::new();
    for text in typed.all(name) {
        values.push(parse(text).map_err(|why| refuse(name, text, why))?);
    }
    Ok(values)
}

/// Option `name` cannot have the value `text`; `why` says what would be right.
fn refuse(name: &str, text: &str, why: &str) -> Failure {
    Failure::usage("run", &[name, " ", text, ": ", why].concat())
}
