//! A machine that is cut off while containers run, and what is known after its next start.

use super::{TIMEOUT, check, root_with};
use crate::build::{Arch, Face};
use crate::test::tally::{self, Tally};
use crate::vm::{self, Tiny};
use anyhow::Result;
use rootfs_builder::filesystem::{self, Filesystem};
use rootfs_builder::tree::Tree;
use std::path::Path;

const BEFORE: &str = include_str!("before_cut.sh");
const AFTER: &str = include_str!("after_cut.sh");
/// What the root and containers need.
const MODULES: &[&str] = &["virtio_pci", "virtio_blk", "virtio_console", "ext4", "overlay"];
/// Room for an image, layers and logs.
const DISK_BYTES: u64 = 128 << 20;

/// Runs it on a disk in `folder`.
///
/// # Errors
/// Whatever kept a machine from being made, or the second one from ending by itself.
pub(super) fn run(arch: Arch, folder: &Path) -> Result<Tally> {
    let tiny = Tiny::new(arch, Face::All, Tree::new(), MODULES)?;
    let mut tree = root_with(arch, &tiny.pipkin)?;
    tree.file("/before", 0o755, BEFORE.as_bytes())?;
    tree.file("/after", 0o755, AFTER.as_bytes())?;
    let disk = folder.join("cut");
    filesystem::write(&tree, Filesystem::Ext4, None, Some(DISK_BYTES), &disk)?;
    let mut machine = vm::for_tests(arch)?;
    machine.disks.push(disk);
    let arguments = "root=/dev/vda rootfstype=ext4 rw -- sh";
    let cut = tiny.run_to_any_end(&machine, &format!("{arguments} /before"), TIMEOUT)?;
    let is_cut = cut.status.is_none() && cut.output.contains("ready to be cut off");
    let outcome = tiny.run(&machine, &format!("{arguments} /after"), TIMEOUT)?;
    let inside = tally::of_output(&outcome.output, outcome.status)?;
    Ok(inside.and([check("a_machine_can_be_cut_off", is_cut)]))
}
