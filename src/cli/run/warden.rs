//! Who is with a container in the foreground: ends it when its time is up or when whoever started Pipkin has ended, and
//! tells when it has lost its network.
//!
//! The parent is watched by a pidfd and not by the kernel's parent-death signal, which comes already when a thread of
//! the parent ends. Should Pipkin itself be killed, the container dies with it in any case.

use super::life::{span_ms, timeout_ms};
use super::{Checked, given, refuse};
use crate::cli::argv::Sorted;
use crate::cli::detach::STOP_TIMEOUT_MS;
use crate::cli::message::{Failure, note};
use pipkin::error::Result;
use pipkin::host::{Attendant, Reach, Sources};
use pipkin::sys::clock::monotonic_ms;
use rustix::event::PollFlags;
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{PidfdFlags, getppid, pidfd_open};

const SIGTERM: i32 = 15;

/// Said when pasta dies before its container.
const DISCONNECTED: &str = "pasta, which connects the container, has died: it goes on without network";

/// What it waits for.
pub(super) struct Warden {
    /// Whoever started Pipkin, as long as that lives.
    parent: Option<OwnedFd>,
    /// How long the container may run.
    timeout_ms: Option<u64>,
    /// When it has run long enough.
    ends_at_ms: Option<u64>,
    /// What asks it to end then.
    signal: i32,
    /// How long it may take after that.
    grace_ms: u64,
    /// When it is killed.
    killed_at_ms: Option<u64>,
}

impl Warden {
    /// With what was asked for.
    pub(super) fn new(typed: &Sorted<'_>, parent: Option<OwnedFd>, signal: i32) -> Checked<Self> {
        let timeout_ms = timeout_ms(typed)?;
        let grace_ms = given(typed, "--stop-timeout", span_ms)?.unwrap_or(STOP_TIMEOUT_MS);
        let signal = if signal == 0 { SIGTERM } else { signal };
        Ok(Self { parent, timeout_ms, ends_at_ms: None, signal, grace_ms, killed_at_ms: None })
    }
}

/// Takes hold of whoever started Pipkin, when the container shall not outlive it.
pub(super) fn parent(typed: &Sorted<'_>) -> Checked<Option<OwnedFd>> {
    if typed.off.contains(&"--new-session") {
        return Err(refuse(
            "--new-session",
            "false",
            "without a session of its own it could type on your terminal",
        ));
    }
    if !typed.has("--die-with-parent") {
        return Ok(None);
    }
    if typed.has("--detach") {
        return Err(Failure::usage("run", "--detach and --die-with-parent contradict each other"));
    }
    let fail = |why: &str| Failure::new("watch over the parent", b"", why.as_bytes());
    let pid = getppid().ok_or_else(|| fail("it is not of this pid namespace"))?;
    let parent = pidfd_open(pid, PidfdFlags::empty()).ok();
    // One that ended before that has left us to another parent; its number may be somebody else's by now.
    let same = parent.filter(|_| getppid() == Some(pid));
    same.map(Some).ok_or_else(|| fail("it has ended"))
}

impl Attendant for Warden {
    fn executed(&mut self) -> Result<()> {
        self.ends_at_ms = self.timeout_ms.map(|ms| monotonic_ms().saturating_add(ms));
        Ok(())
    }

    fn sources<'s>(&'s self, sources: &mut Sources<'s>) {
        if let Some(parent) = &self.parent {
            sources.push((parent.as_fd(), PollFlags::IN)).unwrap_or(());
        }
    }

    fn patience_ms(&self) -> Option<u64> {
        let next = self.ends_at_ms.or(self.killed_at_ms);
        next.map(|at_ms| at_ms.saturating_sub(monotonic_ms()))
    }

    fn serve(&mut self, ready: &[PollFlags], reach: &Reach<'_>) -> Result<()> {
        let over = |at_ms: &mut u64| *at_ms <= monotonic_ms();
        if self.ends_at_ms.take_if(over).is_some() {
            self.killed_at_ms = Some(monotonic_ms().saturating_add(self.grace_ms));
            reach.send(self.signal)?;
        }
        let orphaned = ready.iter().any(|flags| !flags.is_empty());
        if orphaned {
            self.parent = None;
        }
        if self.killed_at_ms.take_if(over).is_some() || orphaned {
            reach.kill()?;
        }
        Ok(())
    }

    fn disconnected(&mut self) {
        note(DISCONNECTED);
    }
}
