//! A network namespace for one test. The machine's own is never touched.

use rustix::thread::UnshareFlags;
use std::fs;

/// Runs `test` on a thread that is alone in a new network namespace, which ends with it.
///
/// Without the privilege for that the test says so and is passed over.
pub(crate) fn in_new_namespace(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let body = || {
            if !enter() {
                eprintln!("skipped: a new network namespace is not permitted here");
                return;
            }
            test();
        };
        if let Err(panic) = scope.spawn(body).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Moves the calling thread into a new network namespace.
#[expect(deprecated, reason = "the safe form; only UnshareFlags::FILES, which is not used, needs care")]
fn enter() -> bool {
    let before = fs::read_link("/proc/thread-self/ns/net").unwrap();
    if rustix::thread::unshare(UnshareFlags::NEWNET).is_err() {
        return false;
    }
    assert_ne!(before, fs::read_link("/proc/thread-self/ns/net").unwrap());
    true
}
