//! `start`: lets the process that waits execute its command.

use super::super::message::Failure;
use super::super::{ExitCode, Outcome};
use super::listener::{self, Agent};
use super::state::{View, is_frozen};
use super::{Global, Sorted, create, hook, lock};
use crate::oci::config;
use crate::oci::json::Value;
use crate::oci::state::{Container, Record, Status};
use pipkin::host::start_waiting;
use pipkin::plan::Plan;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

/// `start ID`.
pub(super) fn start(global: &Global, typed: &Sorted<'_>) -> Outcome {
    let (container, record) = lock(global, typed)?;
    begin(&container, &record)?;
    Ok(ExitCode::SUCCESS)
}

/// Starts it; a failure ends it.
pub(super) fn begin(container: &Container, record: &Record) -> Result<(), Failure> {
    let cannot = |why: &[u8]| Failure::new("start the container", container.id.as_str().as_bytes(), why);
    match container.status(record) {
        // Frozen, it would not answer.
        Status::Created if is_frozen(container, record) => return Err(cannot(b"it is paused")),
        Status::Created => {}
        Status::Creating => return Err(cannot(b"it is not made yet")),
        Status::Running => return Err(cannot(b"it runs already")),
        Status::Stopped => return Err(cannot(b"container not running: its process has ended")),
    }
    let process = record.process().ok_or_else(|| cannot(b"its process has ended"))?;
    let text = container
        .config()
        .map_err(|error| Failure::io("start the container", container.id.as_str().as_bytes(), &error))?;
    let config =
        config::read(&text).map_err(|why| Failure::new("use the configuration", b"", why.as_bytes()))?;
    // It stays as it was created (runtime.md, start).
    if config.at("process").is_none() {
        return Err(cannot(b"its configuration names no process"));
    }
    let begun = begin_process(container, record, &config, &process);
    if begun.is_err() {
        // Best effort: it may be gone already.
        pipkin::sys::signal::send(&process, 9).unwrap_or(());
    }
    begun
}

fn begin_process(
    container: &Container,
    record: &Record,
    config: &Value<'_>,
    process: &OwnedFd,
) -> Result<(), Failure> {
    let fail =
        |error: &std::io::Error| Failure::io("start the container", container.id.as_str().as_bytes(), error);
    let view = |status| View { id: &container.id, status, record, config: Some(config) };
    let mut agent = Agent::connect(config)?;
    hook::run(config, "startContainer", &view(b"created"), Some(process.as_fd()))?;
    let connection = connect(&container.short_path("start"))
        .map_err(|errno| Failure::errno("start the container", container.id.as_str().as_bytes(), errno))?;
    container.set_started().map_err(|error| fail(&error))?;
    let mut asked = |asked| listener::hand_over(&mut agent, &view(b"created"), record.pid, &asked);
    if let Some(failure) = start_waiting(connection.as_fd(), &mut asked)? {
        let mut plan = Box::<Plan>::default();
        create::plan_again(container, config, record, &mut plan)?;
        return Err(create::told(&plan, failure));
    }
    hook::run(config, "poststart", &view(b"running"), None)
}

fn connect(path: &str) -> Result<OwnedFd, Errno> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}
