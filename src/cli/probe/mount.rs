//! What is mounted, and whether the paths that should be hidden or read-only are.

use super::Add;
use crate::cli::kernel;
use crate::cli::report::{Fact, Map};
use pipkin::spec::{DEFAULT_MASKED, DEFAULT_READONLY};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, open, statvfs};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

pub(super) fn facts(add: &mut Add<'_>) {
    if let Some(table) = kernel::read("/proc/self/mountinfo") {
        add("mounts", Fact::Map(mounts(&table)));
    }
    let states = |paths: &[&CStr], state: fn(&CStr) -> &'static str| {
        Fact::Map(paths.iter().map(|path| (path.to_bytes().to_vec(), Fact::text(state(path)))).collect())
    };
    add("masked", states(&DEFAULT_MASKED, masked));
    add("readonly", states(&DEFAULT_READONLY, readonly));
}

/// Each mount point with its type and options, in mount order.
fn mounts(table: &[u8]) -> Map {
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(mount).collect()
}

/// One line of proc_pid_mountinfo(5): `36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/sda rw`.
fn mount(line: &[u8]) -> Option<(Vec<u8>, Fact)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = fields.nth(4)?;
    let options = fields.next()?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some((kernel::unescape(point), Fact::text([kind, options].join(&b' '))))
}

/// Whether anything can be read of a path that should read as empty.
fn masked(path: &CStr) -> &'static str {
    match open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::DIRECTORY, Mode::empty()) {
        Ok(_) => match std::fs::read_dir(OsStr::from_bytes(path.to_bytes())) {
            Ok(mut entries) => entries.next().map_or("empty", |_| "READABLE"),
            Err(_) => "denied",
        },
        Err(Errno::NOTDIR) => masked_file(path),
        Err(errno) => refusal(errno),
    }
}

fn masked_file(path: &CStr) -> &'static str {
    let read = |file| rustix::io::read(file, &mut [0_u8; 1]);
    match open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).and_then(read) {
        Ok(0) => "empty",
        Ok(_) => "READABLE",
        Err(errno) => refusal(errno),
    }
}

/// Whether the mount that a path is on forbids writing.
fn readonly(path: &CStr) -> &'static str {
    match statvfs(path) {
        Ok(found) if found.f_flag.contains(StatVfsMountFlags::RDONLY) => "read-only",
        Ok(_) => "WRITABLE",
        Err(errno) => refusal(errno),
    }
}

fn refusal(errno: Errno) -> &'static str {
    if errno == Errno::NOENT { "absent" } else { "denied" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_line_is_understood() {
        let table = b"36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
                      22 1 0:21 / /proc rw - proc proc rw\nshort line\n";
        let expected = [
            (b"/mnt/a b".to_vec(), Fact::text("ext3 rw,noatime")),
            (b"/proc".to_vec(), Fact::text("proc rw")),
        ];
        assert_eq!(mounts(table), expected);
    }

    #[test]
    fn open_paths_are_told() {
        assert_eq!(masked(c"/proc/self/status"), "READABLE");
        assert_eq!(masked(c"/proc/self"), "READABLE");
        assert_eq!(masked(c"/dev/null"), "empty");
        assert_eq!(masked(c"/nowhere/at/all"), "absent");
        assert_eq!(readonly(c"/nowhere"), "absent");
        assert_eq!(readonly(c"/proc/self"), "WRITABLE");
    }
}
