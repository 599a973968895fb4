//! Network namespaces for one test. The machine's own is never touched.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::thread::UnshareFlags;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// The kernel does not give us a network namespace.
#[derive(Debug)]
pub(crate) struct Refused;

/// Runs `test` on a thread that is alone in a new network namespace, which ends with it. Passes its panic on.
pub(crate) fn in_new<T: Send>(test: impl FnOnce() -> T + Send) -> Result<T, Refused> {
    std::thread::scope(|scope| {
        let body = scope.spawn(|| {
            enter()?;
            Ok(test())
        });
        body.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

type Job = Box<dyn FnOnce() + Send>;

/// Another network namespace, with a thread in it that does what it is told. Both end when this is dropped.
pub(crate) struct Place {
    /// The namespace.
    pub(crate) fd: OwnedFd,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (jobs, queue) = channel::<Job>();
        let (opened, fd) = channel();
        let thread = std::thread::spawn(move || {
            enter().unwrap();
            opened.send(own()).unwrap();
            queue.into_iter().for_each(|job| job());
        });
        Self { fd: fd.recv().unwrap(), jobs: Some(jobs), thread: Some(thread) }
    }

    /// What `job` gives, run in this namespace. Passes its panic on.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.start(job)()
    }

    /// The same without waiting: the function given back waits.
    pub(crate) fn start<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl FnOnce() -> T {
        let (done, result) = channel();
        let job: Job = Box::new(move || done.send(catch_unwind(AssertUnwindSafe(job))).unwrap_or_default());
        self.jobs.as_ref().unwrap().send(job).unwrap();
        move || result.recv().unwrap().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// The calling thread's network namespace.
pub(crate) fn own() -> OwnedFd {
    rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Moves the calling thread into a new network namespace.
#[expect(deprecated, reason = "the safe form; only UnshareFlags::FILES, which is not used, needs care")]
fn enter() -> Result<(), Refused> {
    let before = fs::read_link("/proc/thread-self/ns/net").unwrap();
    rustix::thread::unshare(UnshareFlags::NEWNET).map_err(|_| Refused)?;
    assert_ne!(before, fs::read_link("/proc/thread-self/ns/net").unwrap());
    Ok(())
}
