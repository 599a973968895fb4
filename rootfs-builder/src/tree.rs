//! A root file system in memory: which names there are, their metadata, and where the bytes are.
//!
//! Needs no privilege: a device node or another user's file is a record here, until a sink writes it. Bytes are
//! held in memory or stay in a file on this machine that is read again when a sink asks; a file that changed its
//! size in between is an error there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Dir, FileType};

use crate::beneath::Root;
use crate::error::{Doing, Error, Result};
pub use crate::meta::{Device, Meta};
use crate::name::Name;

/// What stands at a name.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target, which is never looked at.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

/// Where a regular file's bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// Here.
    Bytes(Arc<[u8]>),
    /// In a file on this machine, its size as seen when it was added.
    Host {
        /// Where.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
    /// In a directory whose inside is not trusted.
    Beneath {
        /// The directory.
        root: Arc<Root>,
        /// The file's name in it.
        name: Name,
        /// Bytes.
        size: u64,
    },
}

impl Content {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Host { size, .. } | Content::Beneath { size, .. } => *size,
        }
    }

    /// Opens the bytes.
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Content::Bytes(bytes) => Box::new(&bytes[..]),
            Content::Host { path, .. } => Box::new(File::open(path)?),
            Content::Beneath { root, name, .. } => Box::new(root.open_file(name)?),
        })
    }
}

/// A thing that one or, when hard-linked, several names stand for.
#[derive(Clone, Debug)]
pub struct Node {
    /// Permission bits and owner.
    pub meta: Meta,
    /// What it is.
    pub kind: Kind,
}

/// Identifies a [`Node`] of one tree, as an inode number does in a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

/// A root file system: names in order, each standing for a node.
///
/// Every name's directory is in the tree too, before it in order; one that was never added is root's, 0755.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    names: BTreeMap<Name, NodeId>,
}

const ADD: &str = "add";

impl Tree {
    /// An empty root.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// Puts a node at `path`, which is read as seen from inside (`/init` and `init` are the same). What stood
    /// there is replaced, except that a directory never gives way to another kind nor another kind to a directory.
    pub fn insert(&mut self, path: &str, node: Node) -> Result<()> {
        let name =
            Name::parse_inside(path.as_bytes()).map_err(|bad| Error::refused(ADD, path, bad.to_string()))?;
        self.insert_name(name, node).map(drop)
    }

    /// A directory.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        self.insert(path, Node { meta: Meta::root(mode), kind: Kind::Directory })
    }

    /// A regular file with these bytes.
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Arc<[u8]>>) -> Result<()> {
        self.insert(path, Node { meta: Meta::root(mode), kind: Kind::File(Content::Bytes(bytes.into())) })
    }

    /// A regular file with the bytes of the file `host` on this machine, links followed.
    pub fn host_file(&mut self, path: &str, mode: u32, host: &Path) -> Result<()> {
        let found = std::fs::metadata(host).doing(ADD, || host.display())?;
        if !found.is_file() {
            return Err(Error::refused(ADD, host.display(), "not a regular file"));
        }
        let content = Content::Host { path: host.to_owned(), size: found.len() };
        self.insert(path, Node { meta: Meta::root(mode), kind: Kind::File(content) })
    }

    /// A symbolic link to `target`.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.insert(path, Node { meta: Meta::root(0o777), kind: Kind::Symlink(target.into()) })
    }

    /// A character device node.
    pub fn char_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) -> Result<()> {
        self.insert(path, Node { meta: Meta::root(mode), kind: Kind::CharDevice(Device { major, minor }) })
    }

    /// A block device node.
    pub fn block_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) -> Result<()> {
        self.insert(path, Node { meta: Meta::root(mode), kind: Kind::BlockDevice(Device { major, minor }) })
    }

    /// A further name for what stands at `existing`, which must be there and no directory.
    pub fn hard_link(&mut self, path: &str, existing: &str) -> Result<()> {
        let parse = |path: &str| {
            Name::parse_inside(path.as_bytes()).map_err(|bad| Error::refused(ADD, path, bad.to_string()))
        };
        self.link_name(parse(path)?, &parse(existing)?)
    }

    /// Adds the whole directory `host` of this machine at `path`, owners and modes as they are there. Hard links
    /// within it stay hard links; symbolic links are never followed.
    pub fn host_directory(&mut self, path: &str, host: &Path) -> Result<()> {
        let at =
            Name::parse_inside(path.as_bytes()).map_err(|bad| Error::refused(ADD, path, bad.to_string()))?;
        let root = Arc::new(Root::open(host).doing(ADD, || host.display())?);
        let mut linked = BTreeMap::new();
        let mut pending = vec![Name::ROOT];
        while let Some(directory) = pending.pop() {
            let subject = |name: &Name| host.join(OsStr::from_bytes(name.as_bytes())).display().to_string();
            let target = inside(&at, &directory).doing(ADD, || subject(&directory))?;
            let stat = root.stat(&directory).doing(ADD, || subject(&directory))?;
            self.insert_name(target, Node { meta: meta_of(&stat), kind: Kind::Directory })?;
            let fd = root.open_directory(&directory).doing(ADD, || subject(&directory))?;
            for entry in Dir::new(fd).doing(ADD, || subject(&directory))? {
                let entry = entry.doing(ADD, || subject(&directory))?;
                let file_name = entry.file_name().to_bytes();
                if file_name == b"." || file_name == b".." {
                    continue;
                }
                let name =
                    directory.join(file_name).map_err(io::Error::other).doing(ADD, || subject(&directory))?;
                let stat = root.stat(&name).doing(ADD, || subject(&name))?;
                if FileType::from_raw_mode(stat.st_mode).is_dir() {
                    pending.push(name);
                    continue;
                }
                let target = inside(&at, &name).doing(ADD, || subject(&name))?;
                let inode = (stat.st_dev, stat.st_ino);
                if let Some(first) = linked.get(&inode) {
                    self.link_name(target, first)?;
                    continue;
                }
                if stat.st_nlink > 1 {
                    linked.insert(inode, target.clone());
                }
                let kind = kind_of(&root, &name, &stat).doing(ADD, || subject(&name))?;
                self.insert_name(target, Node { meta: meta_of(&stat), kind })?;
            }
        }
        Ok(())
    }

    /// Names in order with what they stand for; every directory comes before what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, NodeId, &Node)> {
        self.names.iter().filter_map(|(name, &id)| Some((name, id, self.nodes.get(id.0)?)))
    }

    /// What stands at `path`.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(self.names.get(&Name::parse_inside(path.as_bytes()).ok()?)?.0)
    }

    /// Puts a node at a checked name; see [`Tree::insert`].
    pub fn insert_name(&mut self, name: Name, node: Node) -> Result<NodeId> {
        self.make_parents(&name)?;
        let is_directory = matches!(node.kind, Kind::Directory);
        if name.is_root() && !is_directory {
            return Err(Error::refused(ADD, &name, "the root can only be a directory"));
        }
        if let Some(&id) = self.names.get(&name) {
            let old_is_directory = self.is_directory(id);
            if old_is_directory != is_directory {
                return Err(Error::refused(
                    ADD,
                    &name,
                    "a directory cannot replace another kind, nor be replaced by it",
                ));
            }
            if let (true, Some(old)) = (is_directory, self.nodes.get_mut(id.0)) {
                old.meta = node.meta;
                return Ok(id);
            }
        }
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.names.insert(name, id);
        Ok(id)
    }

    /// A further checked name for the node at `existing`; see [`Tree::hard_link`].
    pub fn link_name(&mut self, name: Name, existing: &Name) -> Result<()> {
        let Some(&id) = self.names.get(existing) else {
            return Err(Error::refused(ADD, &name, format!("hard link to {existing}, which is not there")));
        };
        if self.is_directory(id) {
            return Err(Error::refused(ADD, &name, format!("hard link to {existing}, which is a directory")));
        }
        self.make_parents(&name)?;
        if self.names.get(&name).is_some_and(|&old| self.is_directory(old)) {
            return Err(Error::refused(ADD, &name, "a directory cannot be replaced by another kind"));
        }
        self.names.insert(name, id);
        Ok(())
    }

    fn is_directory(&self, id: NodeId) -> bool {
        self.nodes.get(id.0).is_some_and(|node| matches!(node.kind, Kind::Directory))
    }

    fn make_parents(&mut self, name: &Name) -> Result<()> {
        let parents = (!name.is_root()).then_some(Name::ROOT).into_iter().chain(name.ancestors());
        for parent in parents {
            match self.names.get(&parent) {
                Some(&id) if self.is_directory(id) => {}
                Some(_) => return Err(Error::refused(ADD, name, format!("{parent} is not a directory"))),
                None => {
                    let id = NodeId(self.nodes.len());
                    self.nodes.push(Node { meta: Meta::root(0o755), kind: Kind::Directory });
                    self.names.insert(parent, id);
                }
            }
        }
        Ok(())
    }
}

fn inside(at: &Name, name: &Name) -> io::Result<Name> {
    if name.is_root() { Ok(at.clone()) } else { at.join(name.as_bytes()).map_err(io::Error::other) }
}

fn meta_of(stat: &rustix::fs::Stat) -> Meta {
    Meta { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }
}

fn kind_of(root: &Arc<Root>, name: &Name, stat: &rustix::fs::Stat) -> io::Result<Kind> {
    let device = Device { major: rustix::fs::major(stat.st_rdev), minor: rustix::fs::minor(stat.st_rdev) };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let size = u64::try_from(stat.st_size).map_err(io::Error::other)?;
            Kind::File(Content::Beneath { root: Arc::clone(root), name: name.clone(), size })
        }
        FileType::Symlink => Kind::Symlink(root.read_link(name)?),
        FileType::CharacterDevice => Kind::CharDevice(device),
        FileType::BlockDevice => Kind::BlockDevice(device),
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Directory | FileType::Unknown => return Err(io::Error::other("changed while it was read")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn parents_come_by_themselves_and_first() {
        let mut tree = Tree::new();
        tree.file("/etc/conf.d/x", 0o644, *b"1").unwrap();
        let names: Vec<_> = tree.iter().map(|(name, ..)| name.to_string()).collect();
        assert_eq!(names, [".", "etc", "etc/conf.d", "etc/conf.d/x"]);
        tree.directory("etc", 0o700).unwrap();
        assert_eq!(tree.get("etc").unwrap().meta.mode, 0o700);
    }

    #[test]
    fn kinds_do_not_clash() {
        let mut tree = Tree::new();
        tree.directory("d", 0o755).unwrap();
        tree.symlink("l", "d").unwrap();
        assert!(tree.file("d", 0o644, *b"").is_err());
        assert!(tree.directory("l", 0o755).is_err());
        assert!(tree.file("l/x", 0o644, *b"").is_err(), "nothing is put through a link");
        assert!(tree.hard_link("h", "d").is_err());
        assert!(tree.hard_link("h", "gone").is_err());
        assert!(tree.hard_link("d", "l").is_err());
        assert!(tree.file("../x", 0o644, *b"").is_err());
        assert!(tree.symlink("/", "x").is_err());
    }

    #[test]
    fn a_directory_of_this_machine_is_read_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("sub/one"), "1").unwrap();
        std::fs::hard_link(at("sub/one"), at("two")).unwrap();
        symlink("/etc", at("out")).unwrap();
        let mut tree = Tree::new();
        tree.host_directory("image", dir.path()).unwrap();
        let names: Vec<_> = tree.iter().map(|(name, ..)| name.to_string()).collect();
        assert_eq!(names, [".", "image", "image/out", "image/sub", "image/sub/one", "image/two"]);
        assert!(matches!(&tree.get("image/out").unwrap().kind, Kind::Symlink(target) if target == b"/etc"));
        let ids: Vec<_> = tree
            .iter()
            .filter(|(.., node)| matches!(node.kind, Kind::File(_)))
            .map(|(_, id, _)| id)
            .collect();
        assert_eq!(ids.len(), 2);
        assert_eq!(ids[0], ids[1], "hard links share a node");
    }
}
