//! Who calls: root of the machine, or somebody who is root of a user namespace at most.
//!
//! An engine without root calls its runtime as root of a namespace of its own. What belongs to the machine is out of
//! reach there: state is kept, and systemd asked, where the user's is.

use pipkin::host::{is_nested, parse_map};
use pipkin::plan::outside;
use rustix::process::geteuid;

/// The id by which the kernel tells others who we are (SO_PEERCRED in unix(7)).
pub(super) fn uid() -> u32 {
    let uid = geteuid().as_raw();
    let text = std::fs::read("/proc/self/uid_map").ok();
    text.and_then(|text| outside(&parse_map(&text)?, uid)).unwrap_or(uid)
}

/// The caller's own directory for what lives as long as it is logged in, when it is not root, or only root of a
/// namespace in somebody's session: root's own sessions have such a directory too.
pub(super) fn session() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let root = geteuid().is_root() && (!is_nested() || variable("USER").is_some_and(|user| user == "root"));
    variable("XDG_RUNTIME_DIR").filter(|_| !root)
}

#[cfg(test)]
mod tests {
    use super::{outside, parse_map};

    #[test]
    fn an_id_is_found_outside() {
        let found = |map: &[u8], uid| outside(&parse_map(map)?, uid);
        let map = b"         0       1000          1\n         1    1000000      65536\n";
        assert_eq!(found(map, 0), Some(1000));
        assert_eq!(found(map, 7), Some(1_000_006));
        assert_eq!(found(map, 70_000), None);
        assert_eq!(found(b"0 0 4294967295\n", 5), Some(5));
        assert_eq!(found(b"0 4294967295 9\n", 5), None);
        assert_eq!(found(b"0 x\n\n", 5), None);
    }
}
