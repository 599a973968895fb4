//! Builds archives that no honest writer would, and a place to unpack them where every change is seen.

#![allow(dead_code, unreachable_pub, reason = "a module of several test programs, each of which uses a part")]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tar::Header;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An archive under construction. Paths go into headers as they are.
pub struct Tarball {
    bytes: Vec<u8>,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
}

impl Tarball {
    pub fn new() -> Tarball {
        let id = rustix::process::geteuid().as_raw().into();
        Tarball { bytes: Vec::new(), mode: 0o644, uid: id, gid: id, mtime: 0 }
    }

    /// Metadata of the entries from here on.
    pub fn mode(mut self, mode: u32, uid: u64, gid: u64, mtime: u64) -> Tarball {
        (self.mode, self.uid, self.gid, self.mtime) = (mode, uid, gid, mtime);
        self
    }

    fn entry(
        mut self,
        path: &[u8],
        kind: u8,
        link: &[u8],
        size: u64,
        device: (u32, u32),
        data: &[u8],
    ) -> Tarball {
        let mut header = Header::new_ustar();
        let raw = header.as_mut_bytes();
        let field = |bytes: &[u8]| bytes.len().min(100);
        raw[..field(path)].copy_from_slice(&path[..field(path)]);
        raw[156] = kind;
        raw[157..157 + field(link)].copy_from_slice(&link[..field(link)]);
        let directory = kind == b'5' && self.mode == 0o644;
        header.set_mode(if directory { 0o755 } else { self.mode });
        header.set_uid(self.uid);
        header.set_gid(self.gid);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header.set_device_major(device.0).unwrap();
        header.set_device_minor(device.1).unwrap();
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub fn raw(self, path: &str, kind: u8, data: &[u8]) -> Tarball {
        self.entry(path.as_bytes(), kind, b"", data.len() as u64, (0, 0), data)
    }

    /// A regular file whose header says another size than it has.
    pub fn claiming(self, path: &str, size: u64, data: &[u8]) -> Tarball {
        self.entry(path.as_bytes(), b'0', b"", size, (0, 0), data)
    }

    pub fn claiming_long_name(self, size: u64) -> Tarball {
        self.entry(b"././@LongLink", b'L', b"", size, (0, 0), b"")
    }

    pub fn file(self, path: &str, data: &[u8]) -> Tarball {
        self.raw(path, b'0', data)
    }

    pub fn directory(self, path: &str) -> Tarball {
        self.raw(path, b'5', b"")
    }

    pub fn fifo(self, path: &str) -> Tarball {
        self.raw(path, b'6', b"")
    }

    pub fn sparse(self, path: &str) -> Tarball {
        self.raw(path, b'S', b"")
    }

    pub fn symlink(self, path: &str, target: &str) -> Tarball {
        self.entry(path.as_bytes(), b'2', target.as_bytes(), 0, (0, 0), b"")
    }

    pub fn hard_link(self, path: &str, target: &str) -> Tarball {
        self.entry(path.as_bytes(), b'1', target.as_bytes(), 0, (0, 0), b"")
    }

    pub fn char_device(self, path: &str, major: u32, minor: u32) -> Tarball {
        self.entry(path.as_bytes(), b'3', b"", 0, (major, minor), b"")
    }

    pub fn gnu_long_name(self, path: &str) -> Tarball {
        self.raw("././@LongLink", b'L', format!("{path}\0").as_bytes())
    }

    pub fn gnu_long_link(self, path: &str) -> Tarball {
        self.raw("././@LongLink", b'K', format!("{path}\0").as_bytes())
    }

    pub fn pax(self, records: &[(&str, &[u8])]) -> Tarball {
        self.raw("./PaxHeaders/x", b'x', &pax_records(records))
    }

    pub fn global(self, records: &[(&str, &[u8])]) -> Tarball {
        self.raw("./PaxHeaders/g", b'g', &pax_records(records))
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }
}

fn pax_records(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let body = key.len() + value.len() + 3;
        let length = (body + 1..).find(|&length| body + length.to_string().len() == length).unwrap();
        bytes.extend_from_slice(format!("{length} {key}=").as_bytes());
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
    bytes
}

/// A temporary directory: `inner/target` is unpacked into, everything else must stay as it is.
pub struct Sandbox {
    top: tempfile::TempDir,
}

impl Sandbox {
    pub fn new() -> Sandbox {
        let top = tempfile::tempdir().unwrap();
        let outside = top.path().join("inner/outside");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("secret"), "do not touch").unwrap();
        std::fs::write(top.path().join("evil"), "").unwrap();
        std::fs::create_dir(top.path().join("inner/work")).unwrap();
        Sandbox { top }
    }

    pub fn target(&self) -> PathBuf {
        self.top.path().join("inner/work/target")
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.target().join(path)
    }

    /// Names beside and including the target.
    pub fn beside(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.top.path().join("inner/work")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Everything outside of the target's parent: name to mode, owner, size, time, links and contents.
    pub fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut seen = BTreeMap::new();
        record(self.top.path(), &self.top.path().join("inner/work"), &mut seen);
        seen
    }
}

fn record(path: &Path, except: &Path, seen: &mut BTreeMap<PathBuf, String>) {
    let stat = std::fs::symlink_metadata(path).unwrap();
    let contents = if stat.is_file() { std::fs::read(path).unwrap() } else { Vec::new() };
    let times = (stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec());
    let summary = format!("{:o} {} {} {times:?} {contents:?}", stat.mode(), stat.uid(), stat.nlink());
    if path == except {
        // Its own entries change; what it is does not.
        seen.insert(path.to_owned(), format!("{:o} {} {}", stat.mode(), stat.uid(), stat.gid()));
        return;
    }
    seen.insert(path.to_owned(), summary);
    if stat.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            record(&entry.unwrap().path(), except, seen);
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Trees may be deep and closed; the temporary directory's own removal takes care of the rest.
        rootfs_builder::remove::remove_tree(&self.target()).unwrap();
    }
}
