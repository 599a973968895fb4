//! Alpine on disk, for what runs on this machine: tests, the demo and the bench.

use crate::build::Arch;
use crate::{command, setup};
use anyhow::{Context, Result};
use rootfs_builder::Reason;
use rootfs_builder::alpine::{self, Request, Tarball};
use rootfs_builder::unpack::{self, Devices, Options};
use std::path::{Path, PathBuf};

/// What could be had.
pub(crate) enum Rootfs {
    Alpine {
        /// The unpacked tree. It is shared: whoever runs in it must not write to it.
        path: PathBuf,
        /// Its version and where it came from.
        told: String,
    },
    /// No tarball was given or cached, and none could be downloaded: why.
    Nothing(String),
}

/// Obtains Alpine for this machine's architecture and unpacks it, once.
///
/// # Errors
/// A tarball that is not what its digest says, or does not unpack. Having none is not an error here.
pub(crate) fn obtain() -> Result<Rootfs> {
    obtain_in(&command::target().join("rootfs"))
}

/// The folder with the tarballs of all architectures, if they could be had and are in one.
///
/// # Errors
/// As [`obtain`].
pub(crate) fn tarballs() -> Result<Option<PathBuf>> {
    let mut folders = Vec::new();
    for arch in [alpine::Arch::X86_64, alpine::Arch::Aarch64] {
        match alpine::obtain(&Request::from_environment(arch), &mut |_, _| {}) {
            Ok(tarball) => folders.extend(tarball.path.parent().map(Path::to_path_buf)),
            Err(error) if matches!(error.reason, Reason::Missing(_) | Reason::Network(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    folders.dedup();
    Ok(folders.pop().filter(|_| folders.is_empty()))
}

/// As [`obtain`], a copy of one's own below `folder`.
///
/// # Errors
/// As [`obtain`].
pub(crate) fn obtain_in(folder: &Path) -> Result<Rootfs> {
    let arch = match Arch::HOST {
        Arch::X86_64 => alpine::Arch::X86_64,
        Arch::Aarch64 => alpine::Arch::Aarch64,
    };
    match alpine::obtain(&Request::from_environment(arch), &mut |_, _| {}) {
        Ok(tarball) => unpacked(&tarball, folder),
        Err(error) if matches!(error.reason, Reason::Missing(_) | Reason::Network(_)) => {
            Ok(Rootfs::Nothing(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

fn unpacked(tarball: &Tarball, folder: &Path) -> Result<Rootfs> {
    let path = folder.join(format!("alpine-{}", tarball.version));
    if !path.is_dir() {
        let devices = if setup::is_root()? { Devices::Make } else { Devices::Skip };
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        unpack::unpack_file(&tarball.path, &path, &Options { devices, ..Options::default() })?;
    }
    let told = format!("Alpine {}, {}, {}", tarball.version, tarball.origin, tarball.verification);
    Ok(Rootfs::Alpine { path, told })
}
