//! Names inside a root file system: relative, without `.` and `..`, never empty.
//!
//! A [`Name`] is the only way into a [`Tree`](crate::tree::Tree) or below a [`Root`](crate::beneath::Root), so
//! that whoever holds one need not ask again whether it leaves the root. It says nothing about symbolic links on the
//! way: that is the duty of [`beneath`](crate::beneath).

use std::fmt;

/// Longest path the kernel takes, its NUL included (`PATH_MAX`, linux/limits.h), less that NUL.
pub const PATH_MAX: usize = 4095;
/// Longest path component the kernel takes (`NAME_MAX`, linux/limits.h).
pub const NAME_MAX: usize = 255;

/// A checked path inside a root: components joined by single slashes. The root itself is the empty name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

/// Why bytes are no name inside a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Starts with a slash.
    #[error("path is absolute")]
    Absolute,
    /// Has a `..` component.
    #[error("path has a '..' component")]
    Parent,
    /// Holds a NUL byte.
    #[error("path holds a NUL byte")]
    Nul,
    /// A component is longer than [`NAME_MAX`] or the whole longer than [`PATH_MAX`].
    #[error("path is too long")]
    TooLong,
}

impl Name {
    /// The root directory.
    pub const ROOT: Name = Name(Vec::new());

    /// Checks a path alleged by an archive: relative, or it is refused. `./` parts and doubled or final slashes
    /// are dropped, so `./` is the root.
    pub fn parse(path: &[u8]) -> Result<Name, BadName> {
        if path.first() == Some(&b'/') {
            return Err(BadName::Absolute);
        }
        if path.contains(&0) {
            return Err(BadName::Nul);
        }
        let mut clean = Vec::with_capacity(path.len());
        for part in path.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(BadName::Parent),
                _ if part.len() > NAME_MAX => return Err(BadName::TooLong),
                _ => {}
            }
            if !clean.is_empty() {
                clean.push(b'/');
            }
            clean.extend_from_slice(part);
        }
        if clean.len() > PATH_MAX {
            return Err(BadName::TooLong);
        }
        Ok(Name(clean))
    }

    /// Like [`Name::parse`] for a path that the user writes as seen from inside: `/sbin/init` is `sbin/init`.
    pub fn parse_inside(path: &[u8]) -> Result<Name, BadName> {
        let start = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
        Name::parse(path.get(start..).unwrap_or_default())
    }

    /// The path's bytes; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path's bytes, `.` for the root: what the system calls want.
    pub fn as_relative(&self) -> &[u8] {
        if self.0.is_empty() { b"." } else { &self.0 }
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds this name and the last component. `None` for the root.
    pub fn split(&self) -> Option<(Name, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => {
                let (parent, last) = self.0.split_at(slash);
                (Name(parent.to_vec()), last.get(1..).unwrap_or_default())
            }
            None => (Name::ROOT, &self.0),
        })
    }

    /// The directory that holds this name. `None` for the root.
    pub fn parent(&self) -> Option<Name> {
        self.split().map(|(parent, _)| parent)
    }

    /// The name `path` of something below this one; of this one if `path` is empty.
    pub fn join(&self, path: &[u8]) -> Result<Name, BadName> {
        let mut whole = self.0.clone();
        if !whole.is_empty() {
            whole.push(b'/');
        } else if path.first() == Some(&b'/') {
            return Err(BadName::Absolute);
        }
        whole.extend_from_slice(path);
        Name::parse(&whole)
    }

    /// The name that a symbolic link in this directory leads to, with `..` taken by the letter; refused if it is
    /// absolute or leaves the root.
    pub fn resolve(&self, target: &[u8]) -> Result<Name, BadName> {
        if target.first() == Some(&b'/') {
            return Err(BadName::Absolute);
        }
        let mut name = self.clone();
        for part in target.split(|&byte| byte == b'/') {
            name = match part {
                b".." => name.parent().ok_or(BadName::Parent)?,
                _ => name.join(part)?,
            };
        }
        Ok(name)
    }

    /// The names of this one's components' directories, outermost first, without the root and without itself.
    pub fn ancestors(&self) -> impl Iterator<Item = Name> + '_ {
        self.0
            .iter()
            .enumerate()
            .filter(|&(_, &byte)| byte == b'/')
            .map(|(slash, _)| Name(self.0.get(..slash).unwrap_or_default().to_vec()))
    }

    /// Whether this name is inside the directory `directory`, at any depth.
    pub fn is_below(&self, directory: &Name) -> bool {
        match self.0.strip_prefix(&directory.0[..]) {
            Some(rest) => !rest.is_empty() && (directory.is_root() || rest.starts_with(b"/")),
            None => false,
        }
    }

    /// Not a name, but something that in order stands right before all names inside this one.
    pub(crate) fn before_children(&self) -> Name {
        let slash: &[u8] = if self.is_root() { b"" } else { b"/" };
        Name([&self.0, slash].concat())
    }

    /// Its components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|part| !part.is_empty())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { out.write_str(".") } else { printable(&self.0).fmt(out) }
    }
}

/// Refuses what symlink(2) would not take as a target. Where the target leads is nobody's business here.
pub fn check_link_target(target: &[u8]) -> Result<(), &'static str> {
    if target.is_empty() || target.len() > PATH_MAX || target.contains(&0) {
        return Err("a link target that is empty, too long or holds NUL");
    }
    Ok(())
}

/// Bytes of an archive as text for a terminal: control characters and what is no UTF-8 are escaped.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.extend(byte.escape_ascii().map(char::from));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alleged_paths_are_cleaned_or_refused() {
        let parse = |path: &str| Name::parse(path.as_bytes()).map(|name| name.to_string());
        assert_eq!(parse("./bin//busybox/"), Ok("bin/busybox".into()));
        assert_eq!(parse("./"), Ok(".".into()));
        assert_eq!(parse("a/.../b"), Ok("a/.../b".into()));
        assert_eq!(parse("/etc/passwd"), Err(BadName::Absolute));
        assert_eq!(parse("a/../../b"), Err(BadName::Parent));
        assert_eq!(parse(".."), Err(BadName::Parent));
        assert_eq!(parse("a\0b"), Err(BadName::Nul));
        assert_eq!(parse(&"x".repeat(256)), Err(BadName::TooLong));
        assert_eq!(parse(&"x/".repeat(2048)), Ok(["x"; 2048].join("/")));
        assert_eq!(parse(&"x/".repeat(2049)), Err(BadName::TooLong));
        assert_eq!(Name::parse_inside(b"//sbin/init").unwrap().as_bytes(), b"sbin/init");
    }

    #[test]
    fn parts_of_a_name() {
        let name = Name::parse(b"a/b/c").unwrap();
        assert_eq!(name.split().unwrap().1, b"c");
        assert_eq!(name.parent().unwrap().as_bytes(), b"a/b");
        assert_eq!(name.ancestors().map(|name| name.to_string()).collect::<Vec<_>>(), ["a", "a/b"]);
        assert!(Name::ROOT.split().is_none());
        assert!(name.join(b"../x").is_err());
        assert!(Name::ROOT.join(b"/x").is_err());
        assert_eq!(name.resolve(b"../d/./e").unwrap().as_bytes(), b"a/b/d/e");
        assert_eq!(Name::ROOT.resolve(b"../x"), Err(BadName::Parent));
        assert_eq!(name.resolve(b"/x"), Err(BadName::Absolute));
    }

    #[test]
    fn names_print_without_control_characters() {
        assert_eq!(printable(b"a\x1b[31m\xffb\n\xc3\xa9"), "a\\u{1b}[31m\\xffb\\n\u{e9}");
    }
}
