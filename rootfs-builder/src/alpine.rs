//! Source: an Alpine minirootfs tarball, from a folder the user gave, the cache, or the network.
//!
//! Looked for in this order: the folder in `PIPKIN_ROOTFS_DIR`, the cache (`$XDG_CACHE_HOME/pipkin` or
//! `~/.cache/pipkin`), then a download. Releases whose digest stands here are verified wherever they come from,
//! before anyone reads them. For others a download needs a digest from the user or an `https` mirror's own
//! `.sha256` file, which says no more than that the mirror sent what it meant to send.

mod download;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{Doing, Error, Reason, Result};
use crate::name::printable;

/// Environment variable that names a folder with `alpine-minirootfs-VERSION-ARCH.tar.gz` files.
pub const GIVEN_DIRECTORY: &str = "PIPKIN_ROOTFS_DIR";
/// Environment variable that names another mirror than [`MIRROR`].
pub const MIRROR_VARIABLE: &str = "PIPKIN_ALPINE_MIRROR";
/// The project's own mirror; releases are at `vX.Y/releases/ARCH/` below it.
pub const MIRROR: &str = "https://dl-cdn.alpinelinux.org/alpine";

const FIND: &str = "find an Alpine minirootfs for";

/// A processor architecture that Pipkin runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Arch {
    /// The architecture of this program.
    pub const HOST: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

    /// The name that Alpine, Rust and `uname -m` use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Arch, String> {
        match text {
            "x86_64" | "amd64" => Ok(Arch::X86_64),
            "aarch64" | "arm64" => Ok(Arch::Aarch64),
            _ => Err(format!("unknown architecture {text:?}: x86_64 or aarch64")),
        }
    }
}

/// A release whose tarball's digest is known.
#[derive(Clone, Copy, Debug)]
pub struct Pin {
    /// Its architecture.
    pub arch: Arch,
    /// Its version, as `3.22.1`.
    pub version: &'static str,
    /// SHA-256 of the tarball, lower-case hexadecimal.
    pub sha256: &'static str,
}

/// The known releases; the first of an architecture is its default.
pub const PINS: &[Pin] = &[
    Pin {
        arch: Arch::X86_64,
        version: "3.22.1",
        sha256: "0e5cc5702ad72a4e151f219976ba946d50161c3acce210ef3b122a529aba1270",
    },
    Pin {
        arch: Arch::Aarch64,
        version: "3.20.3",
        sha256: "041fa34a81788242df9e78fa69b97ab45b8ec47ddbf88864755610414a7bf3de",
    },
];

/// What is wanted and where to look for it.
#[derive(Clone, Debug)]
pub struct Request {
    /// For this architecture.
    pub arch: Arch,
    /// This version; if none, whatever was given for the architecture, else its default in [`PINS`].
    pub version: Option<String>,
    /// This digest, lower-case hexadecimal, whatever [`PINS`] says.
    pub sha256: Option<String>,
    /// Where to download from, as [`MIRROR`]; nothing is downloaded if none.
    pub mirror: Option<String>,
    /// A folder of tarballs that the user gave.
    pub given: Option<PathBuf>,
    /// Where downloads are kept.
    pub cache: Option<PathBuf>,
}

impl Request {
    /// The default release for `arch`, looked for where the environment says.
    pub fn from_environment(arch: Arch) -> Request {
        let directory =
            |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = directory("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| directory("HOME").map(|home| home.join(".cache")))
            .map(|base| base.join("pipkin"));
        let mirror = std::env::var(MIRROR_VARIABLE).ok().filter(|url| !url.is_empty());
        Request {
            arch,
            version: None,
            sha256: None,
            mirror: Some(mirror.unwrap_or_else(|| MIRROR.to_owned())),
            given: directory(GIVEN_DIRECTORY),
            cache,
        }
    }

    fn default_version(&self) -> &str {
        let pinned = PINS.iter().find(|pin| pin.arch == self.arch).map_or("", |pin| pin.version);
        self.version.as_deref().unwrap_or(pinned)
    }

    fn expected_digest(&self, version: &str) -> Option<(&str, Verification)> {
        let pinned = PINS.iter().find(|pin| pin.arch == self.arch && pin.version == version);
        match (&self.sha256, pinned) {
            (Some(digest), _) => Some((digest, Verification::Asked)),
            (None, Some(pin)) => Some((pin.sha256, Verification::Pinned)),
            (None, None) => None,
        }
    }
}

/// Where a tarball was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the folder the user gave.
    Given,
    /// In the cache.
    Cached,
    /// Downloaded just now from this address.
    Downloaded(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Given => out.write_str("given"),
            Origin::Cached => out.write_str("cached"),
            Origin::Downloaded(url) => write!(out, "downloaded from {url}"),
        }
    }
}

/// What its bytes were compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The digest in [`PINS`].
    Pinned,
    /// The digest in the request.
    Asked,
    /// The digest that the mirror publishes beside the tarball, fetched over `https`.
    Published,
    /// Nothing: a given or cached tarball of an unknown release.
    Unverified,
}

impl fmt::Display for Verification {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Verification::Pinned => "SHA-256 is the pinned one",
            Verification::Asked => "SHA-256 is the one asked for",
            Verification::Published => "SHA-256 is the one the mirror publishes",
            Verification::Unverified => "not verified",
        })
    }
}

/// A minirootfs tarball on this machine.
#[derive(Clone, Debug)]
pub struct Tarball {
    /// Where it is.
    pub path: PathBuf,
    /// Its release's version.
    pub version: String,
    /// Where it came from.
    pub origin: Origin,
    /// What it was compared with.
    pub verification: Verification,
}

/// Finds or downloads a tarball and verifies it. `progress` is told of a download: bytes so far and, where the
/// mirror says, in all.
///
/// Fails when nothing can be had ([`Reason::Missing`] or [`Reason::Network`]: a caller may go on with another
/// root) and when what was found is not what it must be ([`Reason::Digest`]: it should not).
pub fn obtain(request: &Request, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<Tarball> {
    check_words(request)?;
    if let Some(found) = given(request)? {
        return Ok(found);
    }
    if let Some(found) = cached(request)? {
        return Ok(found);
    }
    let version = request.default_version();
    let Some(mirror) = &request.mirror else {
        let why =
            format!("no tarball of {version} in {GIVEN_DIRECTORY} or the cache, and no download allowed");
        return Err(Error::new(FIND, request.arch, Reason::Missing(why)));
    };
    let Some(cache) = &request.cache else {
        let why = "no place for a download: neither XDG_CACHE_HOME nor HOME is set".to_owned();
        return Err(Error::new(FIND, request.arch, Reason::Missing(why)));
    };
    download::download(request, mirror, cache, version, progress)
}

/// File name of a release's tarball.
pub fn file_name(version: &str, arch: Arch) -> String {
    format!("alpine-minirootfs-{version}-{arch}.tar.gz")
}

/// Version and digest become part of paths and addresses, so they hold nothing but what such words are made of.
fn check_words(request: &Request) -> Result<()> {
    if let Some(version) = &request.version
        && parse_version(version).is_none()
    {
        return Err(Error::refused(FIND, request.arch, format!("{version:?} is no version such as 3.22.1")));
    }
    if let Some(digest) = &request.sha256
        && (digest.len() != 64 || !digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    {
        let why = format!("{digest:?} is no SHA-256 digest of 64 lower-case hexadecimal digits");
        return Err(Error::refused(FIND, request.arch, why));
    }
    Ok(())
}

/// `3.22.1` or `3.23.0_rc1`: numbers that order, and what follows them.
fn parse_version(text: &str) -> Option<([u32; 3], &str)> {
    let end = text.find('_').unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts = numbers.split('.').map(|part| part.parse().ok().filter(|_| !part.starts_with('+')));
    let version = [parts.next()??, parts.next()??, parts.next()??];
    let plain = rest.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    (parts.next().is_none() && plain).then_some((version, rest))
}

fn given(request: &Request) -> Result<Option<Tarball>> {
    const LOOK: &str = "look for tarballs in";
    let Some(folder) = &request.given else { return Ok(None) };
    let mut versions = Vec::new();
    for entry in std::fs::read_dir(folder).doing(LOOK, || folder.display())? {
        let file = entry.doing(LOOK, || folder.display())?.file_name();
        let version = file
            .to_str()
            .and_then(|file| file.strip_prefix("alpine-minirootfs-"))
            .and_then(|file| file.strip_suffix(&format!("-{}.tar.gz", request.arch)))
            .filter(|version| parse_version(version).is_some());
        versions.extend(version.map(str::to_owned));
    }
    let wanted = |version: &&String| match &request.version {
        Some(wanted) => version == &wanted,
        None => version.as_str() == request.default_version(),
    };
    let chosen = versions.iter().find(wanted).or_else(|| {
        let any = request.version.is_none();
        versions.iter().filter(|_| any).max_by_key(|version| parse_version(version))
    });
    let Some(version) = chosen else { return Ok(None) };
    let path = folder.join(file_name(version, request.arch));
    let verification = verify(request, version, &path)?;
    Ok(Some(Tarball { path, version: version.clone(), origin: Origin::Given, verification }))
}

fn cached(request: &Request) -> Result<Option<Tarball>> {
    let Some(cache) = &request.cache else { return Ok(None) };
    let version = request.default_version();
    let path = cache.join(file_name(version, request.arch));
    if !path.try_exists().doing("look for", || path.display())? {
        return Ok(None);
    }
    match verify(request, version, &path) {
        Ok(verification) => {
            Ok(Some(Tarball { path, version: version.to_owned(), origin: Origin::Cached, verification }))
        }
        // The cache is ours: what is damaged there is fetched again over it.
        Err(Error { reason: Reason::Digest { .. }, .. }) if request.mirror.is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

fn verify(request: &Request, version: &str, path: &Path) -> Result<Verification> {
    const VERIFY: &str = "verify";
    let Some((expected, verification)) = request.expected_digest(version) else {
        return Ok(Verification::Unverified);
    };
    let file = File::open(path).doing(VERIFY, || path.display())?;
    let actual = Digest::of(file).doing(VERIFY, || path.display())?.to_string();
    if actual != expected {
        let reason = Reason::Digest { expected: expected.to_owned(), actual };
        return Err(Error::new(VERIFY, printable(path.as_os_str().as_encoded_bytes()), reason));
    }
    Ok(verification)
}
