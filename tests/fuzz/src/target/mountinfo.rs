//! `/proc/self/mountinfo`: both readers end, see the same mount point, and undo what the kernel escapes.

use crate::{boot_mountinfo, mountinfo};

/// The file.
pub(super) fn run(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let ours = mountinfo::parse(line, true);
        let mut target = [0; boot_mountinfo::TARGET_CAPACITY];
        let boot = boot_mountinfo::parse(line, &mut target);
        if let Some(mount) = ours {
            assert!(mount.point.starts_with(b"/") && !mount.point.contains(&0));
            let entry = boot.expect("the same line");
            assert_eq!(entry.target.to_bytes(), &mount.point[..]);
            let again = mountinfo::parse(&spell(&mount), true);
            assert_eq!(again, Some(mount));
        }
        // A line that was cut off says no more than the whole one.
        let cut = line.get(..line.len() * 3 / 4).unwrap_or_default();
        if let Some(mount) = mountinfo::parse(cut, false) {
            assert_eq!(mountinfo::parse(line, true), Some(mount));
        }
    }
}

/// The line that the kernel would write.
fn spell(mount: &mountinfo::Mount) -> Vec<u8> {
    let mut line = format!("{} 1 0:1 ", mount.id).into_bytes();
    for path in [&mount.root, &mount.point] {
        for &byte in path.iter() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\\' => line.extend(format!("\\{byte:03o}").bytes()),
                byte => line.push(byte),
            }
        }
        line.push(b' ');
    }
    line.extend_from_slice(if mount.v2 { b"rw - cgroup2 x rw" } else { b"rw - cgroup x rw" });
    line
}
