//! Which room of `src/` may use which.
//!
//! `cli, oci → store → spec → plan → host | child → netlink, bpf, cgroup → sys`, and `error` for anyone.

use super::source::Source;
use super::{Finding, path};

/// The rooms of the library.
const LIBRARY: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("sys", &["error"]),
    ("cgroup", &["error", "sys"]),
    ("bpf", &["error", "sys"]),
    ("netlink", &["error", "sys"]),
    ("spec", &["error", "sys"]),
    ("plan", &["spec", "error", "bpf", "sys"]),
    ("host", &["plan", "spec", "error", "cgroup", "netlink", "bpf", "sys"]),
    ("child", &["plan", "spec", "error", "bpf", "cgroup", "netlink", "sys", "init"]),
    ("init", &["error", "sys", "netlink", "cgroup"]),
];

/// The rooms of the program. They reach the library as `pipkin::…`, any room of it.
const PROGRAM: &[(&str, &[&str])] = &[("store", &[]), ("oci", &["store"]), ("cli", &["oci", "store"])];

/// Finds paths into a room that this file's room may not use, and rooms that are in neither table.
pub(super) fn check(source: &Source, syntax: &syn::File) -> Vec<Finding> {
    let Some(room) = source.room() else { return Vec::new() };
    let Some((_, allowed)) = LIBRARY.iter().chain(PROGRAM).find(|(name, _)| *name == room) else {
        return vec![source.finding(1, format!("room {room} is not in the table of arrows"))];
    };
    let mut found = Vec::new();
    for written in path::all(syntax) {
        let Some(target) = target(&source.path, &written) else { continue };
        let is_room = LIBRARY.iter().chain(PROGRAM).any(|(name, _)| *name == target);
        if is_room && target != room && !allowed.contains(&target) {
            found.push(source.finding(written.line, format!("{room} may not use {target}")));
        }
    }
    found
}

/// The room that a path leads to: the first name after the crate, once every `super` is resolved.
///
/// `None` for a path that stays inside the file's own room.
fn target<'a>(file: &str, written: &'a path::Written) -> Option<&'a str> {
    let supers = written.segments.iter().take_while(|segment| *segment == "super").count();
    let reached = if supers == 0 { 1 } else { supers };
    // Only a path that climbs to the crate itself can enter another room.
    (supers == 0 || supers == module_depth(file) + written.depth)
        .then(|| written.segments.get(reached).map(String::as_str))?
}

/// How many modules deep the file is: 1 for `src/error.rs` and `src/bpf/mod.rs`, 2 for `src/bpf/policy.rs`.
fn module_depth(file: &str) -> usize {
    let parts = file.split('/').count() - 1;
    if file.ends_with("/mod.rs") { parts - 1 } else { parts }
}

#[cfg(test)]
mod tests {
    use super::{LIBRARY, PROGRAM};
    use crate::tidy::tests::told;

    #[test]
    fn the_table_has_no_way_back() {
        // Each room's list, followed as far as it goes, never leads to the room itself.
        let tables: Vec<_> = LIBRARY.iter().chain(PROGRAM).collect();
        for (room, allowed) in &tables {
            let mut reached: Vec<&str> = allowed.to_vec();
            let mut next = 0;
            while let Some(name) = reached.get(next).copied() {
                assert_ne!(name, *room);
                let further = tables.iter().find(|(other, _)| *other == name).unwrap().1;
                reached.extend(
                    further.iter().filter(|name| !reached.contains(name)).copied().collect::<Vec<_>>(),
                );
                next += 1;
            }
        }
    }

    #[test]
    fn a_wrong_arrow_is_found_however_it_is_written() {
        let expected = ["1: host may not use child"];
        for code in [
            "use crate::child;",
            "use crate::{error::Error, child::run};",
            "use crate::child::*;",
            "fn f() { crate::child::run() }",
            "fn f(a: crate::child::Step) {}",
            "use super::super::child::run;",
            "m!(a, crate::child::run());",
            "mod tests { use super::super::super::child; }",
        ] {
            assert_eq!(told("src/host/spawn.rs", code), expected, "{code}");
        }
        assert_eq!(told("src/host/mod.rs", "use super::child;"), expected);
        assert_eq!(told("src/host.rs", "use super::child;"), expected);
    }

    #[test]
    fn right_arrows_and_own_modules_are_fine() {
        let code = "use crate::{plan::Plan, sys};\nuse super::child;\nuse crate::host::child;\nmod child;";
        assert!(told("src/host/spawn.rs", code).is_empty());
        assert!(told("src/lib.rs", "pub mod host;\nuse crate::child;").is_empty());
    }

    #[test]
    fn a_room_must_be_in_the_table() {
        assert_eq!(told("src/engine/a.rs", ""), ["1: room engine is not in the table of arrows"]);
    }
}
