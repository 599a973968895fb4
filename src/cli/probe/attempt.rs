//! `pipkin probe --attempt`: tries what must not work in a container, and tells what does.
//!
//! Whatever gets through is taken back or was harmless: files are opened for writing and not written to, nodes and
//! groups that could be made are removed, calls go to children that end.

use super::mount::masked;
use crate::cli::report::Report;
use crate::cli::{ExitCode, Outcome};
use pipkin::spec::DEFAULT_MASKED;
use pipkin::sys::attempt::{self, Answer};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, makedev, mkdirat, mknodat, open, stat, unlinkat};
use rustix::io::Errno;
use rustix::process::{chdir, chroot};
use std::ffi::CStr;

/// What steers the machine when it is written to.
const STEERING: [&CStr; 13] = [
    c"/proc/sys/kernel/core_pattern",
    c"/proc/sys/kernel/modprobe",
    c"/proc/sys/kernel/hostname",
    c"/proc/sys/vm/panic_on_oom",
    c"/proc/sys/fs/binfmt_misc/register",
    c"/proc/sysrq-trigger",
    c"/proc/irq/default_smp_affinity",
    c"/sys/kernel/uevent_helper",
    c"/sys/power/state",
    c"/sys/fs/cgroup/cgroup.procs",
    c"/sys/fs/cgroup/release_agent",
    c"/dev/mem",
    c"/dev/kmsg",
];

/// Disks, memory, ports and FUSE, by kind and number (Documentation/admin-guide/devices.txt).
const DEVICES: [(&str, FileType, u32, u32); 5] = [
    ("device 8:0", FileType::BlockDevice, 8, 0),
    ("device 254:0", FileType::BlockDevice, 254, 0),
    ("device 1:1", FileType::CharacterDevice, 1, 1),
    ("device 1:4", FileType::CharacterDevice, 1, 4),
    ("device 10:229", FileType::CharacterDevice, 10, 229),
];

/// Names for what is made and at once removed.
const NODE: &CStr = c"/pipkin-attempt";
const GROUP: &CStr = c"/sys/fs/cgroup/pipkin-attempt";

/// Tries everything and reports it. Ends with 1 when something got through.
pub(super) fn run(mut report: Report) -> Outcome {
    let mut through = 0;
    let mut tell = |report: &mut Report, name: &[u8], reached: bool, how: &[u8]| {
        through += u64::from(reached);
        report.text(name, &[if reached { b"GOT THROUGH" as &[u8] } else { b"refused" }, how].concat());
    };
    report.open("calls");
    for attempt in attempt::all() {
        let (reached, how) = match attempt.make() {
            Ok(Answer::Refused(errno)) => (false, word(errno)),
            Ok(Answer::Killed) => (false, b": killed" as &[u8]),
            Ok(Answer::Reached) => (true, b"" as &[u8]),
            Err(errno) => (false, word(errno)),
        };
        tell(&mut report, attempt.name.as_bytes(), reached, how);
    }
    report.close();
    report.open("writes");
    for path in STEERING {
        let answer = open(path, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
        tell(&mut report, path.to_bytes(), answer.is_ok(), answer.err().map_or(b"", word));
    }
    let made = mkdirat(CWD, GROUP, Mode::from_raw_mode(0o755))
        .and_then(|()| unlinkat(CWD, GROUP, AtFlags::REMOVEDIR));
    tell(&mut report, b"a group", made.is_ok(), made.err().map_or(b"", word));
    report.close();
    report.open("reads");
    for path in DEFAULT_MASKED {
        let found = masked(path);
        tell(&mut report, path.to_bytes(), found == b"READABLE", &[b": " as &[u8], found].concat());
    }
    report.close();
    report.open("nodes");
    for (name, kind, major, minor) in DEVICES {
        let made = mknodat(CWD, NODE, kind, Mode::from_raw_mode(0o600), makedev(major, minor))
            .and_then(|()| unlinkat(CWD, NODE, AtFlags::empty()));
        tell(&mut report, name.as_bytes(), made.is_ok(), made.err().map_or(b"", word));
    }
    report.close();
    // Last: it changes where this process is.
    tell(&mut report, b"climb out of a chroot", climbs_out() == Ok(true), b"");
    report.number("got_through", through);
    report.print()?;
    Ok(ExitCode(u8::from(through > 0)))
}

/// Whether `..` leads above the root, for a process whose root is below its working directory.
fn climbs_out() -> rustix::io::Result<bool> {
    const MORE_THAN_DEEP: usize = 64;
    let root = stat(c"/")?;
    chdir(c"/")?;
    chroot(c"/proc")?;
    for _ in 0..MORE_THAN_DEEP {
        chdir(c"..")?;
    }
    let top = stat(c".")?;
    Ok((root.st_dev, root.st_ino) != (top.st_dev, top.st_ino))
}

/// The kernel's word, shortly.
fn word(errno: Errno) -> &'static [u8] {
    match errno {
        Errno::PERM => b": EPERM",
        Errno::ACCESS => b": EACCES",
        Errno::ROFS => b": EROFS",
        Errno::NOENT => b": absent",
        Errno::NOSYS => b": ENOSYS",
        Errno::AFNOSUPPORT => b": EAFNOSUPPORT",
        Errno::PROTONOSUPPORT => b": EPROTONOSUPPORT",
        _ => b"",
    }
}
