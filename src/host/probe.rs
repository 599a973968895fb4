//! What the plan must know of this machine.

use crate::cgroup::controller::Controller;
use crate::cgroup::hierarchy;
use crate::cgroup::obstacle::{Facts, Obstacle};
use crate::error::{Result, Stage};
use crate::plan::{Availability, Controllers, HostFacts, outside};
use crate::spec;
use core::ffi::CStr;
use rustix::fs::{Access, CWD, Mode, OFlags, access, openat};
use rustix::thread::{CapabilitySet, CapabilitySets, capability_is_in_bounding_set};

/// Whether we may do what root may: without `CAP_SYS_ADMIN` uid 0 is a user like another.
#[must_use]
pub fn is_privileged() -> bool {
    let capabilities = rustix::thread::capabilities(None);
    let administers = |set: CapabilitySets| set.effective.contains(CapabilitySet::SYS_ADMIN);
    rustix::process::geteuid().is_root() && capabilities.is_ok_and(administers)
}

/// The capabilities of the kernel, which the first process of a user namespace has in it.
#[must_use]
pub fn known_capabilities() -> spec::CapabilitySet {
    bounding(&|answer| answer.is_ok())
}

/// The capabilities that we have and can pass on.
#[must_use]
pub fn own_capabilities() -> spec::CapabilitySet {
    let permitted = rustix::thread::capabilities(None).map_or(0, |sets| sets.permitted.bits());
    spec::CapabilitySet(bounding(&|answer| answer == Ok(true)).0 & permitted)
}

/// Those for which the question whether they are in the bounding set is answered so.
fn bounding(holds: &dyn Fn(rustix::io::Result<bool>) -> bool) -> spec::CapabilitySet {
    let mut set = spec::CapabilitySet::EMPTY;
    for number in 0..64 {
        if holds(capability_is_in_bounding_set(CapabilitySet::from_bits_retain(1 << number))) {
            set = set.with(number);
        }
    }
    spec::CapabilitySet(set.0 & spec::CapabilitySet::ALL.0)
}

fn is_there(path: &CStr) -> bool {
    access(path, Access::EXISTS).is_ok()
}

/// Whether the file begins with this letter.
fn reads(path: &CStr, letter: u8) -> bool {
    let mut first = [0];
    let opened = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    opened.and_then(|file| rustix::io::read(file, &mut first)).is_ok() && first == [letter]
}

/// The group `tty`, to which devptses are told to give terminals.
const TERMINALS: u32 = 5;

/// Whether our user namespace has this group.
fn has_group(id: u32) -> bool {
    super::id_map::read(rustix::process::getpid(), "gid_map").is_ok_and(|maps| outside(&maps, id).is_some())
}

/// The number of the machine's first user namespace (`PROC_USER_INIT_INO` in the kernel's proc_ns.h).
const FIRST_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Whether we are in another user namespace than the machine's first one. Without `/proc` there is no container to make.
pub fn is_nested() -> bool {
    rustix::fs::stat(c"/proc/self/ns/user").is_ok_and(|found| found.st_ino != FIRST_USER_NAMESPACE)
}

/// Gathers the facts.
///
/// # Errors
/// Those of reading `/proc` and the cgroup hierarchy.
pub fn probe() -> Result<HostFacts> {
    let found = hierarchy::find()?;
    let base = found.hierarchy().map(super::group::base).transpose()?;
    let place = found.hierarchy().zip(base.as_ref());
    let facts = Facts::gather(place)?;
    let state = |controller| match facts.obstacle(controller) {
        None => Availability::Ready,
        Some(Obstacle::NoHierarchy) => Availability::NoHierarchy,
        Some(Obstacle::HeldByV1(_)) => Availability::HeldByV1,
        Some(Obstacle::DisabledAtBoot | Obstacle::NotBuilt) => Availability::Absent,
        Some(Obstacle::NotDelegated) => Availability::NotDelegated,
    };
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let (root, nested) = (is_privileged(), is_nested());
    Ok(HostFacts {
        root,
        nested,
        terminal_group: !nested || has_group(TERMINALS),
        fixed_groups: nested && reads(c"/proc/self/setgroups", b'd'),
        capabilities: spec::CapabilitySet(
            rustix::thread::capabilities(None).stage("read our capabilities")?.permitted.bits(),
        ),
        uid: uid.as_raw(),
        gid: gid.as_raw(),
        landlock: crate::sys::landlock::version(),
        apparmor: reads(c"/sys/module/apparmor/parameters/enabled", b'Y'),
        selinux: is_there(c"/sys/fs/selinux/enforce"),
        cgroup: base.is_some_and(|base| base.is_writable()),
        controllers: Controllers {
            memory: state(Controller::Memory),
            cpu: state(Controller::Cpu),
            cpuset: state(Controller::Cpuset),
            io: state(Controller::Io),
            pids: state(Controller::Pids),
        },
    })
}
