//! Archives that lie, built header by header: each is refused by the entry's name, or unpacked right, and in
//! neither case does anything outside the target change or a half tree stay.

mod tarball;

use std::fs::{read, read_link, symlink_metadata};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rootfs_builder::compress::{Compression, Encoder, Limits};
use rootfs_builder::unpack::{Devices, Options, Summary, unpack};
use tarball::{Sandbox, Tarball, is_root};

/// Unpacks into a sandbox, sees that nothing but the target changed and that a failure left nothing.
fn try_unpack(sandbox: &Sandbox, archive: &[u8], options: &Options) -> Result<Summary, String> {
    let before = sandbox.outside();
    let result = unpack(archive, &sandbox.target(), options);
    assert_eq!(sandbox.outside(), before, "something outside changed");
    let names: Vec<_> = sandbox.beside();
    match &result {
        Ok(_) => assert_eq!(names, ["target"]),
        Err(error) => assert_eq!(names, [""; 0], "a half tree after {error}"),
    }
    result.map_err(|error| error.to_string())
}

#[track_caller]
fn refused(tarball: Tarball, message: &str) {
    let sandbox = Sandbox::new();
    match try_unpack(&sandbox, &tarball.finish(), &Options::default()) {
        Ok(summary) => panic!("unpacked {summary:?} instead of {message:?}"),
        Err(error) => assert!(error.contains(message), "{error:?} instead of {message:?}"),
    }
}

#[track_caller]
fn unpacked(tarball: Tarball) -> Sandbox {
    let sandbox = Sandbox::new();
    try_unpack(&sandbox, &tarball.finish(), &Options::default()).unwrap();
    sandbox
}

#[test]
fn absolute_and_parent_paths() {
    refused(Tarball::new().file("/etc/passwd", b"x"), "unpack /etc/passwd: path is absolute");
    refused(Tarball::new().file("../evil", b"x"), "unpack ../evil: path has a '..' component");
    refused(Tarball::new().file("a/../../evil", b"x"), "a/../../evil: path has a '..' component");
    refused(Tarball::new().directory("a/.."), "'..'");
    refused(Tarball::new().symlink("../l", "x"), "'..'");
    refused(Tarball::new().file("a\x1b[2J", b"").file("..", b""), "'..'");
    refused(Tarball::new().pax(&[("path", b"/abs")]).file("rel", b"x"), "unpack /abs: path is absolute");
    refused(Tarball::new().pax(&[("path", b"a\0b")]).file("rel", b"x"), "NUL");
}

#[test]
fn writing_through_a_link() {
    for target in ["..", "../outside", "/etc", ".", "dir"] {
        let through = || Tarball::new().directory("dir").symlink("link", target);
        refused(
            through().file("link/secret", b"x"),
            "make link/secret: its path leads through a symbolic link",
        );
        refused(through().directory("link/sub"), "its path leads through a symbolic link");
        refused(through().directory("link"), "make link: a directory cannot replace another kind");
        refused(through().symlink("link/l2", "x"), "its path leads through a symbolic link");
        refused(through().file("f", b"").hard_link("link/h", "f"), "its path leads through a symbolic link");
        refused(through().hard_link("h", "link/secret"), "make h: its path leads through a symbolic link");
    }
}

#[test]
fn a_link_in_the_way_is_replaced_and_not_followed() {
    let sandbox = unpacked(Tarball::new().symlink("l", "../outside/secret").file("l", b"mine"));
    assert_eq!(read(sandbox.at("l")).unwrap(), b"mine");
    assert!(symlink_metadata(sandbox.at("l")).unwrap().is_file());
    let sandbox =
        unpacked(Tarball::new().symlink("l", "../outside/secret").hard_link("h", "l").file("h", b"x"));
    assert_eq!(read_link(sandbox.at("l")).unwrap(), Path::new("../outside/secret"));
}

#[test]
fn hard_links_stay_inside() {
    refused(
        Tarball::new().hard_link("h", "../outside/secret"),
        "unpack h: link to ../outside/secret: path has",
    );
    refused(Tarball::new().hard_link("h", "/etc/passwd"), "unpack h: link to /etc/passwd: path is absolute");
    refused(
        Tarball::new().hard_link("h", "later").file("later", b""),
        "make h: a hard link to later, which is",
    );
    refused(Tarball::new().file("h", b"").hard_link("h", "h"), "a hard link to itself");
    refused(Tarball::new().directory("d").hard_link("h", "d"), "which is a directory");
    refused(Tarball::new().hard_link("h", "."), "a hard link to the root");
    let sandbox = unpacked(Tarball::new().file("a", b"1").hard_link("d/b", "./a"));
    assert_eq!(
        symlink_metadata(sandbox.at("a")).unwrap().ino(),
        symlink_metadata(sandbox.at("d/b")).unwrap().ino()
    );
}

#[test]
fn later_files_replace_earlier_ones_and_directories_stay_directories() {
    let sandbox = unpacked(
        Tarball::new()
            .file("f", b"first")
            .hard_link("g", "f")
            .file("f", b"second")
            .symlink("s", "x")
            .fifo("s"),
    );
    assert_eq!(read(sandbox.at("f")).unwrap(), b"second");
    assert_eq!(read(sandbox.at("g")).unwrap(), b"first", "a replaced file's other name keeps its bytes");
    refused(Tarball::new().directory("d").file("d", b""), "make d: a directory cannot be replaced");
    refused(Tarball::new().file("f", b"").directory("f"), "make f: a directory cannot replace");
    refused(
        Tarball::new().file("f", b"").file("f/x", b""),
        "make f/x: its path leads through a symbolic link or a file",
    );
    refused(Tarball::new().file("./", b""), "ends with a slash");
    refused(Tarball::new().symlink(".", "x"), "the root can only be a directory");
}

#[test]
fn devices_and_pipes() {
    let tarball =
        || Tarball::new().file("f", b"").char_device("dev/null", 1, 3).hard_link("dev/n", "dev/null");
    let sandbox = Sandbox::new();
    let result = try_unpack(&sandbox, &tarball().finish(), &Options::default());
    if is_root() {
        result.unwrap();
        assert_eq!(symlink_metadata(sandbox.at("dev/null")).unwrap().rdev(), 0x103);
    } else {
        assert!(result.unwrap_err().contains("unpack dev/null: a device node needs root"));
    }
    let sandbox = Sandbox::new();
    let skip = Options { devices: Devices::Skip, ..Options::default() };
    let summary = try_unpack(&sandbox, &tarball().finish(), &skip).unwrap();
    assert_eq!((summary.skipped_devices, summary.entries), (1, 3));
    assert!(!sandbox.at("dev").exists());
    refused(Tarball::new().char_device("w", 0, 0), "unpack w: device 0:0");
    refused(Tarball::new().char_device("w", 4096, 0), "no device numbers");
    let sandbox = unpacked(Tarball::new().fifo("pipe"));
    assert_eq!(symlink_metadata(sandbox.at("pipe")).unwrap().mode(), 0o010644);
}

#[test]
fn names_of_every_kind() {
    let long = ["x"; 150].join("/");
    assert_eq!(long.len(), 299);
    let wide = "y".repeat(255);
    let sandbox = unpacked(
        Tarball::new()
            .gnu_long_name(&long)
            .file("short", b"gnu")
            .pax(&[("path", format!("p/{wide}").as_bytes())])
            .file("short", b"pax")
            .pax(&[("linkpath", long.as_bytes())])
            .hard_link("h", "short")
            .gnu_long_link(&long)
            .symlink("s", "short")
            .file("Etc", b"1")
            .file("etc", b"2")
            .file("ETC", b"3")
            .pax(&[("path", b"\xff\nodd")])
            .file("short", b"odd")
            .file("a//./b", b"clean"),
    );
    assert_eq!(read(sandbox.at(&long)).unwrap(), b"gnu");
    assert_eq!(read(sandbox.at("h")).unwrap(), b"gnu");
    assert_eq!(read_link(sandbox.at("s")).unwrap(), Path::new(&long));
    assert_eq!(read(sandbox.at(&format!("p/{wide}"))).unwrap(), b"pax");
    assert_eq!(["Etc", "etc", "ETC"].map(|name| read(sandbox.at(name)).unwrap()), [b"1", b"2", b"3"]);
    assert_eq!(read(sandbox.at("a/b")).unwrap(), b"clean");
    assert!(!sandbox.at("short").exists());
    refused(Tarball::new().pax(&[("path", "z".repeat(256).as_bytes())]).file("s", b""), "too long");
    refused(Tarball::new().pax(&[("path", "z/".repeat(3000).as_bytes())]).directory("s"), "too long");
    refused(Tarball::new().gnu_long_name("a").gnu_long_name("b").file("c", b""), "a second long name");
    refused(Tarball::new().pax(&[("path", b"a")]).pax(&[]).file("c", b""), "a second pax header");
    refused(Tarball::new().pax(&[("path", b"")]).file("c", b""), "without a name");
}

#[test]
fn entries_that_readers_disagree_about() {
    refused(Tarball::new().sparse("s"), "read the archive at s: sparse files are not supported");
    let sparse = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0")];
    refused(Tarball::new().pax(&sparse).file("s", b"x"), "sparse files are not supported");
    refused(Tarball::new().raw("d", b'5', b"data"), "read the archive at d: 4 bytes of data for what is no");
    refused(Tarball::new().raw("l", b'2', b"data"), "4 bytes of data");
    refused(Tarball::new().raw("v", b'V', b""), "entries of type 'V' are not supported");
    refused(Tarball::new().raw("m", b'M', b""), "entries of type 'M' are not supported");
    refused(Tarball::new().global(&[("path", b"x")]).file("y", b""), "a global pax header sets path");
    refused(Tarball::new().pax(&[("uid", b"4294967295")]).file("y", b""), "no user or group number");
    // The size in the pax record counts: what a reader of the header alone takes for an entry is data.
    let inner = Tarball::new().file("smuggled", b"x").finish();
    let size = inner.len().to_string();
    let sandbox = unpacked(Tarball::new().pax(&[("size", size.as_bytes())]).claiming("outer", 0, &inner));
    assert_eq!(read(sandbox.at("outer")).unwrap(), inner);
    assert!(!sandbox.at("smuggled").exists());
    unpacked(Tarball::new().global(&[("comment", b"0123abcd")]).file("y", b""));
}

#[test]
fn overlay_attributes_are_refused() {
    for name in ["trusted.overlay.redirect", "user.overlay.opaque"] {
        let record = format!("SCHILY.xattr.{name}");
        refused(Tarball::new().pax(&[(&record, b"y")]).directory("d"), "which would steer an overlay mount");
    }
    let foreign = [("SCHILY.xattr.security.selinux", &b"system_u:object_r:bin_t:s0\0"[..])];
    let sandbox = Sandbox::new();
    let archive = Tarball::new().pax(&foreign).file("f", b"").finish();
    assert_eq!(try_unpack(&sandbox, &archive, &Options::default()).unwrap().dropped_xattrs, 1);
}

/// `cap_net_raw+ep`, revision 2 (linux/capability.h).
const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[test]
fn attributes_are_kept() {
    let sandbox = unpacked(
        Tarball::new()
            .mode(0o4755, 1234, 65534, 1_000_000_000)
            .file("suid", b"")
            .mode(0o555, 1, 2, 3)
            .directory("closed")
            .mode(0o640, 7, 8, 9)
            .file("closed/inside", b"x")
            .pax(&[("uid", b"70000"), ("mtime", b"-5.5"), ("SCHILY.xattr.user.note", b"a\nb")])
            .file("pax", b"")
            .pax(&[("SCHILY.xattr.security.capability", CAPABILITY)])
            .file("ping", b"")
            .mode(0o1777, 0, 0, 5)
            .directory("./"),
    );
    let stat = |path: &str| symlink_metadata(sandbox.at(path)).unwrap();
    assert_eq!(stat("closed").mtime(), 3, "a directory's time is not that of the last file put into it");
    assert_eq!((stat("pax").mtime(), stat("pax").mtime_nsec()), (-6, 500_000_000));
    assert_eq!((stat("").permissions().mode() & 0o7777, stat("").mtime()), (0o1777, 5));
    let mut note = [0; 8];
    let length = rustix::fs::getxattr(sandbox.at("pax"), "user.note", &mut note[..]).unwrap();
    assert_eq!(&note[..length], b"a\nb");
    assert_eq!(stat("closed").permissions().mode() & 0o7777, 0o555);
    if is_root() {
        let mut value = [0; 32];
        let size = rustix::fs::getxattr(sandbox.at("ping"), "security.capability", &mut value[..]).unwrap();
        assert_eq!(&value[..size], CAPABILITY, "kept although the owner was set");
        assert_eq!((stat("suid").mode(), stat("suid").uid(), stat("suid").gid()), (0o104755, 1234, 65534));
        assert_eq!(
            (stat("closed/inside").uid(), stat("closed/inside").gid(), stat("pax").uid()),
            (7, 8, 70000)
        );
    } else {
        assert_eq!(stat("suid").mode(), 0o100755);
    }
}

#[test]
fn damage_and_truncation() {
    let archive = Tarball::new().file("a", &[1; 3000]).file("b", b"x").finish();
    let error = |bytes: &[u8]| try_unpack(&Sandbox::new(), bytes, &Options::default()).unwrap_err();
    for end in (0..archive.len() - 1024).step_by(128) {
        let error = error(&archive[..end]);
        assert!(error.contains("truncated"), "cut at {end}: {error}");
    }
    let mut flipped = archive.clone();
    flipped[5] ^= 1;
    assert!(error(&flipped).contains("checksum is wrong"));
    assert!(error(b"#!/bin/sh\n").contains("truncated"));
    assert!(error(&[b'x'; 4096]).contains("checksum is wrong"));
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Xz] {
        let mut encoder = Encoder::new(compression, Vec::new()).unwrap();
        encoder.write_all(&archive).unwrap();
        let packed = encoder.finish().unwrap();
        try_unpack(&Sandbox::new(), &packed, &Options::default()).unwrap();
        // Every entry is whole in all of these but the shortest, and still the archive is not.
        for end in [packed.len() / 2, packed.len() - 5, packed.len() - 1] {
            error(&packed[..end]);
        }
    }
}

#[test]
fn bombs() {
    let limits = Limits { size_max: 1 << 20, ratio_max: 20, ratio_from: 1 << 17 };
    let options = Options { limits, ..Options::default() };
    let big = Tarball::new().file("ok", b"").file("zeros", &vec![0; 900_000]).finish();
    let mut encoder = Encoder::new(Compression::Gzip, Vec::new()).unwrap();
    encoder.write_all(&big).unwrap();
    let error = try_unpack(&Sandbox::new(), &encoder.finish().unwrap(), &options).unwrap_err();
    assert!(error.contains("make zeros: unpacks to more than 20 times its size"), "{error}");
    let huge = Tarball::new().file("big", &vec![0; 1 << 20]).finish();
    let error = try_unpack(&Sandbox::new(), &huge, &options).unwrap_err();
    assert!(error.contains("make big: unpacks to more than the limit of 1048576 bytes"), "{error}");
    // A name of gigabytes is refused before it is read.
    let name = Tarball::new().claiming_long_name(1 << 32).finish();
    let error = try_unpack(&Sandbox::new(), &name, &Options::default()).unwrap_err();
    assert!(error.contains("an extension of 4294967296 bytes"), "{error}");
}

#[test]
fn a_target_with_contents_is_not_touched() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.target()).unwrap();
    std::fs::write(sandbox.at("mine"), "keep").unwrap();
    let archive = Tarball::new().file("f", b"").finish();
    let error = unpack(&archive[..], &sandbox.target(), &Options::default()).unwrap_err().to_string();
    assert!(error.contains("it is there and not empty"), "{error}");
    assert_eq!(read(sandbox.at("mine")).unwrap(), b"keep");
    std::fs::remove_file(sandbox.at("mine")).unwrap();
    unpack(&archive[..], &sandbox.target(), &Options::default()).unwrap();
    assert!(sandbox.at("f").exists(), "an empty directory is taken");
}

#[test]
fn a_failed_deep_or_closed_tree_is_removed_whole() {
    let mut tarball = Tarball::new();
    let deep = vec!["d"; 1500].join("/");
    tarball = tarball.pax(&[("path", deep.as_bytes())]).directory("x");
    tarball = tarball.mode(0o000, 0, 0, 0).directory("closed").file("closed/f", b"");
    refused(tarball.file("../end", b""), "'..'");
}
