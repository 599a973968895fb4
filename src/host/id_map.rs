//! Writing the maps of a child's user namespace (user_namespaces(7)).

use super::spawn::{clone, end_process, open_namespace};
use crate::error::{Error, Result, Stage};
use crate::plan::{MapWriter, map_writer};
use crate::spec::IdMap;
use crate::sys::process::{StrArray, StrPtr, execve, exit};
use crate::sys::signal::{SignalSet, set_mask};
use crate::sys::spawn::{Fork, fork};
use core::ffi::CStr;
use linux_raw_sys::general::CLONE_NEWUSER;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getegid, geteuid, kill_process, pidfd_open, waitid,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use ufmt::uwrite;

/// Longest id map the kernel takes: 340 lines, of at most 33 bytes (user_namespaces(7)).
const MAP_CAPACITY: usize = 340 * 33 + 1;
/// Most lines of a map that are given to newuidmap.
const HELPER_LINES: usize = 16;
/// Longest number with its NUL.
const NUMBER: usize = 12;
/// Where newuidmap and newgidmap are sought. Their rights are their file's, so a place of the caller's gains nobody
/// anything; these are where distributions put them.
const HELPERS: [[&CStr; 2]; 3] = [
    [c"/usr/bin/newuidmap", c"/usr/bin/newgidmap"],
    [c"/usr/local/bin/newuidmap", c"/usr/local/bin/newgidmap"],
    [c"/run/wrappers/bin/newuidmap", c"/run/wrappers/bin/newgidmap"],
];
/// How long one of them may take. It is there to end a hang.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Writes both maps of the user namespace of `child`, which waits for them.
///
/// # Errors
/// `EPERM` for ids that are not ours to map, `EINVAL` for maps that overlap, `ENOENT` without newuidmap where it is
/// needed, `ETIMEDOUT`.
pub(super) fn write(child: Pid, uids: &[IdMap], gids: &[IdMap], writer: MapWriter) -> Result<()> {
    if writer == MapWriter::Alone {
        write_proc(child, "setgroups", b"deny")?;
    }
    for (kind, (file, maps)) in [("uid_map", uids), ("gid_map", gids)].into_iter().enumerate() {
        if writer == MapWriter::Helper {
            help(child, kind, maps)?;
            continue;
        }
        let mut text = heapless::String::<MAP_CAPACITY>::new();
        for map in maps {
            uwrite!(&mut text, "{} {} {}\n", map.inside, map.outside, map.count)
                .map_err(|_| Error::named("write the id map", file, Errno::TOOBIG))?;
        }
        write_proc(child, file, text.as_bytes())?;
    }
    Ok(())
}

/// Writes a file of `/proc/PID`. The pid cannot have been used again: it is our child, which we have not reaped.
fn write_proc(pid: Pid, file: &'static str, text: &[u8]) -> Result<()> {
    let stage = "write the id map";
    let mut path = heapless::String::<40>::new();
    uwrite!(&mut path, "/proc/{}/{}\0", pid.as_raw_nonzero().get(), file)
        .map_err(|_| Error::named(stage, file, Errno::NAMETOOLONG))?;
    let path =
        CStr::from_bytes_with_nul(path.as_bytes()).map_err(|_| Error::named(stage, file, Errno::INVAL))?;
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .stage_on(stage, path.to_bytes())?;
    let written = retry_on_intr(|| rustix::io::write(&file, text)).stage_on(stage, path.to_bytes())?;
    if written == text.len() { Ok(()) } else { Err(Error::on(stage, path.to_bytes(), Errno::IO)) }
}

/// The user namespace of `child`. Its pid cannot have been used again: it is ours, and we have not reaped it.
///
/// # Errors
/// Those of opening its file.
pub(super) fn namespace_of(child: Pid) -> Result<OwnedFd> {
    let stage = "take hold of a user namespace";
    let mut path = heapless::String::<40>::new();
    uwrite!(&mut path, "/proc/{}/ns/user\0", child.as_raw_nonzero().get())
        .map_err(|_| Error::new(stage, Errno::NAMETOOLONG))?;
    let path = CStr::from_bytes_with_nul(path.as_bytes()).map_err(|_| Error::new(stage, Errno::INVAL))?;
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).stage(stage)
}

/// A user namespace with these maps and nobody in it.
///
/// # Errors
/// `EPERM` for ids that are not ours to map, `EINVAL` for maps that overlap, `ENOENT` without newuidmap where it is
/// needed, `ETIMEDOUT`.
pub fn namespace(uids: &[IdMap], gids: &[IdMap]) -> Result<OwnedFd> {
    let (uid, gid) = (geteuid(), getegid());
    let writer = map_writer(uid.is_root(), [(uids, uid.as_raw()), (gids, gid.as_raw())]);
    let member = clone(CLONE_NEWUSER.into(), None, &[], &[], &mut |channel, _, _| stay(&channel, None))?;
    let made = write(member.pid, uids, gids, writer).and_then(|()| namespace_of(member.pid));
    end_process(&member.pidfd);
    made
}

/// A map as the kernel tells it.
pub type Lines = heapless::Vec<IdMap, 340>;

/// The maps of user and group ids of the user namespace that the file `path` stands for, as seen from our own.
///
/// # Errors
/// `EPERM` without rights over it, `EINVAL` when it is our own or no user namespace, named after the path.
pub fn maps_of(path: &CStr) -> Result<[Lines; 2]> {
    const STAGE: &str = "read the id maps of";
    let file = open_namespace(path)?;
    // Whoever is in it sees other numbers than we: one of ours goes in, and we look from here.
    let member = clone(0, None, &[], &[], &mut |channel, _, _| stay(&channel, Some(file.as_fd())))?;
    let mut code = [0];
    let heard = readable(&member.channel).and_then(|()| recv(&member.channel, &mut code, RecvFlags::empty()));
    let maps = match heard {
        Ok((1, _)) if code == [0] => {
            read(member.pid, "uid_map").and_then(|uids| Ok([uids, read(member.pid, "gid_map")?]))
        }
        Ok((1, _)) => Err(Errno::from_raw_os_error(code.map(i32::from)[0])),
        Ok(_) => Err(Errno::CHILD),
        Err(errno) => Err(errno),
    };
    end_process(&member.pidfd);
    maps.stage_on(STAGE, path.to_bytes())
}

/// What a member of a user namespace for others does: goes into the one it is given, tells the errno of that, and stays
/// until it is ended.
fn stay(channel: &OwnedFd, file: Option<BorrowedFd<'_>>) {
    if let Some(file) = file {
        let entered = move_into_link_name_space(file, Some(LinkNameSpaceType::User));
        let code = entered.err().map_or(0, |errno| u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX));
        // Whoever is gone by now needs no answer.
        send(channel, &[code], SendFlags::NOSIGNAL).unwrap_or(0);
    }
    readable(channel).unwrap_or(());
}

/// Waits until something comes, or the other end goes.
fn readable(channel: &OwnedFd) -> rustix::io::Result<()> {
    let mut ready = [PollFd::new(channel, PollFlags::IN)];
    match retry_on_intr(|| poll(&mut ready, Some(&PATIENCE)))? {
        0 => Err(Errno::TIMEDOUT),
        _ => Ok(()),
    }
}

/// Reads a map of `member`'s user namespace.
pub(super) fn read(member: Pid, file: &str) -> rustix::io::Result<Lines> {
    let mut path = heapless::String::<40>::new();
    uwrite!(&mut path, "/proc/{}/{}\0", member.as_raw_nonzero().get(), file)
        .map_err(|_| Errno::NAMETOOLONG)?;
    let path = CStr::from_bytes_with_nul(path.as_bytes()).map_err(|_| Errno::INVAL)?;
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = [0; MAP_CAPACITY];
    let mut length = 0;
    loop {
        let rest = text.get_mut(length..).filter(|rest| !rest.is_empty()).ok_or(Errno::TOOBIG)?;
        match retry_on_intr(|| rustix::io::read(&file, &mut *rest))? {
            0 => return parse_map(text.get(..length).unwrap_or_default()).ok_or(Errno::INVAL),
            more => length += more,
        }
    }
}

/// The lines of a map as `/proc/PID/uid_map` has them: first id inside, first one outside, how many
/// (user_namespaces(7)). `None` for anything else.
pub fn parse_map(text: &[u8]) -> Option<Lines> {
    let mut words = core::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let mut lines = Lines::new();
    while let Some(word) = words.next() {
        let inside = word.parse().ok()?;
        let (outside, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        lines.push(IdMap { inside, outside, count }).ok()?;
    }
    Some(lines)
}

/// A number as text that a C program takes.
struct Digits(heapless::String<NUMBER>);

impl Digits {
    fn new(number: u32) -> Self {
        let mut text = heapless::String::new();
        // Ten digits and the NUL fit.
        uwrite!(&mut text, "{}\0", number).unwrap_or(());
        Self(text)
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(self.0.as_bytes()).unwrap_or(c"")
    }
}

fn helper(kind: usize) -> Option<&'static CStr> {
    let found = |path: &&CStr| rustix::fs::access(*path, rustix::fs::Access::EXEC_OK).is_ok();
    HELPERS.iter().filter_map(|place| place.get(kind).copied()).find(found)
}

/// Whether ranges of ids can be mapped without root: whether newuidmap and newgidmap are there.
#[must_use]
pub fn maps_ranges() -> bool {
    [0, 1].into_iter().all(|kind| helper(kind).is_some())
}

/// Has newuidmap (`kind` 0) or newgidmap (1) write a map: `newuidmap PID INSIDE OUTSIDE COUNT …`.
fn help(child: Pid, kind: usize, maps: &[IdMap]) -> Result<()> {
    let stage = ["map user ids by newuidmap", "map group ids by newgidmap"].get(kind).copied().unwrap_or("");
    let program = helper(kind).ok_or(Error::new(stage, Errno::NOENT))?;
    let pid = u32::try_from(child.as_raw_nonzero().get()).map_err(|_| Error::new(stage, Errno::SRCH))?;
    let lines = maps.iter().flat_map(|map| [map.inside, map.outside, map.count]);
    let mut words: heapless::Vec<Digits, { 3 * HELPER_LINES + 1 }> = heapless::Vec::new();
    for number in [pid].into_iter().chain(lines) {
        words.push(Digits::new(number)).map_err(|_| Error::new(stage, Errno::TOOBIG))?;
    }
    let strings = words.iter().map(|word| StrPtr::new(word.as_c_str()));
    let argv: heapless::Vec<StrPtr<'_>, { 3 * HELPER_LINES + 3 }> =
        [StrPtr::new(program)].into_iter().chain(strings).chain([StrPtr::END]).collect();
    let argv = StrArray::new(&argv).ok_or(Error::new(stage, Errno::INVAL))?;
    match fork().stage(stage)? {
        Fork::Child => {
            // Best effort: with signals blocked it would run all the same.
            set_mask(SignalSet::EMPTY).map(drop).unwrap_or(());
            let errno = execve(program, argv, StrArray::EMPTY);
            exit(u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX))
        }
        Fork::Parent(helper) => finish(helper).stage(stage),
    }
}

/// Waits for a helper's end, killing one that takes too long. It has said itself on standard error what it refused.
fn finish(helper: Pid) -> rustix::io::Result<()> {
    let pidfd = pidfd_open(helper, PidfdFlags::empty())?;
    let mut ends = [PollFd::new(&pidfd, PollFlags::IN)];
    let late = retry_on_intr(|| poll(&mut ends, Some(&PATIENCE)))? == 0;
    if late {
        kill_process(helper, Signal::KILL)?;
    }
    let ended = retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))?;
    match ended.and_then(|ended| ended.exit_status()) {
        _ if late => Err(Errno::TIMEDOUT),
        Some(0) => Ok(()),
        _ => Err(Errno::PERM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_as_the_kernel_writes_them() {
        let text = b"         0     100000      65536\n     65536          1          2\n";
        let line = |inside, outside, count| IdMap { inside, outside, count };
        let told = parse_map(text).unwrap();
        assert_eq!(told, [line(0, 100_000, 65_536), line(65_536, 1, 2)]);
        assert_eq!(parse_map(b"         0          0 4294967295\n").unwrap(), [line(0, 0, u32::MAX)]);
        assert_eq!(parse_map(b"").unwrap(), []);
        for wrong in ["0 1", "0 1 x", "0 1 4294967296", "-1 0 1"] {
            assert_eq!(parse_map(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
