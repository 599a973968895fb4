//! Disks that are full or cannot be written: what cannot be kept is told, and nothing is left by half.

use crate::harness::{
    Case, Outcome, alpine, cases, detached_sh, eventually, pipkin, reap_orphans, try_detached,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs;
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            a_read_only_disk_is_told,
            a_full_disk_is_told,
            a_full_run_directory_is_told,
            a_container_outlives_a_full_disk,
            a_durable_one_needs_its_disk,
        ]
    )
}

const DATA: &str = "/var/lib/pipkin";
const RUN: &str = "/run/pipkin";

/// A file system of its own at a place, for as long as this lives.
struct Disk(&'static str);

impl Disk {
    fn at(place: &'static str, options: &str, flags: MountFlags) -> Self {
        fs::create_dir_all(place).unwrap();
        let options = CString::new(format!("mode=700,{options}")).unwrap();
        mount("tmpfs", place, "tmpfs", flags, options.as_c_str()).unwrap();
        Self(place)
    }

    /// Fills it; gives the file that takes the room.
    fn fill(&self) -> std::path::PathBuf {
        let path = Path::new(self.0).join("ballast");
        let mut file = fs::File::create(&path).unwrap();
        while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|written| written > 0) {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            unmount(self.0, UnmountFlags::DETACH).unwrap();
        });
    }
}

/// Nothing of a container is there.
fn assert_none() {
    reap_orphans();
    pipkin(&["ps", "-aq"]).prints("");
    for place in ["/run/pipkin/containers", "/run/pipkin/names", "/var/lib/pipkin/containers"] {
        let left: Vec<_> = fs::read_dir(place).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{place}: {left:?}");
    }
}

/// Tries to run one, in the background and not: it runs or is refused with these words. Gives how often it was refused.
fn try_to_run(words: &[&str]) -> usize {
    let image = alpine().unwrap();
    let front = |name: &str| -> Outcome {
        pipkin(&["run", "--name", name, "--net", "none", image.to_str().unwrap(), "true"])
    };
    let mut refused = 0;
    for attempt in 0..3 {
        let outcome = match attempt {
            0 => try_detached("--name pot --net none", &["true"]),
            1 => front("pot"),
            _ => front("pan"),
        };
        if outcome.status.success() {
            pipkin(&["rm", "-f", "pot", "pan"]).succeeds();
        } else {
            outcome.fails(125, words);
            refused += 1;
        }
        reap_orphans();
    }
    assert_none();
    refused
}

fn a_read_only_disk_is_told() {
    let disk = Disk::at(DATA, "", MountFlags::RDONLY);
    assert_eq!(try_to_run(&["Read-only file system", "must be writable"]), 3);
    drop(disk);
}

fn a_full_disk_is_told() {
    // Too few inodes for a container; then with room for its directories, but not for what is written.
    for inodes in 2..9 {
        let disk = Disk::at(DATA, &format!("nr_inodes={inodes}"), MountFlags::empty());
        let refused = try_to_run(&["No space left", "make room"]);
        assert!(refused > 0 || inodes > 5, "{refused} with {inodes}");
        drop(disk);
    }
}

fn a_full_run_directory_is_told() {
    for inodes in 2..12 {
        let disk = Disk::at(RUN, &format!("nr_inodes={inodes}"), MountFlags::empty());
        let refused = try_to_run(&["No space left"]);
        assert!(refused > 0 || inodes > 5, "{refused} with {inodes}");
        drop(disk);
    }
    let disk = Disk::at(RUN, "size=64k", MountFlags::empty());
    pipkin(&["ps"]).succeeds();
    let ballast = disk.fill();
    assert_eq!(try_to_run(&["No space left"]), 3);
    fs::remove_file(ballast).unwrap();
    pipkin(&["ps", "-aq"]).prints("");
    drop(disk);
}

fn a_container_outlives_a_full_disk() {
    let disk = Disk::at(DATA, "size=1m", MountFlags::empty());
    let script =
        "trap 'echo heard' USR1; trap 'exit 3' TERM; echo first; echo ready; seq 1 1000000; echo last
        while :; do sleep 0.05; done";
    let container = detached_sh("--net none --name pot", script);
    // It comes to its end without anybody to take what it writes.
    eventually("it has written all", &mut || {
        container.verb("inspect").json()["LostLogBytes"].as_u64() > Some(1_000_000)
    });
    let told = container.verb("logs").exits(0);
    assert!(told.text().starts_with("first\nready\n1\n2\n"));
    assert!(told.told().contains("bytes of output are not in this log"), "{}", told.told());
    // What was lost and what was kept make the whole.
    let lost = container.verb("inspect").json()["LostLogBytes"].as_u64().unwrap();
    let all: u64 = (1..=1_000_000_u64).map(|number| number.to_string().len() as u64 + 1).sum();
    let kept = told.stdout.len() as u64;
    assert_eq!(lost + kept, all + "first\nready\nlast\n".len() as u64);
    // Entries are whole.
    let log = fs::read_to_string(format!("{DATA}/containers/{}/log", container.id)).unwrap();
    assert!(
        log.ends_with('\n') && log.lines().all(|line| line.get(30..38).is_some_and(|tag| tag == " stdout ")),
        "{}",
        log.len()
    );
    // With room again it goes on.
    fs::remove_file(format!("{DATA}/containers/{}/log", container.id)).unwrap();
    container.verb("kill -s USR1").succeeds();
    container.verb("stop").succeeds();
    assert_eq!(container.ended(), "3");
    container.verb("rm").succeeds();
    drop(container);
    assert_none();
    drop(disk);
}

fn a_durable_one_needs_its_disk() {
    let disk = Disk::at(DATA, "size=256k", MountFlags::empty());
    // The log takes one page, the record another.
    let ballast = {
        fs::create_dir_all(format!("{DATA}/containers")).unwrap();
        disk.fill()
    };
    try_detached("--durable --net none", &["sleep", "1000"]).fails(125, &["No space left"]);
    reap_orphans();
    assert_none();
    // One that is not durable runs, and its record is where records are.
    let container = detached_sh("--net none", "exit 4");
    assert_eq!(container.ended(), "4");
    drop(container);
    fs::remove_file(ballast).unwrap();
    drop(disk);
}
