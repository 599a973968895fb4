//! The files that the rules are about.

use super::Finding;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Files at the top that are read beside the folders below.
const FILES: &[&str] = &["Cargo.toml", "build.rs"];
const FOLDERS: &[&str] = &["src", "rootfs-builder", "tests", "xtask"];
/// Everything else in the folders is data.
const EXTENSIONS: &[&str] = &["rs", "c", "toml", "sh"];

/// One file of the repository.
pub(super) struct Source {
    /// From the top folder, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    pub(super) fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }

    /// The room of `src/` it belongs to: `bpf` for `src/bpf/policy.rs`, `error` for `src/error.rs`.
    ///
    /// `None` outside `src/` and for the two crate roots, which only name the rooms.
    pub(super) fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (room != "lib" && room != "main").then_some(room)
    }
}

/// Reads every file that a rule applies to.
///
/// # Errors
/// A file or folder that cannot be read, or is not UTF-8.
pub(super) fn all(top: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in FILES {
        sources.push(read(top, Path::new(path))?);
    }
    for folder in FOLDERS.iter().map(Path::new).filter(|folder| top.join(folder).is_dir()) {
        walk(top, folder, &mut sources)?;
    }
    Ok(sources)
}

fn walk(top: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    let reading = || format!("reading folder {}", folder.display());
    for entry in fs::read_dir(top.join(folder)).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let path = folder.join(entry.file_name());
        let known = path.extension().is_some_and(|found| EXTENSIONS.iter().any(|one| found == *one));
        if entry.file_type().with_context(reading)?.is_dir() {
            // Cargo's output, when someone builds inside a member's folder.
            if entry.file_name() != "target" {
                walk(top, &path, sources)?;
            }
        } else if known {
            sources.push(read(top, &path)?);
        }
    }
    Ok(())
}

fn read(top: &Path, path: &Path) -> Result<Source> {
    let text = fs::read_to_string(top.join(path)).with_context(|| format!("reading {}", path.display()))?;
    let path = path.to_str().with_context(|| format!("the name {} is not UTF-8", path.display()))?;
    Ok(Source { path: path.to_owned(), text })
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn a_room_is_the_first_name_under_src() {
        let room =
            |path: &str| Source { path: path.to_owned(), text: String::new() }.room().map(str::to_owned);
        assert_eq!(room("src/bpf/policy/table.rs").as_deref(), Some("bpf"));
        assert_eq!(room("src/error.rs").as_deref(), Some("error"));
        assert_eq!(room("src/lib.rs"), None);
        assert_eq!(room("xtask/src/setup.rs"), None);
    }
}
