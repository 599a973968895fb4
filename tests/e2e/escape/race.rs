//! A folder that two containers share, and in which one swaps a directory for a link while the other starts.

use super::is_empty;
use crate::harness::{Case, Folder, Run, cases, run};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

pub(crate) fn cases() -> Vec<Case> {
    cases!(Nothing, [cve_2021_30465_a_destination_swapped_for_a_link])
}

/// Swaps two names as fast as it can, until it is dropped.
struct Swapper {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Swapper {
    fn start(one: PathBuf, other: PathBuf) -> Self {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&rounds));
        let swap = move || {
            while !stopped.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).expect("a swap");
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        Self { stop, rounds, thread: Some(std::thread::spawn(swap)) }
    }

    fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("a thread").join();
        assert!(ended.is_ok() || std::thread::panicking(), "the swapping failed");
    }
}

/// Swaps needed before a defence counts as tried, and starts before an attack counts as failed.
const ROUNDS: u64 = 5_000;
pub(super) const STARTS: usize = 20;
const MOST_STARTS: usize = 2_000;

/// Starts containers by `attack`, which is given the shared folder, until something is made outside; whether it was.
pub(super) fn gets_out(attack: impl Fn(&Folder) -> Run, most: usize) -> bool {
    let (shared, outside) = (Folder::new(), Folder::new());
    shared.folder("place");
    symlink(outside.path(), shared.join("link")).unwrap();
    let swapper = Swapper::start(shared.join("place"), shared.join("link"));
    let tried = |starts| starts >= most && swapper.rounds() >= ROUNDS;
    for _ in (0..).take_while(|starts| !tried(*starts)) {
        attack(&shared).sh("true");
        if !is_empty(&outside) {
            return true;
        }
        // What went into the directory, whichever name it has now; the link's target is empty.
        for name in ["place/made", "link/made"] {
            std::fs::remove_dir(shared.join(name)).unwrap_or(());
        }
    }
    false
}

/// A container that mounts something in the folder it shares with the attacker.
pub(super) fn attack(shared: &Folder) -> Run {
    run("").volume(shared.path(), "/shared").option("--tmpfs").option("/shared/place/made")
}

fn cve_2021_30465_a_destination_swapped_for_a_link() {
    assert!(gets_out(|shared| attack(shared).without("pivot-first,by-handle"), MOST_STARTS));
    assert!(!gets_out(|shared| attack(shared).without("pivot-first"), STARTS));
    assert!(!gets_out(attack, STARTS));
}
