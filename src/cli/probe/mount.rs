//! What is mounted, and whether the paths that should be hidden or read-only are.

use crate::cli::kernel;
use crate::cli::report::Report;
use pipkin::spec::{DEFAULT_MASKED, DEFAULT_READONLY, THERMAL};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, open, statvfs};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

pub(super) fn tell(report: &mut Report) {
    let table = kernel::read("/proc/self/mountinfo").unwrap_or_default();
    report.open("mounts");
    for line in table.split(|byte| *byte == b'\n') {
        if let Some((point, how)) = mount(line) {
            report.text(&point, &how);
        }
    }
    report.close();
    report.open("masked");
    let single = DEFAULT_MASKED.into_iter().filter(|path| *path != THERMAL);
    for path in single.chain(kernel::thermal_directories()) {
        report.text(path.to_bytes(), masked(path));
    }
    report.close();
    report.open("readonly");
    for path in DEFAULT_READONLY {
        report.text(path.to_bytes(), readonly(path));
    }
    report.close();
}

/// Mount point, and type with options, of one line of proc_pid_mountinfo(5):
/// `36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/sda rw`.
fn mount(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = fields.nth(4)?;
    let options = fields.next()?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some((kernel::unescape(point), [kind, options].join(&b' ')))
}

/// Whether anything can be read of a path that should read as empty.
pub(super) fn masked(path: &CStr) -> &'static [u8] {
    match open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::DIRECTORY, Mode::empty()) {
        Ok(_) => match std::fs::read_dir(OsStr::from_bytes(path.to_bytes())) {
            Ok(mut entries) => entries.next().map_or(b"empty", |_| b"READABLE"),
            Err(_) => b"denied",
        },
        Err(Errno::NOTDIR) => masked_file(path),
        Err(errno) => refusal(errno),
    }
}

fn masked_file(path: &CStr) -> &'static [u8] {
    let read = |file| rustix::io::read(file, &mut [0_u8; 1]);
    match open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).and_then(read) {
        Ok(0) => b"empty",
        Ok(_) => b"READABLE",
        Err(errno) => refusal(errno),
    }
}

/// Whether the mount that a path is on forbids writing.
fn readonly(path: &CStr) -> &'static [u8] {
    match statvfs(path) {
        Ok(found) if found.f_flag.contains(StatVfsMountFlags::RDONLY) => b"read-only",
        Ok(_) => b"WRITABLE",
        Err(errno) => refusal(errno),
    }
}

fn refusal(errno: Errno) -> &'static [u8] {
    if errno == Errno::NOENT { b"absent" } else { b"denied" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_line_is_understood() {
        let line = br"36 35 98:0 /mnt1 /mnt/a\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw,x=y";
        assert_eq!(mount(line), Some((b"/mnt/a b".to_vec(), b"ext3 rw,noatime".to_vec())));
        let line = b"22 1 0:21 / /proc rw - proc proc rw";
        assert_eq!(mount(line), Some((b"/proc".to_vec(), b"proc rw".to_vec())));
        assert_eq!(mount(b"short line"), None);
        assert_eq!(mount(b""), None);
    }

    #[test]
    fn open_paths_are_told() {
        assert_eq!(masked(c"/proc/self/status"), b"READABLE");
        assert_eq!(masked(c"/proc/self"), b"READABLE");
        assert_eq!(masked(c"/dev/null"), b"empty");
        assert_eq!(masked(c"/nowhere/at/all"), b"absent");
        assert_eq!(readonly(c"/nowhere"), b"absent");
        assert_eq!(readonly(c"/proc/self"), b"WRITABLE");
    }
}
