//! The container's pseudo-terminal (pty(7)).

use super::channel;
use super::path::{self, Kind, Links};
use crate::plan::Report;
use crate::spec::WindowSize;
use core::ffi::CStr;
use linux_raw_sys::general::DEVPTS_SUPER_MAGIC;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, fstatfs};
use rustix::io::{Errno, Result};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

const PTMX: &CStr = c"/dev/pts/ptmx";
const CONSOLE: &CStr = c"/dev/console";

/// Opens a pair in the container's own devpts, hands the master to the host, shows the slave as `/dev/console` and
/// returns it and that mount. No name is ever looked up for the slave: it comes from the master itself.
///
/// # Errors
/// `ENODEV` when `/dev/pts` is not a devpts, and those of the calls.
pub(super) fn open(
    root: BorrowedFd<'_>,
    size: WindowSize,
    host: BorrowedFd<'_>,
) -> Result<(OwnedFd, OwnedFd)> {
    let slave = open_further(root, size, host)?;
    let console = show_console(root, &slave)?;
    Ok((slave, console))
}

/// The same for one more terminal, which is not the console.
///
/// # Errors
/// As [`open`].
pub(super) fn open_further(root: BorrowedFd<'_>, size: WindowSize, host: BorrowedFd<'_>) -> Result<OwnedFd> {
    let master = path::open(root, PTMX, OFlags::RDWR | OFlags::NOCTTY, Links::Refuse)?;
    if fstatfs(&master)?.f_type as u64 != u64::from(DEVPTS_SUPER_MAGIC) {
        return Err(Errno::NODEV);
    }
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&slave, size)?;
    channel::send_descriptor(host, Report::Terminal, master.as_fd())?;
    Ok(slave)
}

fn show_console(root: BorrowedFd<'_>, slave: &OwnedFd) -> Result<OwnedFd> {
    let place = path::ensure(root, CONSOLE, Kind::File, Links::Refuse)?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = open_tree(slave, c"", flags)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&mount, c"", &place, c"", flags)?;
    Ok(mount)
}
