//! The machine's kernel: the distribution's package for virtual machines, downloaded and unpacked, never installed.
//!
//! A kernel of another architecture is as near as the machine's own. Once unpacked it stays; removing
//! `target/vm/ARCH/kernel` has the newest fetched again.

use super::apt::{self, Apt, debian};
use crate::build::Arch;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// An unpacked kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    /// What `uname -r` says under it.
    pub(super) release: String,
    /// The file to boot.
    pub(super) image: PathBuf,
    /// The folder with `kernel/` and `modules.builtin`.
    pub(super) modules: PathBuf,
}

/// Finds the kernel for `arch`, fetching it the first time.
///
/// # Errors
/// [`setup::Missing`] without apt; no network the first time; apt's sources having no kernel for `arch`.
pub(super) fn obtain(arch: Arch) -> Result<Kernel> {
    let folder = super::folder(arch)?;
    let kept = folder.join("kernel");
    if !kept.is_dir() {
        let fresh = tempfile::Builder::new().prefix("kernel-").tempdir_in(&folder);
        let fresh = fresh.with_context(|| format!("making a folder in {}", folder.display()))?;
        let unpacked = fetch(arch, fresh.path())?;
        Kernel::unpacked(&unpacked)?;
        // Whoever fetched at the same time and was first has the same.
        if let Err(error) = fs::rename(&unpacked, &kept)
            && !kept.is_dir()
        {
            return Err(error).with_context(|| format!("renaming to {}", kept.display()));
        }
    }
    Kernel::unpacked(&kept)
}

impl Kernel {
    /// The parts of the kernel package unpacked in `folder`.
    fn unpacked(folder: &Path) -> Result<Kernel> {
        let boot = folder.join("boot");
        let entries = fs::read_dir(&boot).with_context(|| format!("reading folder {}", boot.display()))?;
        for entry in entries {
            let name = entry.with_context(|| format!("reading folder {}", boot.display()))?.file_name();
            let Some(release) = name.to_str().and_then(|name| name.strip_prefix("vmlinuz-")) else {
                continue;
            };
            let modules = ["usr/lib/modules", "lib/modules"].map(|path| folder.join(path).join(release));
            if let Some(modules) = modules.into_iter().find(|path| path.join("modules.builtin").is_file()) {
                return Ok(Kernel { release: release.to_owned(), image: boot.join(&name), modules });
            }
        }
        bail!("no kernel with modules in {}: please remove that folder", folder.display())
    }
}

/// Downloads and unpacks the kernel for `arch` below `work`, and answers where.
fn fetch(arch: Arch, work: &Path) -> Result<PathBuf> {
    let apt = Apt::new(arch, work)?;
    eprintln!("xtask: looking for a kernel for {arch} in apt's sources");
    let updated = apt.run("apt-get", &["-qq", "update"]);
    let Some((name, packages)) = kernel_packages(&apt)? else {
        let why = format!(
            "no source of apt has a kernel for {architecture}: none of {names}; Debian's sources have it, on \
             Ubuntu those for {architecture} may have to be added",
            architecture = debian(arch),
            names = meta_packages(arch).join(", "),
        );
        return Err(updated.err().unwrap_or_else(|| anyhow::anyhow!("no package found")).context(why));
    };
    eprintln!("xtask: {name} stands for {}", packages.join(", "));
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    apt.run("apt-get", &[&["-qq", "download"], names.as_slice()].concat())?;
    let root = work.join("root");
    apt::extract(work, &root, &[])?;
    Ok(root)
}

/// The first meta package that exists and the packages with the kernel itself that it leads to.
fn kernel_packages(apt: &Apt<'_>) -> Result<Option<(String, Vec<String>)>> {
    for meta in meta_packages(apt.arch) {
        let mut found: Vec<String> = Vec::new();
        let mut pending = vec![meta.clone()];
        while let Some(name) = pending.pop() {
            for needed in needed_by(apt, &name)? {
                if !found.contains(&needed) {
                    found.push(needed.clone());
                    pending.push(needed);
                }
            }
        }
        if !found.is_empty() {
            return Ok(Some((meta, found)));
        }
    }
    Ok(None)
}

/// Of the packages that `name` depends on those that are parts of a kernel; none for an unknown `name`.
fn needed_by(apt: &Apt<'_>, name: &str) -> Result<Vec<String>> {
    let mut query = apt.command("apt-cache", &["depends", "--important", name]);
    let answer = query.output().context("starting apt-cache")?;
    Ok(kernel_parts(&String::from_utf8_lossy(&answer.stdout)))
}

/// Picks the parts of a kernel from what `apt-cache depends` prints: `  Depends: linux-image-6.1.0-56-cloud-amd64`.
fn kernel_parts(answer: &str) -> Vec<String> {
    // Debian has all in one package, or image, `binary` and modules apart as Ubuntu has image and modules.
    const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];
    let depends = |line: &str| {
        let name =
            line.trim().strip_prefix("Depends: ").or_else(|| line.trim().strip_prefix("PreDepends: "))?;
        PARTS.iter().any(|part| name.starts_with(part)).then(|| name.to_owned())
    };
    answer.lines().filter_map(depends).collect()
}

/// The packages that always depend on the newest kernel: the smallest one for virtual machines first, Debian's names
/// and then Ubuntu's.
fn meta_packages(arch: Arch) -> [String; 4] {
    let debian = debian(arch);
    [
        format!("linux-image-cloud-{debian}"),
        "linux-image-virtual".to_owned(),
        "linux-image-generic".to_owned(),
        format!("linux-image-{debian}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::{Kernel, kernel_parts};
    use std::fs;

    #[test]
    fn only_parts_of_a_kernel_are_followed() {
        let ubuntu = "linux-image-6.8.0-1-generic\n |Depends: kmod\n  Depends: linux-base\n  Depends: \
                      linux-modules-6.8.0-1-generic\n  Conflicts: linux-image-unsigned-6.8.0-1-generic\n";
        assert_eq!(kernel_parts(ubuntu), ["linux-modules-6.8.0-1-generic"]);
        assert_eq!(kernel_parts(""), [""; 0]);
    }

    #[test]
    fn a_kernel_is_image_and_modules_of_one_release() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("boot")).unwrap();
        fs::write(at("boot/config-6.1"), "").unwrap();
        fs::write(at("boot/vmlinuz-6.1"), "").unwrap();
        assert!(Kernel::unpacked(folder.path()).is_err());
        fs::create_dir_all(at("lib/modules/6.1")).unwrap();
        fs::write(at("lib/modules/6.1/modules.builtin"), "").unwrap();
        let kernel = Kernel::unpacked(folder.path()).unwrap();
        assert_eq!((kernel.release.as_str(), kernel.image), ("6.1", at("boot/vmlinuz-6.1")));
        assert_eq!(kernel.modules, at("lib/modules/6.1"));
    }
}
