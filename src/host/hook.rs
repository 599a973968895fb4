//! Runs a program of an engine beside a container that is being made, started or taken away (OCI runtime-spec,
//! config.md, POSIX-platform hooks).

use crate::error::{Error, Result, Stage};
use crate::sys;
use crate::sys::process::{Side, StrArray, clone, duplicate_onto, execve, exit};
use crate::sys::signal::{SignalSet, reset_actions, set_mask};
use core::ffi::CStr;
use linux_raw_sys::general::SIGKILL;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, set_parent_process_death_signal, waitid};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

/// Status of a program that could not be started; why is told through the pipe.
const NOT_STARTED: u8 = 127;

/// A program to run.
#[derive(Clone, Copy)]
pub struct Program<'a> {
    /// Where it is, as seen from where it runs.
    pub path: &'a CStr,
    /// Its arguments, the name it is called by first.
    pub args: StrArray<'a>,
    /// Its whole environment.
    pub env: StrArray<'a>,
    /// Seconds after which it is ended.
    pub timeout_s: Option<u32>,
    /// Its working directory.
    pub cwd: &'a CStr,
}

/// Runs it with `input` as its standard input, in the namespaces of the process of `inside` if that is given; what it
/// prints goes to our standard error. Gives its exit status, 128 and the signal's number when one killed it.
///
/// # Errors
/// `ETIMEDOUT` when it was ended for taking too long, and those of starting it, execve(2)'s too.
pub fn run_hook(program: &Program<'_>, input: &[u8], inside: Option<BorrowedFd<'_>>) -> Result<u8> {
    let failed = |errno| Error::on("run the hook", program.path.to_bytes(), errno);
    let stdin = memfd_create(c"state", MemfdFlags::CLOEXEC).map_err(failed)?;
    let written = retry_on_intr(|| rustix::io::write(&stdin, input)).map_err(failed)?;
    if written != input.len() {
        return Err(failed(Errno::IO));
    }
    seek(&stdin, SeekFrom::Start(0)).map_err(failed)?;
    let (reason, teller) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(failed)?;
    match clone(0, None).map_err(failed)? {
        Side::Child => child(program, &stdin, &teller, inside),
        Side::Parent(_, pidfd) => {
            let status = wait(&pidfd, program.timeout_s).map_err(failed)?;
            let mut told = [0; size_of::<i32>()];
            match rustix::io::read(&reason, &mut told) {
                Ok(count) if count == told.len() => {
                    Err(failed(Errno::from_raw_os_error(i32::from_ne_bytes(told))))
                }
                // It was executed: nobody has told anything.
                _ => Ok(status),
            }
        }
    }
}

fn wait(pidfd: &OwnedFd, timeout_s: Option<u32>) -> rustix::io::Result<u8> {
    let limit = timeout_s.map(|seconds| Timespec { tv_sec: seconds.into(), tv_nsec: 0 });
    let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
    let late = retry_on_intr(|| poll(&mut ended, limit.as_ref()))? == 0;
    if late {
        sys::signal::send(pidfd, SIGKILL as i32)?;
    }
    let status = retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))?;
    if late {
        return Err(Errno::TIMEDOUT);
    }
    let status = status.ok_or(Errno::CHILD)?;
    let code =
        status.exit_status().or_else(|| status.terminating_signal().map(|signal| signal.saturating_add(128)));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

/// In the new process: becomes the program, in a further child when a pid namespace is entered.
fn child(program: &Program<'_>, stdin: &OwnedFd, teller: &OwnedFd, inside: Option<BorrowedFd<'_>>) -> ! {
    exit(become_program(program, stdin, teller.as_fd(), inside).unwrap_or_else(|error| {
        // Who does not hear of it has the status.
        rustix::io::write(teller, &error.errno.raw_os_error().to_ne_bytes()).unwrap_or(0);
        NOT_STARTED
    }))
}

fn become_program(
    program: &Program<'_>,
    stdin: &OwnedFd,
    teller: BorrowedFd<'_>,
    inside: Option<BorrowedFd<'_>>,
) -> Result<u8> {
    const STAGE: &str = "become the hook";
    set_parent_process_death_signal(Some(Signal::KILL)).stage(STAGE)?;
    duplicate_onto(stdin, 0).stage(STAGE)?;
    duplicate_onto(sys::stdio::Stream::Error.fd(), 1).stage(STAGE)?;
    match inside {
        Some(target) => sys::spawn::close_inherited(0, &[teller, target]),
        None => sys::spawn::close_inherited(0, &[teller]),
    }
    if let Some(target) = inside {
        let all = ThreadNameSpaceType::MOUNT
            | ThreadNameSpaceType::CONTROL_GROUP
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
            | ThreadNameSpaceType::PROCESS_ID
            | ThreadNameSpaceType::NETWORK;
        move_into_thread_name_spaces(target, all).stage(STAGE)?;
        // A pid namespace is entered by children only.
        if let Side::Parent(_, pidfd) = clone(0, None).stage(STAGE)? {
            return wait(&pidfd, None).stage(STAGE);
        }
        set_parent_process_death_signal(Some(Signal::KILL)).stage(STAGE)?;
    }
    reset_actions().stage(STAGE)?;
    set_mask(SignalSet::EMPTY).stage(STAGE)?;
    rustix::process::chdir(program.cwd).stage(STAGE)?;
    Err(Error::new(STAGE, execve(program.path, program.args, program.env)))
}
