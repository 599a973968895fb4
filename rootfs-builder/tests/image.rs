//! Images with layers: what they become merged and kept apart, and that nothing in them is believed.

mod layout;
mod need;
mod tarball;

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use layout::{LayoutDirectory, digest, for_platform, named, with};
use need::root;
use rootfs_builder::alpine::Arch;
use rootfs_builder::compress::{Compression, Limits};
use rootfs_builder::image::{Image, Layout, Wanted};
use rootfs_builder::store::{CONFIG, Contents, ImageName, Store};
use rootfs_builder::tree::{Kind, Tree};
use rootfs_builder::unpack::Options;
use serde_json::{Value, json};
use tarball::Tarball;

fn wanted() -> Wanted {
    Wanted { arch: Arch::X86_64, reference: None }
}

/// Names and short contents of what a root file system holds.
fn listing(tree: &Tree) -> BTreeMap<String, String> {
    let summary = |kind: &Kind| match kind {
        Kind::Directory => "/".to_owned(),
        Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
        Kind::Special(special) => format!("{special:?}"),
        Kind::File(content) => {
            let mut bytes = Vec::new();
            std::io::copy(&mut content.open().unwrap(), &mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    tree.iter().map(|(name, _, node)| (name.to_string(), summary(&node.kind))).collect()
}

fn directory(path: &Path) -> Tree {
    let mut tree = Tree::new();
    tree.host_directory("/", path).unwrap();
    tree
}

fn names(tree: &Tree) -> Vec<String> {
    listing(tree)
        .into_iter()
        .map(|(name, what)| if what == "/" { name } else { format!("{name}={what}") })
        .collect()
}

fn open(layers: &[Vec<u8>]) -> (tempfile::TempDir, Image) {
    let dir = tempfile::tempdir().unwrap();
    let layout = LayoutDirectory::new(&dir.path().join("layout"));
    layout.index(&[layout.image(layers, "amd64")]);
    let image = Layout::open_directory(&layout.path).unwrap().image(&wanted()).unwrap();
    (dir, image)
}

/// Merges the layers in memory and on disk, sees that both agree, and returns the result.
#[track_caller]
fn squashed(layers: &[Vec<u8>]) -> Result<Tree, String> {
    let (dir, image) = open(layers);
    let store = Store::at(dir.path().join("images"));
    let name: ImageName = "i".parse().unwrap();
    let mut tree = Tree::new();
    tree.directory("/", 0o755).unwrap();
    let in_memory = image.squash(&mut tree, &Options::default());
    let on_disk = store.import(&image, &name, false, &Options::default(), false);
    assert_eq!(in_memory.is_ok(), on_disk.is_ok(), "{in_memory:?} {on_disk:?}");
    match on_disk {
        Err(error) => {
            assert_eq!(std::fs::read_dir(store.directory()).unwrap().count(), 0, "something is left");
            Err(error.to_string())
        }
        Ok((stored, _)) => {
            assert_eq!(std::fs::read(stored.path.join(CONFIG)).unwrap(), image.config);
            assert_eq!(listing(&directory(&stored.path.join("rootfs"))), listing(&tree));
            Ok(tree)
        }
    }
}

fn lower() -> Vec<u8> {
    Tarball::new()
        .directory("d")
        .file("d/a", b"1")
        .file("d/b", b"1")
        .directory("d/sub")
        .file("d/sub/deep", b"1")
        .file("f", b"1")
        .symlink("l", "f")
        .finish()
}

#[test]
fn layers_add_replace_and_delete() {
    let upper = Tarball::new().file("d/.wh.a", b"").file("d/c", b"2").file("f", b"2").file(".wh.l", b"");
    let tree = squashed(&[lower(), upper.finish()]).unwrap();
    assert_eq!(names(&tree), [".", "d", "d/b=1", "d/c=2", "d/sub", "d/sub/deep=1", "f=2"]);
    let upper = Tarball::new().file(".wh.d", b"").file(".wh.never-there", b"");
    assert_eq!(names(&squashed(&[lower(), upper.finish()]).unwrap()), [".", "f=1", "l=-> f"]);
}

#[test]
fn what_a_layer_brings_it_does_not_delete() {
    let before = Tarball::new().file("d/.wh..wh..opq", b"").file("d/new", b"2").finish();
    let after = Tarball::new().file("d/new", b"2").file("d/.wh..wh..opq", b"").finish();
    for upper in [before, after] {
        let tree = squashed(&[lower(), upper]).unwrap();
        assert_eq!(names(&tree), [".", "d", "d/new=2", "f=1", "l=-> f"]);
    }
    let before = Tarball::new().file(".wh.d", b"").directory("d").file("d/sub/x", b"2").finish();
    let after = Tarball::new().directory("d").file("d/sub/x", b"2").file(".wh.d", b"").finish();
    for upper in [before, after] {
        let tree = squashed(&[lower(), upper]).unwrap();
        assert_eq!(names(&tree), [".", "d", "d/sub", "d/sub/x=2", "f=1", "l=-> f"]);
    }
    let upper = Tarball::new().file(".wh..wh..opq", b"").file("only", b"2").finish();
    assert_eq!(names(&squashed(&[lower(), upper]).unwrap()), [".", "only=2"]);
}

#[test]
fn a_layer_may_change_what_a_name_is() {
    let upper =
        Tarball::new().file("d", b"now a file").directory("f").file("f/x", b"2").directory("l").finish();
    assert_eq!(names(&squashed(&[lower(), upper]).unwrap()), [".", "d=now a file", "f", "f/x=2", "l"]);
    // Within one layer it may not.
    let error = squashed(&[Tarball::new().file("x", b"").directory("x").finish()]).unwrap_err();
    assert!(error.contains("make x of layer"), "{error}");
}

#[test]
fn hostile_layers() {
    for (upper, message) in [
        (Tarball::new().file("d/.wh...", b""), "apply d/.wh... of layer"),
        (Tarball::new().file("d/.wh..", b""), "a whiteout that names no file"),
        (Tarball::new().file(".wh.", b""), "a whiteout that names no file"),
        (Tarball::new().file("l/x", b""), "make l/x of layer"),
        (Tarball::new().file("../x", b""), "unpack ../x of layer"),
    ] {
        let error = squashed(&[lower(), upper.finish()]).unwrap_err();
        assert!(error.contains(message), "{error:?} instead of {message:?}");
    }
    // A deletion through a link is one of nothing.
    let through =
        Tarball::new().symlink("l", "../..").file("l/.wh.images", b"").file("f/.wh.x", b"").finish();
    assert_eq!(squashed(&[lower(), through]).unwrap().iter().count(), 8);
    // Notes of old storage drivers are passed over.
    let notes =
        Tarball::new().directory(".wh..wh.plnk").file(".wh..wh.plnk/1.2", b"").file(".wh..wh.aufs", b"");
    assert_eq!(names(&squashed(&[notes.finish()]).unwrap()), ["."]);
}

#[test]
fn layers_kept_apart_look_the_same_when_mounted() {
    if !root("overlay mounts need root") {
        return;
    }
    let layers = [
        lower(),
        Tarball::new().file("d/.wh.a", b"").file("d/c", b"2").file("d/sub/.wh..wh..opq", b"").finish(),
        Tarball::new().file(".wh.f", b"").file("g", b"3").directory("l").finish(),
        Tarball::new().file(".wh.d", b"").directory("d").file("d/last", b"4").file("f/x", b"4").finish(),
    ];
    for count in 1..=layers.len() {
        let (dir, image) = open(&layers[..count]);
        let store = Store::at(dir.path().join("images"));
        let (stored, _) =
            store.import(&image, &"i".parse().unwrap(), true, &Options::default(), false).unwrap();
        let Contents::Layers(paths) = stored.contents else { panic!("not kept apart") };
        assert_eq!(paths.len(), count);
        let seen = layout::overlay_view(&paths, dir.path());
        assert_eq!(listing(&seen), listing(&squashed(&layers[..count]).unwrap()), "{count} layers");
    }
}

#[test]
fn deletions_are_written_down_in_overlay_terms() {
    if !root("trusted attributes need root") {
        return;
    }
    let base = Tarball::new().mode(0o1777, 5, 6, 7).directory("d").mode(0o755, 0, 0, 0);
    let base = base.file("top", b"").file("d/a", b"").file("d/sub/x", b"");
    let upper = Tarball::new().file("d/.wh.a", b"").file("d/sub/.wh..wh..opq", b"").file(".wh.top", b"");
    let opaque = Tarball::new().file("d/.wh.sub", b"").file(".wh..wh..opq", b"").file("e", b"");
    let (dir, image) = open(&[base.finish(), upper.finish(), opaque.finish()]);
    let store = Store::at(dir.path().join("images"));
    let (stored, _) = store.import(&image, &"i".parse().unwrap(), true, &Options::default(), false).unwrap();
    let layer = stored.path.join("layers/001");
    let stat = |path: &str| std::fs::symlink_metadata(layer.join(path)).unwrap();
    assert!(stat("d/a").file_type().is_char_device() && stat("d/a").rdev() == 0);
    assert!(stat("top").file_type().is_char_device());
    assert!(stat("d").is_dir());
    assert_eq!((stat("d").mode(), stat("d").uid(), stat("d").gid()), (0o041777, 5, 6), "like the one below");
    let mut value = [0; 4];
    let size = rustix::fs::getxattr(layer.join("d/sub"), "trusted.overlay.opaque", &mut value[..]).unwrap();
    assert_eq!(&value[..size], b"y");
    let top = directory(&stored.path.join("layers/002"));
    let gone = "CharDevice(Device { major: 0, minor: 0 })";
    // `top` is gone already and a second whiteout changes nothing.
    let expected = [".".to_owned(), format!("d={gone}"), "e=".to_owned()];
    assert_eq!(names(&top), expected, "an opaque root deletes name by name");
}

#[test]
fn layers_are_shared_and_swept() {
    let own = |text: &str| Tarball::new().file(text, b"").finish();
    let dir = tempfile::tempdir().unwrap();
    let layout = LayoutDirectory::new(&dir.path().join("layout"));
    let one = named(layout.image(&[lower(), own("one")], "amd64"), "one");
    let two = named(layout.image(&[lower(), own("two")], "amd64"), "two");
    layout.index(&[one, two]);
    let store = Store::at(dir.path().join("images"));
    let shared = || std::fs::read_dir(store.directory().join(".layers")).unwrap().count();
    let layout = Layout::open_directory(&layout.path).unwrap();
    for (index, reference) in ["one", "two"].iter().enumerate() {
        let image = layout.image(&Wanted { reference: Some(reference.to_string()), ..wanted() }).unwrap();
        let name: ImageName = reference.parse().unwrap();
        let (_, summary) = store.import(&image, &name, true, &Options::default(), false).unwrap();
        assert_eq!(summary.entries, [8, 1][index], "a layer that is there is not unpacked again");
        assert_eq!(shared(), [2, 3][index]);
    }
    let layers = |name: &str| match store.find(&name.parse().unwrap()).unwrap().unwrap().contents {
        Contents::Layers(layers) => layers,
        Contents::Rootfs(_) => panic!("merged"),
    };
    assert!(layers("one")[1].join("one").exists() && layers("two")[1].join("two").exists());
    store.remove(&"one".parse().unwrap()).unwrap();
    assert_eq!(shared(), 2);
    assert!(layers("two")[0].join("d/sub/deep").exists());
    store.remove(&"two".parse().unwrap()).unwrap();
    assert_eq!(shared(), 0);
}

/// Makes a layout with one image, lets `spoil` change it, and returns what is said when it is imported.
fn spoiled(spoil: impl FnOnce(&LayoutDirectory, Value)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let layout = LayoutDirectory::new(&dir.path().join("layout"));
    let manifest = layout.image(&[lower()], "amd64");
    layout.index(std::slice::from_ref(&manifest));
    spoil(&layout, manifest);
    let store = Store::at(dir.path().join("images"));
    for keep_layers in [false, true] {
        let error = Layout::open_directory(&layout.path)
            .and_then(|layout| layout.image(&wanted()))
            .and_then(|image| {
                store.import(&image, &"i".parse().unwrap(), keep_layers, &Options::default(), false)
            })
            .expect_err("refused");
        assert!(store.list().unwrap().is_empty());
        if let Ok(left) = std::fs::read_dir(store.directory()) {
            assert!(left.flatten().all(|entry| entry.file_name() == ".layers"), "something is left");
        }
        if keep_layers {
            return error.to_string();
        }
    }
    unreachable!("returned above")
}

fn replace_blob(layout: &LayoutDirectory, descriptor: &Value, bytes: &[u8]) {
    std::fs::write(layout.blob_path(descriptor["digest"].as_str().unwrap()), bytes).unwrap();
}

#[test]
fn digests_are_compared() {
    let layer = layout::compressed(Compression::Gzip, &lower());
    let other = layout::compressed(Compression::Gzip, &Tarball::new().file("evil", b"").finish());
    // Another archive in the layer's place, padded or cut to its size.
    let error = spoiled(|layout, _| {
        let mut bytes = other.clone();
        bytes.resize(layer.len(), 0);
        replace_blob(layout, &json!({ "digest": digest(&layer) }), &bytes);
    });
    assert!(error.contains("of layer"), "{error}");
    let error = spoiled(|layout, _| replace_blob(layout, &json!({ "digest": digest(&layer) }), b"short"));
    assert!(error.contains("has 5 bytes instead of"), "{error}");
    let error = spoiled(|layout, _| std::fs::remove_file(layout.blob_path(&digest(&layer))).unwrap());
    assert!(error.contains("the image has no such file"), "{error}");
    // A manifest changed without a change of size.
    let error = spoiled(|layout, manifest| {
        let path = layout.blob_path(manifest["digest"].as_str().unwrap());
        let text =
            std::fs::read_to_string(&path).unwrap().replace("\"schemaVersion\":2", "\"schemaVersion\":3");
        std::fs::write(path, text).unwrap();
    });
    assert!(error.contains("SHA-256 is"), "{error}");
    // The blob is as its digest says, and the config says that the layer is another.
    let error = spoiled(|layout, _| {
        let blob = layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", &other);
        layout.index(&[layout.manifest(&layout.config(&[lower()], "amd64"), &[blob])]);
    });
    assert!(error.starts_with("verify the archive of layer") && error.contains("SHA-256 is"), "{error}");
    // Bytes behind the compressed stream are in the digest, too.
    let error = spoiled(|layout, _| {
        let blob = layout.blob("application/vnd.oci.image.layer.v1.tar", &lower());
        let longer = [lower(), vec![1; 512]].concat();
        layout.index(&[layout.manifest(&layout.config(&[longer], "amd64"), &[blob])]);
    });
    assert!(error.starts_with("verify the archive of layer"), "{error}");
}

#[test]
fn documents_that_do_not_fit() {
    let layer = |layout: &LayoutDirectory| layout.blob("application/vnd.oci.image.layer.v1.tar", &lower());
    type Spoil<'a> = &'a dyn Fn(&LayoutDirectory, Value);
    let cases: [(Spoil, &str); 9] = [
        (&|layout, _| layout.index(&[layout.image(&[lower()], "arm64")]), "for linux/arm64, not linux/amd64"),
        (&|layout, _| layout.index(&[]), "choose an image: none for linux/amd64"),
        (
            &|layout, one| layout.index(&[named(one, "a"), named(layout.image(&[], "amd64"), "b")]),
            "choose an image: 2 of them (--ref chooses one): a, b",
        ),
        (
            &|layout, _| layout.index(&[layout.manifest(&layout.config(&[], "amd64"), &[layer(layout)])]),
            "0 diff_ids for 1 layers",
        ),
        (
            &|layout, _| {
                let blob =
                    with(layer(layout), "mediaType", json!("application/vnd.example.chart.v1.tar+gzip"));
                layout.index(&[layout.manifest(&layout.config(&[lower()], "amd64"), &[blob])]);
            },
            "is no layer of files",
        ),
        (&|layout, one| layout.index(&[with(one, "digest", json!("sha512:00"))]), "not a sha256 digest"),
        (&|layout, one| layout.index(&[with(one, "digest", json!("sha256:../../x"))]), "not a sha256 digest"),
        (&|layout, _| std::fs::write(layout.path.join("index.json"), "{").unwrap(), "read index.json: EOF"),
        (
            &|layout, _| {
                std::fs::remove_file(layout.path.join("index.json")).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", layout.path.join("index.json")).unwrap();
            },
            "read index.json: path is absolute",
        ),
    ];
    for (spoil, message) in cases {
        let error = spoiled(spoil);
        assert!(error.contains(message), "{error:?} instead of {message:?}");
    }
}

#[test]
fn an_index_in_an_index_is_resolved_by_platform() {
    let dir = tempfile::tempdir().unwrap();
    let layout = LayoutDirectory::new(&dir.path().join("layout"));
    let image =
        |text: &str, architecture| layout.image(&[Tarball::new().file(text, b"").finish()], architecture);
    let inner = json!({ "schemaVersion": 2, "manifests": [
        for_platform(image("amd", "amd64"), "amd64", "linux"),
        for_platform(image("arm", "arm64"), "arm64", "linux"),
        for_platform(image("win", "amd64"), "amd64", "windows"),
        for_platform(image("attestation", "unknown"), "unknown", "unknown"),
    ]});
    layout.index(&[named(layout.blob(layout::INDEX, inner.to_string().as_bytes()), "latest")]);
    let opened = Layout::open_directory(&layout.path).unwrap();
    for (arch, file) in [(Arch::X86_64, "amd"), (Arch::Aarch64, "arm")] {
        let image = opened.image(&Wanted { arch, reference: Some("latest".into()) }).unwrap();
        let mut tree = Tree::new();
        image.squash(&mut tree, &Options::default()).unwrap();
        assert!(tree.get(file).is_some());
    }
    // An index that holds itself cannot be made with a digest; a deep one can.
    let mut descriptor = image("deep", "amd64");
    for _ in 0..6 {
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
        descriptor = layout.blob(layout::INDEX, index.to_string().as_bytes());
    }
    layout.index(&[descriptor]);
    let error = Layout::open_directory(&layout.path).unwrap().image(&wanted()).unwrap_err().to_string();
    assert!(error.contains("indexes within indexes"), "{error}");
}

/// A `docker save` archive: config, layers at these paths, more entries as they are.
fn docker_archive(layer_path: &str, more: impl FnOnce(Tarball) -> Tarball) -> Vec<u8> {
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [digest(&lower())] },
    });
    let config = config.to_string();
    let config_path = format!("{}.json", digest(config.as_bytes()).replace("sha256:", ""));
    let manifest = json!([{ "Config": config_path, "RepoTags": ["x:1"], "Layers": [layer_path] }]);
    let tarball = Tarball::new().file(&config_path, config.as_bytes());
    more(tarball).file("manifest.json", manifest.to_string().as_bytes()).finish()
}

#[test]
fn docker_archives() {
    let id = "1".repeat(64);
    let layer = format!("{id}/layer.tar");
    let read = |archive: &[u8]| {
        assert!(Layout::is_in(archive).unwrap());
        Layout::read_archive(archive, Limits::default())
            .and_then(|layout| layout.image(&wanted()))
            .and_then(|image| {
                let mut tree = Tree::new();
                image.squash(&mut tree, &Options::default()).map(|_| names(&tree))
            })
            .map_err(|error| error.to_string())
    };
    let honest = docker_archive(&layer, |tarball| tarball.directory(&id).file(&layer, &lower()));
    assert_eq!(read(&honest).unwrap().len(), 8);
    assert_eq!(read(&layout::compressed(Compression::Gzip, &honest)).unwrap().len(), 8);
    // Older archives have a link where two layers are equal.
    let other = "2".repeat(64);
    let linked = docker_archive(&layer, |tarball| {
        tarball
            .file(&format!("{other}/layer.tar"), &lower())
            .symlink(&layer, &format!("../{other}/layer.tar"))
    });
    assert_eq!(read(&linked).unwrap().len(), 8);
    for (target, message) in [
        ("/etc/passwd", "path is absolute"),
        ("../../../etc/passwd", "'..'"),
        ("layer.tar", "too many links"),
        ("../gone", "the image has no such file"),
    ] {
        let error = read(&docker_archive(&layer, |tarball| tarball.symlink(&layer, target))).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    let error = read(&docker_archive("../../etc/passwd", |tarball| tarball)).unwrap_err();
    assert!(error.contains("'..'"), "{error}");
    let error = read(&docker_archive(&layer, |tarball| tarball.file(&layer, b"other"))).unwrap_err();
    assert!(error.contains("of layer"), "{error}");
    let unwanted = Wanted { reference: Some("y:2".into()), ..wanted() };
    let error = Layout::read_archive(&honest[..], Limits::default()).unwrap().image(&unwanted).unwrap_err();
    assert_eq!(error.to_string(), "choose an image: none is called \"y:2\": x:1");
}

#[test]
fn a_root_file_system_is_not_taken_for_an_image() {
    assert!(!Layout::is_in(&lower()[..]).unwrap());
    let close = Tarball::new().directory("./").file("etc/oci-layout", b"").file("manifest.json", b"");
    assert!(!Layout::is_in(&close.finish()[..]).unwrap());
    assert!(Layout::is_in(&Tarball::new().directory("blobs").file("oci-layout", b"").finish()[..]).unwrap());
}
