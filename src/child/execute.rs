//! The last step: nothing of ours is left but the exec.

use crate::spec::Process;
use crate::sys::process::{close_on_exec_from, execve};
use crate::sys::signal::{SignalSet, reset_actions, set_mask};
use core::ffi::CStr;
use rustix::io::{Errno, Result};

/// Longest path that is tried: `PATH_MAX` of the kernel.
const PATH_CAPACITY: usize = 4096;

/// Executes the process's command; returns only why that failed. When it succeeds every descriptor from 3 on is
/// closed, and by that the host learns of it.
pub(super) fn execute(process: &Process<'_>) -> Errno {
    let ready = || -> Result<()> {
        close_on_exec_from(3)?;
        reset_actions()?;
        set_mask(SignalSet::EMPTY).map(drop)
    };
    match ready() {
        Ok(()) => search(process),
        Err(errno) => errno,
    }
}

/// Looks for the command as execvp(3) does: a name with a slash is a path, any other is sought along `PATH`. A file
/// that may not be executed is remembered, and told of when nothing better is found.
fn search(process: &Process<'_>) -> Errno {
    let Some(command) = process.args.list.first() else { return Errno::NOENT };
    let (argv, envp) = (process.args.array, process.env.array);
    let name = command.to_bytes();
    if name.is_empty() {
        return Errno::NOENT;
    }
    if name.contains(&b'/') {
        return execve(command, argv, envp);
    }
    let mut verdict = Errno::NOENT;
    for directory in process.path.split(|byte| *byte == b':') {
        let directory = if directory.is_empty() { b"." } else { directory };
        let mut path = heapless::Vec::<u8, PATH_CAPACITY>::new();
        let parts = [directory, b"/", name, b"\0"];
        if parts.iter().try_for_each(|part| path.extend_from_slice(part)).is_err() {
            verdict = Errno::NAMETOOLONG;
            continue;
        }
        let Ok(path) = CStr::from_bytes_with_nul(&path) else { continue };
        match execve(path, argv, envp) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => verdict = Errno::ACCESS,
            errno => return errno,
        }
    }
    verdict
}
