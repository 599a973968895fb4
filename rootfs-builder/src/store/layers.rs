//! Layers that several images share: `images/.layers/CHAIN`, each a directory for overlay mounts.
//!
//! CHAIN is the OCI chain ID, the digest of a layer together with all below it: a layer's directory is unpacked with
//! an eye on those (see [`Directory::open_layer`]), so the same archive above others may differ. An image refers
//! to its layers by relative links; a layer that no image and no image in the making refers to is garbage.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{Contents, LAYERS, Store};
use crate::digest::Digest;
use crate::directory::Directory;
use crate::error::{Doing, Error, Result};
use crate::image::{Image, ImageLayer};
use crate::layer::Layer;
use crate::meta::{Device, Travel, travel};
use crate::name::Name;
use crate::partial::Partial;
use crate::remove::remove_tree;
use crate::sink::Sink;
use crate::tree::{Kind, Node, NodeId, Tree};
use crate::unpack::{Options, Summary};

const SHARED: &str = ".layers";
const STORE: &str = "store the layer";

impl Store {
    /// Gives the image in the making the layers of `image`: `layers/000`, lowest first. Those that are in the
    /// store already are not unpacked again and not counted.
    pub(super) fn add_layers(&self, partial: &Partial, image: &Image, options: &Options) -> Result<Summary> {
        let links = partial.path().join(LAYERS);
        std::fs::create_dir(&links).doing(STORE, || links.display())?;
        let mut total = Summary::default();
        let mut lower = Vec::new();
        let mut chain = None;
        for (index, layer) in image.layers.iter().enumerate() {
            let id = chain_id(chain, layer.diff_id()).doing(STORE, || layer.diff_id())?;
            chain = Some(id);
            let directory = self.directory.join(SHARED).join(id.to_string());
            if !self.refer(&links.join(format!("{index:03}")), id)? {
                total = total.and(self.unpack_layer(layer, &directory, &lower, &total.remaining(options))?);
            }
            lower.push(directory);
        }
        Ok(total)
    }

    /// What a stored image looks like, its layers merged.
    pub fn tree(&self, image: &super::Image) -> Result<Tree> {
        let mut tree = Tree::new();
        match &image.contents {
            Contents::Rootfs(path) => tree.host_directory("/", path)?,
            Contents::Layers(paths) => {
                for path in paths {
                    merge_layer(&mut tree, path)?;
                }
            }
        }
        Ok(tree)
    }

    /// Makes the link, by which the layer stays if it is there, and tells whether it is.
    fn refer(&self, link: &Path, id: Digest) -> Result<bool> {
        let _list = self.lock_list()?;
        let target: PathBuf = ["..", "..", SHARED, &id.to_string()].iter().collect();
        std::os::unix::fs::symlink(target, link).doing(STORE, || link.display())?;
        link.try_exists().doing(STORE, || link.display())
    }

    fn unpack_layer(
        &self,
        layer: &ImageLayer,
        target: &Path,
        lower: &[PathBuf],
        options: &Options,
    ) -> Result<Summary> {
        let partial = {
            // Or it could be taken for a leftover before it is locked.
            let _list = self.lock_list()?;
            Partial::within(&self.directory)?
        };
        let mut directory = Directory::open_layer(partial.path(), lower)?;
        let mut summary = layer.apply(&mut directory, options)?;
        summary.dropped_xattrs = directory.finish()?;
        let fd = super::open_directory(partial.path()).doing(STORE, || target.display())?;
        rustix::fs::syncfs(fd).doing(STORE, || target.display())?;
        let _list = self.lock_list()?;
        let shared = self.directory.join(SHARED);
        match std::fs::DirBuilder::new().mode(0o755).create(&shared) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::new(STORE, shared.display(), error));
            }
            _ => {}
        }
        // Someone else may have stored the same layer meanwhile; then theirs is as good.
        if !target.try_exists().doing(STORE, || target.display())? {
            partial.rename_to(target)?;
        }
        Ok(summary)
    }

    /// Removes layers that nothing refers to. The caller holds the lock on the list.
    pub(super) fn sweep_layers(&self) -> Result<()> {
        const CLEAN: &str = "clean";
        let shared = self.directory.join(SHARED);
        let layers = match std::fs::read_dir(&shared) {
            Ok(layers) => layers,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::new(CLEAN, shared.display(), error)),
        };
        let used = self.used_layers().doing(CLEAN, || self.directory.display())?;
        for layer in layers {
            let layer = layer.doing(CLEAN, || shared.display())?;
            if !used.contains(&layer.file_name()) {
                remove_tree(&layer.path())?;
            }
        }
        Ok(())
    }

    /// Names of the layers that images refer to, those in the making included.
    fn used_layers(&self) -> std::io::Result<BTreeSet<OsString>> {
        let mut used = BTreeSet::new();
        for image in std::fs::read_dir(&self.directory)? {
            let links = match std::fs::read_dir(image?.path().join(LAYERS)) {
                Ok(links) => links,
                // No image with layers; an image in the making may go at any time.
                Err(_) => continue,
            };
            for link in links {
                if let Ok(target) = std::fs::read_link(link?.path()) {
                    used.extend(target.file_name().map(OsString::from));
                }
            }
        }
        Ok(used)
    }
}

/// Reads a layer in overlayfs's terms, back into deletions.
fn merge_layer(tree: &mut Tree, path: &Path) -> Result<()> {
    let mut raw = Tree::new();
    raw.host_directory("/", path)?;
    let mut layer = Layer::new(tree);
    let whiteout = Some(Device { major: 0, minor: 0 });
    let mut first_names: HashMap<NodeId, &Name> = HashMap::new();
    for (name, id, Node { attributes, kind }) in raw.iter() {
        let mut attributes = attributes.clone();
        let all = attributes.xattrs.len();
        attributes.xattrs.retain(|(xattr, _)| travel(xattr) != Travel::Refused);
        if matches!(kind, Kind::Special(special) if special.device() == whiteout) {
            layer.whiteout(name)?;
            continue;
        }
        if let Some(first) = first_names.get(&id) {
            layer.hard_link(name, first)?;
            continue;
        }
        match kind {
            Kind::Directory => {
                layer.directory(name, &attributes)?;
                // The one such attribute that is ever written says that it is opaque.
                if attributes.xattrs.len() < all {
                    layer.opaque(name, &BTreeSet::new())?;
                }
            }
            Kind::File(content) => {
                let mut data = content.open().doing("read", || name)?;
                layer.file(name, &attributes, &mut data)?;
            }
            Kind::Symlink(target) => layer.symlink(name, &attributes, target)?,
            Kind::Special(special) => layer.special(name, &attributes, *special)?,
        }
        first_names.insert(id, name);
    }
    layer.finish()
}

/// The chain ID of a layer above one with the chain ID `below` (OCI image specification, "Layer ChainID").
fn chain_id(below: Option<Digest>, diff_id: Digest) -> std::io::Result<Digest> {
    match below {
        None => Ok(diff_id),
        Some(below) => Digest::of(format!("{} {}", below.prefixed(), diff_id.prefixed()).as_bytes()),
    }
}
