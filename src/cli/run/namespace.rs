//! Which namespaces the container has of its own.

use super::quantity::Why;
use super::{Checked, given, keep, user};
use crate::cli::argv::Sorted;
use crate::cli::message::Failure;
use crate::store::{Claim, Store, process};
use pipkin::spec::{Id, Join, Namespaces};
use std::ffi::CStr;
use std::os::fd::IntoRawFd;

/// Options that take `container:NAME`, and the namespace of that container that is meant.
const SHARED: [(&str, &str); 5] =
    [("--network", "net"), ("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup")];

/// The namespaces of other containers that are to be joined, in the order of [`SHARED`].
#[derive(Clone, Copy, Default)]
pub(super) struct Joined([Option<&'static CStr>; SHARED.len()]);

impl Joined {
    /// Finds them.
    ///
    /// # Errors
    /// No such container is running.
    pub(super) fn new(typed: &Sorted<'_>, store: &Store) -> Checked<Self> {
        let mut joined = Self::default();
        for ((option, file), held) in SHARED.into_iter().zip(&mut joined.0) {
            let name = typed.last(option).and_then(|text| text.strip_prefix("container:"));
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                let path = hold(store, name, file);
                let what = "join a namespace of the container";
                let none = || Failure::new(what, name.as_bytes(), b"no such container is running");
                *held = Some(path.ok_or_else(none)?);
            }
        }
        Ok(joined)
    }

    /// As if a container with this network had been named.
    #[cfg(test)]
    pub(super) const fn network(path: &'static CStr) -> Self {
        Self([Some(path), None, None, None, None])
    }

    /// What `option` names, if it names a container.
    pub(super) fn by(&self, option: &str) -> Option<Join<'static>> {
        let mut all = SHARED.iter().zip(self.0);
        all.find(|((name, _), _)| *name == option)?.1.map(Join::Path)
    }
}

/// Opens a namespace of a running container, for good: a path to what is open. What is open stays what it is.
fn hold(store: &Store, name: &str, file: &str) -> Option<&'static CStr> {
    let record = store.find(name).and_then(|id| store.read(&id)).ok()??;
    if !record.status.is_alive() {
        return None;
    }
    let file = std::fs::File::open(["/proc/", &record.pid.to_string(), "/ns/", file].concat()).ok()?;
    // A number that another process has by now is not the container's.
    let held = (process::start_of(record.pid) == Some(record.pid_start)).then(|| file.into_raw_fd())?;
    keep::text(["/proc/self/fd/", &held.to_string()].concat())
}

/// All of them; that of the network is [`super::network`]'s to say. Ids of its own are claimed by `claim`.
pub(super) fn namespaces(
    typed: &Sorted<'_>,
    joined: &Joined,
    id: &Id,
    claim: Option<&mut Claim>,
) -> Checked<Namespaces<'static>> {
    let of = |name| match joined.by(name) {
        Some(join) => Ok(join),
        None => given(typed, name, join).map(|join| join.unwrap_or(Join::New)),
    };
    Ok(Namespaces {
        pid: of("--pid")?,
        network: Join::New,
        ipc: of("--ipc")?,
        uts: of("--uts")?,
        cgroup: of("--cgroupns")?,
        user: user::namespace(typed, id, claim)?,
        time: if typed.has("--time-ns") { Join::New } else { Join::Host },
        clocks: &[],
    })
}

/// `private`, `host` or `ns:PATH`; `container:NAME` is [`Joined`]'s.
fn join(text: &str) -> Result<Join<'static>, Why> {
    const WHY: Why = "give private, host, container:NAME or ns:PATH";
    match text.split_once(':') {
        None if text == "private" => Ok(Join::New),
        None if text == "host" => Ok(Join::Host),
        Some(("ns", path)) if path.starts_with('/') => keep::text(path).map(Join::Path).ok_or(WHY),
        _ => Err(WHY),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sorted, words};
    use super::*;

    fn of(text: &str) -> Option<Namespaces<'static>> {
        namespaces(&sorted(&words(text)), &Joined::default(), &Id::from_random(1), None).ok()
    }

    #[test]
    fn everything_is_its_own_unless_asked() {
        assert_eq!(of(""), Some(Namespaces::DEFAULT));
        assert_eq!(of("--userns host"), Some(Namespaces::DEFAULT));
        assert_eq!(of("--ipc host").unwrap().ipc, Join::Host);
        assert_eq!(of("--pid ns:/proc/7/ns/pid").unwrap().pid, Join::Path(c"/proc/7/ns/pid"));
        assert_eq!(of("--ipc private").unwrap().ipc, Join::New);
        assert_eq!(of("--time-ns").unwrap().time, Join::New);
        for bad in ["--pid none", "--uts ns:", "--uts ns:x", "--ipc container:x", "--cgroupns="] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
