//! The smallest machine: an initramfs that holds Pipkin, kernel modules where they are needed, and nothing else.

use super::console::{Ended, Show};
use super::kernel::{self, Kernel};
use super::machine::Boot;
use super::{Machine, Outcome, folder, module, outcome};
use crate::build::{self, Arch, Face};
use anyhow::{Context, Result};
use rootfs_builder::alpine;
use rootfs_builder::compress::{Compression, Encoder};
use rootfs_builder::cpio;
use rootfs_builder::tree::Tree;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What it is booted from.
pub(crate) struct Tiny {
    kernel: Kernel,
    initramfs: tempfile::TempPath,
    /// The shipped program, which is in there.
    pub(crate) pipkin: PathBuf,
}

impl Tiny {
    /// Makes the initramfs of Pipkin, as much of it as `face` says, `modules` with what they depend on, and `tree`, compressed.
    ///
    /// # Errors
    /// No kernel to be had, a module that its package has not, no room for the result.
    pub(crate) fn new(arch: Arch, face: Face, mut tree: Tree, modules: &[&str]) -> Result<Tiny> {
        let kernel = kernel::obtain(arch)?;
        let pipkin = build::static_binary(arch, face)?;
        tree.host_file("/init", 0o755, &pipkin)?;
        // A container's engine may call it so, and `-- /pipkin probe` on the command line.
        tree.hard_link("/pipkin", "/init")?;
        if !modules.is_empty() {
            let selection = module::select(&kernel.modules, modules)?;
            super::initramfs::add_modules(&mut tree, selection.modules)?;
        }
        let initramfs = tempfile::Builder::new().prefix("tiny-").tempfile_in(folder(arch)?);
        let initramfs = initramfs.context("making a file for the initramfs")?.into_temp_path();
        write(arch, &tree, &initramfs).with_context(|| format!("writing {}", initramfs.display()))?;
        Ok(Tiny { kernel, initramfs, pipkin })
    }

    /// The kernel's and the initramfs's sizes in bytes.
    ///
    /// # Errors
    /// A file that went away.
    pub(crate) fn sizes(&self) -> Result<(u64, u64)> {
        let size = |path: &Path| Ok::<u64, anyhow::Error>(std::fs::metadata(path)?.len());
        Ok((size(&self.kernel.image)?, size(&self.initramfs)?))
    }

    /// Boots `machine` from it with `arguments` on the kernel's command line, and shows the console.
    ///
    /// # Errors
    /// As [`super::run`].
    pub(crate) fn run(&self, machine: &Machine, arguments: &str, timeout: Duration) -> Result<Outcome> {
        outcome(self.run_to_any_end(machine, arguments, timeout)?)
    }

    /// The same, also when the machine does not tell how it ended.
    ///
    /// # Errors
    /// qemu missing or failing, or the deadline.
    pub(crate) fn run_to_any_end(
        &self,
        machine: &Machine,
        arguments: &str,
        timeout: Duration,
    ) -> Result<Ended> {
        let boot = Boot { kernel: &self.kernel.image, initramfs: &self.initramfs, arguments };
        machine.run(&boot, timeout, Show::Live)
    }
}

/// xz as the kernel's own decoder reads it: the smallest of what every distribution's kernel can unpack.
fn write(arch: Arch, tree: &Tree, path: &Path) -> Result<()> {
    let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let arch = match arch {
        Arch::X86_64 => alpine::Arch::X86_64,
        Arch::Aarch64 => alpine::Arch::Aarch64,
    };
    let mut encoder = Encoder::of_programs(Compression::Xz, arch, file)?;
    cpio::write(tree, cpio::source_date_epoch()?, &mut encoder)?;
    encoder.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    Ok(())
}
