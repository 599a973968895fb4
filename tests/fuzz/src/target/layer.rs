//! Layers of an image: nothing outside of the tree is touched, and the tree in memory is the one on disk.

use rootfs_builder::directory::Directory;
use rootfs_builder::layer::Layer;
use rootfs_builder::tree::Tree;
use rootfs_builder::unpack::{Devices, Options, apply};
use std::fs;
use std::path::Path;

/// Header and data of an archive come in blocks of this many bytes.
const BLOCK: usize = 512;
/// Where a header keeps its checksum, and its size.
const CHECKSUM: std::ops::Range<usize> = 148..156;
const SIZE: std::ops::Range<usize> = 124..136;
const OPTIONS: Options = Options {
    limits: rootfs_builder::compress::Limits { size_max: 1 << 20, ratio_max: 100, ratio_from: 1 << 16 },
    devices: Devices::Skip,
};

/// Two layers, of archives whose checksums are put right: a mutation would hardly meet them.
pub(super) fn run(data: &[u8]) {
    let middle = data.len() / 2 / BLOCK * BLOCK;
    let layers = [data.get(..middle), data.get(middle..)].map(|part| mend(part.unwrap_or_default()));
    let mut tree = Tree::new();
    let in_memory = layers.iter().try_for_each(|archive| {
        let mut layer = Layer::new(&mut tree);
        apply(&archive[..], &mut layer, &OPTIONS).and_then(|_| layer.finish())
    });
    let sandbox = tempfile::tempdir().expect("a temporary directory");
    let (inside, outside) = (sandbox.path().join("inside"), sandbox.path().join("outside"));
    fs::create_dir(&inside).expect("the tree");
    fs::write(&outside, "untouched").expect("a file beside it");
    let on_disk = Directory::open(&inside).and_then(|mut directory| {
        layers.iter().try_for_each(|archive| {
            let mut layer = Layer::new(&mut directory);
            apply(&archive[..], &mut layer, &OPTIONS).and_then(|_| layer.finish())
        })?;
        directory.finish()
    });
    assert_eq!(fs::read(&outside).expect("the file beside it"), b"untouched");
    assert_eq!(fs::read_dir(sandbox.path()).expect("the directory").count(), 2);
    if in_memory.is_ok() && on_disk.is_ok() {
        // The root of the directory was there before.
        let names = tree.iter().filter(|(name, _, _)| !name.is_root()).count();
        assert_eq!(count(&inside), names, "more or fewer files on disk than in memory");
    }
}

/// How many entries are below `folder`.
fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("a directory of the tree");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry of the tree");
            1 + if entry.file_type().expect("its type").is_dir() { count(&entry.path()) } else { 0 }
        })
        .sum()
}

/// The archive with every header's checksum as it must be, and an end.
fn mend(archive: &[u8]) -> Vec<u8> {
    let mut mended = archive.get(..archive.len() / BLOCK * BLOCK).unwrap_or_default().to_vec();
    let mut at = 0;
    while let Some(header) = mended.get_mut(at..at + BLOCK) {
        header[CHECKSUM].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = std::str::from_utf8(&header[SIZE]).unwrap_or_default();
        let size = usize::from_str_radix(digits.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        at = at.saturating_add(BLOCK).saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
        if at > mended.len() {
            break;
        }
    }
    mended.resize(mended.len() + 2 * BLOCK, 0);
    mended
}
