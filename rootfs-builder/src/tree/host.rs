//! Adds a directory of this machine to a tree.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{ADD, Content, Kind, Node, Tree};
use crate::beneath::Root;
use crate::error::{Doing, Result};
use crate::meta::{Attributes, Device, Meta, Special, Timestamp, Travel, travel};
use crate::name::Name;

/// The longest list of names and the longest value that Linux gives (linux/limits.h).
const XATTR_SIZE_MAX: usize = 64 << 10;

pub(super) fn add(tree: &mut Tree, at: &Name, host: &Path) -> Result<()> {
    let root = Arc::new(Root::open(host).doing(ADD, || host.display())?);
    let subject = |name: &Name| host.join(OsStr::from_bytes(name.as_bytes())).display().to_string();
    let mut linked: BTreeMap<(u64, u64), Name> = BTreeMap::new();
    let mut pending = vec![Name::ROOT];
    while let Some(name) = pending.pop() {
        let stat = root.stat(&name).doing(ADD, || subject(&name))?;
        let target = at.join(name.as_bytes()).map_err(io::Error::other).doing(ADD, || subject(&name))?;
        let inode = (stat.st_dev, stat.st_ino);
        if let Some(first) = linked.get(&inode) {
            tree.link_name(target, first)?;
            continue;
        }
        let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
        if is_directory {
            children(&root, &name, &mut pending).doing(ADD, || subject(&name))?;
        } else if stat.st_nlink > 1 {
            linked.insert(inode, target.clone());
        }
        let node = node_of(&root, &name, &stat).doing(ADD, || subject(&name))?;
        tree.insert_name(target, node)?;
    }
    Ok(())
}

fn children(root: &Root, directory: &Name, names: &mut Vec<Name>) -> io::Result<()> {
    for entry in Dir::new(root.open_directory(directory)?)? {
        let entry = entry?;
        let last = entry.file_name().to_bytes();
        if last != b"." && last != b".." {
            names.push(directory.join(last).map_err(io::Error::other)?);
        }
    }
    Ok(())
}

fn node_of(root: &Arc<Root>, name: &Name, stat: &Stat) -> io::Result<Node> {
    let device = Device { major: rustix::fs::major(stat.st_rdev), minor: rustix::fs::minor(stat.st_rdev) };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => {
            let size = u64::try_from(stat.st_size).map_err(io::Error::other)?;
            Kind::File(Content::Beneath { root: Arc::clone(root), name: name.clone(), size })
        }
        FileType::Symlink => Kind::Symlink(root.read_link(name)?),
        FileType::CharacterDevice => Kind::Special(Special::CharDevice(device)),
        FileType::BlockDevice => Kind::Special(Special::BlockDevice(device)),
        FileType::Fifo => Kind::Special(Special::Fifo),
        FileType::Socket => Kind::Special(Special::Socket),
        FileType::Unknown => return Err(io::Error::other("of a kind that is not known")),
    };
    let meta = Meta { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).map_err(io::Error::other)?;
    let mtime = Timestamp { seconds: stat.st_mtime, nanoseconds };
    Ok(Node { attributes: Attributes { meta, mtime, xattrs: xattrs(root, name)? }, kind })
}

/// Those that travel; this machine's own labels do not.
fn xattrs(root: &Root, name: &Name) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    // A descriptor that refers to anything without opening it, and the one way to name it to these calls.
    let fd = root.open_at(name, OFlags::PATH, Mode::empty())?;
    let path = Path::new("/proc/self/fd").join(fd.as_raw_fd().to_string());
    let names = match rustix::fs::listxattr_query(&path) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(_) => {
            let mut names = vec![0; XATTR_SIZE_MAX];
            let size = rustix::fs::listxattr(&path, &mut names[..])?;
            names.truncate(size);
            names
        }
        Err(errno) => return Err(errno.into()),
    };
    let mut kept = Vec::new();
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        if travel(name) == Travel::Dropped {
            continue;
        }
        let mut value = vec![0; XATTR_SIZE_MAX];
        let size = rustix::fs::getxattr(&path, OsStr::from_bytes(name), &mut value[..])?;
        value.truncate(size);
        kept.push((name.to_vec(), value));
    }
    kept.sort();
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_directory_of_this_machine_is_read_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("sub/one"), "1").unwrap();
        std::fs::hard_link(at("sub/one"), at("two")).unwrap();
        symlink("/etc", at("out")).unwrap();
        rustix::fs::setxattr(at("two"), "user.note", b"n", rustix::fs::XattrFlags::empty()).unwrap();
        let mut tree = Tree::new();
        tree.host_directory("image", dir.path()).unwrap();
        let names: Vec<_> = tree.iter().map(|(name, ..)| name.to_string()).collect();
        assert_eq!(names, [".", "image", "image/out", "image/sub", "image/sub/one", "image/two"]);
        assert!(matches!(&tree.get("image/out").unwrap().kind, Kind::Symlink(target) if target == b"/etc"));
        let files = tree.iter().filter(|(.., node)| matches!(node.kind, Kind::File(_)));
        let ids: Vec<_> = files.map(|(_, id, _)| id).collect();
        assert_eq!(ids.len(), 2);
        assert_eq!(ids[0], ids[1], "hard links share a node");
        let xattrs = &tree.get("image/sub/one").unwrap().attributes.xattrs;
        assert_eq!(*xattrs, [(b"user.note".to_vec(), b"n".to_vec())]);
    }
}
