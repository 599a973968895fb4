//! What is written in other forms: read back by ourselves, by the tools of others, and the same every time.

mod need;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use need::{programs_and_root, skip};
use rootfs_builder::alpine::Arch;
use rootfs_builder::filesystem::{self, Filesystem};
use rootfs_builder::image::{Layout, Metadata, Wanted, write_archive, write_layout};
use rootfs_builder::meta::{Attributes, Meta, Timestamp};
use rootfs_builder::name::Name;
use rootfs_builder::sink::Sink;
use rootfs_builder::tree::{Kind, Node, Special, Tree};
use rootfs_builder::unpack::{Options, apply};
use serde_json::json;

/// What a tree holds, in full: hard links show as the first of their names.
fn listing(tree: &Tree, with_times: bool) -> BTreeMap<Vec<u8>, String> {
    let mut first = BTreeMap::new();
    let describe = |(name, id, node): (&Name, _, &Node)| {
        let first = first.entry(id).or_insert_with(|| name.to_string()).clone();
        let Attributes { meta, mtime, xattrs } = &node.attributes;
        let kind = match &node.kind {
            Kind::File(content) => {
                let mut bytes = Vec::new();
                std::io::copy(&mut content.open().unwrap(), &mut bytes).unwrap();
                format!("{}", String::from_utf8_lossy(&bytes))
            }
            other => format!("{other:?}"),
        };
        let time = if with_times { mtime.seconds } else { 0 };
        (name.as_bytes().to_vec(), format!("{first} {meta:?} {time} {xattrs:?} {kind}"))
    };
    tree.iter().map(describe).collect()
}

/// Something of everything that every form can hold.
fn example() -> Tree {
    let mut tree = Tree::new();
    let at = |mode, uid, seconds| Attributes {
        mtime: Timestamp::from_seconds(seconds),
        ..Attributes::new(Meta { mode, uid, gid: uid + 1 })
    };
    let node = |attributes, kind| Node { attributes, kind };
    tree.directory("/", 0o711).unwrap();
    tree.insert("home/me", node(at(0o700, 1000, 1000), Kind::Directory)).unwrap();
    tree.file("home/me/notes", 0o640, *b"mine").unwrap();
    tree.hard_link("linked", "home/me/notes").unwrap();
    tree.file("bin/su", 0o4755, vec![b'x'; 70_000]).unwrap();
    tree.file("empty", 0o444, *b"").unwrap();
    tree.symlink("bin/sh", "su").unwrap();
    tree.char_device("dev/null", 0o666, 1, 3).unwrap();
    tree.insert("run/pipe", node(at(0o600, 0, 1000), Kind::Special(Special::Fifo))).unwrap();
    tree.file(&format!("long/{}/{}", "a".repeat(200), "b".repeat(100)), 0o644, *b"deep").unwrap();
    tree.symlink("long/link", &"target/".repeat(40)).unwrap();
    tree
}

/// The same but for times.
#[track_caller]
fn assert_same(one: &Tree, other: &Tree) {
    let (one, other) = (listing(one, false), listing(other, false));
    for (name, what) in &one {
        assert_eq!(Some(what), other.get(name), "{}", String::from_utf8_lossy(name));
    }
    assert_eq!(one.len(), other.len());
}

fn tar(tree: &Tree, latest: Option<u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    rootfs_builder::tarball::write(tree, latest, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_tar_is_read_back_whole() {
    let mut tree = example();
    tree.insert("odd", Node::new(Meta { mode: 0o600, uid: 4_000_000_000, gid: 3_000_000 }, Kind::Directory))
        .unwrap();
    let mut attributes = Attributes::new(Meta::root(0o644));
    attributes.xattrs = vec![(b"security.capability".to_vec(), b"\x01\0\0\x02\n\0=".to_vec())];
    tree.insert("capable", Node { attributes, kind: Kind::Directory }).unwrap();
    let bytes = tar(&tree, None);
    let mut again = Tree::new();
    apply(&bytes[..], &mut again, &Options::default()).unwrap();
    assert_eq!(listing(&again, true), listing(&tree, true));
    assert_eq!(tar(&again, None), bytes);
    let mut clamped = Tree::new();
    apply(&tar(&tree, Some(7))[..], &mut clamped, &Options::default()).unwrap();
    let latest = clamped.iter().map(|(.., node)| node.attributes.mtime.seconds).max();
    assert_eq!(latest, Some(7));
    let mut with_socket = Tree::new();
    with_socket.insert("s", Node::new(Meta::root(0o600), Kind::Special(Special::Socket))).unwrap();
    let error = rootfs_builder::tarball::write(&with_socket, None, std::io::sink()).unwrap_err().to_string();
    assert_eq!(error, "write to the archive s: the format cannot hold a socket");
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn directory(path: &Path) -> Tree {
    let mut tree = Tree::new();
    tree.host_directory("/", path).unwrap();
    tree
}

#[test]
fn tar_reads_our_archive() {
    if !programs_and_root(&["tar"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (archive, out) = (dir.path().join("a.tar"), dir.path().join("out"));
    std::fs::write(&archive, tar(&example(), None)).unwrap();
    std::fs::create_dir(&out).unwrap();
    succeeds(Command::new("tar").args(["-xpf"]).arg(&archive).arg("--numeric-owner").arg("-C").arg(&out));
    assert_eq!(listing(&directory(&out), true), listing(&example(), true));
}

fn metadata() -> Metadata {
    Metadata {
        arch: Arch::X86_64,
        config: json!({ "Cmd": ["/bin/sh"], "Env": ["PATH=/bin"] }),
        reference: Some("pot:1".into()),
        created: Some(86_400),
    }
}

fn layout(at: &Path) -> PathBuf {
    let path = at.join("layout");
    std::fs::create_dir(&path).unwrap();
    write_layout(&example(), &metadata(), &path).unwrap();
    path
}

#[test]
fn our_image_is_read_back_and_reproducible() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = Wanted { arch: Arch::X86_64, reference: Some("pot:1".into()) };
    let image = Layout::open_directory(&layout(dir.path())).unwrap().image(&wanted).unwrap();
    let mut tree = Tree::new();
    image.squash(&mut tree, &Options::default()).unwrap();
    assert_same(&tree, &example());
    let config: serde_json::Value = serde_json::from_slice(&image.config).unwrap();
    assert_eq!((&config["config"], &config["created"]), (&metadata().config, &json!("1970-01-02T00:00:00Z")));
    let mut archives = [Vec::new(), Vec::new()];
    for archive in &mut archives {
        write_archive(&example(), &metadata(), dir.path(), archive).unwrap();
    }
    assert_eq!(archives[0], archives[1]);
    assert!(Layout::is_in(&archives[0][..]).unwrap());
}

#[test]
fn umoci_and_skopeo_read_our_image() {
    if !programs_and_root(&["umoci", "skopeo"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(dir.path());
    let image = format!("{}:pot:1", layout.display());
    let inspected = succeeds(Command::new("skopeo").args(["inspect", "--config", &format!("oci:{image}")]));
    let config: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(config["config"]["Cmd"], json!(["/bin/sh"]));
    let target = format!("docker-archive:{}:pot:1", dir.path().join("docker.tar").display());
    succeeds(Command::new("skopeo").args(["copy", "--insecure-policy", &format!("oci:{image}"), &target]));
    // umoci's names of images have no colon.
    let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
    std::fs::write(layout.join("index.json"), index.replace("pot:1", "pot")).unwrap();
    let bundle = dir.path().join("bundle");
    let image = format!("{}:pot", layout.display());
    succeeds(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle));
    assert_same(&directory(&bundle.join("rootfs")), &example());
    // And what skopeo wrote from ours, we read.
    let docker = std::fs::File::open(dir.path().join("docker.tar")).unwrap();
    let layout = Layout::read_archive(docker, Default::default()).unwrap();
    let wanted = Wanted { arch: Arch::X86_64, reference: Some("docker.io/library/pot:1".into()) };
    let mut tree = Tree::new();
    layout.image(&wanted).unwrap().squash(&mut tree, &Options::default()).unwrap();
    assert_same(&tree, &example());
}

#[test]
fn skopeo_and_umoci_read_our_layout() {
    if !programs_and_root(&["umoci", "skopeo"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut tree = example();
    tree.directory("/", 0o755).unwrap();
    let layout = dir.path().join("layout");
    std::fs::create_dir(&layout).unwrap();
    let metadata = Metadata {
        arch: Arch::HOST,
        config: json!({ "Cmd": ["/bin/sh"], "StopSignal": "SIGQUIT" }),
        reference: Some("pot:1".into()),
        created: Some(1000),
    };
    let digest = write_layout(&tree, &metadata, &layout).unwrap().prefixed();
    let mut skopeo = Command::new("skopeo");
    skopeo.env("HOME", dir.path()).args(["--insecure-policy", "inspect"]);
    let told = succeeds(skopeo.arg(format!("oci:{}:pot:1", layout.display())));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["Digest"], &told["Created"]), (&json!(digest), &json!("1970-01-01T00:16:40Z")));
    let bundle = dir.path().join("bundle");
    let mut umoci = Command::new("umoci");
    umoci.args(["unpack", "--image"]).arg(format!("{}:pot:1", layout.display())).arg(&bundle);
    succeeds(&mut umoci);
    let mut unpacked = Tree::new();
    unpacked.host_directory("/", &bundle.join("rootfs")).unwrap();
    assert_eq!(listing(&unpacked, false), listing(&tree, false));
}

#[test]
fn podman_loads_our_archive_and_we_what_it_saves() {
    if !programs_and_root(&["podman"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("image.tar");
    write_archive(&example(), &metadata(), dir.path(), std::fs::File::create(&archive).unwrap()).unwrap();
    let podman = || {
        let mut command = Command::new("podman");
        command.args(["--storage-driver", "vfs", "--root"]).arg(dir.path().join("root"));
        command.arg("--runroot").arg(dir.path().join("run"));
        command
    };
    succeeds(podman().args(["load", "--quiet", "--input"]).arg(&archive));
    assert!(succeeds(podman().args(["images", "--format", "{{.Repository}}:{{.Tag}}"])).contains("pot:1"));
    for format in ["docker-archive", "oci-archive"] {
        let saved = dir.path().join(format);
        succeeds(podman().args(["save", "--quiet", "--format", format, "--output"]).arg(&saved).arg("pot:1"));
        let layout = Layout::read_archive(std::fs::File::open(&saved).unwrap(), Default::default()).unwrap();
        let mut tree = Tree::new();
        let wanted = Wanted { arch: Arch::X86_64, reference: None };
        layout.image(&wanted).unwrap().squash(&mut tree, &Options::default()).unwrap();
        assert_same(&tree, &example());
    }
}

#[track_caller]
fn written_twice(filesystem: Filesystem, at: &Path) -> PathBuf {
    let paths = ["one", "two"].map(|name| at.join(name));
    let write = |path: &Path| filesystem::write(&example(), filesystem, Some(2_000), None, path).unwrap();
    write(&paths[0]);
    // In another second of the clock.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    write(&paths[1]);
    if filesystem != Filesystem::Ext4 {
        assert!(std::fs::read(&paths[0]).unwrap() == std::fs::read(&paths[1]).unwrap(), "not the same bytes");
    }
    paths[0].clone()
}

/// What the kernel shows of a file system; `None`, said aloud, where it cannot mount one.
fn mounted(filesystem: &str, image: &Path, at: &Path) -> Option<Tree> {
    if !std::fs::read_to_string("/proc/filesystems").unwrap().lines().any(|line| line.ends_with(filesystem))
        || !Path::new("/dev/loop-control").exists()
    {
        skip(&format!("this kernel mounts no {filesystem}"));
        return None;
    }
    let (mount, copy) = (at.join("mount"), at.join("copy"));
    for path in [&mount, &copy] {
        std::fs::create_dir(path).unwrap();
    }
    // In a namespace of its own, with which the mount goes and the loop device is free again.
    let script = "mount -t \"$1\" -o loop,ro \"$2\" \"$3\" && cp -a \"$3/.\" \"$4\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", filesystem]);
    succeeds(command.args([image, &mount, &copy]));
    Some(directory(&copy))
}

#[test]
fn squashfs() {
    if !programs_and_root(&["mksquashfs"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = written_twice(Filesystem::Squashfs, dir.path());
    let out = dir.path().join("out");
    succeeds(Command::new("unsquashfs").args(["-no-progress", "-d"]).arg(&out).arg(image));
    assert_same(&directory(&out), &example());
    let mut tree = Tree::new();
    tree.insert("/", Node::new(Meta { mode: 0o755, uid: 5, gid: 0 }, Kind::Directory)).unwrap();
    let error =
        filesystem::write(&tree, Filesystem::Squashfs, None, None, &dir.path().join("x")).unwrap_err();
    assert!(error.to_string().contains("to root only"), "{error}");
}

#[test]
fn erofs() {
    if !programs_and_root(&["mkfs.erofs"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = written_twice(Filesystem::Erofs, dir.path());
    succeeds(Command::new("fsck.erofs").arg(&image));
    if let Some(tree) = mounted("erofs", &image, dir.path()) {
        assert_same(&tree, &example());
    }
}

#[test]
fn ext4() {
    if !programs_and_root(&["mke2fs"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = written_twice(Filesystem::Ext4, dir.path());
    succeeds(Command::new("e2fsck").args(["-f", "-n"]).arg(&image));
    if let Some(mut tree) = mounted("ext4", &image, dir.path()) {
        tree.whiteout(&Name::parse(b"lost+found").unwrap()).unwrap();
        assert_same(&tree, &example());
    }
    let error =
        filesystem::write(&example(), Filesystem::Ext4, None, Some(128 << 10), &dir.path().join("small"));
    assert!(error.unwrap_err().to_string().starts_with("make "), "too small");
}
