//! Limits, where the root hands the controllers down: on most machines, and in the test VM.

use super::std::{self, vec::Vec};
use super::{Room, Sleeper, errno, members, patience};
use crate::cgroup::watch::{LocalMemoryEvents, MemoryEvents, PidsEvents, Watch};
use crate::cgroup::{Controller, Controllers, Group};
use crate::sys::process::{Side, clone, exit};
use rustix::fd::AsFd;
use rustix::io::Errno;

/// A group that has the controllers `wanted`.
fn limited(test: &str, wanted: &[Controller]) -> Option<Room> {
    let room = Room::new(test)?;
    let has = room.controllers().unwrap();
    if let Some(missing) = wanted.iter().find(|controller| !has.contains(**controller)) {
        std::eprintln!("skipped {test}: the root does not hand down {}", missing.name());
        return None;
    }
    Some(room)
}

fn set(group: &Group, file: &str, value: &str) {
    group.write(file, value.as_bytes()).unwrap();
}

fn wait(mut process: Sleeper) -> Option<i32> {
    process.0.wait().unwrap().code()
}

#[test]
fn limits_are_taken_and_told() {
    use Controller::{Cpu, Memory, Pids};
    let Some(room) = limited("limits_are_taken_and_told", &[Cpu, Memory, Pids]) else { return };
    assert_eq!(room.read_limit("memory.max"), Ok(None));
    set(&room, "memory.max", "10485760");
    assert_eq!(room.read_limit("memory.max"), Ok(Some(10 << 20)));
    set(&room, "memory.max", "max");
    assert_eq!(room.read_limit("memory.max"), Ok(None));
    set(&room, "pids.max", "5");
    assert_eq!(room.read_limit("pids.max"), Ok(Some(5)));
    set(&room, "cpu.max", "25000 100000");
    assert_eq!(room.read("cpu.max", &mut [0; 64]), Ok(&b"25000 100000"[..]));
    assert_eq!(errno(room.write("memory.max", b"ten")), Some(Errno::INVAL));
    assert_eq!(errno(room.write("cpu.weight", b"0")), Some(Errno::RANGE));
    let mut usage = None;
    room.read_keyed("cpu.stat", &mut |key, value| {
        if key == b"usage_usec" {
            usage = Some(value);
        }
    })
    .unwrap();
    assert!(usage.is_some());
    let mut keys = 0;
    room.read_keyed("memory.stat", &mut |_, _| keys += 1).unwrap();
    assert!(keys > 20);
}

#[test]
fn memory_over_the_limit_is_killed_and_counted() {
    let Some(room) = limited("memory_over_the_limit_is_killed_and_counted", &[Controller::Memory]) else {
        return;
    };
    set(&room, "memory.max", "8388608");
    if let Err(error) = room.write("memory.swap.max", b"0") {
        assert_eq!(error.errno, Errno::NOENT, "only a kernel without swap lacks the file");
    }
    let events = Watch::<MemoryEvents>::open(&room).unwrap();
    let local = Watch::<LocalMemoryEvents>::open(&room).unwrap();
    assert_eq!(events.read(), Ok(MemoryEvents::default()));
    let mut hungry = Room::shell(&room, "exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    let seen = events.wait_until(patience(), &|events| events.oom_kill > 0).unwrap();
    assert_eq!(hungry.signal(), Some(9));
    assert!(seen.oom > 0 && seen.max > 0, "{seen:?}");
    assert_eq!(local.read().unwrap().0.oom_kill, seen.oom_kill);
}

#[test]
fn a_process_too_many_is_refused_and_counted() {
    let Some(room) = limited("a_process_too_many_is_refused_and_counted", &[Controller::Pids]) else {
        return;
    };
    set(&room, "pids.max", "3");
    let events = Watch::<PidsEvents>::open(&room).unwrap();
    assert_eq!(events.read(), Ok(PidsEvents::default()));
    let forker = Room::shell(&room, "for n in 1 2 3 4 5; do sleep 600 & done; exit 7");
    events.wait_until(patience(), &|events| events.max > 0).unwrap();
    assert_eq!(room.read_number("pids.current").map(|count| count <= 3), Ok(true));
    room.kill(patience()).unwrap();
    assert_ne!(wait(forker), Some(7));
}

#[test]
fn controllers_are_handed_down() {
    use Controller::{Memory, Pids};
    let Some(room) = limited("controllers_are_handed_down", &[Memory, Pids]) else { return };
    let both = Controllers::NONE.with(Memory).with(Pids);
    let child = room.create(b"child").unwrap();
    assert_eq!(errno(child.write("pids.max", b"5")), Some(Errno::NOENT));
    assert_eq!(child.enable(both).unwrap_err().errno, Errno::NOENT);
    room.enable(both).unwrap();
    room.enable(both).unwrap();
    assert_eq!(room.enabled(), Ok(both));
    assert_eq!(child.controllers(), Ok(both));
    set(&child, "pids.max", "5");
    // Now processes belong into the leaf.
    assert_eq!(errno(try_clone(&room)), Some(Errno::BUSY));
    try_clone(&child).unwrap();
}

#[test]
fn a_group_with_processes_hands_nothing_down() {
    use Controller::{Memory, Pids};
    let Some(room) = limited("a_group_with_processes_hands_nothing_down", &[Memory, Pids]) else { return };
    let child = room.create(b"child").unwrap();
    let sleeper = Room::sleeper(&room);
    for controller in [Memory, Pids] {
        let error = room.enable(Controllers::NONE.with(controller)).unwrap_err();
        assert_eq!(error.subject, crate::error::Subject::Name(controller.name()));
        assert_eq!(error.errno, Errno::BUSY);
    }
    assert_eq!(room.enabled(), Ok(Controllers::NONE));
    // What the refusal saves from: the kernel takes a threaded controller, and no process can be born below.
    set(&room, "cgroup.subtree_control", "+pids");
    assert_eq!(errno(try_clone(&child)), Some(Errno::OPNOTSUPP));
    set(&room, "cgroup.subtree_control", "-pids");
    // The way out: everyone moves to a leaf.
    child.adopt(sleeper.pid()).unwrap();
    assert_eq!(members(&room), Vec::new());
    room.enable(Controllers::NONE.with(Memory).with(Pids)).unwrap();
}

/// Lets a child be born in `group` and end at once.
fn try_clone(group: &Group) -> crate::error::Result<()> {
    use crate::error::Stage;
    match clone(0, Some(group.as_fd())).stage("clone")? {
        Side::Child => exit(0),
        Side::Parent(_, pidfd) => {
            use rustix::process::{WaitId, WaitIdOptions, waitid};
            waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).stage("reap").map(|_| ())
        }
    }
}
