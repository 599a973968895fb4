//! What may stand at the top of the repository, and what no file may be called.

use super::Finding;
use super::source::Source;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Beside these: `*.toml` and names that begin with a dot.
const TOP: &[&str] = &[
    "build.rs",
    "src",
    "rootfs-builder",
    "tests",
    "xtask",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "Cargo.lock",
];
/// Cargo's output; never committed.
const OUTPUT: &str = "target";
/// Names that say nothing about what is inside, so everything ends up inside.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "type", "types", "misc", "manager", "managers"];

/// Finds entries of the top folder that are not part of the layout.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn top_folder(top: &Path) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(top).with_context(|| format!("reading folder {}", top.display()))? {
        let name = entry.context("reading the top folder")?.file_name();
        let name = name.to_string_lossy();
        if !is_top(&name) {
            let what = "does not belong at the top of the repository".to_owned();
            found.push(Finding { path: name.into_owned(), line: 1, what });
        }
    }
    Ok(found)
}

fn is_top(name: &str) -> bool {
    TOP.contains(&name) || name == OUTPUT || name.starts_with('.') || name.ends_with(".toml")
}

/// Finds a file or folder name that says nothing.
pub(super) fn name(source: &Source) -> Vec<Finding> {
    let parts = source.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    let empty = parts.filter(|part| EMPTY_NAMES.contains(part));
    empty.map(|part| source.finding(1, format!("the name {part} does not say what is inside"))).collect()
}

#[cfg(test)]
mod tests {
    use super::is_top;
    use crate::tidy::tests::told;

    #[test]
    fn the_top_folder_is_fixed() {
        assert!(["Cargo.toml", "clippy.toml", ".ci", "src", "LICENSE"].iter().all(|name| is_top(name)));
        assert!(["docs", "scripts", "Makefile", "run.sh"].iter().all(|name| !is_top(name)));
    }

    #[test]
    fn a_name_must_say_something() {
        assert_eq!(told("tests/e2e/common.rs", ""), ["1: the name common does not say what is inside"]);
        assert_eq!(
            told("rootfs-builder/src/utils/tar.rs", ""),
            ["1: the name utils does not say what is inside"]
        );
        assert!(told("tests/e2e/commonplace.rs", "").is_empty());
    }
}
