//! A root file system in memory: which names there are, their attributes, and where the bytes are.
//!
//! Needs no privilege: a device node or another user's file is a record here, until a sink writes it. Bytes stay
//! out of memory unless they were given so; see [`Content`].

mod content;
mod host;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

pub use content::Content;
use content::Spool;

use crate::error::{Doing, Error, Reason, Result};
pub use crate::meta::{Attributes, Device, Meta, Special};
use crate::name::{Name, check_link_target};
use crate::sink::Sink;

/// What stands at a name.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target, which is never looked at.
    Symlink(Vec<u8>),
    /// A device, pipe or socket.
    Special(Special),
}

/// A thing that one or, when hard-linked, several names stand for.
#[derive(Clone, Debug)]
pub struct Node {
    /// Owner, mode, time, extended attributes.
    pub attributes: Attributes,
    /// What it is.
    pub kind: Kind,
}

impl Node {
    /// Of 1970 and without extended attributes.
    pub const fn new(meta: Meta, kind: Kind) -> Node {
        Node { attributes: Attributes::new(meta), kind }
    }
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
    /// Bytes that came from a stream.
    spool: Option<Arc<Spool>>,
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
        self.insert_name(inside(path)?, node)
    }

    /// A directory.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        self.insert(path, Node::new(Meta::root(mode), Kind::Directory))
    }

    /// A regular file with these bytes.
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Arc<[u8]>>) -> Result<()> {
        self.insert(path, Node::new(Meta::root(mode), Kind::File(Content::Bytes(bytes.into()))))
    }

    /// A regular file with the bytes of the file `host` on this machine, links followed.
    pub fn host_file(&mut self, path: &str, mode: u32, host: &Path) -> Result<()> {
        let found = std::fs::metadata(host).doing(ADD, || host.display())?;
        if !found.is_file() {
            return Err(Error::refused(ADD, host.display(), "not a regular file"));
        }
        let content = Content::Host { path: host.to_owned(), size: found.len() };
        self.insert(path, Node::new(Meta::root(mode), Kind::File(content)))
    }

    /// A symbolic link to `target`.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.insert(path, Node::new(Meta::root(0o777), Kind::Symlink(target.into())))
    }

    /// A character device node.
    pub fn char_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) -> Result<()> {
        let device = Special::CharDevice(Device { major, minor });
        self.insert(path, Node::new(Meta::root(mode), Kind::Special(device)))
    }

    /// A block device node.
    pub fn block_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) -> Result<()> {
        let device = Special::BlockDevice(Device { major, minor });
        self.insert(path, Node::new(Meta::root(mode), Kind::Special(device)))
    }

    /// A further name for what stands at `existing`, which must be there and no directory.
    pub fn hard_link(&mut self, path: &str, existing: &str) -> Result<()> {
        self.link_name(inside(path)?, &inside(existing)?)
    }

    /// Adds the whole directory `host` of this machine at `path`, owners and modes as they are there. Hard links
    /// within it stay hard links; symbolic links are never followed.
    pub fn host_directory(&mut self, path: &str, host: &Path) -> Result<()> {
        host::add(self, &inside(path)?, host)
    }

    /// Names in order with what they stand for; every directory comes before what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, NodeId, &Node)> {
        self.names.iter().filter_map(|(name, &id)| Some((name, id, self.nodes.get(id.0)?)))
    }

    /// What stands at `path`.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.get_name(&inside(path).ok()?)
    }

    /// What stands at a checked name.
    pub fn get_name(&self, name: &Name) -> Option<&Node> {
        self.nodes.get(self.names.get(name)?.0)
    }

    /// Makes everything root's, without extended attributes, and readable as it usually is: for a directory of this
    /// machine whose owner and umask are an accident.
    pub fn neutralise(&mut self) {
        for Node { attributes, kind } in &mut self.nodes {
            let mode = match kind {
                Kind::Directory => 0o755,
                Kind::Symlink(_) => 0o777,
                Kind::File(_) | Kind::Special(_) => 0o644,
            };
            *attributes = Attributes { mtime: attributes.mtime, ..Attributes::new(Meta::root(mode)) };
        }
    }

    /// Bytes of all regular files, hard-linked ones once.
    pub fn size(&self) -> u64 {
        let named: BTreeSet<_> = self.names.values().collect();
        let sizes = named.into_iter().filter_map(|id| match &self.nodes.get(id.0)?.kind {
            Kind::File(content) => Some(content.size()),
            _ => None,
        });
        sizes.sum()
    }

    /// Writes everything to a sink.
    pub fn write_to(&self, sink: &mut dyn Sink) -> Result<()> {
        let mut first_names: HashMap<NodeId, &Name> = HashMap::new();
        for (name, id, Node { attributes, kind }) in self.iter() {
            if let Some(first) = first_names.get(&id) {
                sink.hard_link(name, first)?;
                continue;
            }
            match kind {
                Kind::Directory => sink.directory(name, attributes)?,
                Kind::Symlink(target) => sink.symlink(name, attributes, target)?,
                Kind::Special(special) => sink.special(name, attributes, *special)?,
                Kind::File(content) => {
                    let mut data = content.open().doing("read", || name)?;
                    sink.file(name, attributes, &mut data)?;
                }
            }
            first_names.insert(id, name);
        }
        Ok(())
    }

    /// Puts a node at a checked name; see [`Tree::insert`].
    pub fn insert_name(&mut self, name: Name, mut node: Node) -> Result<()> {
        self.make_parents(&name)?;
        if let Kind::Symlink(target) = &node.kind {
            check_link_target(target).map_err(|why| Error::refused(ADD, &name, why))?;
            // Linux has no other mode for a link (symlink(7)), whatever an archive says.
            node.attributes.meta.mode = 0o777;
        }
        let is_directory = matches!(node.kind, Kind::Directory);
        if name.is_root() && !is_directory {
            return Err(Error::refused(ADD, &name, "the root can only be a directory"));
        }
        if let Some(&id) = self.names.get(&name) {
            if self.is_directory(id) != is_directory {
                let why = "a directory cannot replace another kind, nor be replaced by it";
                return Err(Error::refused(ADD, &name, why));
            }
            if let (true, Some(old)) = (is_directory, self.nodes.get_mut(id.0)) {
                old.attributes = node.attributes;
                return Ok(());
            }
        }
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.names.insert(name, id);
        Ok(())
    }

    /// A further checked name for the node at `existing`; see [`Tree::hard_link`].
    pub fn link_name(&mut self, name: Name, existing: &Name) -> Result<()> {
        let Some(&id) = self.names.get(existing) else {
            return Err(Error::refused(ADD, &name, format!("a hard link to {existing}, which is not there")));
        };
        if self.is_directory(id) {
            return Err(Error::refused(
                ADD,
                &name,
                format!("a hard link to {existing}, which is a directory"),
            ));
        }
        if name == *existing {
            return Err(Error::refused(ADD, &name, "a hard link to itself"));
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
                Some(_) => return Err(Error::new(ADD, name, Reason::on_the_way())),
                None => {
                    let id = NodeId(self.nodes.len());
                    self.nodes.push(Node::new(Meta::root(0o755), Kind::Directory));
                    self.names.insert(parent, id);
                }
            }
        }
        Ok(())
    }

    fn below(&self, name: &Name) -> Vec<Name> {
        let from = name.before_children();
        let inside = self.names.range((Bound::Excluded(&from), Bound::Unbounded));
        inside.map(|(name, _)| name).take_while(|inner| inner.is_below(name)).cloned().collect()
    }
}

impl Sink for Tree {
    fn directory(&mut self, name: &Name, attributes: &Attributes) -> Result<()> {
        self.insert_name(name.clone(), Node { attributes: attributes.clone(), kind: Kind::Directory })
    }

    fn file(&mut self, name: &Name, attributes: &Attributes, data: &mut dyn Read) -> Result<u64> {
        let spool = match &self.spool {
            Some(spool) => Arc::clone(spool),
            None => {
                Arc::clone(self.spool.insert(Arc::new(Spool::new().doing("make", || "a temporary file")?)))
            }
        };
        let content = spool.add(data).doing(ADD, || name)?;
        let size = content.size();
        self.insert_name(name.clone(), Node { attributes: attributes.clone(), kind: Kind::File(content) })?;
        Ok(size)
    }

    fn symlink(&mut self, name: &Name, attributes: &Attributes, target: &[u8]) -> Result<()> {
        let kind = Kind::Symlink(target.to_vec());
        self.insert_name(name.clone(), Node { attributes: attributes.clone(), kind })
    }

    fn hard_link(&mut self, name: &Name, existing: &Name) -> Result<()> {
        self.link_name(name.clone(), existing)
    }

    fn special(&mut self, name: &Name, attributes: &Attributes, special: Special) -> Result<()> {
        self.insert_name(name.clone(), Node { attributes: attributes.clone(), kind: Kind::Special(special) })
    }

    fn takes_devices(&self) -> bool {
        true
    }

    fn make_way(&mut self, name: &Name, for_directory: bool) -> Result<()> {
        match self.names.get(name) {
            Some(&id) if self.is_directory(id) != for_directory => self.whiteout(name),
            _ => Ok(()),
        }
    }

    fn whiteout(&mut self, name: &Name) -> Result<()> {
        self.opaque(name, &BTreeSet::new())?;
        self.names.remove(name);
        Ok(())
    }

    fn opaque(&mut self, name: &Name, written: &BTreeSet<Name>) -> Result<()> {
        for inner in self.below(name) {
            if !written.contains(&inner) {
                self.names.remove(&inner);
            }
        }
        Ok(())
    }
}

fn inside(path: &str) -> Result<Name> {
    Name::parse_inside(path.as_bytes()).map_err(|bad| Error::refused(ADD, path, bad.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tree: &Tree) -> Vec<String> {
        tree.iter().map(|(name, ..)| name.to_string()).collect()
    }

    #[test]
    fn parents_come_by_themselves_and_first() {
        let mut tree = Tree::new();
        tree.file("/etc/conf.d/x", 0o644, *b"1").unwrap();
        tree.file("/etc-x", 0o644, *b"1").unwrap();
        assert_eq!(names(&tree), [".", "etc", "etc-x", "etc/conf.d", "etc/conf.d/x"]);
        tree.directory("etc", 0o700).unwrap();
        assert_eq!(tree.get("etc").unwrap().attributes.meta.mode, 0o700);
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
        assert!(tree.hard_link("l", "l").is_err());
        assert!(tree.hard_link("d", "l").is_err());
        assert!(tree.file("../x", 0o644, *b"").is_err());
        assert!(tree.symlink("/", "x").is_err());
    }

    #[test]
    fn layers_delete() {
        let mut tree = Tree::new();
        for path in ["a/b/c", "a/d", "a-e", "a.f", "g"] {
            tree.file(path, 0o644, *b"").unwrap();
        }
        let name = |path: &str| Name::parse(path.as_bytes()).unwrap();
        tree.opaque(&name("a"), &BTreeSet::from([name("a/d")])).unwrap();
        assert_eq!(names(&tree), [".", "a", "a-e", "a.f", "a/d", "g"]);
        tree.make_way(&name("a"), true).unwrap();
        tree.whiteout(&name("gone")).unwrap();
        assert_eq!(names(&tree).len(), 6);
        tree.make_way(&name("a"), false).unwrap();
        assert_eq!(names(&tree), [".", "a-e", "a.f", "g"]);
        tree.opaque(&Name::ROOT, &BTreeSet::new()).unwrap();
        assert_eq!(names(&tree), ["."]);
    }
}
