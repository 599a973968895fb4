//! Where a root file system is taken from, whatever it is.

use std::fs::File;
use std::path::Path;

use rootfs_builder::image::{Layout, Wanted};
use rootfs_builder::store::{CONFIG, ImageName, Store};
use rootfs_builder::tree::Tree;
use rootfs_builder::unpack::{Options, apply};
use rootfs_builder::{Error, Result};
use serde_json::Value;

use crate::progress::Progress;

/// A root file system and, where it came from an image, the image's config.
pub(super) struct Source {
    pub(super) tree: Tree,
    pub(super) config: Option<Value>,
    /// The stored image's name, if it is one.
    pub(super) name: Option<ImageName>,
}

/// The root file system with nothing in it, as for `pipkin run`.
const SCRATCH: &str = "scratch";

/// Reads `source`: a path, or if nothing is there the name of a stored image or `scratch`.
pub(super) fn read(source: &str, wanted: &Wanted, store: &Store) -> Result<Source> {
    let path = Path::new(source);
    let mut tree = Tree::new();
    if source == SCRATCH && !path.exists() {
        return Ok(Source { tree, config: None, name: None });
    }
    if !path.exists()
        && let Ok(name) = source.parse::<ImageName>()
        && let Some(image) = store.find(&name)?
    {
        let config = image.path.join(CONFIG);
        let config = match std::fs::read(&config) {
            Ok(bytes) => Some(parse(&bytes, &config)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::new("read", config.display(), error)),
        };
        return Ok(Source { tree: store.tree(&image)?, config, name: Some(name) });
    }
    if let Some(layout) = layout_at(path, &Options::default())? {
        let image = layout.image(wanted)?;
        let _progress = Progress::of_unknown("read layers");
        image.squash(&mut tree, &Options::default())?;
        return Ok(Source { tree, config: Some(parse(&image.config, path)?), name: None });
    }
    if path.is_dir() {
        tree.host_directory("/", path)?;
    } else {
        let (progress, file) = open(path, "read")?;
        apply(progress.read(file), &mut tree, &Options::default())
            .map_err(|error| error.within(path.display()))?;
    }
    Ok(Source { tree, config: None, name: None })
}

fn parse(config: &[u8], path: &Path) -> Result<Value> {
    serde_json::from_slice(config).map_err(|error| {
        Error::refused("read", format!("the image config of {}", path.display()), error.to_string())
    })
}

/// The image with layers that `source` holds, if it does.
pub(super) fn layout_at(source: &Path, options: &Options) -> Result<Option<Layout>> {
    if source.is_dir() {
        return if Layout::is_at(source) { Layout::open_directory(source).map(Some) } else { Ok(None) };
    }
    let (_, file) = open(source, "read")?;
    if !Layout::is_in(file)? {
        return Ok(None);
    }
    let (progress, file) = open(source, "read")?;
    Layout::read_archive(progress.read(file), options.limits).map(Some)
}

pub(super) fn open(path: &Path, doing: &'static str) -> Result<(Progress, File)> {
    let failed = |error: std::io::Error| Error::new("open", path.display(), error);
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    Ok((Progress::of_bytes(doing, size), file))
}
