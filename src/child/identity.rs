//! From root in the container to the process's own user, groups and capabilities; session and limits.

use super::account::{self, Entry, MOST_GROUPS};
use super::path::{self, Links};
use crate::plan::Groups;
use crate::spec::{Account, Capabilities, CapabilitySet, IdMap, Rlimit, Tuning, User};
use crate::sys::defence::Defence;
use crate::sys::process::{
    StrSlot, close_on_exec_from, join_new_session_keyring, set_rlimit as set_raw_rlimit,
};
use crate::sys::signal::{SignalSet, reset_actions, set_mask};
use core::ffi::CStr;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{FileType, OFlags, fchown, fstat};
use rustix::io::{Errno, Result};
use rustix::process::set_parent_process_death_signal;
use rustix::process::{Gid, Uid, ioctl_tiocsctty, setsid};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet as KernelSet, CapabilitySets, capabilities_secure_bits,
    clear_ambient_capability_set, configure_capability_in_ambient_set, remove_capability_from_bounding_set,
    set_capabilities, set_capabilities_secure_bits, set_keep_capabilities, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

/// Starts a session, with `terminal` as its controlling terminal and standard streams, and keys, signals and
/// descriptors of its own.
///
/// # Errors
/// Those of setsid(2), ioctl_tty(2) and dup(2). A kernel or filter without keyrings has none to share.
pub(super) fn start_session(terminal: Option<&OwnedFd>, tuning: &Tuning<'_>) -> Result<()> {
    // From here on a signal to this process is one to the container: it finds defaults, as the command will.
    reset_actions()?;
    set_mask(SignalSet::EMPTY)?;
    // Everything of the host's goes at exec, whatever opened it and however.
    if Defence::CloseDescriptors.stands() {
        close_on_exec_from(tuning.preserved.saturating_add(3))?;
    }
    if !tuning.keeps_keyring {
        match join_new_session_keyring() {
            Ok(()) | Err(Errno::NOSYS | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    // The child of a clone is never a group leader, so this cannot fail for that reason.
    if Defence::OwnSession.stands() {
        setsid()?;
    }
    if let Some(terminal) = terminal {
        ioctl_tiocsctty(terminal)?;
        for stream in 0..=2 {
            crate::sys::process::duplicate_onto(terminal, stream)?;
        }
    }
    Ok(())
}

/// Becomes root of a user namespace, whose maps are written by now.
///
/// # Errors
/// `EINVAL` when it has no root, `EPERM` when groups cannot be given up there.
pub(super) fn become_root(groups: bool) -> Result<()> {
    if groups {
        set_thread_groups(&[])?;
    }
    let dies_by = rustix::process::parent_process_death_signal()?;
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // Changing ids took it back (prctl(2)).
    set_parent_process_death_signal(dies_by)
}

/// Sets one limit.
///
/// # Errors
/// `EPERM` when it raises a hard limit without privilege, `EINVAL` when soft is above hard.
pub(super) fn set_rlimit(limit: &Rlimit) -> Result<()> {
    set_raw_rlimit(limit.kind as u32, limit.soft.unwrap_or(u64::MAX), limit.hard.unwrap_or(u64::MAX))
}

/// Everything about a user that has to be known.
struct Identity {
    uid: u32,
    gid: u32,
    groups: heapless::Vec<Gid, MOST_GROUPS>,
    /// How many of them were asked for, the primary one first; the others the image gives.
    asked: usize,
}

/// Becomes `user` with exactly its groups, the given capability sets, and `HOME` in its slot.
///
/// # Errors
/// `ENOENT` when the image has no user or group of that name, `EINVAL` when an id has no meaning in the user
/// namespace, `EPERM` when a capability cannot be given.
pub(super) fn become_user(
    root: BorrowedFd<'_>,
    user: &User<'_>,
    capabilities: &Capabilities,
    groups: Groups<'_>,
    home: Option<&StrSlot<256>>,
    terminal: Option<&OwnedFd>,
) -> Result<()> {
    let identity = look_up(root, user, home)?;
    let dies_by = rustix::process::parent_process_death_signal()?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    if let Some(terminal) = terminal {
        fchown(terminal, Some(uid), None)?;
    }
    drop_bounding(capabilities.bounding)?;
    set_secure_bits(capabilities.secure_bits)?;
    if Defence::Groups.stands() {
        set_groups(&identity, groups)?;
    }
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    set_keep_capabilities(false)?;
    set_sets(capabilities)?;
    // Changing ids took it back (prctl(2)).
    set_parent_process_death_signal(dies_by)?;
    // And made it what fs.suid_dumpable says.
    super::program::hide()
}

/// Sets the supplementary groups. One of the image's without a place in the maps owns no file that is seen inside; one
/// that was asked for is not left out.
fn set_groups(identity: &Identity, groups: Groups<'_>) -> Result<()> {
    let maps = match groups {
        Groups::Inherited => return Ok(()),
        Groups::All => return set_thread_groups(&identity.groups),
        Groups::Mapped(maps) => maps,
    };
    let mut kept = heapless::Vec::<Gid, MOST_GROUPS>::new();
    for (place, id) in identity.groups.iter().enumerate() {
        let fits = |map: &IdMap| id.as_raw().wrapping_sub(map.inside) < map.count;
        if maps.iter().any(fits) {
            kept.push(*id).map_err(|_| Errno::TOOBIG)?;
        } else if place < identity.asked {
            return Err(Errno::INVAL);
        }
    }
    set_thread_groups(&kept)
}

fn look_up(root: BorrowedFd<'_>, user: &User<'_>, home: Option<&StrSlot<256>>) -> Result<Identity> {
    let entry = match open_accounts(root, c"/etc/passwd")? {
        Some(passwd) => account::find_user(&passwd, user.user)?,
        None => None,
    };
    let uid = match (user.user, &entry) {
        (Account::Id(id), _) => id,
        (Account::Name(_), Some(entry)) => entry.uid,
        (Account::Name(_), None) => return Err(Errno::NOENT),
    };
    if let Some(slot) = home {
        let fallback: &[u8] = if uid == 0 { b"/root" } else { b"/" };
        let told = entry.as_ref().and_then(|entry: &Entry| entry.home.text());
        slot.set(&[b"HOME=", told.filter(|text| !text.is_empty()).unwrap_or(fallback)])?;
    }
    let wanted = match user.group {
        Some(Account::Name(name)) => Some(name),
        Some(Account::Id(_)) | None => None,
    };
    let name = entry.as_ref().filter(|_| !user.exact).and_then(|entry| entry.name.text());
    let listed = match open_accounts(root, c"/etc/group")? {
        Some(group) => account::find_groups(&group, wanted, name)?,
        None => account::Groups { wanted: None, member: heapless::Vec::new() },
    };
    let gid = match user.group {
        Some(Account::Id(id)) => id,
        Some(Account::Name(_)) => listed.wanted.ok_or(Errno::NOENT)?,
        None => entry.as_ref().map_or(0, |entry| entry.gid),
    };
    // The primary group stands in the list too: a file that its group may not read must not open by it being lost.
    let mut groups = heapless::Vec::new();
    let mut add = |id| {
        let id = Gid::from_raw(id);
        if !groups.contains(&id) {
            groups.push(id).map_err(|_| Errno::TOOBIG)?;
        }
        Ok(groups.len())
    };
    let mut asked = add(gid)?;
    for group in user.additional {
        asked = add(group_id(root, *group)?)?;
    }
    for id in &listed.member {
        add(*id)?;
    }
    Ok(Identity { uid, gid, groups, asked })
}

/// The number of a group; `ENOENT` when the image has none of that name.
fn group_id(root: BorrowedFd<'_>, group: Account<'_>) -> Result<u32> {
    match group {
        Account::Id(id) => Ok(id),
        Account::Name(name) => {
            let file = open_accounts(root, c"/etc/group")?.ok_or(Errno::NOENT)?;
            account::find_groups(&file, Some(name), None)?.wanted.ok_or(Errno::NOENT)
        }
    }
}

/// Opens an account file of the image; `None` when there is none. Anything but a regular file counts as none: a
/// pipe there must not hold us up.
fn open_accounts(root: BorrowedFd<'_>, path: &CStr) -> Result<Option<OwnedFd>> {
    match path::open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Links::Follow) {
        Ok(file) => Ok(FileType::from_raw_mode(fstat(&file)?.st_mode).is_file().then_some(file)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn drop_bounding(keep: CapabilitySet) -> Result<()> {
    for number in 0..64 {
        if keep.contains(number) {
            continue;
        }
        match remove_capability_from_bounding_set(KernelSet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // Past the last capability that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn set_sets(capabilities: &Capabilities) -> Result<()> {
    let kernel = |set: CapabilitySet| KernelSet::from_bits_retain(set.0);
    clear_ambient_capability_set()?;
    let sets = CapabilitySets {
        effective: kernel(capabilities.effective),
        permitted: kernel(capabilities.permitted),
        inheritable: kernel(if Defence::NoInheritable.stands() {
            capabilities.inheritable
        } else {
            capabilities.bounding
        }),
    };
    set_capabilities(None, sets)?;
    for number in 0..64 {
        if capabilities.ambient.contains(number) {
            configure_capability_in_ambient_set(KernelSet::from_bits_retain(1 << number), true)?;
        }
    }
    Ok(())
}

/// Sets the securebits, whatever whoever started us had, and beside them the one that keeps capabilities while ids
/// change.
fn set_secure_bits(wanted: u32) -> Result<()> {
    const KEEP: CapabilitiesSecureBits = CapabilitiesSecureBits::KEEP_CAPS;
    let wanted = CapabilitiesSecureBits::from_bits_retain(wanted);
    if capabilities_secure_bits()?.difference(KEEP) == wanted {
        set_keep_capabilities(true)
    } else {
        set_capabilities_secure_bits(wanted.union(KEEP))
    }
}
