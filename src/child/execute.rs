//! The last step: nothing of ours is left but the exec, or the init in front of it.

use super::{FAILED, channel};
use crate::init::contain::contain;
use crate::init::option::Options;
use crate::init::payload::exec;
use crate::plan::Report;
use crate::spec::Process;
use crate::sys::process::exit;
use core::ffi::CStr;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;

/// Executes `command`; returns only why that failed. When it succeeds every descriptor from 3 on is closed, and by
/// that the host learns of it.
pub(super) fn execute(process: &Process<'_>, command: &CStr) -> Errno {
    exec(command, process.args.array, process.env.array, process.path).errno
}

/// Stays as PID 1 and executes `command` in a child of its own; returns only why that could not be begun. The host
/// hears from that child, through the copy of the socket that it has, of an exec that failed.
pub(super) fn execute_under_init(
    process: &Process<'_>,
    command: &CStr,
    host: BorrowedFd<'_>,
    step: u16,
) -> Errno {
    // Nobody inside may reach, by way of this process, the program file it runs: that is the host's Pipkin. The
    // command gets back what is usual when it is executed.
    if let Err(errno) = super::program::hide() {
        return errno;
    }
    let outcome = contain(&Options::PLAIN, || {
        let error = exec(command, process.args.array, process.env.array, process.path);
        channel::report(host, Report::Failed { step, errno: error.errno.raw_os_error() });
        exit(FAILED)
    });
    match outcome {
        Ok(outcome) => exit(outcome.code),
        Err(error) => error.errno,
    }
}
