//! Lines of `/proc/self/mountinfo`, as far as cgroup mounts go (proc_pid_mountinfo(5)).

/// Longest mount point or root kept, in bytes. A cgroup mounted at a longer path is not found.
pub(super) const PATH_CAPACITY: usize = 512;

/// A path of a mount line, unescaped.
pub(super) type MountPath = heapless::Vec<u8, PATH_CAPACITY>;

/// One mount of a cgroup file system.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Mount {
    /// The mount's id, as `STATX_MNT_ID` tells it.
    pub(super) id: u64,
    /// The directory of the file system that is the mount's root.
    pub(super) root: MountPath,
    /// Where it is mounted, seen from our root directory.
    pub(super) point: MountPath,
    /// True for cgroup v2, false for a v1 hierarchy.
    pub(super) v2: bool,
}

/// Reads one line; `None` for other file systems and for lines that are no mount line. Of a line that is not
/// `whole` the last field is left out, since its end is not known.
pub(super) fn parse(line: &[u8], whole: bool) -> Option<Mount> {
    let cut = if whole { line.len() } else { line.iter().rposition(|byte| *byte == b' ')? };
    let mut fields = line.get(..cut)?.split(|byte| *byte == b' ');
    let id = core::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let root = fields.by_ref().nth(2)?;
    let point = fields.next()?;
    // The mount options, any number of optional fields, and the dash that ends them.
    fields.by_ref().skip(1).find(|field| *field == b"-")?;
    let v2 = match fields.next()? {
        b"cgroup2" => true,
        b"cgroup" => false,
        _ => return None,
    };
    Some(Mount { id, root: unescape(root)?, point: unescape(point)?, v2 })
}

/// Undoes the kernel's `\ooo` escapes of space, tab, newline and backslash. `None` for anything else after a
/// backslash, for a path that is not absolute, and for one too long.
fn unescape(field: &[u8]) -> Option<MountPath> {
    let mut path = MountPath::new();
    let mut left = field;
    while let Some((first, rest)) = left.split_first() {
        let (byte, rest) = match (first, rest) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..]) => {
                ((a & 3) << 6 | (b & 7) << 3 | (c & 7), rest)
            }
            (b'\\', _) => return None,
            (byte, rest) => (*byte, rest),
        };
        path.push(byte).ok().filter(|()| byte != 0)?;
        left = rest;
    }
    path.starts_with(b"/").then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cgroup_mounts_are_read() {
        let line =
            b"41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw";
        let mount = parse(line, true).unwrap();
        assert_eq!((mount.id, mount.v2), (41, true));
        assert_eq!((&mount.root[..], &mount.point[..]), (&b"/"[..], &b"/sys/fs/cgroup/uni fied"[..]));
        let line = b"34 31 0:31 /docker/a /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset";
        let mount = parse(line, true).unwrap();
        assert!(!mount.v2);
        assert_eq!(&mount.root[..], b"/docker/a");
    }

    #[test]
    fn hostile_lines_are_no_mounts() {
        for line in [
            &b""[..],
            b"-",
            b" - cgroup2 ",
            b"1 2 0:1 / /x rw",
            b"1 2 0:1 / /x rw -",
            b"1 2 0:1 / /x - cgroup2 a rw",
            b"x 2 0:1 / /x rw - cgroup2 a rw",
            b"-1 2 0:1 / /x rw - cgroup2 a rw",
            b"99999999999999999999999 2 0:1 / /x rw - cgroup2 a rw",
            b"1 2 0:1 / x rw - cgroup2 a rw",
            b"1 2 0:1 / /x\\ rw - cgroup2 a rw",
            b"1 2 0:1 / /x\\777 rw - cgroup2 a rw",
            b"1 2 0:1 / /x\\000 rw - cgroup2 a rw",
            b"1 2 0:1 / /x rw - ext4 cgroup2 rw",
            b"1 2 0:1 / /x rw - cgroup22 a rw",
            b"\xff\xfe 2 0:1 / /x rw - cgroup2 a rw",
        ] {
            assert_eq!(parse(line, true), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_cut_line_counts_only_as_far_as_it_is_known() {
        assert_eq!(parse(b"1 2 0:1 / /x rw - cgroup", false), None);
        assert!(parse(b"1 2 0:1 / /x rw - cgroup2 c", false).is_some_and(|mount| mount.v2));
        assert_eq!(parse(b"aaaaaaaa", false), None);
    }

    #[test]
    fn a_path_too_long_is_no_mount() {
        let mut line = heapless::Vec::<u8, 700>::new();
        line.extend_from_slice(b"1 2 0:1 / /").unwrap();
        line.extend_from_slice(&[b'x'; PATH_CAPACITY - 1]).unwrap();
        let end = b" rw - cgroup2 a rw";
        line.extend_from_slice(end).unwrap();
        assert!(parse(&line, true).is_some());
        line.insert(11, b'x').unwrap();
        assert_eq!(parse(&line, true), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(line in proptest::collection::vec(any::<u8>(), 0..200), whole: bool) {
            parse(&line, whole);
        }

        #[test]
        fn escapes_are_undone(path in proptest::collection::vec(1u8.., 0..40)) {
            let mut line = b"7 1 0:1 / /".to_vec();
            for byte in &path {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\\' => {
                        line.extend([b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
                    }
                    other => line.push(*other),
                }
            }
            line.extend(b" rw - cgroup2 a rw");
            let mount = parse(&line, true).unwrap();
            prop_assert_eq!(mount.point.get(1..), Some(&path[..]));
        }
    }
}
