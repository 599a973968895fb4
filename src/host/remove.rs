//! Removing what a container without root left: as the root of a user namespace with the same ids.

use super::id_map;
use super::spawn::end_process;
use crate::error::{Error, Result, Stage};
use crate::plan::{MapWriter, RELEASE};
use crate::spec::IdMap;
use crate::sys::process::{Side, clone, exit};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use linux_raw_sys::general::CLONE_NEWUSER;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, openat, unlinkat};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

const STAGE: &str = "remove as root of a user namespace";
/// How long it may take. It is there to end a hang.
const PATIENCE: Timespec = Timespec { tv_sec: 600, tv_nsec: 0 };

/// Removes the directory `path` and all in it in a child whose user namespace has these maps, from our own id as root
/// on.
///
/// # Errors
/// Those of making the child, of the maps, and of removing.
pub fn remove_tree(path: &CStr, uids: &[IdMap], gids: &[IdMap]) -> Result<()> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).stage(STAGE)?;
    match clone(u64::from(CLONE_NEWUSER), None).stage(STAGE)? {
        Side::Child => {
            drop(writer);
            exit(match await_byte(&reader).and_then(|()| remove(path)) {
                Ok(()) => 0,
                // Every errno of Linux is below 134 (asm-generic/errno.h).
                Err(errno) => u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX),
            })
        }
        Side::Parent(pid, pidfd) => {
            let ranges = uids.len() > 1 || gids.len() > 1;
            let by = if ranges { MapWriter::Helper } else { MapWriter::Alone };
            let mapped = id_map::write(pid, uids, gids, by);
            if mapped.is_ok() {
                retry_on_intr(|| rustix::io::write(&writer, &[RELEASE])).stage(STAGE)?;
            }
            // Without the byte the child finds the pipe at its end, and ends.
            drop(writer);
            let ended = finish(&pidfd);
            mapped.and(ended)
        }
    }
}

fn finish(child: &OwnedFd) -> Result<()> {
    let mut ends = [PollFd::new(child, PollFlags::IN)];
    if retry_on_intr(|| poll(&mut ends, Some(&PATIENCE))).stage(STAGE)? == 0 {
        end_process(child);
        return Err(Error::new(STAGE, Errno::TIMEDOUT));
    }
    let wait = || waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED);
    match retry_on_intr(wait).stage(STAGE)?.and_then(|ended| ended.exit_status()) {
        Some(0) => Ok(()),
        Some(code) => Err(Error::new(STAGE, Errno::from_raw_os_error(code))),
        None => Err(Error::new(STAGE, Errno::INTR)),
    }
}

fn await_byte(reader: &OwnedFd) -> rustix::io::Result<()> {
    let mut byte = [0];
    match retry_on_intr(|| rustix::io::read(reader, &mut byte))? {
        1 if byte == [RELEASE] => Ok(()),
        _ => Err(Errno::CONNRESET),
    }
}

/// Removes a tree from the leaves up, one directory open at a time, however deep it is. Nothing else changes it: its
/// container has ended.
fn remove(path: &CStr) -> rustix::io::Result<()> {
    let open = |directory: &OwnedFd, name: &CStr| openat(directory, name, FLAGS, Mode::empty());
    let mut current = openat(CWD, path, FLAGS, Mode::empty())?;
    let mut depth = 0_u32;
    loop {
        if let Some(below) = empty(&current)? {
            current = below;
            depth = depth.saturating_add(1);
        } else if depth > 0 {
            current = open(&current, c"..")?;
            depth = depth.saturating_sub(1);
        } else {
            return unlinkat(CWD, path, AtFlags::REMOVEDIR);
        }
    }
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes what is in `directory`; a directory in it that is not empty is opened and returned instead.
fn empty(directory: &OwnedFd) -> rustix::io::Result<Option<OwnedFd>> {
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match unlinkat(directory, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => match unlinkat(directory, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY) => return openat(directory, name, FLAGS, Mode::empty()).map(Some),
                done => done?,
            },
            done => done?,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::string::ToString;

    #[test]
    fn a_tree_goes_whole() {
        let top = std::env::temp_dir().join(["pipkin-remove-", &std::process::id().to_string()].concat());
        for path in ["a/b/c/d", "a/e", "f", "a/b/g"] {
            fs::create_dir_all(top.join(path)).unwrap();
        }
        for number in 0..300 {
            fs::write(top.join("a/b").join(number.to_string()), "x").unwrap();
        }
        std::os::unix::fs::symlink("/", top.join("link")).unwrap();
        let path = CString::new(top.to_str().unwrap()).unwrap();
        remove(&path).unwrap();
        assert!(!top.exists());
        assert_eq!(remove(&path), Err(Errno::NOENT));
    }
}
