//! Containers as operands: one by one, each as if it stood alone.

use super::argv::Sorted;
use super::launch::{end, errno_of};
use super::message::Failure;
use super::running::look_again;
use super::{ExitCode, Outcome, open_store};
use crate::store::{Record, Store};
use pipkin::spec::Id;
use std::ffi::OsStr;
use std::io::ErrorKind;

/// One container, found.
pub(super) struct Found<'a> {
    pub(super) store: &'a Store,
    pub(super) id: Id,
    /// What is known of it.
    pub(super) record: Record,
    /// What is being done with it, a verb phrase.
    what: &'static str,
    /// As it was typed.
    name: &'a OsStr,
}

impl<'a> Found<'a> {
    /// The container that `name` means; `what` is to be done with it. One whose supervisor is found dead is brought up
    /// to date first.
    ///
    /// # Errors
    /// There is none, several ids begin so, or it cannot be read.
    pub(super) fn find(store: &'a Store, what: &'static str, name: &'a OsStr) -> Result<Self, Failure> {
        let told = name.as_encoded_bytes();
        let missing = || missing(what, told);
        let id = match store.find(name.to_str().unwrap_or_default()) {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                return Err(Failure::new(what, told, b"several ids begin so").remedy("give more of it"));
            }
            Err(_) => return Err(missing()),
            Ok(id) => id,
        };
        let fail = |error: &std::io::Error| Failure::errno(what, told, errno_of(error));
        store.reclaim_one(&id, end).map_err(|error| fail(&error))?;
        let mut record = store.read(&id).map_err(|error| fail(&error))?.ok_or_else(missing)?;
        look_again(&id, &mut record);
        Ok(Self { store, id, record, what, name })
    }

    /// It cannot be done, and why.
    pub(super) fn fail(&self, why: &str) -> Failure {
        Failure::new(self.what, self.name.as_encoded_bytes(), why.as_bytes())
    }

    /// It cannot be done, by the kernel's word.
    pub(super) fn errno(&self, errno: rustix::io::Errno) -> Failure {
        // Of a container that is taken away meanwhile its directory goes first.
        if errno == rustix::io::Errno::NOENT && !self.store.layer(&self.id).exists() {
            return missing(self.what, self.name.as_encoded_bytes());
        }
        Failure::errno(self.what, self.name.as_encoded_bytes(), errno)
    }
}

fn missing(what: &'static str, name: &[u8]) -> Failure {
    Failure::new(what, name, b"there is no such container").remedy("see 'pipkin ps -a'")
}

/// Does `act` with every container that is named, and goes on after a failure.
///
/// # Errors
/// The last failure; those before it are told on the way.
pub(super) fn each(
    sorted: &Sorted<'_>,
    verb: &str,
    what: &'static str,
    act: &mut dyn FnMut(Found<'_>) -> Result<(), Failure>,
) -> Outcome {
    let names = named(sorted, verb)?;
    let store = open_store()?;
    all(names, &mut |name| Found::find(&store, what, name).and_then(&mut *act))
}

/// What is named, if anything is.
///
/// # Errors
/// Nothing is.
pub(super) fn named<'s, 'a>(sorted: &'s Sorted<'a>, verb: &str) -> Result<&'s [&'a OsStr], Failure> {
    if sorted.operands.is_empty() {
        return Err(Failure::usage(verb, "the name or id of a container is needed"));
    }
    Ok(&sorted.operands)
}

/// Does `act` with every name, and goes on after a failure.
///
/// # Errors
/// The last failure; those before it are told on the way.
pub(super) fn all<N>(names: &[N], act: &mut dyn FnMut(&N) -> Result<(), Failure>) -> Outcome {
    let mut last: Option<Failure> = None;
    for name in names {
        if let Err(failure) = act(name)
            && let Some(former) = last.replace(failure)
        {
            former.tell();
        }
    }
    last.map_or(Ok(ExitCode::SUCCESS), Err)
}
