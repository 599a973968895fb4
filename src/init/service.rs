//! Services beside the main child: started at first, and again a while after each end, until init ends.
//!
//! Duty: who runs and who is due. It forks and signals; what a service is to become the caller says.

use super::console::{self, Message};
use super::contain::become_payload;
use super::option::Lead;
use crate::error::Error;
use crate::sys::signal::{self, SignalSet};
use crate::sys::spawn::{Fork, fork};
use core::ffi::CStr;
use heapless::Vec;
use rustix::io::Errno;

/// Most services of one init.
pub const CAPACITY: usize = 16;
/// How long after its end a service is started again: what fails at once must not take the processor for it.
const PAUSE_MS: u64 = 1000;

/// One service.
#[derive(Debug)]
struct Service<'s> {
    name: &'s CStr,
    /// Its process, and so its group, while it runs.
    pid: Option<i32>,
    /// When it is started, while it does not.
    due_ms: u64,
}

/// The services of an init.
pub struct Services<'s> {
    list: Vec<Service<'s>, CAPACITY>,
    /// Becomes the service of this number, in a process of its own; returns only when that failed.
    exec: &'s dyn Fn(usize) -> Error,
    /// The signal mask that they get.
    pub(super) inherited: SignalSet,
    /// Whether none is started any more.
    over: bool,
}

impl<'s> Services<'s> {
    /// None.
    #[must_use]
    pub const fn none() -> Services<'static> {
        Services {
            list: Vec::new(),
            exec: &|_| Error::new("start the service", Errno::NOENT),
            inherited: SignalSet::EMPTY,
            over: true,
        }
    }

    /// Services of these names, of which `exec` becomes the one of a number from 0 on, in a process of its own.
    ///
    /// `None` when there are more than [`CAPACITY`].
    #[must_use]
    pub fn new(names: &[&'s CStr], exec: &'s dyn Fn(usize) -> Error) -> Option<Self> {
        let mut list = Vec::new();
        for name in names {
            list.push(Service { name, pid: None, due_ms: 0 }).ok()?;
        }
        Some(Self { list, exec, inherited: SignalSet::EMPTY, over: false })
    }

    /// Starts those that are due.
    pub(super) fn start_due(&mut self, now_ms: u64) {
        if self.over {
            return;
        }
        for (number, service) in self.list.iter_mut().enumerate() {
            if service.pid.is_some() || service.due_ms > now_ms {
                continue;
            }
            match fork() {
                Ok(Fork::Child) => become_payload(Lead::Group, self.inherited, None, || (self.exec)(number)),
                Ok(Fork::Parent(pid)) => {
                    super::contain::own_group(pid);
                    service.pid = Some(pid.as_raw_nonzero().get());
                }
                Err(errno) => {
                    console::report(&Error::on("start the service", service.name.to_bytes(), errno));
                    service.due_ms = now_ms.saturating_add(PAUSE_MS);
                }
            }
        }
    }

    /// Takes note of the end of a process; answers whether it was one of these.
    pub(super) fn ended(&mut self, pid: i32, code: u8, now_ms: u64) -> bool {
        let Some(service) = self.list.iter_mut().find(|service| service.pid == Some(pid)) else {
            return false;
        };
        service.pid = None;
        service.due_ms = now_ms.saturating_add(PAUSE_MS);
        if !self.over {
            Message::begin()
                .text("service ")
                .name(service.name.to_bytes())
                .text(" has ended with ")
                .number(u32::from(code))
                .text(" and is started again")
                .send();
        }
        true
    }

    /// When the next one is due.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let waiting = self.list.iter().filter(|service| !self.over && service.pid.is_none());
        waiting.map(|service| service.due_ms).min()
    }

    /// Whether one runs.
    pub(super) fn any(&self) -> bool {
        self.list.iter().any(|service| service.pid.is_some())
    }

    /// Sends a signal to the group of each one that runs, and starts none any more.
    pub(super) fn end(&mut self, number: i32) {
        self.over = true;
        for pid in self.list.iter().filter_map(|service| service.pid) {
            super::best_effort(signal::kill(pid.wrapping_neg(), number), "it may have ended a moment ago");
        }
    }
}

impl core::fmt::Debug for Services<'_> {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&self.list, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::exit;
    use rustix::process::{Pid, WaitOptions, waitpid};

    #[test]
    fn who_ended_is_due_again_after_a_pause() {
        let exec = |number| exit(number as u8 + 3);
        let mut services = Services::new(&[c"a", c"b"], &exec).unwrap();
        assert_eq!(services.deadline_ms(), Some(0));
        services.start_due(10);
        assert_eq!((services.any(), services.deadline_ms()), (true, None));
        for (number, code) in [(0, 3), (1, 4)] {
            let pid = services.list[number].pid.unwrap();
            let (_, status) = waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap().unwrap();
            assert_eq!(status.exit_status(), Some(code));
            assert!(services.ended(pid, code as u8, 20) && !services.ended(pid, code as u8, 20));
        }
        assert_eq!((services.any(), services.deadline_ms()), (false, Some(20 + PAUSE_MS)));
        services.start_due(20);
        assert!(!services.any(), "not before its time");
        services.end(15);
        services.start_due(u64::MAX);
        assert_eq!((services.any(), services.deadline_ms()), (false, None));
    }

    #[test]
    fn there_is_an_end_to_them() {
        let exec = |_| Error::new("start", Errno::NOENT);
        assert!(Services::new(&[c"x"; CAPACITY], &exec).is_some());
        assert!(Services::new(&[c"x"; CAPACITY + 1], &exec).is_none());
    }
}
