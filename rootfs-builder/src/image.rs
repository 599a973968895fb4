//! Source and sink: images as others exchange them.
//!
//! As a source, an image with layers, in an OCI image layout (a directory or a tar archive of it) or in a `docker save` or
//! `podman save` archive.
//!
//! Nothing is believed: manifests, configs and layers are compared with the digests they are asked for by, each
//! layer's uncompressed bytes with the config's `diff_ids`. The config is data for whoever runs the image; it
//! decides nothing here but what the layers must be.

mod document;
mod layout;
mod part;
mod select;
mod write;

use std::io::{self, Read};

use crate::compress::{Decoder, Limits};
use crate::digest::{Digest, Hashing};
use crate::error::{Doing, Error, Reason, Result};
use crate::layer::Layer;
use crate::sink::Sink;
use crate::tree::Content;
use crate::unpack::{Options, Summary, apply_decoded};

pub use layout::Layout;
pub(crate) use part::{Part, parts};
pub use select::Wanted;
pub use write::{Metadata, config_of, write_archive, write_layout};

const APPLY: &str = "apply";

/// One image: its config and its layers, lowest first.
#[derive(Clone, Debug)]
pub struct Image {
    /// The config's bytes, verified.
    pub config: Vec<u8>,
    /// The layers, not yet read.
    pub layers: Vec<ImageLayer>,
}

/// A layer's archive, not yet read.
#[derive(Clone, Debug)]
pub struct ImageLayer {
    content: Content,
    /// Of the archive as it is stored; a `docker save` archive has none.
    digest: Option<Digest>,
    /// Of the archive when it is not compressed.
    diff_id: Digest,
}

impl ImageLayer {
    /// Digest of the layer's archive when it is not compressed.
    pub fn diff_id(&self) -> Digest {
        self.diff_id
    }

    /// Size of the archive as it is stored, in bytes.
    pub fn size(&self) -> u64 {
        self.content.size()
    }

    /// Writes this layer above what `sink` has. The digests are known to be right only at the end: after an error
    /// what was written must go.
    pub fn apply(&self, sink: &mut dyn Sink, options: &Options) -> Result<Summary> {
        let subject = || format!("layer {}", self.diff_id);
        self.apply_unnamed(sink, options).map_err(|error| error.within(subject()))
    }

    fn apply_unnamed(&self, sink: &mut dyn Sink, options: &Options) -> Result<Summary> {
        let subject = || "the archive";
        let mut stored = Hashing::new(self.content.open().doing(APPLY, subject)?);
        let decoder = Decoder::new(&mut stored, options.limits).doing(APPLY, subject)?;
        let mut plain = Hashing::new(decoder);
        let mut layer = Layer::new(sink);
        let summary = apply_decoded(&mut plain, &mut layer, options.devices)?;
        layer.finish()?;
        compare(plain.digest(), self.diff_id, subject())?;
        drop(plain);
        // A decoder may stop before what follows its stream; the digest is of that, too.
        io::copy(&mut stored, &mut io::sink()).doing(APPLY, subject)?;
        if let Some(digest) = self.digest {
            compare(stored.digest(), digest, subject())?;
        }
        Ok(summary)
    }
}

impl Image {
    /// Writes all layers to one sink, each above the ones before. The limit on size is for all of them together.
    pub fn squash(&self, sink: &mut dyn Sink, options: &Options) -> Result<Summary> {
        let mut total = Summary::default();
        for layer in &self.layers {
            total = total.and(layer.apply(sink, &total.remaining(options))?);
        }
        Ok(total)
    }
}

impl Summary {
    /// Of both together.
    pub fn and(self, other: Summary) -> Summary {
        Summary {
            entries: self.entries + other.entries,
            bytes: self.bytes + other.bytes,
            skipped_devices: self.skipped_devices + other.skipped_devices,
            dropped_xattrs: self.dropped_xattrs + other.dropped_xattrs,
        }
    }

    /// The options for what comes after this much.
    pub fn remaining(&self, options: &Options) -> Options {
        let size_max = options.limits.size_max.saturating_sub(self.bytes);
        Options { limits: Limits { size_max, ..options.limits }, ..*options }
    }
}

pub(crate) fn compare(actual: Digest, expected: Digest, subject: impl std::fmt::Display) -> Result<()> {
    if actual == expected {
        return Ok(());
    }
    let reason = Reason::Digest { expected: expected.to_string(), actual: actual.to_string() };
    Err(Error::new("verify", subject, reason))
}

/// Reads a document of at most `size_max` bytes.
fn read_small(content: &Content, size_max: u64, subject: &str) -> Result<Vec<u8>> {
    const READ: &str = "read";
    if content.size() > size_max {
        return Err(Error::refused(READ, subject, format!("longer than {size_max} bytes")));
    }
    let mut bytes = Vec::new();
    content.open().doing(READ, || subject)?.read_to_end(&mut bytes).doing(READ, || subject)?;
    Ok(bytes)
}
