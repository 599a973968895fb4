//! Source: an image in a registry (OCI distribution specification 1.1), as an image layout on this machine.
//!
//! Blobs are kept in a cache under their digests until the image is stored; what an interrupted download brought stays
//! under `DIGEST.partial`, and the next one goes on from there. A blob has its name only once its digest is right.
//!
//! Registries are reached over TLS, those of this machine over plain http unless it is said who vouches for them.

mod authority;
mod client;
mod credential;
mod reference;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde_json::json;
use tempfile::TempDir;

pub use authority::Authorities;
pub use client::Patience;
use client::{Client, Document, PULL, network};
pub use credential::Credential;
pub use reference::Reference;

use crate::digest::Digest;
use crate::error::{Doing, Error, Reason, Result};
use crate::image::{Layout, Part, Wanted, parts};

/// An index may hold indexes; real ones do not go deeper than this.
const INDEX_DEPTH_MAX: u32 = 4;

/// An image that is here now. Its blobs stay in the cache until [`Pulled::forget`].
#[derive(Debug)]
pub struct Pulled {
    layout: TempDir,
    blobs: Vec<PathBuf>,
    /// Of the document that the reference names.
    pub digest: Digest,
    /// Bytes that came over the network; others were in the cache.
    pub downloaded: u64,
}

impl Pulled {
    /// The image, to be stored or unpacked.
    pub fn layout(&self) -> Result<Layout> {
        Layout::open_directory(self.layout.path())
    }

    /// Removes its blobs from the cache.
    pub fn forget(self) -> Result<()> {
        for blob in &self.blobs {
            match std::fs::remove_file(blob) {
                // Somebody else who pulled it was first.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.doing("clean", || blob.display())?,
            }
        }
        Ok(())
    }
}

/// What is wanted, and how.
#[derive(Debug)]
pub struct Request<'r> {
    /// The image.
    pub reference: &'r Reference,
    /// Of an image for several architectures.
    pub wanted: &'r Wanted,
    /// Who we are to the registry.
    pub credential: Option<&'r Credential>,
    /// Who vouches for the registry, if not the usual authorities.
    pub authorities: Option<&'r Authorities>,
    /// Where blobs are kept meanwhile.
    pub cache: &'r Path,
    /// All of an image's blobs together, at most, in bytes.
    pub size_max: u64,
    /// How long the registry is waited for.
    pub patience: Patience,
}

/// This user's cache of blobs: `$XDG_CACHE_HOME/pipkin/blobs` or `~/.cache/pipkin/blobs`.
pub fn cache_of_user() -> Result<PathBuf> {
    let absolute =
        |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let missing =
        || Error::new("find", "the cache", Reason::Missing("neither XDG_CACHE_HOME nor HOME is set".into()));
    Ok(base.ok_or_else(missing)?.join("pipkin/blobs"))
}

/// Downloads what of an image is not in the cache. `progress` is told bytes so far and in all.
///
/// Fails with [`Reason::Network`] when the registry cannot be had or gives up on the way, [`Reason::Missing`] when it
/// has no such image, and [`Reason::Digest`] when what it sends is something else.
pub fn pull(request: &Request<'_>, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<Pulled> {
    let cache = request.cache;
    std::fs::create_dir_all(cache).doing("make the cache", || cache.display())?;
    let mut client = Client::new(request);
    let layout = tempfile::tempdir_in(cache).doing("write into the cache", || cache.display())?;
    let blobs = layout.path().join("blobs/sha256");
    std::fs::create_dir_all(&blobs).doing("write into the cache", || blobs.display())?;
    let first = client.document(&request.reference.version())?;
    let mut document = Document { bytes: first.bytes.clone(), media_type: first.media_type.clone(), ..first };
    let mut depth = 0;
    let needed = loop {
        write(&blobs.join(document.digest.to_string()), &document.bytes)?;
        match parts(&document.bytes, &document.media_type, request.wanted)? {
            Part::Manifest(digest) if depth < INDEX_DEPTH_MAX => {
                depth += 1;
                document = client.document(&digest.prefixed())?;
            }
            Part::Manifest(_) => {
                return Err(Error::refused(PULL, request.reference, "indexes within indexes without end"));
            }
            Part::Blobs(needed) => break needed,
        }
    };
    let index = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": first.media_type, "digest": first.digest.prefixed(), "size": first.bytes.len(),
    }]});
    write(&layout.path().join("index.json"), index.to_string().as_bytes())?;
    write(
        &layout.path().join("oci-layout"),
        json!({ "imageLayoutVersion": "1.0.0" }).to_string().as_bytes(),
    )?;
    let total = needed.iter().try_fold(0_u64, |sum, (_, size)| sum.checked_add(*size));
    let Some(total) = total.filter(|total| *total <= request.size_max) else {
        let why = format!("longer than the limit of {} bytes", request.size_max);
        return Err(Error::refused(PULL, request.reference, why));
    };
    let mut pulled = Pulled { layout, blobs: Vec::new(), digest: first.digest, downloaded: 0 };
    let mut done = 0;
    for (digest, size) in needed {
        let mut blob = Blob { client: &mut client, request, digest, size };
        let path = cache.join(digest.to_string());
        pulled.downloaded += blob.have(&path, &mut |part| progress(done + part, Some(total)))?;
        done += size;
        link(&path, &blobs.join(digest.to_string()))?;
        pulled.blobs.push(path);
    }
    Ok(pulled)
}

/// A blob that is wanted.
struct Blob<'b, 'r> {
    client: &'b mut Client<'r>,
    request: &'b Request<'r>,
    digest: Digest,
    size: u64,
}

impl Blob<'_, '_> {
    /// Has it at `path`; answers how many bytes were downloaded for that.
    fn have(&mut self, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<u64> {
        const KEEP: &str = "write into the cache";
        if path.exists() {
            return Ok(0);
        }
        let partial = path.with_extension("partial");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&partial)
            .doing(KEEP, || partial.display())?;
        // Whoever pulls the same at the same time waits here, and then finds it.
        rustix::fs::flock(&file, FlockOperation::LockExclusive).doing(KEEP, || partial.display())?;
        if path.exists() {
            return Ok(0);
        }
        let downloaded = self.download(&mut file, progress)?;
        file.seek(SeekFrom::Start(0)).doing(KEEP, || partial.display())?;
        let actual = Digest::of(&file).doing("read", || partial.display())?;
        if let Err(error) =
            compare(actual, self.digest, format!("{} of {}", self.digest, self.request.reference))
        {
            // Whatever it is, nothing can be made of it.
            std::fs::remove_file(&partial).doing("clean", || partial.display())?;
            return Err(error);
        }
        std::fs::rename(&partial, path).doing(KEEP, || path.display())?;
        Ok(downloaded)
    }

    /// Brings the file to its size, going on where it ends, as often as that brings something new.
    fn download(&mut self, file: &mut File, progress: &mut dyn FnMut(u64)) -> Result<u64> {
        let started = length(file)?;
        // A registry that knows no ranges begins anew each time: only what is new to us is progress.
        let mut best = started;
        let mut failures = 0;
        loop {
            let before = length(file)?;
            progress(before.min(self.size));
            if before == self.size {
                return Ok(self.size - started.min(self.size));
            }
            let failed = match self.fetch(file, before, progress) {
                Ok(()) => None,
                Err(error @ Error { reason: Reason::Network(_), .. }) => Some(error),
                Err(error) => return Err(error),
            };
            let now = length(file)?;
            failures = if now > best { 0 } else { failures + 1 };
            best = best.max(now);
            if failures >= self.request.patience.tries {
                let nothing =
                    || network(&self.digest.to_string(), "the registry ends it early, again and again");
                return Err(failed.unwrap_or_else(nothing));
            }
        }
    }

    /// One request for the bytes from `from` on.
    fn fetch(&mut self, file: &mut File, from: u64, progress: &mut dyn FnMut(u64)) -> Result<()> {
        const KEEP: &str = "write into the cache";
        let subject = self.digest.to_string();
        let path = format!("blobs/{}", self.digest.prefixed());
        // What is longer than it may be cannot be a part of it.
        let from = if from > self.size { 0 } else { from };
        let response = self.client.get(&path, "*/*", from)?;
        let mut at = if response.status().as_u16() == 206 { from } else { 0 };
        file.set_len(at).doing(KEEP, || &subject)?;
        file.seek(SeekFrom::Start(at)).doing(KEEP, || &subject)?;
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = body.read(&mut buffer).map_err(|error| network(&subject, &error.to_string()))?;
            let chunk = buffer.get(..count).unwrap_or_default();
            if chunk.is_empty() {
                return Ok(());
            }
            at += count as u64;
            if at > self.size {
                file.set_len(0).doing(KEEP, || &subject)?;
                return Err(Error::refused(PULL, &subject, format!("goes on after its {} bytes", self.size)));
            }
            file.write_all(chunk).doing(KEEP, || &subject)?;
            progress(at);
        }
    }
}

fn length(file: &File) -> Result<u64> {
    Ok(file.metadata().doing("read", || "the cache")?.len())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).doing("write into the cache", || path.display())
}

/// A second name; two layers may be one blob.
fn link(from: &Path, to: &Path) -> Result<()> {
    match std::fs::hard_link(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.doing("write into the cache", || to.display()),
    }
}

fn compare(actual: Digest, expected: Digest, subject: String) -> Result<()> {
    crate::image::compare(actual, expected, subject)
}
