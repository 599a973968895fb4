//! `pipkin volume`: directories that outlast containers, by their names.

use super::argv::Sorted;
use super::launch::{end, errno_of, with_room};
use super::message::Failure;
use super::operand::all;
use super::run::volume_name;
use super::{Outcome, open_store, report};
use crate::store::Store;
use rustix::io::Errno;
use std::ffi::OsStr;

pub(super) const HELP: &str = "\
Usage: pipkin volume ls|create|rm [OPTIONS] [NAME ...]

Volumes are directories with a name that outlast the containers they are shown
in by 'run -v NAME:DST'; the first container with one makes it, and as long as it
is empty, it takes over what the image has there.
  ls         list them, and where they are on the host
  create     make them
  rm         remove them with all in them

Options:
  -q, --quiet  with ls: names only
  -f, --force  with rm: one that there is not is no error
      --help   show this help";

/// Lists, makes or removes volumes.
///
/// # Errors
/// Those of the volumes with which that does not work; the others are served all the same.
pub(super) fn run(sorted: &Sorted<'_>) -> Outcome {
    let usage = |line| Err(Failure::usage("volume", line));
    let Some((action, names)) = sorted.operands.split_first() else {
        return usage("give ls, create or rm");
    };
    let act: fn(&Store, &str, bool) -> Result<(), Failure> = match action.to_str() {
        Some("ls" | "list") if names.is_empty() => return list(&open_store()?, sorted.has("--quiet")),
        Some("ls" | "list") => return usage("ls takes no NAME"),
        Some("create") => create,
        Some("rm" | "remove") => remove,
        _ => return usage("give ls, create or rm"),
    };
    if names.is_empty() {
        return usage("the NAME of a volume is needed");
    }
    let store = open_store()?;
    all(names, &mut |name| {
        act(&store, checked(name)?, sorted.has("--force"))?;
        report::write(name.as_encoded_bytes()).map(drop)
    })
}

fn checked(name: &OsStr) -> Result<&str, Failure> {
    let text = name.to_str().unwrap_or_default();
    volume_name(text).map_err(|why| Failure::new("use the volume", name.as_encoded_bytes(), why.as_bytes()))
}

fn list(store: &Store, quiet: bool) -> Outcome {
    let names =
        store.volume_names().map_err(|error| Failure::errno("list volumes", b"", errno_of(&error)))?;
    let mut out = Vec::new();
    for name in names {
        out.extend_from_slice(name.as_bytes());
        if !quiet {
            let path = store.volumes().join(&name).into_os_string();
            out.extend([b"\t", path.as_encoded_bytes()].concat());
        }
        out.push(b'\n');
    }
    report::write_list(&out)
}

fn create(store: &Store, name: &str, _: bool) -> Result<(), Failure> {
    store.hold_volume(name).map(drop).map_err(|error| cannot("make the volume", name, &error))
}

/// Not one of a container that could be started again.
fn remove(store: &Store, name: &str, force: bool) -> Result<(), Failure> {
    const WHAT: &str = "remove the volume";
    let all = store.survey(end).map_err(|error| cannot(WHAT, name, &error))?;
    if let Some((id, _)) = all.iter().find(|(_, record)| record.has_volume(name)) {
        let why = ["the container ", id.as_str(), " has it"].concat();
        return Err(
            Failure::new(WHAT, name.as_bytes(), why.as_bytes()).remedy("remove that with 'pipkin rm' first")
        );
    }
    match store.remove_volume(name) {
        Err(error) if force && errno_of(&error) == Errno::NOENT => Ok(()),
        done => done.map_err(|error| cannot(WHAT, name, &error)),
    }
}

/// Tells why something could not be done with a volume.
pub(super) fn cannot(what: &'static str, name: &str, error: &std::io::Error) -> Failure {
    let fail = |why: &[u8]| Failure::new(what, name.as_bytes(), why);
    match errno_of(error) {
        Errno::NOENT => fail(b"there is none of this name").remedy("see 'pipkin volume ls'"),
        Errno::WOULDBLOCK | Errno::STALE => {
            fail(b"a container begins with it, or somebody removes it, just now")
        }
        errno => with_room(Failure::errno(what, name.as_bytes(), errno), errno),
    }
}
