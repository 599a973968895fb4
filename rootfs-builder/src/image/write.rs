//! Sink: an OCI image layout of one layer, as a directory or as an archive that `podman load` and `docker load` take.
//!
//! The same tree and metadata give the same bytes, digests included.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::select::{REFERENCE, architecture};
use crate::alpine::Arch;
use crate::compress::{Compression, Encoder};
use crate::digest::{Digest, HashingWriter};
use crate::error::{Doing, Error, Result};
use crate::tarball;
use crate::tree::Tree;

const WRITE: &str = "write the image";

/// What an image says beside its files.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// What its programs run on.
    pub arch: Arch,
    /// How to run it: the `config` object of an OCI image config, taken as it is. `{}` says nothing.
    pub config: Value,
    /// Its name, as `alpine:3.22`.
    pub reference: Option<String>,
    /// When it was made, in seconds since 1970, and the latest time of its files; not told if none.
    pub created: Option<u32>,
}

/// The config of an image that says nothing about itself but what it runs on.
pub fn config_of(arch: Arch) -> Value {
    json!({
        "architecture": architecture(arch), "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [] },
    })
}

/// Writes a layout into the empty directory `path` and returns the digest of the image's manifest.
pub fn write_layout(tree: &Tree, metadata: &Metadata, path: &Path) -> Result<Digest> {
    let blobs = path.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).doing(WRITE, || blobs.display())?;
    let (layer, diff_id) = write_layer(tree, metadata, &blobs)?;
    let mut config = json!({
        "architecture": architecture(metadata.arch),
        "os": "linux",
        "config": metadata.config,
        "rootfs": { "type": "layers", "diff_ids": [diff_id.prefixed()] },
    });
    if let Some(created) = metadata.created {
        config["created"] = rfc3339(created).into();
    }
    let config = write_document(&config, "application/vnd.oci.image.config.v1+json", &blobs)?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let mut manifest = write_document(&manifest, "application/vnd.oci.image.manifest.v1+json", &blobs)?;
    let digest = digest_of(&manifest)?;
    manifest["platform"] = json!({ "architecture": architecture(metadata.arch), "os": "linux" });
    if let Some(reference) = &metadata.reference {
        manifest["annotations"] = json!({ REFERENCE: reference });
    }
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest],
    });
    let docker = json!([{
        "Config": blob_path(&config)?, "RepoTags": metadata.reference.iter().collect::<Vec<_>>(),
        "Layers": [blob_path(&layer)?],
    }]);
    let marker = json!({ "imageLayoutVersion": "1.0.0" });
    for (file, document) in [("index.json", index), ("manifest.json", docker), ("oci-layout", marker)] {
        let file = path.join(file);
        std::fs::write(&file, document.to_string()).doing(WRITE, || file.display())?;
    }
    Ok(digest)
}

/// Writes the layout as a tar archive, by way of a temporary directory in `near`.
pub fn write_archive(tree: &Tree, metadata: &Metadata, near: &Path, out: impl Write) -> Result<Digest> {
    let temporary = tempfile::tempdir_in(near).doing("make a directory in", || near.display())?;
    let digest = write_layout(tree, metadata, temporary.path())?;
    let mut archive = Tree::new();
    archive.host_directory("/", temporary.path())?;
    archive.neutralise();
    tarball::write(&archive, Some(0), out)?;
    Ok(digest)
}

/// Descriptor and uncompressed digest of the layer.
fn write_layer(tree: &Tree, metadata: &Metadata, blobs: &Path) -> Result<(Value, Digest)> {
    let failed = |error: std::io::Error| Error::new(WRITE, blobs.display(), error);
    let file = tempfile::NamedTempFile::new_in(blobs).map_err(failed)?;
    let stored = HashingWriter::new(BufWriter::new(file));
    let encoder = Encoder::new(Compression::Gzip, stored).map_err(failed)?;
    let mut plain = HashingWriter::new(encoder);
    tarball::write(tree, metadata.created, &mut plain)?;
    let diff_id = plain.digest();
    let stored = plain.into_inner().finish().map_err(failed)?;
    let (digest, size) = (stored.digest(), stored.size());
    let file = stored.into_inner().into_inner().map_err(|error| failed(error.into_error()))?;
    keep(file, &blobs.join(digest.to_string()))?;
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    Ok((json!({ "mediaType": media_type, "digest": digest.prefixed(), "size": size }), diff_id))
}

fn write_document(document: &Value, media_type: &str, blobs: &Path) -> Result<Value> {
    let text = document.to_string();
    let digest = Digest::of(text.as_bytes()).doing(WRITE, || media_type)?;
    let path = blobs.join(digest.to_string());
    std::fs::write(&path, &text).doing(WRITE, || path.display())?;
    Ok(json!({ "mediaType": media_type, "digest": digest.prefixed(), "size": text.len() }))
}

fn keep(file: tempfile::NamedTempFile<File>, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let readable = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(readable).doing(WRITE, || path.display())?;
    file.persist(path).map_err(|error| Error::new(WRITE, path.display(), error.error))?;
    Ok(())
}

fn digest_of(descriptor: &Value) -> Result<Digest> {
    let digest = descriptor["digest"].as_str().and_then(Digest::parse_prefixed);
    digest.ok_or_else(|| Error::refused(WRITE, descriptor, "a descriptor without a digest"))
}

fn blob_path(descriptor: &Value) -> Result<String> {
    Ok(format!("blobs/sha256/{}", digest_of(descriptor)?))
}

/// `2026-03-21T12:00:00Z` (RFC 3339); the calendar by Howard Hinnant's days-to-civil algorithm, in which years begin
/// in March so that the leap day is the last.
fn rfc3339(seconds: u32) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u32::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (u32::MAX, "2106-02-07T06:28:15Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
