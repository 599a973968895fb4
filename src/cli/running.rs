//! Containers that a verb needs to run.

use super::detach::control::{Request, ask_with};
use super::message::Failure;
use super::operand::Found;
use crate::store::process::start_of;
use crate::store::{Record, Status};
use pipkin::cgroup::Group;
use pipkin::host::{Target, open_group};
use pipkin::spec::Id;
use rustix::io::Errno;

/// Finds out whether a container that nobody serves stands still: whoever pauses one that runs in the foreground cannot
/// write its record. Whatever cannot be looked at is as it is written.
pub(super) fn look_again(id: &Id, record: &mut Record) {
    if record.status == Status::Running
        && !record.detached
        && let Ok(Some(group)) = open_group(id, None)
        && group.occupancy().is_ok_and(|now| now.frozen)
    {
        record.status = Status::Paused;
    }
}

impl Found<'_> {
    /// Takes hold of its first process, having made sure that it is the one recorded and does not stand still.
    ///
    /// # Errors
    /// It does not run, or the process cannot be looked at.
    pub(super) fn target(&self) -> Result<Target, Failure> {
        let target = self.any_target()?;
        match target.is_frozen() {
            // Its cgroup has been taken away meanwhile.
            Err(error) if error.errno == Errno::NODEV => Err(self.not_running()),
            frozen if self.record.status == Status::Paused || frozen? => Err(self.paused()),
            _ => Ok(target),
        }
    }

    /// The same, also when it stands still.
    ///
    /// # Errors
    /// It does not run, or the process cannot be looked at.
    pub(super) fn any_target(&self) -> Result<Target, Failure> {
        self.runs()?;
        let target = match Target::open(self.record.pid) {
            // A process that is ending has no namespaces any more.
            Err(error) if matches!(error.errno, Errno::SRCH | Errno::NOENT | Errno::NODEV) => {
                return Err(self.not_running());
            }
            target => target?,
        };
        self.is_same_process()?;
        if !target.is_alive()? {
            return Err(self.not_running());
        }
        Ok(target)
    }

    /// Makes sure that its pid still is that of its first process.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn is_same_process(&self) -> Result<(), Failure> {
        let same = start_of(self.record.pid) == Some(self.record.pid_start);
        if same { Ok(()) } else { Err(self.not_running()) }
    }

    /// Makes sure that it has processes.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn runs(&self) -> Result<(), Failure> {
        if self.record.status.is_alive() { Ok(()) } else { Err(self.not_running()) }
    }

    /// Its cgroup.
    ///
    /// # Errors
    /// It does not run, or has none.
    pub(super) fn group(&self) -> Result<Group, Failure> {
        self.runs()?;
        open_group(&self.id, None)?.ok_or_else(|| {
            let failure = self.fail("it has no cgroup of its own");
            failure.remedy("a cgroup v2 hierarchy is needed: see 'pipkin doctor'")
        })
    }

    /// Asks its supervisor, with `rest` for what it has to know.
    ///
    /// # Errors
    /// There is none any more, or it cannot.
    pub(super) fn ask(&self, request: Request, rest: &[u8]) -> Result<(), Failure> {
        match ask_with(self.store, &self.id, request, rest) {
            Ok(0) => Ok(()),
            Ok(errno) => Err(self.errno(Errno::from_raw_os_error(errno))),
            Err(Errno::NOENT | Errno::CONNREFUSED | Errno::CONNRESET | Errno::PIPE) => {
                Err(self.not_running())
            }
            Err(errno) => Err(self.errno(errno)),
        }
    }

    /// It cannot be done while it stands still.
    pub(super) fn paused(&self) -> Failure {
        self.fail("it is paused").remedy("let it go on first: pipkin resume")
    }

    /// It cannot be done, since it does not run.
    pub(super) fn not_running(&self) -> Failure {
        self.fail("it does not run")
    }
}
