//! Named images on this machine, in a layout that can be read without parsing anything.
//!
//! ```text
//! images/NAME/rootfs/          the root file system, if it is one piece
//! images/NAME/layers/000/ …    its layers, lowest first, if they are kept apart: directories or links to them
//! images/NAME/config.json      the OCI image config, where there is one
//! images/.layers/…             layers that images link to, each once
//! ```
//!
//! `images` is `/var/lib/pipkin/images` for root, else `$XDG_DATA_HOME/pipkin/images` (`~/.local/share/…`), mode 0700:
//! set-user-id files in an image are nobody else's business. An image has either `rootfs` or `layers`.
//!
//! **Names**: `[a-z0-9][a-z0-9._/-]*`, no empty, `.` or `..` part, and optionally `:` and a tag
//! `[A-Za-z0-9_][A-Za-z0-9._-]*`. `alpine` and `alpine:latest` are two names. In the directory's name `/` is
//! written `%2F`, which is one to one, since `%` is in no name; the whole is at most 255 bytes. Nothing else
//! in `images` begins with a letter or a digit.
//!
//! **Use**: who uses an image holds a shared `flock(2)` on the directory `images/NAME`; removal and replacement take it
//! exclusively and fail when they cannot. Changes of the list are made under an exclusive lock on `images` itself, by
//! one rename each: an image is there whole or not at all.

mod layers;

use std::fmt;
use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::directory::Directory;
use crate::error::{Doing, Error, Reason, Result};
use crate::name::{NAME_MAX, printable};
use crate::partial::Partial;
use crate::unpack::{Options, Summary};

/// Where root's images are.
pub const SYSTEM_DIRECTORY: &str = "/var/lib/pipkin/images";
/// The root file system inside an image, if it is one piece.
pub const ROOTFS: &str = "rootfs";
/// The directory of layers inside an image, if they are kept apart.
pub const LAYERS: &str = "layers";

/// The OCI image config inside an image, where there is one.
pub const CONFIG: &str = "config.json";

/// A checked image name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName(String);

impl ImageName {
    /// The name of its directory in `images`.
    pub fn directory_name(&self) -> String {
        self.0.replace('/', "%2F")
    }

    /// The image that a directory in `images` holds; `None` if the name is not one that
    /// [`directory_name`](ImageName::directory_name) gives.
    pub fn from_directory_name(directory: &str) -> Option<ImageName> {
        let name: ImageName = directory.replace("%2F", "/").parse().ok()?;
        (name.directory_name() == directory).then_some(name)
    }
}

impl FromStr for ImageName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<ImageName, String> {
        let (path, tag) = match text.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (text, None),
        };
        let path_byte = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let part = |part: &str| !matches!(part, "" | "." | "..") && part.as_bytes().iter().all(path_byte);
        let tag_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let good_tag =
            |tag: &str| !tag.is_empty() && !tag.starts_with(['.', '-']) && tag.bytes().all(tag_byte);
        let starts = text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
        if !starts || !path.split('/').all(part) || !tag.is_none_or(good_tag) {
            return Err(format!(
                "{:?} is no image name: lower-case letters, digits, '.', '_', '-' and '/', then maybe ':' and a tag",
                printable(text.as_bytes())
            ));
        }
        let name = ImageName(text.to_owned());
        if name.directory_name().len() > NAME_MAX {
            return Err(format!("image name {text:?} is too long"));
        }
        Ok(name)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What an image consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// One directory.
    Rootfs(PathBuf),
    /// Directories to be laid over each other, lowest first.
    Layers(Vec<PathBuf>),
}

/// An image in the store.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Its directory.
    pub path: PathBuf,
    /// What is in it.
    pub contents: Contents,
}

/// A directory of images.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// The store in this directory, which is made when the first image is.
    pub fn at(directory: impl Into<PathBuf>) -> Store {
        Store { directory: directory.into() }
    }

    /// This user's store.
    pub fn of_user() -> Result<Store> {
        if rustix::process::geteuid().is_root() {
            return Ok(Store::at(SYSTEM_DIRECTORY));
        }
        let absolute =
            |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
        match data {
            Some(data) => Ok(Store::at(data.join("pipkin/images"))),
            None => Err(Error::new(
                "find",
                "the image store",
                Reason::Missing("neither XDG_DATA_HOME nor HOME is set".into()),
            )),
        }
    }

    /// Where the images are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All images, by name. What is in the directory and no image is left out.
    pub fn list(&self) -> Result<Vec<Image>> {
        const LIST: &str = "list the images in";
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::new(LIST, self.directory.display(), error)),
        };
        let mut images = Vec::new();
        for entry in entries {
            let entry = entry.doing(LIST, || self.directory.display())?;
            let name = entry.file_name().to_str().and_then(ImageName::from_directory_name);
            let Some(name) = name else { continue };
            images.extend(self.find(&name)?);
        }
        images.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(images)
    }

    /// The image of this name, if it is there.
    pub fn find(&self, name: &ImageName) -> Result<Option<Image>> {
        const READ: &str = "read the image";
        let path = self.path_of(name);
        let rootfs = path.join(ROOTFS);
        if rootfs.is_dir() {
            return Ok(Some(Image { name: name.clone(), path, contents: Contents::Rootfs(rootfs) }));
        }
        let layers = match std::fs::read_dir(path.join(LAYERS)) {
            Ok(layers) => layers,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::new(READ, name, error)),
        };
        let mut paths = Vec::new();
        for layer in layers {
            paths.push(layer.doing(READ, || name)?.path());
        }
        paths.sort();
        Ok(Some(Image { name: name.clone(), path, contents: Contents::Layers(paths) }))
    }

    fn path_of(&self, name: &ImageName) -> PathBuf {
        self.directory.join(name.directory_name())
    }

    /// Begins an image: a temporary directory in the store, to be filled with `rootfs` or `layers` and given to
    /// [`Store::commit`]. What killed processes left is removed.
    pub fn begin(&self) -> Result<Partial> {
        const MAKE: &str = "make the image store";
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o755);
        if let Some(parent) = self.directory.parent() {
            builder.create(parent).doing(MAKE, || parent.display())?;
        }
        match builder.recursive(false).mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::new(MAKE, self.directory.display(), error));
            }
            _ => {}
        }
        let _list = self.lock_list()?;
        Partial::sweep(&self.directory)?;
        self.sweep_layers()?;
        Partial::within(&self.directory)
    }

    /// Stores an image, its layers kept apart or merged into one root file system, and tells what was unpacked.
    pub fn import(
        &self,
        image: &crate::image::Image,
        name: &ImageName,
        keep_layers: bool,
        options: &Options,
        replace: bool,
    ) -> Result<(Image, Summary)> {
        let partial = self.begin()?;
        let config = partial.path().join(CONFIG);
        std::fs::write(&config, &image.config).doing("write", || config.display())?;
        let summary = if keep_layers {
            self.add_layers(&partial, image, options)?
        } else {
            let rootfs = partial.path().join(ROOTFS);
            std::fs::create_dir(&rootfs).doing("make", || rootfs.display())?;
            let mut directory = Directory::open(&rootfs)?;
            let mut summary = image.squash(&mut directory, options)?;
            summary.dropped_xattrs = directory.finish()?;
            summary
        };
        Ok((self.commit(partial, name, replace)?, summary))
    }

    /// Gives a finished image its name, and makes it last through a power failure. An image of that name is an error,
    /// or replaced if `replace` says so and nobody uses it.
    pub fn commit(&self, image: Partial, name: &ImageName, replace: bool) -> Result<Image> {
        const STORE: &str = "store the image";
        let permissions = Permissions::from_mode(0o755);
        std::fs::set_permissions(image.path(), permissions).doing(STORE, || name)?;
        let fd = open_directory(image.path()).doing(STORE, || name)?;
        rustix::fs::syncfs(&fd).doing(STORE, || name)?;
        let path = self.path_of(name);
        let list = self.lock_list()?;
        if path.try_exists().doing(STORE, || name)? {
            if !replace {
                return Err(Error::refused(STORE, name, "an image of that name is there (rmi removes it)"));
            }
            let _unused = self.lock_unused(STORE, name)?;
            rustix::fs::renameat_with(CWD, image.path(), CWD, &path, RenameFlags::EXCHANGE)
                .doing(STORE, || name)?;
            // The old image now has the temporary name and goes with it.
            drop(image);
            self.sweep_layers()?;
        } else {
            image.rename_to(&path)?;
        }
        rustix::fs::fsync(&list).doing(STORE, || name)?;
        let missing = || Error::refused(STORE, name, "it has neither a root file system nor layers");
        self.find(name)?.ok_or_else(missing)
    }

    /// Removes an image that nobody uses.
    pub fn remove(&self, name: &ImageName) -> Result<()> {
        const REMOVE: &str = "remove the image";
        let list = match self.lock_list() {
            Ok(list) => list,
            Err(Error { reason: Reason::Io(error), .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(REMOVE, name, Reason::Missing("no such image".into())));
            }
            Err(error) => return Err(error),
        };
        let _unused = self.lock_unused(REMOVE, name)?;
        // Onto an empty directory of ours, by one rename; then it goes with that.
        let grave = Partial::within(&self.directory)?;
        std::fs::rename(self.path_of(name), grave.path()).doing(REMOVE, || name)?;
        rustix::fs::fsync(&list).doing(REMOVE, || name)?;
        crate::remove::remove_tree(grave.path())?;
        self.sweep_layers()
    }

    fn lock_list(&self) -> Result<OwnedFd> {
        const LOCK: &str = "lock the image store";
        let fd = open_directory(&self.directory).doing(LOCK, || self.directory.display())?;
        rustix::fs::flock(&fd, FlockOperation::LockExclusive).doing(LOCK, || self.directory.display())?;
        Ok(fd)
    }

    fn lock_unused(&self, action: &'static str, name: &ImageName) -> Result<OwnedFd> {
        let fd = match open_directory(&self.path_of(name)) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => {
                return Err(Error::new(action, name, Reason::Missing("no such image".into())));
            }
            Err(errno) => return Err(Error::new(action, name, errno)),
        };
        match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(fd),
            Err(Errno::WOULDBLOCK) => Err(Error::refused(action, name, "it is in use")),
            Err(errno) => Err(Error::new(action, name, errno)),
        }
    }
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_encoded_one_to_one() {
        for name in ["alpine", "alpine:3.22", "a/b/c:T_ag.1-", "0.x_y-z/1"] {
            let parsed: ImageName = name.parse().unwrap();
            assert!(!parsed.directory_name().contains('/'));
            assert_eq!(ImageName::from_directory_name(&parsed.directory_name()), Some(parsed));
        }
        assert_eq!("a/b:c".parse::<ImageName>().unwrap().directory_name(), "a%2Fb:c");
        let long = "x/".repeat(70) + "x";
        for name in [
            "",
            ".",
            "..",
            "a/..",
            "a//b",
            "/a",
            "a/",
            "Alpine",
            ".partial-x",
            "-a",
            "a b",
            "a%2Fb",
            "a:",
            "a:.b",
            "a:b:c",
            "a:b/c",
            "a\n",
            "a:b\0",
            "é",
            long.as_str(),
        ] {
            assert!(name.parse::<ImageName>().is_err(), "{name:?}");
        }
        assert_eq!(ImageName::from_directory_name("a%2fb"), None);
        assert_eq!(ImageName::from_directory_name(".partial-x"), None);
    }

    fn image(store: &Store, file: &str) -> Partial {
        let partial = store.begin().unwrap();
        std::fs::create_dir(partial.path().join(ROOTFS)).unwrap();
        std::fs::write(partial.path().join(ROOTFS).join(file), "").unwrap();
        partial
    }

    #[test]
    fn images_come_and_go_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("deep/images"));
        assert!(store.list().unwrap().is_empty());
        let name: ImageName = "team/app:1".parse().unwrap();
        assert!(store.remove(&name).unwrap_err().to_string().contains("no such image"));
        let stored = store.commit(image(&store, "one"), &name, false).unwrap();
        assert_eq!(stored.path, store.directory().join("team%2Fapp:1"));
        assert_eq!(std::fs::metadata(store.directory()).unwrap().permissions().mode() & 0o777, 0o700);
        let again = store.commit(image(&store, "two"), &name, false).unwrap_err();
        assert!(again.to_string().contains("an image of that name is there"), "{again}");
        store.commit(image(&store, "two"), &name, true).unwrap();
        assert!(stored.path.join("rootfs/two").exists());
        let listed: Vec<_> = store.list().unwrap().into_iter().map(|image| image.name).collect();
        assert_eq!(listed, std::slice::from_ref(&name));

        let user = open_directory(&stored.path).unwrap();
        rustix::fs::flock(&user, FlockOperation::LockShared).unwrap();
        assert!(store.remove(&name).unwrap_err().to_string().ends_with("it is in use"));
        let replaced = store.commit(image(&store, "three"), &name, true).unwrap_err();
        assert!(replaced.to_string().ends_with("it is in use"));
        drop(user);
        store.remove(&name).unwrap();
        assert_eq!(std::fs::read_dir(store.directory()).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_are_swept_and_work_in_progress_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("images"));
        let working = store.begin().unwrap();
        std::fs::create_dir_all(store.directory().join(".partial-dead/rootfs")).unwrap();
        let other = store.begin().unwrap();
        assert!(!store.directory().join(".partial-dead").exists());
        assert!(working.path().exists() && other.path().exists());
    }

    #[test]
    fn layers_are_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let partial = store.begin().unwrap();
        for layer in ["002", "000", "001"] {
            std::fs::create_dir_all(partial.path().join(LAYERS).join(layer)).unwrap();
        }
        let image = store.commit(partial, &"l".parse().unwrap(), false).unwrap();
        let Contents::Layers(layers) = image.contents else { panic!("no layers") };
        let names: Vec<_> = layers.iter().map(|layer| layer.file_name().unwrap()).collect();
        assert_eq!(names, ["000", "001", "002"]);
    }
}
