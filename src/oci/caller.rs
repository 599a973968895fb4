//! Who calls: root of the machine, or somebody who is root of a user namespace at most.
//!
//! An engine without root calls its runtime as root of a namespace of its own. What belongs to the machine is out of
//! reach there: state is kept, and systemd asked, where the user's is.

use rustix::process::geteuid;

/// The caller's id in the namespace around its own; `None` in the machine's first one, and where it cannot be told.
/// The lines of `/proc/self/uid_map` are: first id inside, first one outside, how many (user_namespaces(7)).
fn outside() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    of_map(&text, geteuid().as_raw())
}

fn of_map(text: &str, uid: u32) -> Option<u32> {
    let mut lines = text.lines().map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let mut next = || numbers.next()?.ok();
        Some((next()?, next()?, next()?))
    });
    lines.find_map(|line| {
        let (inside, outside, count) = line?;
        let offset = uid.checked_sub(inside).filter(|offset| *offset < count)?;
        outside.checked_add(offset).filter(|_| count != u32::MAX)
    })
}

/// The id by which the kernel tells others who we are (SO_PEERCRED in unix(7)).
pub(super) fn uid() -> u32 {
    outside().unwrap_or(geteuid().as_raw())
}

/// The caller's own directory for what lives as long as it is logged in, when it is not root, or only root of a
/// namespace in somebody's session: root's own sessions have such a directory too.
pub(super) fn session() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let root =
        geteuid().is_root() && (outside().is_none() || variable("USER").is_some_and(|user| user == "root"));
    variable("XDG_RUNTIME_DIR").filter(|_| !root)
}

#[cfg(test)]
mod tests {
    use super::of_map;

    #[test]
    fn an_id_is_found_outside() {
        let map = "         0       1000          1\n         1    1000000      65536\n";
        assert_eq!(of_map(map, 0), Some(1000));
        assert_eq!(of_map(map, 7), Some(1_000_006));
        assert_eq!(of_map(map, 70_000), None);
        assert_eq!(of_map("0 0 4294967295\n", 5), None);
        assert_eq!(of_map("0 4294967295 9\n0 x\n\n", 5), None);
    }
}
