//! The `newc` writer against a reader of our own, against cpio(1) where it is installed, and its refusals.

mod need;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use need::installed;
use rootfs_builder::cpio;
use rootfs_builder::tree::{Kind, Meta, Node, Special, Tree};

/// An entry as a reader sees it, written from the kernel's description of the format and not from the writer.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    inode: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    mtime: u32,
    rdev: (u32, u32),
    data: Vec<u8>,
}

fn read_archive(archive: &[u8]) -> Vec<(String, Seen)> {
    let mut entries = Vec::new();
    let mut at = 0;
    loop {
        assert_eq!(&archive[at..at + 6], b"070701", "magic at {at}");
        let field = |index: usize| {
            let from = at + 6 + 8 * index;
            u32::from_str_radix(std::str::from_utf8(&archive[from..from + 8]).unwrap(), 16).unwrap()
        };
        let (size, name_size) = (field(6) as usize, field(11) as usize);
        let name = &archive[at + 110..at + 110 + name_size];
        assert_eq!(name.last(), Some(&0));
        let name = String::from_utf8(name[..name_size - 1].to_vec()).unwrap();
        let data = (at + 110 + name_size).next_multiple_of(4);
        if name == "TRAILER!!!" {
            assert_eq!(archive.len() % 512, 0);
            assert!(archive[data..].iter().all(|&byte| byte == 0));
            return entries;
        }
        let seen = Seen {
            inode: field(0),
            mode: field(1),
            uid: field(2),
            gid: field(3),
            links: field(4),
            mtime: field(5),
            rdev: (field(9), field(10)),
            data: archive[data..data + size].to_vec(),
        };
        assert_eq!((field(7), field(8), field(12)), (0, 0, 0), "{name}: device and checksum");
        entries.push((name, seen));
        at = (data + size).next_multiple_of(4);
    }
}

fn archive(tree: &Tree, mtime: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let size = cpio::write(tree, mtime, &mut bytes).unwrap();
    assert_eq!(size, bytes.len() as u64);
    bytes
}

fn example() -> Tree {
    let mut tree = Tree::new();
    tree.file("/init", 0o755, *b"#!/bin/sh\n").unwrap();
    tree.char_device("dev/console", 0o600, 5, 1).unwrap();
    tree.block_device("dev/vda", 0o660, 254, 0).unwrap();
    tree.symlink("bin/sh", "/bin/busybox").unwrap();
    tree.file("bin/busybox", 0o4755, vec![7; 5001]).unwrap();
    tree.hard_link("bin/ls", "bin/busybox").unwrap();
    tree.hard_link("a-link", "bin/busybox").unwrap();
    tree.file("empty", 0o644, *b"").unwrap();
    tree.insert("home/u", Node::new(Meta { mode: 0o700, uid: 1000, gid: 1001 }, Kind::Directory)).unwrap();
    tree.insert("run/pipe", Node::new(Meta::root(0o600), Kind::Special(Special::Fifo))).unwrap();
    tree
}

#[test]
fn everything_is_read_back() {
    let bytes = archive(&example(), 77);
    let entries = read_archive(&bytes);
    let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            ".",
            "a-link",
            "bin",
            "bin/busybox",
            "bin/ls",
            "bin/sh",
            "dev",
            "dev/console",
            "dev/vda",
            "empty",
            "home",
            "home/u",
            "init",
            "run",
            "run/pipe"
        ]
    );
    assert!(entries.iter().all(|(_, seen)| seen.mtime == 77));
    let by_name: BTreeMap<_, _> = entries.into_iter().collect();
    let modes = |name: &str| by_name[name].mode;
    assert_eq!(modes("."), 0o040755);
    assert_eq!(modes("init"), 0o100755);
    assert_eq!(modes("bin/busybox"), 0o104755);
    assert_eq!(modes("bin/sh"), 0o120777);
    assert_eq!(modes("run/pipe"), 0o010600);
    assert_eq!((modes("dev/console"), by_name["dev/console"].rdev), (0o020600, (5, 1)));
    assert_eq!((modes("dev/vda"), by_name["dev/vda"].rdev), (0o060660, (254, 0)));
    assert_eq!(by_name["bin/sh"].data, b"/bin/busybox");
    assert_eq!((by_name["home/u"].uid, by_name["home/u"].gid), (1000, 1001));

    let linked = ["a-link", "bin/busybox", "bin/ls"].map(|name| &by_name[name]);
    assert!(linked.iter().all(|seen| seen.inode == linked[0].inode && seen.links == 3));
    assert_eq!(linked.map(|seen| seen.data.len()), [0, 0, 5001], "the bytes stand with the last name");
    let mut inodes: Vec<_> = by_name.values().map(|seen| seen.inode).collect();
    inodes.sort();
    inodes.dedup();
    assert_eq!(inodes, (1..=13).collect::<Vec<u32>>());
}

#[test]
fn same_input_same_bytes_in_any_order() {
    let mut other = Tree::new();
    other.file("b", 0o644, *b"2").unwrap();
    other.file("a", 0o644, *b"1").unwrap();
    let mut tree = Tree::new();
    tree.file("a", 0o644, *b"1").unwrap();
    tree.file("b", 0o644, *b"0").unwrap();
    tree.file("b", 0o644, *b"2").unwrap();
    assert_eq!(archive(&tree, 0), archive(&other, 0));
}

#[test]
fn what_the_format_cannot_hold_is_refused_by_name() {
    let error = |tree: &Tree| cpio::write(tree, 0, std::io::sink()).unwrap_err().to_string();
    let mut tree = Tree::new();
    tree.file("TRAILER!!!", 0o644, *b"").unwrap();
    assert_eq!(error(&tree), "write to the initramfs TRAILER!!!: the format ends at this name");

    let dir = tempfile::tempdir().unwrap();
    let big = dir.path().join("big");
    std::fs::File::create(&big).unwrap().set_len(1 << 32).unwrap();
    let mut tree = Tree::new();
    tree.host_file("big", 0o644, &big).unwrap();
    assert!(error(&tree).contains("big: the format cannot hold a file of 4 GiB"), "{}", error(&tree));

    assert!(tree.symlink("l", &"x".repeat(4096)).is_err());
}

#[test]
fn a_file_that_changes_its_size_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    for contents in ["longer than before", "s"] {
        std::fs::write(&file, "before").unwrap();
        let mut tree = Tree::new();
        tree.host_directory("", dir.path()).unwrap();
        std::fs::write(&file, contents).unwrap();
        let error = cpio::write(&tree, 0, std::io::sink()).unwrap_err().to_string();
        assert!(error.contains("log: its size changed"), "{error}");
    }
}

#[test]
fn the_cpio_program_unpacks_it() {
    if !installed("cpio") {
        return;
    }
    let mut tree = Tree::new();
    tree.file("bin/busybox", 0o755, vec![7; 5001]).unwrap();
    tree.hard_link("bin/ls", "bin/busybox").unwrap();
    tree.hard_link("none", "bin/busybox").unwrap();
    tree.symlink("bin/sh", "busybox").unwrap();
    tree.file("empty", 0o600, *b"").unwrap();
    tree.directory("tmp", 0o1777).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new("cpio")
        .args(["--extract", "--quiet", "--make-directories", "--no-absolute-filenames"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&archive(&tree, 5)).unwrap();
    assert!(child.wait().unwrap().success());

    let stat = |path: &str| std::fs::symlink_metadata(dir.path().join(path)).unwrap();
    assert_eq!(std::fs::read(dir.path().join("bin/busybox")).unwrap(), vec![7; 5001]);
    assert_eq!(
        (stat("bin/ls").ino(), stat("none").ino()),
        (stat("bin/busybox").ino(), stat("bin/busybox").ino())
    );
    assert_eq!(std::fs::read_link(dir.path().join("bin/sh")).unwrap(), Path::new("busybox"));
    assert_eq!(stat("tmp").permissions().mode() & 0o7777, 0o1777);
    assert_eq!((stat("empty").len(), stat("empty").permissions().mode() & 0o777), (0, 0o600));
}

#[test]
fn a_directory_tree_keeps_its_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    std::fs::create_dir(at("etc")).unwrap();
    std::fs::write(at("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    std::fs::set_permissions(at("etc/passwd"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let mut tree = Tree::new();
    tree.host_directory("/", dir.path()).unwrap();
    tree.file("init", 0o755, *b"x").unwrap();
    let entries: BTreeMap<_, _> = read_archive(&archive(&tree, 0)).into_iter().collect();
    let owner = std::fs::metadata(at("etc/passwd")).unwrap();
    let seen = &entries["etc/passwd"];
    assert_eq!((seen.mode, seen.uid, seen.gid), (0o100640, owner.uid(), owner.gid()));
    assert_eq!(seen.data, b"root:x:0:0::/:/bin/sh\n");
    assert_eq!(entries["socket"].mode & 0o170000, 0o140000);
    assert!(matches!(tree.get("socket").unwrap().kind, Kind::Special(Special::Socket)));
}
