//! Whatever entries an archive has, nothing outside the target changes, and the two sinks agree about it.

mod layout;
mod tarball;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use proptest::prelude::*;
use rootfs_builder::alpine::Arch;
use rootfs_builder::directory::Directory;
use rootfs_builder::image::{Layout, Wanted};
use rootfs_builder::store::{Contents, ImageName, Store};
use rootfs_builder::tree::{Kind, Tree};
use rootfs_builder::unpack::{Options, apply, unpack};
use tarball::{Sandbox, Tarball};

#[derive(Clone, Debug)]
enum Op {
    Directory(String),
    File(String),
    Symlink(String, String),
    HardLink(String, String),
    Fifo(String),
}

/// Paths of few parts, so that entries meet, and of the parts that lead to trouble.
fn path(hostile: bool) -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "c"]),
        1 => prop::sample::select(if hostile { vec!["..", ".", "", "outside", "secret", "\n"] } else { vec!["d"] }),
    ];
    let slash = if hostile { 0.02 } else { 0.0 };
    (prop::bool::weighted(slash), prop::collection::vec(part, 1..4))
        .prop_map(|(absolute, parts)| format!("{}{}", if absolute { "/" } else { "" }, parts.join("/")))
}

fn operation(hostile: bool) -> impl Strategy<Value = Op> {
    let target = prop_oneof![
        path(hostile),
        prop::sample::select(vec![
            "..",
            ".",
            "../..",
            "../../outside",
            "/",
            "/tmp",
            "../../outside/secret",
            "a/.."
        ])
        .prop_map(str::to_owned)
    ];
    prop_oneof![
        3 => path(hostile).prop_map(Op::Directory),
        3 => path(hostile).prop_map(Op::File),
        2 => (path(hostile), target).prop_map(|(path, target)| Op::Symlink(path, target)),
        2 => (path(hostile), path(hostile)).prop_map(|(path, target)| Op::HardLink(path, target)),
        1 => path(hostile).prop_map(Op::Fifo),
    ]
}

/// Mostly honest paths, or nearly every list would be refused at its start.
fn operations() -> impl Strategy<Value = Vec<Op>> {
    prop_oneof![prop::collection::vec(operation(false), 0..20), prop::collection::vec(operation(true), 0..8),]
}

/// Entries of a layer: honest paths, no hard links (which may only lead to the layer's own files when it is kept
/// apart), and deletions.
fn layer() -> impl Strategy<Value = Vec<Op>> {
    let marker = prop_oneof![
        3 => path(false).prop_map(|path| {
            let (parent, last) = path.rsplit_once('/').map_or(("", path.as_str()), |(parent, last)| (parent, last));
            format!("{parent}/.wh.{last}").trim_start_matches('/').to_owned()
        }),
        1 => path(false).prop_map(|path| format!("{path}/.wh..wh..opq")),
    ];
    let entry = prop_oneof![
        3 => path(false).prop_map(Op::Directory),
        3 => path(false).prop_map(Op::File),
        1 => path(false).prop_map(|path| Op::Symlink(path, "a".into())),
        3 => marker.prop_map(Op::File),
    ];
    prop::collection::vec(entry, 0..6)
}

fn archive(operations: &[Op]) -> Vec<u8> {
    let mut tarball = Tarball::new();
    for (index, operation) in operations.iter().enumerate() {
        tarball = match operation {
            Op::Directory(path) => tarball.directory(path),
            Op::File(path) => tarball.file(path, format!("{index}").as_bytes()),
            Op::Symlink(path, target) => tarball.symlink(path, target),
            Op::HardLink(path, target) => tarball.hard_link(path, target),
            Op::Fifo(path) => tarball.fifo(path),
        };
    }
    tarball.finish()
}

/// Name to kind and contents of what was unpacked.
fn on_disk(top: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut seen = BTreeMap::new();
    let mut pending = vec![top.to_owned()];
    while let Some(path) = pending.pop() {
        let stat = std::fs::symlink_metadata(&path).unwrap();
        let summary = if stat.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "directory".to_owned()
        } else if stat.is_symlink() {
            format!("link {:?}", std::fs::read_link(&path).unwrap().as_os_str().as_bytes())
        } else if stat.file_type().is_fifo() {
            "fifo".to_owned()
        } else {
            format!("file {:?}", std::fs::read(&path).unwrap())
        };
        seen.insert(path.strip_prefix(top).unwrap().as_os_str().as_bytes().to_vec(), summary);
    }
    seen
}

fn in_memory_view(tree: &Tree) -> BTreeMap<Vec<u8>, String> {
    let summary = |kind: &Kind| match kind {
        Kind::Directory => "directory".to_owned(),
        Kind::Symlink(target) => format!("link {target:?}"),
        Kind::Special(_) => "fifo".to_owned(),
        Kind::File(content) => {
            let mut bytes = Vec::new();
            std::io::copy(&mut content.open().unwrap(), &mut bytes).unwrap();
            format!("file {bytes:?}")
        }
    };
    tree.iter().map(|(name, _, node)| (name.as_bytes().to_vec(), summary(&node.kind))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_outside_changes_and_sinks_agree(operations in operations()) {
        let sandbox = Sandbox::new();
        let before = sandbox.outside();
        let archive = archive(&operations);
        let result = unpack(&archive[..], &sandbox.target(), &Options::default());
        prop_assert_eq!(sandbox.outside(), before);
        let mut tree = Tree::new();
        let in_tree = apply(&archive[..], &mut tree, &Options::default());
        prop_assert_eq!(result.is_ok(), in_tree.is_ok(), "{:?} {:?}", result, in_tree);
        if result.is_ok() {
            prop_assert_eq!(sandbox.beside(), ["target"]);
            tree.insert_name(rootfs_builder::name::Name::ROOT, root()).unwrap();
            prop_assert_eq!(on_disk(&sandbox.target()), in_memory_view(&tree));
        } else {
            prop_assert_eq!(sandbox.beside(), [""; 0]);
        }
    }

    #[test]
    fn a_tree_written_out_and_read_again_is_the_same(operations in operations()) {
        let mut tree = Tree::new();
        tree.directory("/", 0o755).unwrap();
        // What was applied before a refusal counts too.
        drop(apply(&archive(&operations)[..], &mut tree, &Options::default()));
        let sandbox = Sandbox::new();
        std::fs::create_dir(sandbox.target()).unwrap();
        let mut directory = Directory::open(&sandbox.target()).unwrap();
        tree.write_to(&mut directory).unwrap();
        directory.finish().unwrap();
        let mut again = Tree::new();
        again.host_directory("/", &sandbox.target()).unwrap();
        prop_assert_eq!(in_memory_view(&again), in_memory_view(&tree));
    }

    #[test]
    fn any_bytes_are_an_archive_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..2048), flip in 0usize..4096) {
        drop(apply(&bytes[..], &mut Tree::new(), &Options::default()));
        let mut damaged = Tarball::new().pax(&[("path", b"a/b")]).file("x", &bytes).gnu_long_name("c").fifo("d").finish();
        let place = flip % damaged.len();
        damaged[place] ^= 1 << (flip % 8);
        drop(apply(&damaged[..], &mut Tree::new(), &Options::default()));
    }
}

fn root() -> rootfs_builder::tree::Node {
    rootfs_builder::tree::Node::new(rootfs_builder::meta::Meta::root(0o755), Kind::Directory)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layers_kept_apart_and_merged_are_the_same(layers in prop::collection::vec(layer(), 1..4)) {
        if !tarball::is_root() {
            // Overlay mounts need root.
            return Ok(());
        }
        let dir = tempfile::tempdir().unwrap();
        let layout = layout::LayoutDirectory::new(&dir.path().join("layout"));
        let archives: Vec<_> = layers.iter().map(|layer| archive(layer)).collect();
        layout.index(&[layout.image(&archives, "amd64")]);
        let wanted = Wanted { arch: Arch::X86_64, reference: None };
        let image = Layout::open_directory(&layout.path).unwrap().image(&wanted).unwrap();
        let mut merged = Tree::new();
        merged.directory("/", 0o755).unwrap();
        let in_memory = image.squash(&mut merged, &Options::default());
        let store = Store::at(dir.path().join("images"));
        let name: ImageName = "i".parse().unwrap();
        let apart = store.import(&image, &name, true, &Options::default(), false);
        prop_assert_eq!(in_memory.is_ok(), apart.is_ok(), "{:?} {:?}", in_memory, apart);
        if let Ok((stored, _)) = apart {
            prop_assert_eq!(in_memory_view(&store.tree(&stored).unwrap()), in_memory_view(&merged));
            let Contents::Layers(paths) = stored.contents else { panic!("not kept apart") };
            prop_assert_eq!(in_memory_view(&layout::overlay_view(&paths, dir.path())), in_memory_view(&merged));
        }
    }
}
