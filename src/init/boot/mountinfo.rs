//! `/proc/self/mountinfo` (proc_pid_mountinfo(5)), read from its end.

use super::file;
use core::ffi::CStr;

/// How much of the end of the file is looked at. Callers that unmount what they see come again for the rest.
const CAPACITY: usize = 16 * 1024;
/// Longest mount point taken, with its NUL.
pub(super) const TARGET_CAPACITY: usize = 4096;

/// One mount.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// Where it is mounted.
    pub(super) target: &'a CStr,
    /// Its file system's type.
    kind: &'a [u8],
}

impl Entry<'_> {
    /// Whether this is the kernel's first root, with an initramfs unpacked to it.
    pub(super) fn is_initramfs(&self) -> bool {
        self.kind == b"rootfs" && self.target == c"/"
    }

    /// Whether something would be lost or left unclean without unmounting: all but what lives in memory only.
    pub(super) fn keeps_data(&self) -> bool {
        const MEMORY: [&[u8]; 19] = [
            b"binfmt_misc",
            b"bpf",
            b"cgroup",
            b"cgroup2",
            b"configfs",
            b"debugfs",
            b"devpts",
            b"devtmpfs",
            b"efivarfs",
            b"hugetlbfs",
            b"mqueue",
            b"nsfs",
            b"proc",
            b"ramfs",
            b"rootfs",
            b"securityfs",
            b"sysfs",
            b"tmpfs",
            b"tracefs",
        ];
        !MEMORY.contains(&self.kind)
    }
}

/// Calls `visit` with each mount in the last 16 KiB of the file, the latest first.
pub(super) fn for_each_from_last(mut visit: impl FnMut(Entry<'_>)) {
    let mut tail = [0_u8; CAPACITY];
    // Without /proc there is no list, and nothing that can be done about it at the end of a machine.
    let Ok(file) = file::open_to_read(c"/proc/self/mountinfo") else { return };
    let mut len = 0_usize;
    loop {
        if len == tail.len() {
            // The older half makes room for what comes.
            let half = CAPACITY / 2;
            tail.copy_within(half.., 0);
            len = len.saturating_sub(half);
        }
        match rustix::io::retry_on_intr(|| rustix::io::read(&file, tail.get_mut(len..).unwrap_or_default())) {
            Ok(0) | Err(_) => break,
            Ok(read) => len = len.saturating_add(read).min(CAPACITY),
        }
    }
    let mut target = [0_u8; TARGET_CAPACITY];
    for line in tail.get(..len).unwrap_or_default().split(|byte| *byte == b'\n').rev() {
        if let Some(entry) = parse(line, &mut target) {
            visit(entry);
        }
    }
}

/// Reads one line; none when it is not a whole one.
pub(super) fn parse<'a>(line: &'a [u8], target: &'a mut [u8; TARGET_CAPACITY]) -> Option<Entry<'a>> {
    // 36 35 98:0 /root /target rw,noatime master:1 - ext4 /dev/sda rw
    let mut fields = line.split(|byte| *byte == b' ');
    let escaped = fields.nth(4)?;
    fields.find(|field| *field == b"-")?;
    let kind = fields.next()?;
    Some(Entry { target: unescape(escaped, target)?, kind })
}

/// Undoes the kernel's `\ooo` for white space and backslashes.
fn unescape<'b>(escaped: &[u8], buffer: &'b mut [u8; TARGET_CAPACITY]) -> Option<&'b CStr> {
    let mut rest = escaped;
    let mut len = 0_usize;
    while let [first, others @ ..] = rest {
        let (byte, after) = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                ((a & 7) << 6 | (b & 7) << 3 | c & 7, after)
            }
            _ => (*first, others),
        };
        *buffer.get_mut(len)? = byte;
        len = len.checked_add(1)?;
        rest = after;
    }
    *buffer.get_mut(len)? = 0;
    CStr::from_bytes_until_nul(buffer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let mut target = [0; TARGET_CAPACITY];
        let line = b"36 35 98:0 / /mnt/a\\040b\\134 rw,noatime master:1 propagate_from:2 - ext4 /dev/sda rw";
        let entry = parse(line, &mut target).unwrap();
        assert_eq!(entry.target, c"/mnt/a b\\");
        assert!(entry.keeps_data());
    }

    #[test]
    fn memory_has_nothing_to_lose() {
        let mut target = [0; TARGET_CAPACITY];
        assert!(!parse(b"1 2 0:3 / /proc rw - proc proc rw", &mut target).unwrap().keeps_data());
    }

    #[test]
    fn half_a_line_is_no_mount() {
        let mut target = [0; TARGET_CAPACITY];
        for line in [&b""[..], b"36 35 98:0 /", b"ter:1 - ext4 /dev/sda rw", b"1 2 3 4 /x rw"] {
            assert!(parse(line, &mut target).is_none());
        }
    }

    #[test]
    fn a_mount_point_too_long_is_left_out() {
        let mut target = [0; TARGET_CAPACITY];
        assert!(unescape(&[b'x'; TARGET_CAPACITY], &mut target).is_none());
        assert!(unescape(&[b'x'; TARGET_CAPACITY - 1], &mut target).is_some());
    }

    #[test]
    fn our_own_root_is_the_first_mount() {
        let mut last = false;
        for_each_from_last(|entry| last = entry.target.to_bytes().starts_with(b"/"));
        assert!(last);
    }
}
