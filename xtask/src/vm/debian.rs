//! A distribution's userland on a disk, from its packages, for what no other way brings into a machine.
//!
//! Packages are unpacked, not installed: none of their scripts runs. What those would have made and a test needs (the
//! accounts, a link of update-alternatives) the caller adds. The disk is kept under `target/vm/ARCH`, by what was
//! asked for; removing it has the newest packages fetched again.

use super::apt::{self, Apt};
use crate::build::Arch;
use anyhow::{Context, Result};
use rootfs_builder::filesystem::{self, Filesystem};
use rootfs_builder::tree::Tree;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What a userland is made of.
pub(crate) struct Userland<'a> {
    /// Names for apt, which adds what they depend on.
    pub(crate) packages: &'a [&'a str],
    /// Beginnings of the names of packages that those depend on and that are not needed for running them.
    pub(crate) left_out: &'a [&'a str],
    /// Directories and files that no package holds: their paths, and what is in them.
    pub(crate) files: &'a [(&'a str, &'a str)],
    pub(crate) directories: &'a [&'a str],
    /// Symbolic links: path and target.
    pub(crate) links: &'a [(&'a str, &'a str)],
    /// Accounts beside those of every machine, each with a group of its own: name, id and home.
    pub(crate) accounts: &'a [(&'a str, u32, &'a str)],
}

impl Userland<'_> {
    /// The disk, an ext4 to be mounted read-only, made the first time.
    ///
    /// # Errors
    /// No such packages or no network the first time; not being root, who alone can make the files' owners.
    pub(crate) fn disk(&self, arch: Arch) -> Result<PathBuf> {
        let folder = super::folder(arch)?;
        let kept = folder.join(format!("debian-{:016x}.ext4", self.fingerprint()));
        if kept.is_file() {
            return Ok(kept);
        }
        let work = tempfile::Builder::new().prefix("debian-").tempdir_in(&folder);
        let work = work.with_context(|| format!("making a folder in {}", folder.display()))?;
        let fresh = work.path().join("disk");
        let tree = self.tree(arch, work.path())?;
        filesystem::write(&tree, Filesystem::Ext4, None, None, &fresh)?;
        fs::rename(&fresh, &kept).with_context(|| format!("renaming to {}", kept.display()))?;
        Ok(kept)
    }

    fn tree(&self, arch: Arch, work: &Path) -> Result<Tree> {
        let apt = Apt::new(arch, work)?;
        eprintln!("xtask: fetching {} and what they need", self.packages.join(", "));
        apt.run("apt-get", &["-qq", "update"])?;
        let words = ["-qq", "-y", "--download-only", "--no-install-recommends", "install"];
        let mut install = apt.command("apt-get", &[words.as_slice(), self.packages].concat());
        // Of its many words none is of use unless it fails.
        let output = install.output().context("starting apt-get")?;
        if !output.status.success() {
            anyhow::bail!("apt-get: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        let root = work.join("root");
        apt::extract(&work.join("cache/archives"), &root, self.left_out)?;
        self.accounts(&root).context("making the accounts")?;
        let mut tree = Tree::new();
        tree.host_directory("/", &root)?;
        for directory in self.directories {
            tree.directory(directory, 0o755)?;
        }
        for (path, text) in self.files {
            tree.file(path, 0o644, text.as_bytes())?;
        }
        for (path, target) in self.links {
            tree.symlink(path, target)?;
        }
        Ok(tree)
    }

    /// The accounts that every machine of the distribution has, and the further ones.
    fn accounts(&self, root: &Path) -> io::Result<()> {
        let masters = root.join("usr/share/base-passwd");
        for name in ["passwd", "group"] {
            let mut text = fs::read_to_string(masters.join(format!("{name}.master")))?;
            for (account, id, home) in self.accounts {
                text += &match name {
                    "passwd" => format!("{account}:*:{id}:{id}::{home}:/bin/sh\n"),
                    _ => format!("{account}:*:{id}:\n"),
                };
            }
            fs::write(root.join("etc").join(name), text)?;
        }
        Ok(())
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.packages, self.left_out, self.files, self.directories, self.links, self.accounts)
            .hash(&mut hasher);
        hasher.finish()
    }
}
