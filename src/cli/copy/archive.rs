//! Copies that go by way of an archive: from standard input, to standard output, and into a container whose users are
//! others than the host's.
//!
//! What is made in such a container is made by a child of ours that is root there, in its user namespace and in no other
//! one: what it may not do there it cannot do here.

use super::super::message::{FAILED, Failure};
use super::super::{ExitCode, Outcome};
use super::cannot;
use super::pack::Packer;
use super::place::{Entry, Place, Typed};
use super::tree::{Copier, Stop};
use super::unpack::{Fault, Unpacker};
use pipkin::sys::spawn::{Fork, fork};
use pipkin::sys::stdio::Stream;
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::{Errno, Result};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Gid, Pid, PidfdFlags, Signal, Uid, WaitOptions, kill_process, pidfd_open,
    set_dumpable_behavior, waitpid,
};
use rustix::termios::isatty;
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// Writes what is at `from` to standard output.
pub(super) fn pack(place: &Place, from: &Typed<'_>, follow: bool, copier: &mut Copier) -> Outcome {
    let output = Stream::Output.fd();
    if isatty(output) {
        return Err(Failure::usage("cp", "an archive is nothing for a terminal: send it elsewhere"));
    }
    let source = place.entry(from.path, follow).map_err(|errno| cannot(from, errno))?;
    let name = from.name().filter(|_| !from.contents());
    let done = fill(&source, name, output, copier);
    end(done.map_err(Fault::Stop), copier)
}

/// Puts `source` into an archive by this name, or what is in it without one.
fn fill(
    source: &Entry,
    name: Option<&[u8]>,
    output: BorrowedFd<'_>,
    copier: &mut Copier,
) -> std::result::Result<(), Stop> {
    let mut packer = Packer::new(copier, output);
    match name {
        Some(name) => packer.entry(source, name.to_vec(), 0)?,
        None => packer.contents(source, b"", 0)?,
    }
    packer.finish()
}

/// Makes what comes from standard input in the directory `to`.
pub(super) fn unpack(place: &Place, to: &Typed<'_>, copier: &mut Copier) -> Outcome {
    let path: &[u8] = if to.path.is_empty() { b"/" } else { to.path };
    let into = place.resolve(path, OFlags::DIRECTORY).map_err(|errno| cannot(to, errno))?;
    let Some(users) = &place.users else {
        let done = Unpacker::new(copier, Stream::Input.fd(), &into).run();
        return end(done, copier);
    };
    match fork().map_err(failed)? {
        Fork::Child => act_as(enter(users), || {
            let done = Unpacker::new(copier, Stream::Input.fd(), &into).run();
            end(done, copier)
        }),
        Fork::Parent(child) => wait(child, copier, Signal::KILL),
    }
}

/// Copies `source` into `parent`, a directory of a container whose user namespace is `users`.
pub(super) fn pass(
    source: &Entry,
    (parent, name): (&OwnedFd, Option<&[u8]>),
    users: &OwnedFd,
    copier: &mut Copier,
) -> Outcome {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    match fork().map_err(failed)? {
        Fork::Child => {
            drop(writer);
            act_as(enter(users), || {
                let done = Unpacker::new(copier, reader.as_fd(), parent).run();
                end(done, copier)
            })
        }
        Fork::Parent(child) => {
            drop(reader);
            let filled = fill(source, name, writer.as_fd(), copier);
            // A pipe that nobody reads any more is the child's affair.
            let stopped = filled.err().filter(|stop| stop.errno != Errno::PIPE);
            if stopped.is_some() {
                // Half of what it would make is worse than none.
                kill_process(child, Signal::KILL).unwrap_or(());
            }
            drop(writer);
            let ended = wait(child, copier, Signal::KILL);
            stopped.map_or(ended, |stop| end(Err(Fault::Stop(stop)), copier))
        }
    }
}

/// Does `act` in a child of ours that has a root's rights over the ids of the user namespace `users`, and is who we are:
/// what it makes is ours.
pub(super) fn within(
    users: &OwnedFd,
    copier: &mut Copier,
    act: impl FnOnce(&mut Copier) -> Outcome,
) -> Outcome {
    match fork().map_err(failed)? {
        Fork::Child => {
            copier.gives_owners = false;
            act_as(join(users), || act(copier))
        }
        // It takes half a file away itself.
        Fork::Parent(child) => wait(child, copier, Signal::TERM),
    }
}

/// Takes this process, a child of ours, into the user namespace `users`.
fn join(users: &OwnedFd) -> Result<()> {
    move_into_link_name_space(users.as_fd(), Some(LinkNameSpaceType::User))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Makes this process, a child of ours, the root of the user namespace `users`.
///
/// # Errors
/// `EPERM` without rights over it.
pub(super) fn enter(users: &OwnedFd) -> Result<()> {
    join(users)?;
    // Where groups must not be changed (`deny` in setgroups), nobody can give them up.
    match set_thread_groups(&[]) {
        Err(Errno::PERM) => {}
        done => done?,
    }
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    // A change of ids may have made it so again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Does `act` once this process has `joined` the users, and ends.
fn act_as(joined: Result<()>, act: impl FnOnce() -> Outcome) -> ! {
    let code = match joined {
        Err(errno) => Failure::errno("join the container's user namespace", b"", errno).tell(),
        Ok(()) => act().unwrap_or_else(|failure| failure.tell()),
    };
    // Nothing is let go: what is held belongs to the parent.
    std::process::exit(code.number())
}

/// Waits for the end of a child, which a signal to us brings about by `ending`.
fn wait(child: Pid, copier: &mut Copier, ending: Signal) -> Outcome {
    let pidfd = pidfd_open(child, PidfdFlags::empty()).map_err(failed)?;
    if copier.signal.is_some() || copier.await_stream(pidfd.as_fd(), PollFlags::IN).is_err() {
        kill_process(child, ending).unwrap_or(());
    }
    let status = waitpid(Some(child), WaitOptions::empty()).map_err(failed)?;
    if let Some(signal) = copier.signal {
        return Ok(ExitCode(128_u8.saturating_add(signal)));
    }
    let code = status.and_then(|(_, status)| status.exit_status()).and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode(code.unwrap_or(FAILED)))
}

fn failed(errno: Errno) -> Failure {
    Failure::errno("copy", b"", errno)
}

fn tell(fault: &Fault) -> Failure {
    match fault {
        Fault::Stop(stop) => Failure::errno("copy", &stop.path, stop.errno),
        Fault::Wrong(path, why) => Failure::new("unpack", path, why.as_bytes()),
    }
}

fn end(done: std::result::Result<(), Fault>, copier: &Copier) -> Outcome {
    match (done, copier.signal) {
        (Ok(()), _) => Ok(ExitCode::SUCCESS),
        (Err(_), Some(signal)) => Ok(ExitCode(128_u8.saturating_add(signal))),
        (Err(fault), None) => Err(tell(&fault)),
    }
}
