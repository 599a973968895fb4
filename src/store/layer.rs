//! Taking away a container's writable layer.

use super::allotment::{Allotment, Range};
use pipkin::spec::IdMap;
use rustix::fs::{AtFlags, Mode, OFlags, unlinkat};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Removes the directory `path` and all in it; one that is not there is no error.
///
/// Without root it holds what only the root of a user namespace can remove: files of other ids that are ours, and a
/// directory of overlayfs that nobody may read.
///
/// # Errors
/// Those of removing it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    if remove_unused(path).is_ok() {
        return Ok(());
    }
    match fs::remove_dir_all(path) {
        // The place for layers may itself be none.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => remove_as_root_inside(path),
        done => done,
    }
}

/// Removes a layer that nothing was written to, with what overlayfs makes in it, from the inside out: without looking
/// into each directory. Of another one some of it may be gone after this.
fn remove_unused(path: &Path) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let bytes = path.as_os_str().as_bytes();
    let layer = rustix::fs::open(bytes, flags, Mode::empty())?;
    let gone = |done| if done == Err(Errno::NOENT) { Ok(()) } else { done };
    gone(unlinkat(&layer, "work/work/incompat/volatile/dirty", AtFlags::empty()))?;
    for directory in ["work/work/incompat/volatile", "work/work/incompat", "work/work", "work", "upper"] {
        gone(unlinkat(&layer, directory, AtFlags::REMOVEDIR))?;
    }
    rustix::fs::rmdir(bytes)
}

fn remove_as_root_inside(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let allotment = Allotment::read();
    let caller = allotment.caller();
    let [uids, gids] = allotment.texts().map(|text| caller.ranges(text));
    let all = !uids.is_empty() && !gids.is_empty() && pipkin::host::maps_ranges();
    let [uid, gid] = caller.ids;
    let map = |id, ranges: &[Range]| after(id, if all { ranges } else { &[] });
    pipkin::host::remove_tree(&path, &map(uid, &uids), &map(gid, &gids))
        .map_err(|error| io::Error::from_raw_os_error(error.errno.raw_os_error()))
}

/// Our own id as root, and after it all others that are ours.
fn after(own: u32, ranges: &[Range]) -> Vec<IdMap> {
    let mut inside = 1_u32;
    let mut maps = vec![IdMap { inside: 0, outside: own, count: 1 }];
    for range in ranges {
        let Some(next) = inside.checked_add(range.count) else { break };
        maps.push(IdMap { inside, outside: range.first, count: range.count });
        inside = next;
    }
    maps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_of_ours_has_a_place() {
        let map = |inside, outside, count| IdMap { inside, outside, count };
        assert_eq!(after(7, &[]), [map(0, 7, 1)]);
        let ranges = [Range { first: 100, count: 10 }, Range { first: 500, count: 5 }];
        assert_eq!(after(7, &ranges), [map(0, 7, 1), map(1, 100, 10), map(11, 500, 5)]);
    }
}
