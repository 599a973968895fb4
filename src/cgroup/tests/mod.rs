//! The room on the running kernel: groups of its own below the root of whatever v2 hierarchy is mounted.

extern crate std;

mod limit;

use super::hierarchy::{self, own_path};
use super::obstacle::Facts;
use super::watch::{MemoryEvents, Occupancy, Watch};
use super::{Controller, Controllers, Deadline, Group, Hierarchy};
use crate::error::Error;
use crate::sys::process::{Side, clone, exit};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::ops::Deref;
use std::process::{Child, Command, Stdio};
use std::string::String;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;

/// Long enough for a loaded machine; nothing waits so long unless it is broken.
const PATIENCE_MS: u32 = 20_000;

/// A group below the hierarchy's root that is emptied and removed in the end.
struct Room {
    hierarchy: Hierarchy,
    group: Group,
    name: String,
}

impl Room {
    /// `None`, and a line that says so, where no group can be made.
    fn new(test: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let hierarchy = match hierarchy::find().unwrap() {
            hierarchy::Found::Unified(hierarchy) | hierarchy::Found::Hybrid(hierarchy) => hierarchy,
            other => {
                std::eprintln!("skipped {test}: no cgroup v2 hierarchy ({other:?})");
                return None;
            }
        };
        let name =
            std::format!("pipkin-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        match hierarchy.root().create(name.as_bytes()) {
            Ok(group) => Some(Self { hierarchy, group, name }),
            Err(error) => {
                std::eprintln!("skipped {test}: {error:?}");
                None
            }
        }
    }

    /// A process that sleeps in `group`.
    fn sleeper(group: &Group) -> Sleeper {
        let child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let sleeper = Sleeper(child);
        group.adopt(sleeper.pid()).unwrap();
        sleeper
    }

    /// A shell that runs `script` once it is in `group`.
    fn shell(group: &Group, script: &str) -> Sleeper {
        let script = std::format!("read go; {script}");
        let shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        let mut shell = Sleeper(shell);
        group.adopt(shell.pid()).unwrap();
        drop(shell.0.stdin.take());
        shell
    }
}

impl Deref for Room {
    type Target = Group;

    fn deref(&self) -> &Group {
        &self.group
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let deadline = Deadline::after_ms(PATIENCE_MS);
        let done =
            self.group.kill(deadline).and(self.hierarchy.root().remove(self.name.as_bytes(), deadline));
        assert!(done.is_ok() || std::thread::panicking(), "{done:?}");
    }
}

/// A child that is killed and reaped in the end.
struct Sleeper(Child);

impl Sleeper {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed()).unwrap()
    }

    fn signal(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        self.0.wait().unwrap().signal()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn patience() -> Deadline {
    Deadline::after_ms(PATIENCE_MS)
}

fn members(group: &Group) -> Vec<Pid> {
    let mut pids = Vec::new();
    let hidden = group.processes(&mut |pid| {
        pids.push(pid);
        Ok(())
    });
    assert_eq!(hidden, Ok(0));
    pids
}

fn errno<T>(result: Result<T, Error>) -> Option<Errno> {
    result.err().map(|error| error.errno)
}

#[test]
fn a_group_is_made_and_removed() {
    let Some(room) = Room::new("a_group_is_made_and_removed") else { return };
    assert!(!room.is_root());
    let root = room.hierarchy.root();
    assert_eq!(errno(root.create(room.name.as_bytes())), Some(Errno::EXIST));
    root.open_or_create(room.name.as_bytes()).unwrap();
    assert_eq!(room.occupancy(), Ok(Occupancy::default()));
    assert_eq!(errno(room.open(b"absent")), Some(Errno::NOENT));
    for name in [&b"../escape"[..], b"..", b".", b"", b"a/b"] {
        assert_eq!(errno(room.create(name)), Some(Errno::INVAL));
        assert_eq!(errno(room.open(name)), Some(Errno::INVAL));
        assert_eq!(errno(room.remove(name, patience())), Some(Errno::INVAL));
    }
    root.remove(room.name.as_bytes(), patience()).unwrap();
    root.remove(room.name.as_bytes(), patience()).unwrap();
    assert!(room.is_gone() && !room.is_root());
    assert_eq!(room.wait_empty(patience()), Ok(()));
    assert_eq!(room.kill(patience()), Ok(()));
    assert_eq!(errno(room.freeze(patience())), Some(Errno::NOENT));
}

#[test]
fn files_keep_to_the_group() {
    let Some(room) = Room::new("files_keep_to_the_group") else { return };
    for file in ["../cgroup.procs", "..", ".", "", "a/b", "cgroup.procs\0", "cgroup.procs ", "/etc/passwd"] {
        assert_eq!(errno(room.write(file, b"0")), Some(Errno::INVAL), "{file}");
        assert_eq!(errno(room.read(file, &mut [0; 64])), Some(Errno::INVAL), "{file}");
    }
    let error = room.write("memory.absent", b"1").unwrap_err();
    assert_eq!(error, Error::on("write the cgroup file", b"memory.absent", Errno::NOENT));
    assert_eq!(errno(room.write("cgroup.freeze", b"x")), Some(Errno::INVAL));
    assert_eq!(room.read("cgroup.type", &mut [0; 64]), Ok(&b"domain"[..]));
    assert_eq!(errno(room.read("cgroup.type", &mut [0; 7])), Some(Errno::OVERFLOW));
}

#[test]
fn values_are_read() {
    let Some(room) = Room::new("values_are_read") else { return };
    assert_eq!(room.read_limit("cgroup.max.depth"), Ok(None));
    room.write("cgroup.max.depth", b"7").unwrap();
    assert_eq!(room.read_limit("cgroup.max.depth"), Ok(Some(7)));
    assert_eq!(room.read_number("cgroup.max.depth"), Ok(7));
    assert_eq!(errno(room.read_number("cgroup.type")), Some(Errno::BADMSG));
    let mut dying = None;
    room.read_keyed("cgroup.stat", &mut |key, value| {
        if key == b"nr_dying_descendants" {
            dying = Some(value);
        }
    })
    .unwrap();
    assert_eq!(dying, Some(0));
    match room.read_pressure("memory.pressure") {
        Ok(pressure) => assert_eq!(pressure.some.total_us, 0),
        Err(error) => assert!(matches!(error.errno, Errno::OPNOTSUPP | Errno::NOENT), "{error:?}"),
    }
}

#[test]
fn depth_limits_are_refusals_with_a_name() {
    let Some(room) = Room::new("depth_limits_are_refusals_with_a_name") else { return };
    room.write("cgroup.max.depth", b"0").unwrap();
    assert_eq!(room.create(b"child").unwrap_err(), Error::on("create the cgroup", b"child", Errno::AGAIN));
}

#[test]
fn processes_are_listed_frozen_and_thawed() {
    let Some(room) = Room::new("processes_are_listed_frozen_and_thawed") else { return };
    assert_eq!(members(&room), []);
    let sleeper = Room::sleeper(&room);
    assert_eq!(members(&room), [sleeper.pid()]);
    assert_eq!(room.occupancy(), Ok(Occupancy { populated: true, frozen: false }));
    room.freeze(patience()).unwrap();
    room.freeze(patience()).unwrap();
    assert_eq!(room.occupancy(), Ok(Occupancy { populated: true, frozen: true }));
    room.thaw(patience()).unwrap();
    assert_eq!(room.occupancy(), Ok(Occupancy { populated: true, frozen: false }));
}

#[test]
fn waits_end_at_their_deadline() {
    let Some(room) = Room::new("waits_end_at_their_deadline") else { return };
    let _sleeper = Room::sleeper(&room);
    let soon = || Deadline::after_ms(30);
    assert_eq!(errno(room.wait_empty(soon())), Some(Errno::TIMEDOUT));
    let removed = room.hierarchy.root().remove(room.name.as_bytes(), soon());
    assert_eq!(errno(removed), Some(Errno::TIMEDOUT));
    assert!(!room.is_gone());
}

#[test]
fn kill_reaches_frozen_and_nested_processes() {
    for kill in [Group::kill, Group::kill_each] {
        let Some(room) = Room::new("kill_reaches_frozen_and_nested_processes") else { return };
        let below = room.create(b"a").unwrap().create(b"b").unwrap();
        let mut sleepers = [Room::sleeper(&room), Room::sleeper(&below), Room::sleeper(&below)];
        below.freeze(patience()).unwrap();
        // The ends are reaped meanwhile by nobody: a zombie does not keep a group populated.
        kill(&room, patience()).unwrap();
        room.wait_empty(patience()).unwrap();
        for sleeper in &mut sleepers {
            assert_eq!(sleeper.signal(), Some(9));
        }
        kill(&room, patience()).unwrap();
    }
}

#[test]
fn kill_each_outruns_a_process_that_forks() {
    let Some(room) = Room::new("kill_each_outruns_a_process_that_forks") else { return };
    room.write("cgroup.max.descendants", b"0").unwrap();
    let script = "n=0; while [ $n -lt 2000 ]; do n=$((n+1)); (sleep 600 &); done; sleep 600";
    let mut forker = Room::shell(&room, script);
    let deadline = patience();
    while members(&room).len() < 20 {
        deadline.pause_ms(1).unwrap();
    }
    room.kill_each(patience()).unwrap();
    assert_eq!(room.occupancy().map(|now| now.populated), Ok(false));
    assert_eq!(forker.signal(), Some(9));
}

#[test]
fn the_root_is_never_killed() {
    let Some(room) = Room::new("the_root_is_never_killed") else { return };
    let root = room.hierarchy.root();
    if !root.is_root() {
        // A namespace's root can be killed, with everything in it.
        return std::eprintln!("skipped the_root_is_never_killed: the root in sight is not the true one");
    }
    assert_eq!(errno(root.kill(patience())), Some(Errno::NOENT));
    assert_eq!(errno(root.wait_empty(patience())), Some(Errno::NOENT));
}

#[test]
fn a_deep_and_wide_tree_is_removed() {
    const DEPTH: usize = 60;
    let Some(room) = Room::new("a_deep_and_wide_tree_is_removed") else { return };
    let mut here = room.create(b"deep").unwrap();
    for level in 0..DEPTH {
        for sibling in 0..level % 3 {
            here.create(std::format!("sibling{sibling}").as_bytes()).unwrap();
        }
        here = here.create(&[b'x'; 100]).unwrap();
    }
    assert_eq!(errno(room.visit(&mut |_| Ok(()))), Some(Errno::LOOP));
    let mut sleeper = Room::sleeper(&here);
    assert_eq!(errno(room.remove(b"deep", Deadline::after_ms(30))), Some(Errno::TIMEDOUT));
    here.kill(patience()).unwrap();
    room.remove(b"deep", patience()).unwrap();
    assert!(here.is_gone());
    assert_eq!(
        room.read("cgroup.stat", &mut [0; 256]).map(|text| text.starts_with(b"nr_descendants 0\n")),
        Ok(true)
    );
    assert_eq!(sleeper.signal(), Some(9));
}

#[test]
fn every_group_is_visited_once() {
    let Some(room) = Room::new("every_group_is_visited_once") else { return };
    for name in [&b"a"[..], b"b"] {
        let child = room.create(name).unwrap();
        child.create(b"c").unwrap();
    }
    let mut visited = 0;
    room.visit(&mut |_| {
        visited += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(visited, 5);
    let mut names = Vec::new();
    room.children(&mut |name| {
        names.push(name.to_vec());
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
    names.sort();
    assert_eq!(names, [b"a", b"b"]);
}

#[test]
fn a_watch_wakes_up_when_the_last_process_ends() {
    let Some(room) = Room::new("a_watch_wakes_up_when_the_last_process_ends") else { return };
    let mut sleeper = Room::sleeper(&room);
    let watch = Watch::<Occupancy>::open(&room).unwrap();
    assert!(watch.read().unwrap().populated);
    let end = std::thread::spawn(move || {
        sleeper.0.kill().unwrap();
        sleeper.signal()
    });
    watch.wait_until(patience(), &|now| !now.populated).unwrap();
    assert_eq!(end.join().unwrap(), Some(9));
    room.hierarchy.root().remove(room.name.as_bytes(), patience()).unwrap();
    assert_eq!(errno(watch.read()), Some(Errno::NODEV));
}

#[test]
fn a_controller_that_is_not_there_is_named() {
    let Some(room) = Room::new("a_controller_that_is_not_there_is_named") else { return };
    room.enable(Controllers::NONE).unwrap();
    let available = room.controllers().unwrap();
    let Some(missing) = Controller::ALL.into_iter().find(|controller| !available.contains(*controller))
    else {
        return std::eprintln!("skipped a_controller_that_is_not_there_is_named: all are there");
    };
    let error = room.enable(Controllers::NONE.with(missing)).unwrap_err();
    assert_eq!(error.subject, crate::error::Subject::Name(missing.name()));
    assert!(matches!(error.errno, Errno::NOENT | Errno::INVAL), "{error:?}");
    let facts = Facts::gather(Some((&room.hierarchy, &room.group))).unwrap();
    assert!(facts.obstacle(missing).is_some());
    if !available.contains(Controller::Memory) {
        let error = Watch::<MemoryEvents>::open(&room).unwrap_err();
        assert_eq!(error, Error::named("watch the cgroup file", "memory.events", Errno::NOENT));
    }
}

#[test]
fn our_own_group_holds_us() {
    let Some(room) = Room::new("our_own_group_holds_us") else { return };
    match room.hierarchy.own() {
        Ok(own) => assert!(members(&own).contains(&rustix::process::getpid())),
        Err(error) => {
            std::eprintln!("skipped our_own_group_holds_us: {error:?}");
            assert_eq!(error.errno, Errno::XDEV);
        }
    }
    assert!(own_path().unwrap().starts_with(b"/"));
}

#[test]
fn a_process_enters_a_leaf() {
    let Some(room) = Room::new("a_process_enters_a_leaf") else { return };
    match clone(0, None).unwrap() {
        Side::Child => {
            let entered = room.group.enter().is_ok() && room.group.holds_processes() == Ok(true);
            exit(u8::from(!entered));
        }
        Side::Parent(_, pidfd) => {
            let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
            assert_eq!(status.exit_status(), Some(0));
        }
    }
    assert_eq!(room.holds_processes(), Ok(false));
}

#[test]
fn a_child_is_born_inside() {
    let Some(room) = Room::new("a_child_is_born_inside") else { return };
    match clone(0, Some(room.as_fd())).unwrap() {
        Side::Child => loop {
            if patience().pause_ms(u64::MAX).is_err() {
                exit(1);
            }
        },
        Side::Parent(pid, pidfd) => {
            assert_eq!(members(&room), [pid]);
            room.kill(patience()).unwrap();
            let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
            assert_eq!(status.terminating_signal(), Some(9));
        }
    }
}
