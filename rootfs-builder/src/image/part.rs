//! What else an image consists of, by its first document: for whoever has to fetch it.

use super::document::{Descriptor, Index, Manifest};
use super::layout::document;
use super::select::{self, Wanted};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::name::printable;

const READ: &str = "read";

/// What comes next.
#[derive(Debug)]
pub(crate) enum Part {
    /// Another document, of the wanted architecture.
    Manifest(Digest),
    /// The config and the layers, each with its size in bytes.
    Blobs(Vec<(Digest, u64)>),
}

/// Reads an index or a manifest of this media type.
pub(crate) fn parts(bytes: &[u8], media_type: &str, wanted: &Wanted) -> Result<Part> {
    let of = |descriptor: &Descriptor| {
        let bad = || Error::refused(READ, printable(descriptor.digest.as_bytes()), "not a sha256 digest");
        Ok((Digest::parse_prefixed(&descriptor.digest).ok_or_else(bad)?, descriptor.size))
    };
    if select::is_index_type(media_type) {
        let index: Index = document(bytes, "the index")?;
        let all: Vec<&Descriptor> = index.manifests.iter().collect();
        return Ok(Part::Manifest(of(select::by_platform(&all, wanted)?)?.0));
    }
    let manifest: Manifest = document(bytes, "the manifest")?;
    [&manifest.config].into_iter().chain(&manifest.layers).map(of).collect::<Result<_>>().map(Part::Blobs)
}
