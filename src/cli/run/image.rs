//! What IMAGE means: directories of the host that are laid over each other.

use super::keep;
use super::metadata::{self, Metadata};
use crate::cli::message::Failure;
use crate::store::lock;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// An image, found.
#[derive(Debug)]
pub(super) struct Image {
    /// Its directories, lowest first; none is the embedded image.
    pub(super) layers: Vec<&'static CStr>,
    /// How it is to be run, as far as it says.
    pub(super) metadata: Metadata,
    /// While this is open, nobody removes or replaces the stored image.
    _lock: Option<rustix::fd::OwnedFd>,
}

const FIND: &str = "use the image";

/// Finds the image of this name or path; `store` is where named ones are.
///
/// `scratch` is the embedded one. What begins with `/`, `./` or `../` is a path; anything else is sought in the store
/// first, and when it has a slash, then as a path.
pub(super) fn find(typed: &OsStr, store: &Path) -> Result<Image, Failure> {
    let bytes = typed.as_bytes();
    if bytes == b"scratch" {
        return Ok(Image { layers: Vec::new(), metadata: Metadata::default(), _lock: None });
    }
    let path = [&b"/"[..], b"./", b"../"].iter().any(|start| bytes.starts_with(start));
    if path || bytes == b"." || bytes == b".." {
        return Ok(Image { layers: vec![root(typed)?], metadata: Metadata::default(), _lock: None });
    }
    let stored = directory_name(bytes).map(|name| store.join(name));
    if let Some(image) = stored.as_deref().map(stored_image).transpose()?.flatten() {
        return Ok(image);
    }
    if bytes.contains(&b'/') {
        return Ok(Image { layers: vec![root(typed)?], metadata: Metadata::default(), _lock: None });
    }
    let failure = Failure::new(
        FIND,
        bytes,
        &[b"there is none of this name in ", store.as_os_str().as_bytes()].concat(),
    );
    let remedy = if Path::new(typed).is_dir() {
        "for the directory here, write ./ in front of it"
    } else {
        "add it with rootfs-builder, or give a directory that holds a root file system, or scratch"
    };
    Err(failure.remedy(remedy))
}

/// The directory in the store of an image called `name`, `/` written `%2F`; `None` when it cannot be a name.
fn directory_name(name: &[u8]) -> Option<String> {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(byte);
    let begins = name.first().is_some_and(u8::is_ascii_alphanumeric);
    let text = std::str::from_utf8(name).ok().filter(|_| begins && name.iter().all(legal))?;
    Some(text.replace('/', "%2F"))
}

/// The image in this directory of the store, kept from being removed; `None` when there is none.
fn stored_image(path: &Path) -> Result<Option<Image>, Failure> {
    let name = path.as_os_str().as_bytes();
    let fail = |errno| Failure::errno(FIND, name, errno);
    let lock = match lock(path, FlockOperation::NonBlockingLockShared) {
        Ok(lock) => lock,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::WOULDBLOCK) => return Err(Failure::new(FIND, name, b"it is being removed or replaced")),
        Err(Errno::STALE) => {
            return Err(Failure::new(FIND, name, b"it was replaced just now").remedy("try again"));
        }
        Err(errno) => return Err(fail(errno)),
    };
    Ok(Some(Image { layers: layers(path)?, metadata: metadata::read(path)?, _lock: Some(lock) }))
}

/// The directories of a stored image, lowest first: `rootfs`, or those in `layers` by name.
fn layers(path: &Path) -> Result<Vec<&'static CStr>, Failure> {
    let whole = path.join("rootfs");
    if whole.is_dir() {
        return Ok(vec![directory(FIND, whole.as_os_str())?]);
    }
    let below = path.join("layers");
    let fail = |error: std::io::Error| Failure::io(FIND, path.as_os_str().as_bytes(), &error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&below).map_err(fail)? {
        found.push(entry.map_err(fail)?.path().into_os_string().into_vec());
    }
    found.sort_unstable();
    if found.is_empty() {
        return Err(Failure::new(FIND, below.as_os_str().as_bytes(), b"it has no layer"));
    }
    found.iter().map(|layer| directory(FIND, OsStr::from_bytes(layer))).collect()
}

/// A directory that can be the whole of a root.
fn root(typed: &OsStr) -> Result<&'static CStr, Failure> {
    let path = directory(FIND, typed)?;
    let mut entries =
        std::fs::read_dir(typed).map_err(|error| Failure::io(FIND, typed.as_bytes(), &error))?;
    if entries.next().is_none() {
        let failure = Failure::new(FIND, typed.as_bytes(), b"the directory is empty");
        return Err(failure.remedy("unpack a root file system there, or use scratch"));
    }
    Ok(path)
}

/// The absolute path of a directory; `what` is to be done with it.
pub(super) fn directory(what: &str, typed: &OsStr) -> Result<&'static CStr, Failure> {
    let name = typed.as_bytes();
    let fail = |error: std::io::Error| Failure::io(what, name, &error);
    if !std::fs::metadata(typed).map_err(fail)?.is_dir() {
        let remedy = "an archive must be unpacked first: see rootfs-builder";
        return Err(Failure::errno(what, name, Errno::NOTDIR).remedy(remedy));
    }
    keep::path(name).ok_or_else(|| Failure::new(what, name, b"it has no absolute path"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags};
    use std::fs::{create_dir, create_dir_all, write};
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    /// A directory of our own, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pipkin-image-{name}-{}", std::process::id()));
            create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn shown(image: &Image) -> Vec<&str> {
        image.layers.iter().map(|layer| layer.to_str().unwrap()).collect()
    }

    #[test]
    fn paths_and_names_are_told_apart() {
        let scratch = Scratch::new("kinds");
        let base = scratch.0.to_str().unwrap().to_owned();
        create_dir_all(scratch.0.join("store/alpine:3/rootfs/bin")).unwrap();
        create_dir_all(scratch.0.join("store/a%2Fb/layers/001")).unwrap();
        create_dir_all(scratch.0.join("elsewhere")).unwrap();
        symlink(scratch.0.join("elsewhere"), scratch.0.join("store/a%2Fb/layers/000")).unwrap();
        create_dir_all(scratch.0.join("plain,with:signs/bin")).unwrap();
        write(scratch.0.join("file"), "x").unwrap();
        let store = scratch.0.join("store");
        let find = |typed: &str| find(OsStr::new(typed), &store);

        assert!(find("scratch").unwrap().layers.is_empty());
        let named = find("alpine:3").unwrap();
        assert_eq!(shown(&named), [format!("{base}/store/alpine:3/rootfs")]);
        assert!(named._lock.is_some());
        let layered = find("a/b").unwrap();
        assert_eq!(shown(&layered), ["000", "001"].map(|layer| format!("{base}/store/a%2Fb/layers/{layer}")));
        let path = format!("{base}/plain,with:signs");
        assert_eq!(shown(&find(&path).unwrap()), [path.as_str()]);
        for bad in ["", "alpine", "alpine:4", "../x", "a/c", "./nowhere", "-x", "%2F", "."] {
            assert_eq!(find(bad).is_err(), bad != ".", "{bad}");
        }
        assert!(find(&format!("{base}/file")).is_err());
        assert!(find(&format!("{base}/elsewhere")).is_err());
    }

    #[test]
    fn an_image_in_use_is_held() {
        let scratch = Scratch::new("lock");
        create_dir_all(scratch.0.join("one/rootfs")).unwrap();
        let image = find(OsStr::new("one"), &scratch.0).unwrap();
        let path = scratch.0.join("one").into_os_string().into_vec();
        let other = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let remove = || rustix::fs::flock(&other, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(remove(), Err(Errno::WOULDBLOCK));
        drop(image);
        remove().unwrap();
        assert!(find(OsStr::new("one"), &scratch.0).is_err());
    }
}
