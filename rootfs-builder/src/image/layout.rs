//! The files of an image layout or archive, and which document says what.

use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::document::{Config, Descriptor, DockerImage, Index, LayoutMarker, Manifest};
use super::select::{self, Wanted};
use super::{Image, ImageLayer, compare, read_small};
use crate::archive::{Archive, EntryKind};
use crate::compress::{Decoder, Limits};
use crate::digest::Digest;
use crate::error::{Doing, Error, Result};
use crate::name::{Name, printable};
use crate::tree::{Content, Kind, Tree};
use crate::unpack::{Options, apply};

/// Registries take manifests up to 4 MiB (OCI distribution specification, "Pushing Manifests"); configs are smaller.
const DOCUMENT_SIZE_MAX: u64 = 4 << 20;
/// An index may hold indexes; real ones do not go deeper than this.
const INDEX_DEPTH_MAX: u32 = 4;
const LINKS_MAX: u32 = 8;
/// More than any storage driver takes.
const LAYERS_MAX: usize = 500;

const READ: &str = "read";

/// An image layout or archive, opened.
#[derive(Debug)]
pub struct Layout {
    files: Tree,
}

impl Layout {
    /// Whether the directory `path` is an OCI image layout.
    pub fn is_at(path: &Path) -> bool {
        path.join("oci-layout").is_file()
    }

    /// Whether the tar archive `input` is an image's and not a root file system's. Reads no further than the first
    /// entry that only the latter would have.
    pub fn is_in(input: impl Read) -> Result<bool> {
        let decoder = Decoder::new(input, Limits::default()).doing(READ, || "the archive")?;
        let mut archive = Archive::new(decoder);
        while let Some(entry) = archive.next_entry()? {
            let Ok(name) = Name::parse(&entry.path) else { return Ok(false) };
            match name.as_bytes() {
                b"oci-layout" | b"manifest.json" if entry.kind == EntryKind::File => return Ok(true),
                b"" | b"index.json" | b"repositories" => {}
                _ => {
                    let first = name.components().next().unwrap_or_default();
                    let id = first.get(..64).unwrap_or_default();
                    let is_id = std::str::from_utf8(id).is_ok_and(|id| id.parse::<Digest>().is_ok());
                    if first != b"blobs" && !is_id {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Opens the directory `path`.
    pub fn open_directory(path: &Path) -> Result<Layout> {
        let mut files = Tree::new();
        files.host_directory("/", path)?;
        Ok(Layout { files })
    }

    /// Reads the tar archive `input`, compressed or not, into a temporary file.
    pub fn read_archive(input: impl Read, limits: Limits) -> Result<Layout> {
        let mut files = Tree::new();
        apply(input, &mut files, &Options { limits, ..Options::default() })?;
        Ok(Layout { files })
    }

    /// Finds the one image that is wanted. Its config is verified; its layers are when they are applied.
    pub fn image(&self, wanted: &Wanted) -> Result<Image> {
        let Some(marker) = self.file("oci-layout")? else {
            return self.docker_image(wanted);
        };
        let marker: LayoutMarker =
            document(&read_small(marker, DOCUMENT_SIZE_MAX, "oci-layout")?, "oci-layout")?;
        if !marker.version.starts_with("1.") {
            return Err(Error::refused(READ, "oci-layout", format!("version {:?} is not 1", marker.version)));
        }
        let bytes = read_small(self.required("index.json")?, DOCUMENT_SIZE_MAX, "index.json")?;
        let mut index: Index = document(&bytes, "index.json")?;
        // Names are in the outermost index only.
        let mut manifest = select::by_name(&index.manifests, wanted)?;
        for _ in 0..INDEX_DEPTH_MAX {
            let chosen = select::by_platform(&manifest, wanted)?;
            if !select::is_index(chosen) {
                return self.oci_image(chosen, wanted);
            }
            index = document(&self.blob_bytes(chosen)?, &chosen.digest)?;
            manifest = index.manifests.iter().collect();
        }
        Err(Error::refused(READ, "index.json", "indexes within indexes without end"))
    }

    fn oci_image(&self, descriptor: &Descriptor, wanted: &Wanted) -> Result<Image> {
        let manifest: Manifest = document(&self.blob_bytes(descriptor)?, &descriptor.digest)?;
        let config = self.blob_bytes(&manifest.config)?;
        let diff_ids = diff_ids(&config, manifest.layers.len(), wanted)?;
        let mut layers = Vec::new();
        for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
            let is_layer = layer.media_type.contains(".layer.") || layer.media_type.contains(".rootfs.");
            if !is_layer || !layer.media_type.contains("tar") || layer.media_type.ends_with("+encrypted") {
                let why = format!("{:?} is no layer of files", layer.media_type);
                return Err(Error::refused(READ, &layer.digest, why));
            }
            let (content, digest) = self.blob(layer)?;
            layers.push(ImageLayer { content: content.clone(), digest: Some(digest), diff_id });
        }
        Ok(Image { config, layers })
    }

    fn docker_image(&self, wanted: &Wanted) -> Result<Image> {
        let bytes = read_small(self.required("manifest.json")?, DOCUMENT_SIZE_MAX, "manifest.json")?;
        let images: Vec<DockerImage> = document(&bytes, "manifest.json")?;
        let image = select::by_tag(&images, wanted)?;
        let config = read_small(self.required(&image.config)?, DOCUMENT_SIZE_MAX, &image.config)?;
        // The file is called by its digest, `DIGEST.json` or `blobs/sha256/DIGEST`.
        let stem = image.config.rsplit('/').next().map(|file| file.trim_end_matches(".json"));
        if let Some(digest) = stem.and_then(|stem| stem.parse().ok()) {
            compare(Digest::of(&config[..]).doing(READ, || &image.config)?, digest, &image.config)?;
        }
        let mut layers = Vec::new();
        for (path, diff_id) in image.layers.iter().zip(diff_ids(&config, image.layers.len(), wanted)?) {
            layers.push(ImageLayer { content: self.required(path)?.clone(), digest: None, diff_id });
        }
        Ok(Image { config, layers })
    }

    /// The file of a descriptor; its size is right, its digest is still to be compared.
    fn blob(&self, descriptor: &Descriptor) -> Result<(&Content, Digest)> {
        let Some(digest) = Digest::parse_prefixed(&descriptor.digest) else {
            return Err(Error::refused(READ, printable(descriptor.digest.as_bytes()), "not a sha256 digest"));
        };
        let content = self.required(&format!("blobs/sha256/{digest}"))?;
        if content.size() != descriptor.size {
            let why = format!("has {} bytes instead of {}", content.size(), descriptor.size);
            return Err(Error::refused(READ, &descriptor.digest, why));
        }
        Ok((content, digest))
    }

    fn blob_bytes(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let (content, digest) = self.blob(descriptor)?;
        let bytes = read_small(content, DOCUMENT_SIZE_MAX, &descriptor.digest)?;
        compare(Digest::of(&bytes[..]).doing(READ, || &descriptor.digest)?, digest, &descriptor.digest)?;
        Ok(bytes)
    }

    fn required(&self, path: &str) -> Result<&Content> {
        let missing = || Error::refused(READ, printable(path.as_bytes()), "the image has no such file");
        self.file(path)?.ok_or_else(missing)
    }

    /// A regular file, through the links that older `docker save` makes of equal layers.
    fn file(&self, path: &str) -> Result<Option<&Content>> {
        let refused = |why: String| Error::refused(READ, printable(path.as_bytes()), why);
        let mut name = Name::parse(path.as_bytes()).map_err(|bad| refused(bad.to_string()))?;
        for _ in 0..LINKS_MAX {
            let Some(node) = self.files.get_name(&name) else { return Ok(None) };
            match &node.kind {
                Kind::File(content) => return Ok(Some(content)),
                Kind::Symlink(target) => {
                    let directory = name.parent().unwrap_or(Name::ROOT);
                    name = directory.resolve(target).map_err(|bad| refused(bad.to_string()))?;
                }
                Kind::Directory | Kind::Special(_) => return Err(refused("not a regular file".into())),
            }
        }
        Err(refused("too many links".into()))
    }
}

pub(super) fn document<T: DeserializeOwned>(bytes: &[u8], subject: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::refused(READ, subject, error.to_string()))
}

/// Reads what the config says of the layers and sees that it fits.
fn diff_ids(config: &[u8], layers: usize, wanted: &Wanted) -> Result<Vec<Digest>> {
    const SUBJECT: &str = "the image config";
    let config: Config = document(config, SUBJECT)?;
    if config.os != "linux" || config.architecture != select::architecture(wanted.arch) {
        let why = format!(
            "the image is for {}/{}, not linux/{} (--arch chooses another)",
            config.os,
            config.architecture,
            select::architecture(wanted.arch)
        );
        return Err(Error::refused(READ, SUBJECT, why));
    }
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != layers || layers > LAYERS_MAX {
        let why = format!("{} diff_ids for {layers} layers (at most {LAYERS_MAX})", diff_ids.len());
        return Err(Error::refused(READ, SUBJECT, why));
    }
    let parse = |text: &String| {
        let bad = || Error::refused(READ, SUBJECT, format!("{text:?} is not a sha256 digest"));
        Digest::parse_prefixed(text).ok_or_else(bad)
    };
    diff_ids.iter().map(parse).collect()
}
