//! Forwarding between links, switched on for containers and put back as it was found.
//!
//! What was changed is noted, one letter each, before it is changed.

use super::directory::Directory;
use crate::error::{Result, Stage};
use core::ffi::CStr;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};

/// Noted first: there is something to put back.
const SET_UP: u8 = b't';

/// The switches: letter, file.
const SWITCHES: [(u8, &CStr); 2] =
    [(b'4', c"/proc/sys/net/ipv4/ip_forward"), (b'6', c"/proc/sys/net/ipv6/conf/all/forwarding")];

/// Switches forwarding on for IPv4, and with `ipv6` for that too.
pub(super) fn enable(directory: &Directory, ipv6: bool) -> Result<()> {
    let mut notes = [0; 8];
    let mut len = directory.notes(&mut notes)?;
    if len == 0 {
        directory.note(SET_UP, 0)?;
        len = 1;
    }
    for (letter, file) in SWITCHES.iter().take(if ipv6 { 2 } else { 1 }) {
        if read(file)? == Some(b'0') {
            if !notes.contains(letter) {
                directory.note(*letter, len)?;
                len = len.saturating_add(1);
            }
            set(file, b"1").stage_on("switch forwarding on in", file.to_bytes())?;
        }
    }
    Ok(())
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
    directory.forget()
}

/// The first byte of a kernel parameter; `None` for one that this kernel has not.
fn read(file: &CStr) -> Result<Option<u8>> {
    let mut value = [0];
    match openat(CWD, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        opened => {
            let file = opened.stage_on("read", file.to_bytes())?;
            retry_on_intr(|| rustix::io::read(&file, &mut value)).stage("read a kernel parameter")?;
            Ok(Some(value[0]))
        }
    }
}

fn set(file: &CStr, value: &[u8]) -> rustix::io::Result<()> {
    let file = openat(CWD, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    retry_on_intr(|| rustix::io::write(&file, value)).map(drop)
}

/// Sets a parameter of one link in the namespace the caller is in; one that this kernel has not needs no setting.
pub(super) fn set_of_link(family: &[u8], link: &[u8], parameter: &[u8], value: &[u8]) -> Result<()> {
    let stage = "set a parameter of the link";
    let mut path = heapless::Vec::<u8, 80>::new();
    for part in [b"/proc/sys/net/", family, b"/conf/", link, b"/", parameter] {
        path.extend_from_slice(part).map_err(|_| Errno::NAMETOOLONG).stage_on(stage, link)?;
    }
    let file = openat(CWD, path.as_slice(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    match file.and_then(|file| retry_on_intr(|| rustix::io::write(&file, value))) {
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).stage_on(stage, link),
    }
}
