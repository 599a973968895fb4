//! Forwarding between links, switched on for containers and put back as it was found.
//!
//! What was changed is noted, one letter each, before it is changed. A host that forwards IPv6 no longer listens to the
//! routers from which it may have its own address and way out, and forgets what they said, but for links whose
//! `accept_ra` is 2 (Documentation/networking/ip-sysctl.rst): those that listen are given that first, and are noted too.

use super::directory::{Directory, each_name};
use super::joined;
use crate::error::{Result, Stage};
use crate::netlink::wire::link::Name;
use core::ffi::CStr;
use heapless::Vec;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Noted first: there is something to put back.
const SET_UP: u8 = b't';

/// The switches: letter, file.
const SWITCHES: [(u8, &CStr); 2] =
    [(b'4', c"/proc/sys/net/ipv4/ip_forward"), (b'6', c"/proc/sys/net/ipv6/conf/all/forwarding")];

const ACCEPT_RA: &[u8] = b"accept_ra";
const IPV6_LINKS: &CStr = c"/proc/sys/net/ipv6/conf";
/// The file of the links that listen to routers all the same: for each its name, filled up with NUL.
const LISTENERS: &[&[u8]] = &[b"listeners"];
/// Bytes of a name there (`IFNAMSIZ`).
const LISTENER_LEN: usize = 16;

/// Switches forwarding on for IPv4, and with `ipv6` for that too; says whether nothing had been set up before.
pub(super) fn enable(directory: &Directory, ipv6: bool) -> Result<bool> {
    let mut notes = [0; 8];
    let mut len = directory.notes(&mut notes)?;
    let first = len == 0;
    if first {
        directory.note(SET_UP, 0)?;
        len = 1;
    }
    for (letter, file) in SWITCHES.iter().take(if ipv6 { 2 } else { 1 }) {
        if read(file.to_bytes())? == Some(b'0') {
            if !notes.contains(letter) {
                directory.note(*letter, len)?;
                len = len.saturating_add(1);
            }
            if *letter == b'6' {
                keep_listening(directory)?;
            }
            set(file, b"1").stage_on("switch forwarding on in", file.to_bytes())?;
        }
    }
    Ok(first)
}

/// Whether anything was set up that is still to be put back.
pub(super) fn is_noted(directory: &Directory) -> Result<bool> {
    directory.notes(&mut [0; 8]).map(|len| len > 0)
}

/// Puts back what was changed.
pub(super) fn restore(directory: &Directory) -> Result<()> {
    let mut notes = [0; 8];
    directory.notes(&mut notes)?;
    for (letter, file) in SWITCHES {
        if notes.contains(&letter) {
            set(file, b"0").stage_on("put forwarding back in", file.to_bytes())?;
        }
    }
    stop_listening(directory)?;
    directory.forget()
}

/// Lets every link that listens to routers go on while this host forwards.
fn keep_listening(directory: &Directory) -> Result<()> {
    let noted = directory.open(LISTENERS)?;
    // Behind what one of us noted that was killed before it switched forwarding on.
    let mut end = fstat(&noted).stage("note the link")?.st_size.unsigned_abs();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let links = openat(CWD, IPV6_LINKS, flags, Mode::empty()).stage("look at the links")?;
    each_name(links, &mut |link| {
        // The first two are no links; what is set there is for links to come.
        if [&b"all"[..], b"default", b".", b".."].contains(&link) || of_link(link)? != Some(b'1') {
            return Ok(());
        }
        let mut record = [0; LISTENER_LEN];
        record.iter_mut().zip(link).for_each(|(to, from)| *to = *from);
        retry_on_intr(|| rustix::io::pwrite(&noted, &record, end)).stage("note the link")?;
        end = end.saturating_add(LISTENER_LEN as u64);
        set_of_link(b"ipv6", link, ACCEPT_RA, b"2")
    })
}

/// Puts the links back that [`keep_listening`] noted; one that somebody has set since stays.
fn stop_listening(directory: &Directory) -> Result<()> {
    let Some(noted) = directory.open_existing(LISTENERS)? else { return Ok(()) };
    let mut record = [0; LISTENER_LEN];
    let mut at = 0;
    while retry_on_intr(|| rustix::io::pread(&noted, &mut record, at)).stage("read which links")?
        == LISTENER_LEN
    {
        let link = record.split(|byte| *byte == 0).next().unwrap_or_default();
        if of_link(link)? == Some(b'2') {
            set_of_link(b"ipv6", link, ACCEPT_RA, b"1")?;
        }
        at = at.saturating_add(LISTENER_LEN as u64);
    }
    directory.remove(LISTENERS)
}

/// What a link makes of routers that announce themselves.
fn of_link(link: &[u8]) -> Result<Option<u8>> {
    read(&path_of_link(b"ipv6", link, ACCEPT_RA)?)
}

/// The first byte of a kernel parameter; `None` for one that this kernel has not, or whose link goes in that moment.
fn read(file: &[u8]) -> Result<Option<u8>> {
    let mut value = [0];
    let opened = openat(CWD, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    match opened.and_then(|file| retry_on_intr(|| rustix::io::read(&file, &mut value))) {
        Err(Errno::NOENT) => Ok(None),
        read => read.stage_on("read the kernel parameter", file).map(|_| Some(value[0])),
    }
}

fn set(file: &CStr, value: &[u8]) -> rustix::io::Result<()> {
    let file = openat(CWD, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    retry_on_intr(|| rustix::io::write(&file, value)).map(drop)
}

/// Sets a parameter of one link in the namespace the caller is in; one that this kernel has not needs no setting.
pub(super) fn set_of_link(family: &[u8], link: &[u8], parameter: &[u8], value: &[u8]) -> Result<()> {
    let stage = "set a parameter of the link";
    let path = path_of_link(family, link, parameter)?;
    let file = openat(CWD, path.as_slice(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    match file.and_then(|file| retry_on_intr(|| rustix::io::write(&file, value))) {
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).stage_on(stage, link),
    }
}

/// Has the link called `name` in the namespace the caller is in believe no router that announces itself.
///
/// By a procfs of its own: in the one at `/proc` the kernel keeps what it has found for every network namespace in one
/// list, through which whoever looks up a parameter then goes.
pub(super) fn refuse_routers(name: &Name) -> Result<()> {
    let name = name.as_bytes();
    let path: Vec<u8, 80> = joined(&[b"sys/net/ipv6/conf/", name, b"/", ACCEPT_RA])?;
    let written = own_proc().and_then(|proc| {
        let file = openat(&proc, path.as_slice(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        retry_on_intr(|| rustix::io::write(&file, b"0"))
    });
    match written {
        Ok(_) => Ok(()),
        // Inside another container that may not be made.
        Err(_) => set_of_link(b"ipv6", name, ACCEPT_RA, b"0"),
    }
}

fn own_proc() -> rustix::io::Result<OwnedFd> {
    let context = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// The file of a link's parameter.
fn path_of_link(family: &[u8], link: &[u8], parameter: &[u8]) -> Result<Vec<u8, 80>> {
    joined(&[b"/proc/sys/net/", family, b"/conf/", link, b"/", parameter])
}
