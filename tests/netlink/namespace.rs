//! Network namespaces for one test. The machine's own is never touched.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::thread::UnshareFlags;
use std::fs;
use std::sync::mpsc::channel;

/// The kernel does not give us a network namespace.
#[derive(Debug)]
pub(crate) struct Refused;

/// Runs `test` on a thread that is alone in a new network namespace, which ends with it. Passes its panic on.
pub(crate) fn in_new(test: impl FnOnce() + Send) -> Result<(), Refused> {
    std::thread::scope(|scope| {
        let body = scope.spawn(|| {
            enter()?;
            test();
            Ok(())
        });
        body.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `outside` here with a descriptor of a second new network namespace, then `inside` in that one, then
/// `after` here while the second still is.
pub(crate) fn beside<T>(
    outside: impl FnOnce(&OwnedFd),
    inside: impl FnOnce() + Send,
    after: impl FnOnce() -> T,
) -> T {
    let (opened, open) = channel();
    let (prepared, ready) = channel();
    let (configured, done) = channel();
    let (finished, end) = channel::<()>();
    std::thread::scope(|scope| {
        let other = scope.spawn(move || {
            enter().unwrap();
            opened.send(own()).unwrap();
            // A sender that is gone is a test that failed on the other side, which tells by itself.
            if ready.recv().is_ok() {
                inside();
                configured.send(()).unwrap();
                assert!(end.recv().is_err());
            }
        });
        let namespace = open.recv().unwrap();
        outside(&namespace);
        prepared.send(()).unwrap();
        if done.recv().is_err() {
            std::panic::resume_unwind(other.join().unwrap_err());
        }
        let result = after();
        drop(finished);
        result
    })
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
