//! What the machine has as its root: Alpine, Pipkin as `/init`, the modules, and the job.
//!
//! | path | what it is |
//! |---|---|
//! | `/` | Alpine, so that a person and the job find a shell |
//! | `/alpine` | Alpine once more and untouched, for containers |
//! | `/init`, `/usr/bin/pipkin` | the shipped program |
//! | `/lib/modules/pipkin/` | kernel modules, in the order of `/etc/pipkin/modules` |
//! | `/etc/pipkin/job` | what the machine was booted for |

use super::GuestFile;
use super::kernel::Kernel;
use super::module::{self, Module};
use crate::build::Arch;
use anyhow::{Context, Result};
use rootfs_builder::alpine::{self, Request};
use rootfs_builder::cpio;
use rootfs_builder::name::Name;
use rootfs_builder::tree::{Node, NodeId, Tree};
use rootfs_builder::unpack::{self, Options};
use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Where the machine finds its job.
pub(super) const JOB: &str = "/etc/pipkin/job";

/// What containers, their network and the machine's devices need. Most are parts of the kernel on one distribution
/// or another.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "vmw_vsock_virtio_transport",
    "overlay",
    "ext4",
    "squashfs",
    "erofs",
    "loop",
    "veth",
    "bridge",
    "dummy",
    "tun",
    "nf_conntrack",
    "nf_tables",
    "nft_ct",
    "nft_chain_nat",
    "nft_fib_inet",
    "nft_nat",
    "nft_masq",
    "nft_redir",
    "nft_reject_inet",
];

/// The parts that differ from machine to machine.
pub(super) struct Contents<'a> {
    pub(super) kernel: &'a Kernel,
    /// The shipped program.
    pub(super) pipkin: &'a Path,
    /// The shell script of the job.
    pub(super) job: String,
    pub(super) files: &'a [GuestFile],
}

/// Writes the initramfs, not compressed: the emulated machine would take longer to unpack it than to read it.
///
/// # Errors
/// No Alpine to be had, an unreadable module or file, no room for the result.
pub(super) fn write(arch: Arch, contents: &Contents<'_>, out: &Path) -> Result<()> {
    let selection = module::select(&contents.kernel.modules, MODULES)?;
    if !selection.missing.is_empty() {
        let (release, missing) = (&contents.kernel.release, selection.missing.join(", "));
        eprintln!("xtask: kernel {release} has no {missing}: what needs them cannot work in the machine");
    }
    let mut tree = alpine_twice(arch)?;
    add_modules(&mut tree, selection.modules)?;
    tree.host_file("/usr/bin/pipkin", 0o755, contents.pipkin)?;
    tree.hard_link("/init", "/usr/bin/pipkin")?;
    tree.file(JOB, 0o644, contents.job.as_bytes())?;
    for file in contents.files {
        tree.host_file(&file.path, file.mode, &file.host)?;
    }
    let file = File::create(out).with_context(|| format!("making {}", out.display()))?;
    cpio::write(&tree, cpio::source_date_epoch()?, BufWriter::with_capacity(1 << 20, file))?;
    Ok(())
}

/// Puts the modules in, and the list by which they are loaded.
pub(super) fn add_modules(tree: &mut Tree, modules: Vec<Module>) -> Result<()> {
    let mut list = String::new();
    for module in modules {
        let path = format!("/lib/modules/pipkin/{}.ko", module.name);
        list.push_str(&path);
        list.push('\n');
        tree.file(&path, 0o644, module.bytes)?;
    }
    Ok(tree.file("/etc/pipkin/modules", 0o644, list.into_bytes())?)
}

/// Alpine as the root and once more as `/alpine`: two trees, so that what a job does to one leaves the other as it was.
fn alpine_twice(arch: Arch) -> Result<Tree> {
    let request = Request::from_environment(match arch {
        Arch::X86_64 => alpine::Arch::X86_64,
        Arch::Aarch64 => alpine::Arch::Aarch64,
    });
    let tarball = alpine::obtain(&request, &mut |_, _| {}).with_context(|| {
        format!("getting Alpine, which a folder named in {} may hold", alpine::GIVEN_DIRECTORY)
    })?;
    let file = File::open(&tarball.path).with_context(|| format!("opening {}", tarball.path.display()))?;
    let mut tree = Tree::new();
    unpack::apply(file, &mut tree, &Options::default())?;
    let second = Name::parse(b"alpine")?;
    let entries: Vec<(Name, NodeId, Node)> =
        tree.iter().map(|(name, id, node)| (name.clone(), id, node.clone())).collect();
    let mut placed: HashMap<NodeId, Name> = HashMap::new();
    for (name, id, node) in entries {
        let name = second.join(name.as_bytes())?;
        match placed.get(&id) {
            Some(existing) => tree.link_name(name, existing)?,
            None => {
                tree.insert_name(name.clone(), node)?;
                placed.insert(id, name);
            }
        }
    }
    Ok(tree)
}
