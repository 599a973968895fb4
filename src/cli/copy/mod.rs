//! `pipkin cp`: files between the host and a container.
//!
//! | module | duty |
//! |---|---|
//! | `place` | what is typed as a path: of the host, or inside a container's root |
//! | `tree` | the walk that copies one entry and all below it |
//! | `archive` | copies by way of a tar archive |
//! | `member` | how such a one says what is in it |
//! | `pack`, `unpack` | from files to an archive, and back |
//!
//! Nothing of the container is executed or asked: its files are read and written by descriptors that cannot leave its
//! root, while its processes stand still. A name that changes under way can make a copy fail, not go astray.

mod archive;
mod member;
mod pack;
mod place;
mod tree;
mod unpack;

use super::argv::Sorted;
use super::message::Failure;
use super::{ExitCode, Outcome, open_store};
use pipkin::sys::signal::{SignalSet, set_mask, signalfd};
use place::{Place, Typed};
use rustix::fd::AsFd;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use tree::{Copier, Direction, Target};

/// Its help, and the table of its options.
pub(super) const HELP: &str = "\
Usage: pipkin cp [OPTIONS] CONTAINER:PATH PATH|-
       pipkin cp [OPTIONS] PATH|- CONTAINER:PATH

Copies a file, or a directory and all in it, out of a container or into one, which
may run or not. Into a directory that is there already it goes under its own name,
or, when the source ends in /., without its directory. Owners, modes, times, hard
links and extended attributes are kept, access lists where no archive is between;
set-user-id bits and file capabilities do not come out of a container. A running
container stands still meanwhile.

- in the place of PATH is a tar archive: of CONTAINER:PATH on standard output, or
from standard input to be unpacked in the directory CONTAINER:PATH. One that would
lead out of that directory or make devices is refused there; ./- is a file.

Options:
      --live         let the container go on while copying
  -L, --follow-link  copy what a symbolic link leads to, not the link
      --help         show this help";

/// Signals that end a copy.
const ENDING: [i32; 3] = [1, 2, 15];

/// The verb.
pub(super) fn run(typed: &Sorted<'_>) -> Outcome {
    let [from, to] = typed.operands.as_slice() else {
        return Err(Failure::usage("cp", "a source and a destination are needed"));
    };
    let (from, to) = (Typed::new(from.as_bytes()), Typed::new(to.as_bytes()));
    let direction = match (from.container, to.container) {
        (Some(_), None) => Direction::Out,
        (None, Some(_)) => Direction::In,
        _ => return Err(Failure::usage("cp", "one of the two has to be CONTAINER:PATH")),
    };
    let follow = typed.has("--follow-link");
    let store = open_store()?;
    // From here on an interrupt is seen by the walk, which lets the container go on before the end.
    let ending = ENDING.iter().fold(SignalSet::EMPTY, |set, signal| set.with(*signal));
    let fail = |errno| Failure::errno("watch for signals", b"", errno);
    set_mask(ending).map_err(fail)?;
    let signals = signalfd(ending).map_err(fail)?;
    let live = typed.has("--live");
    let from_place = Place::open(&store, &from, live, false)?;
    let to_place = Place::open(&store, &to, live, true)?;
    // Within a user namespace ids are as they are seen there.
    let seen = |place: &Place| place.maps().filter(|_| place.users.is_none());
    let mut copier = Copier::new(direction, seen(&from_place).or_else(|| seen(&to_place)), signals);
    let act = |copier: &mut Copier| {
        let done = if from.is_stream() {
            archive::unpack(&to_place, &to, copier)
        } else if to.is_stream() {
            archive::pack(&from_place, &from, follow, copier)
        } else {
            copy((&from_place, &from), (&to_place, &to), follow, copier)
        };
        for path in &copier.left_out {
            Failure::new("copy", path, LEFT_OUT).tell();
        }
        done
    };
    match &from_place.users {
        Some(users) => archive::within(users, &mut copier, act),
        None => act(&mut copier),
    }
}

/// Why something is not copied.
const LEFT_OUT: &[u8] = b"it is a device or a socket: left out";

/// From files to files.
fn copy(
    (from_place, from): (&Place, &Typed<'_>),
    (to_place, to): (&Place, &Typed<'_>),
    follow: bool,
    copier: &mut Copier,
) -> Outcome {
    let source = from_place.entry(from.path, follow).map_err(|errno| cannot(from, errno))?;
    if matches!(source.kind(), FileType::CharacterDevice | FileType::BlockDevice | FileType::Socket) {
        return Err(Failure::new("copy", from.whole, LEFT_OUT));
    }
    let (parent, name) =
        to_place.target(to, from, source.is_directory()).map_err(|errno| cannot(to, errno))?;
    if let Some(users) = &to_place.users {
        return archive::pass(&source, (&parent, name), users, copier);
    }
    let done = match name {
        None => copier.contents(&source, &parent, b"", 0),
        Some(name) => {
            // What came from an argument holds no NUL.
            let name = CString::new(name).unwrap_or_default();
            let path = name.to_bytes().to_vec();
            copier.entry(&source, &Target { parent: parent.as_fd(), path, name })
        }
    };
    match (done, copier.signal) {
        (Ok(()), _) => Ok(ExitCode::SUCCESS),
        (Err(_), Some(signal)) => Ok(ExitCode(128_u8.saturating_add(signal))),
        (Err(stop), None) => Err(Failure::errno("copy", &stop.path, stop.errno)),
    }
}

fn cannot(typed: &Typed<'_>, errno: Errno) -> Failure {
    let failure = Failure::errno("use", typed.whole, errno);
    match errno {
        Errno::XDEV | Errno::LOOP => failure.remedy("a link on the way leads nowhere inside the container"),
        _ => failure,
    }
}
