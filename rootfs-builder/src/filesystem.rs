//! Sink: a file that is a file system, made by that file system's own tool.
//!
//! squashfs comes from mksquashfs(1), which reads an archive and so needs no privilege. mkfs.erofs(1) and mke2fs(8) read a
//! directory: the tree is unpacked into a temporary one, which needs root for owners and devices to be right.
//!
//! Times and identifiers are fixed, so that the same tree gives the same bytes as far as the tool can: ext4 only from
//! e2fsprogs 1.47.1 on, which no longer copies the temporary directory's change times.

use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;

use crate::directory::Directory;
use crate::error::{Doing, Error, Reason, Result};
use crate::meta::Meta;
use crate::name::printable;
use crate::partial::Partial;
use crate::tarball;
use crate::tree::Tree;

const MAKE: &str = "make";
const PACKAGE_EXT4: &str = "e2fsprogs";

/// A file system in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// Read-only and compressed.
    Squashfs,
    /// Read-only, made for being mapped into memory.
    Erofs,
    /// Writable.
    Ext4,
}

impl FromStr for Filesystem {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Filesystem, String> {
        match text {
            "squashfs" => Ok(Filesystem::Squashfs),
            "erofs" => Ok(Filesystem::Erofs),
            "ext4" => Ok(Filesystem::Ext4),
            _ => Err(format!("unknown file system {text:?}: squashfs, erofs or ext4")),
        }
    }
}

/// The identifier of every image: they are told apart by their contents. Not all zeros, which tools take for none.
pub const UUID: &str = "70697063-696e-4000-8000-000000000001";
/// Room in an ext4 image beside the files: metadata, journal, and some to write.
const EXT4_SPARE_SIZE: u64 = 32 << 20;
/// What ext4 takes for a file beside its bytes: its inode, and half a block that is not full.
const EXT4_FILE_SIZE: u64 = 256 + 2048;

/// Writes the tree as a file system into the new file `output`, all times not later than `latest` (seconds since
/// 1970). `size` is that of an ext4 image in bytes; if none, the files fit with some room.
pub fn write(
    tree: &Tree,
    filesystem: Filesystem,
    latest: Option<u32>,
    size: Option<u64>,
    output: &Path,
) -> Result<()> {
    match filesystem {
        Filesystem::Squashfs => squashfs(tree, latest, output),
        Filesystem::Erofs => {
            let staged = stage(tree, output)?;
            let mut tool = Command::new("mkfs.erofs");
            tool.args(["-U", UUID, "-T", &latest.unwrap_or(0).to_string()]);
            run(tool.arg(output).arg(staged.path()), "erofs-utils", output)
        }
        Filesystem::Ext4 => ext4(tree, latest, size, output),
    }
}

fn ext4(tree: &Tree, latest: Option<u32>, size: Option<u64>, output: &Path) -> Result<()> {
    let staged = stage(tree, output)?;
    let root = root_of(tree);
    let needed = tree.size() + tree.iter().count() as u64 * EXT4_FILE_SIZE;
    let size = size.unwrap_or(needed + needed / 8 + EXT4_SPARE_SIZE).next_multiple_of(4096);
    // Time 0 would mean the present.
    let time = latest.unwrap_or(0).max(1).to_string();
    let mut tool = Command::new("mke2fs");
    tool.args(["-q", "-F", "-t", "ext4", "-U", UUID, "-E"])
        .arg(format!(
            "hash_seed={UUID},lazy_itable_init=0,lazy_journal_init=0,root_owner={}:{}",
            root.uid, root.gid
        ))
        .arg("-d")
        .arg(staged.path())
        .env("E2FSPROGS_FAKE_TIME", &time)
        .arg(output)
        .arg(format!("{}k", size / 1024));
    run(&mut tool, PACKAGE_EXT4, output)?;
    // Of the root, mke2fs takes nothing from the directory.
    let mut tool = Command::new("debugfs");
    tool.args(["-w", "-R", &format!("set_inode_field / mode 04{:04o}", root.mode)]).arg(output);
    run(tool.env("E2FSPROGS_FAKE_TIME", &time), PACKAGE_EXT4, output)
}

fn root_of(tree: &Tree) -> Meta {
    tree.get("/").map_or(Meta::root(0o755), |root| root.attributes.meta)
}

fn squashfs(tree: &Tree, latest: Option<u32>, output: &Path) -> Result<()> {
    let mut tool = Command::new("mksquashfs");
    let root = root_of(tree);
    // Not as options: of the root directory's some versions take none from an archive, and put the present moment there.
    // This is the moment of the whole, and nothing in it is later.
    let newest = || tree.iter().map(|(_, _, node)| node.attributes.mtime.seconds).max().unwrap_or(0).max(0);
    let time = latest.map_or_else(newest, i64::from);
    tool.env("SOURCE_DATE_EPOCH", time.min(u32::MAX.into()).to_string());
    tool.arg("-").arg(output).args(["-tar", "-noappend", "-quiet", "-no-progress"]);
    // Of the root it takes nothing from an archive, and not every version takes its owner from an option.
    tool.args(["-root-mode", &format!("{:o}", root.mode)]);
    if (root.uid, root.gid) != (0, 0) {
        let why = "mksquashfs can give a root directory from an archive to root only";
        return Err(Error::refused(MAKE, output.display(), why));
    }
    let mut child = spawn(tool.stdin(Stdio::piped()), "squashfs-tools", output)?;
    let written = match child.stdin.take() {
        Some(stdin) => tarball::write(tree, latest, std::io::BufWriter::new(stdin)),
        None => Ok(()),
    };
    // If the tool gave up, what it says is the reason, and a broken pipe only follows from it.
    let finished = finish(child, output);
    finished.and(written)
}

/// The tree as a directory beside `output`.
fn stage(tree: &Tree, output: &Path) -> Result<Partial> {
    if !rustix::process::geteuid().is_root() {
        let why = "its tool takes owners from a directory, which needs root (squashfs does not)";
        return Err(Error::refused(MAKE, output.display(), why));
    }
    let near = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let partial = Partial::within(near)?;
    let mut directory = Directory::open(partial.path())?;
    tree.write_to(&mut directory)?;
    directory.finish()?;
    Ok(partial)
}

fn run(tool: &mut Command, package: &str, output: &Path) -> Result<()> {
    finish(spawn(tool.stdin(Stdio::null()), package, output)?, output)
}

fn spawn(tool: &mut Command, package: &str, output: &Path) -> Result<std::process::Child> {
    tool.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(|error| {
        let name = tool.get_program().display().to_string();
        if error.kind() == std::io::ErrorKind::NotFound {
            let why = format!("{name} is not installed (Debian's package is {package})");
            return Error::new(MAKE, output.display(), Reason::Missing(why));
        }
        Error::new(MAKE, output.display(), error)
    })
}

fn finish(child: std::process::Child, output: &Path) -> Result<()> {
    let done = child.wait_with_output().doing(MAKE, || output.display())?;
    if done.status.success() {
        return Ok(());
    }
    let said = printable(done.stderr.trim_ascii());
    Err(Error::refused(MAKE, output.display(), format!("{}: {said}", done.status)))
}
