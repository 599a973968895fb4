//! Which of several images is meant.

use super::document::{Descriptor, DockerImage};
use crate::alpine::Arch;
use crate::error::{Error, Result};

/// Annotation that names an image in a layout.
pub(super) const REFERENCE: &str = "org.opencontainers.image.ref.name";

const CHOOSE: &str = "choose";

/// Which image is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// For this architecture.
    pub arch: Arch,
    /// Of this name: the annotation in a layout, the tag in a `docker save` archive. Needed when there are several.
    pub reference: Option<String>,
}

/// An architecture in Go's words, which images use.
pub(super) fn architecture(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    }
}

pub(super) fn is_index(descriptor: &Descriptor) -> bool {
    is_index_type(&descriptor.media_type)
}

pub(super) fn is_index_type(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json"
    )
}

fn is_manifest(descriptor: &Descriptor) -> bool {
    matches!(
        descriptor.media_type.as_str(),
        "application/vnd.oci.image.manifest.v1+json" | "application/vnd.docker.distribution.manifest.v2+json"
    )
}

/// Those of the wanted name; all, if none is wanted.
pub(super) fn by_name<'d>(manifests: &'d [Descriptor], wanted: &Wanted) -> Result<Vec<&'d Descriptor>> {
    let Some(reference) = &wanted.reference else { return Ok(manifests.iter().collect()) };
    let named: Vec<_> =
        manifests.iter().filter(|manifest| manifest.annotations.get(REFERENCE) == Some(reference)).collect();
    if named.is_empty() {
        return Err(none(
            manifests.iter().filter_map(|manifest| manifest.annotations.get(REFERENCE)),
            wanted,
        ));
    }
    Ok(named)
}

/// The one image or index for the wanted architecture. One that does not say what it is for may be; its config
/// will tell.
pub(super) fn by_platform<'d>(manifests: &[&'d Descriptor], wanted: &Wanted) -> Result<&'d Descriptor> {
    let fits = |descriptor: &&&Descriptor| match &descriptor.platform {
        Some(platform) => platform.os == "linux" && platform.architecture == architecture(wanted.arch),
        None => true,
    };
    let of_known_type = manifests.iter().filter(|descriptor| is_manifest(descriptor) || is_index(descriptor));
    let fitting: Vec<_> = of_known_type.filter(fits).collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => {
            Err(Error::refused(CHOOSE, "an image", format!("none for linux/{}", architecture(wanted.arch))))
        }
        several => {
            let names = several.iter().filter_map(|descriptor| descriptor.annotations.get(REFERENCE));
            Err(ambiguous(names, several.len()))
        }
    }
}

/// The one image of the wanted tag; the only one, if none is wanted.
pub(super) fn by_tag<'d>(images: &'d [DockerImage], wanted: &Wanted) -> Result<&'d DockerImage> {
    let tags = || images.iter().flat_map(|image| image.tags.iter().flatten());
    match &wanted.reference {
        Some(reference) => {
            let tagged = |image: &&DockerImage| image.tags.iter().flatten().any(|tag| tag == reference);
            images.iter().find(tagged).ok_or_else(|| none(tags(), wanted))
        }
        None => match images {
            [one] => Ok(one),
            several => Err(ambiguous(tags(), several.len())),
        },
    }
}

fn list<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<_> = names.map(String::as_str).collect();
    if names.is_empty() { "without names".to_owned() } else { names.join(", ") }
}

fn none<'n>(names: impl Iterator<Item = &'n String>, wanted: &Wanted) -> Error {
    let reference = wanted.reference.as_deref().unwrap_or_default();
    Error::refused(CHOOSE, "an image", format!("none is called {reference:?}: {}", list(names)))
}

fn ambiguous<'n>(names: impl Iterator<Item = &'n String>, count: usize) -> Error {
    Error::refused(CHOOSE, "an image", format!("{count} of them (--ref chooses one): {}", list(names)))
}
