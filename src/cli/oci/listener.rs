//! Handing the listener of a filter to whoever answers what the filter asks (OCI runtime-spec, config-linux.md, "The
//! Container Process State").
//!
//! The connection is made first: a process whose questions nobody hears must not come to run.

use super::super::json::Json;
use super::super::message::Failure;
use super::create::{SEND, dial, send_on};
use super::state::{VERSION, View, write};
use crate::oci::json::Value;
use pipkin::error::{Error, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

/// Whoever answers.
pub(super) struct Agent<'c> {
    path: &'c str,
    metadata: &'c str,
    connection: OwnedFd,
}

impl<'c> Agent<'c> {
    /// Connects to the one that the configuration names; `None` when its filter asks nothing.
    pub(super) fn connect(config: &'c Value<'_>) -> std::result::Result<Option<Self>, Failure> {
        let text = |name| config.text_at(name).unwrap_or_default();
        let path = text("linux.seccomp.listenerPath");
        let asks = |rule: &Value<'_>| rule.text_at("action") == Some("SCMP_ACT_NOTIFY");
        if !config.elements("linux.seccomp.syscalls").iter().any(asks) {
            return Ok(None);
        }
        let connection = dial(path).map_err(|errno| Failure::errno(SEND, path.as_bytes(), errno))?;
        Ok(Some(Self { path, metadata: text("linux.seccomp.listenerMetadata"), connection }))
    }

    /// Sends `listener`, of the filter of process `pid`, with the container's state, and closes the connection: whoever
    /// answers may wait for its end before that.
    ///
    /// # Errors
    /// Those of sendmsg(2).
    fn hand_over(self, view: &View<'_>, pid: i32, listener: &OwnedFd) -> Result<()> {
        let mut json = Json::default();
        json.open(b'{').key(b"ociVersion").string(VERSION);
        json.key(b"fds").open(b'[').string(b"seccompFd").close(b']').key(b"pid").number(pid.into());
        json.key(b"metadata").string(self.metadata.as_bytes()).key(b"state");
        write(view, &mut json);
        json.close(b'}');
        send_on(&self.connection, listener.as_fd(), &json.into_text())
            .map_err(|errno| Error::on(SEND, self.path.as_bytes(), errno))
    }
}

/// [`Agent::hand_over`], once; of the child that sent more than was wanted nothing is believed.
///
/// # Errors
/// As there; `EBADMSG`.
pub(super) fn hand_over(
    agent: &mut Option<Agent<'_>>,
    view: &View<'_>,
    pid: i32,
    listener: &OwnedFd,
) -> Result<()> {
    agent.take().ok_or(Error::new(SEND, Errno::BADMSG))?.hand_over(view, pid, listener)
}
