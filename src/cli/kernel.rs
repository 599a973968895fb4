//! What the kernel tells in its files.

use std::ffi::{CStr, CString};
use std::path::Path;

/// The contents of `path` without the newline at its end; `None` when there is no such file or it cannot be read.
pub(crate) fn read(path: &str) -> Option<Vec<u8>> {
    let mut text = std::fs::read(path).ok()?;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    Some(text)
}

/// The same as text; bytes that are not UTF-8 are replaced.
pub(crate) fn read_text(path: &str) -> Option<String> {
    read(path).map(|text| String::from_utf8_lossy(&text).into_owned())
}

/// The running kernel's major and minor version; 0.0 where it does not say, which opens nothing that asks for more.
pub(crate) fn version() -> (u32, u32) {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers =
        release.split(|letter: char| !letter.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The thermal counters of every CPU that has them, by which one container can tell what another computes.
pub(crate) fn thermal_directories() -> Vec<&'static CStr> {
    // A list of ranges that ends with the highest number: 0-7.
    let possible = read_text("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = possible.rsplit(['-', ',']).next().and_then(|last| last.parse().ok()).unwrap_or(0_u32);
    let path = |cpu: u32| ["/sys/devices/system/cpu/cpu", &cpu.to_string(), "/thermal_throttle"].concat();
    // All have them or none: a machine without does not pay for each CPU.
    if !Path::new(&path(0)).exists() {
        return Vec::new();
    }
    let found = (0..=last).map(path).filter(|path| Path::new(path).exists());
    found.filter_map(|path| Some(&*Box::leak(CString::new(path).ok()?.into_boxed_c_str()))).collect()
}

/// What to do where AppArmor takes the rights inside a user namespace away from programs without a profile; `None`
/// where it does not.
pub(crate) fn user_namespace_remedy() -> Option<String> {
    let restricted =
        read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").is_some_and(|value| value == b"1");
    let own = std::env::current_exe().ok().filter(|_| restricted)?;
    let profile =
        ["abi <abi/4.0>, profile pipkin ", &own.to_string_lossy(), " flags=(unconfined) { userns, }"]
            .concat();
    Some(
        [
            "write '",
            &profile,
            "' to /etc/apparmor.d/pipkin and load it: apparmor_parser -r /etc/apparmor.d/pipkin",
        ]
        .concat(),
    )
}

/// Undoes the escapes of mount tables: `\040` and the like for blanks and backslashes in names (proc_pid_mounts(5)).
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match digits {
            Some(digits) if *first == b'\\' => {
                plain
                    .push(digits.iter().fold(0_u8, |sum, digit| sum.wrapping_mul(8).wrapping_add(digit & 7)));
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_in_mount_tables_come_back() {
        assert_eq!(unescape(br"/a\040b\134c"), b"/a b\\c");
        assert_eq!(unescape(br"\04\0408\"), b"\\04 8\\");
    }

    #[test]
    fn a_missing_file_is_none() {
        assert_eq!(read("/nowhere/at/all"), None);
        assert!(!read("/proc/sys/kernel/osrelease").unwrap().ends_with(b"\n"));
    }
}
