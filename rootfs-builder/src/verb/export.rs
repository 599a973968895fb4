//! Writing a root file system in another form.

use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use indicatif::{DecimalBytes, HumanCount};
use rootfs_builder::alpine::Arch;
use rootfs_builder::compress::{Compression, Encoder};
use rootfs_builder::directory::Directory;
use rootfs_builder::image::{self, Metadata, Wanted};
use rootfs_builder::meta::source_date_epoch;
use rootfs_builder::partial::Partial;
use rootfs_builder::tree::{Kind, Tree};
use rootfs_builder::{Error, Result, cpio, filesystem, tarball};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{Outcome, source, store_of};
use crate::argument::{Export, Format, Initramfs};
use crate::progress::Progress;

const WRITE: &str = "write";

pub(super) fn initramfs(verb: &Initramfs) -> Result<Outcome> {
    let wanted = Wanted { arch: verb.arch, reference: verb.reference.clone() };
    let mut tree = source::read(&verb.source, &wanted, &store_of(&verb.images)?)?.tree;
    if let Some(init) = &verb.init {
        tree.host_file("/init", 0o755, Path::new(init))?;
    }
    let mtime = cpio::source_date_epoch()?;
    let output = Path::new(&verb.output);
    let mut size = 0;
    let compressed = write_compressed(output, verb.compress, Some(verb.arch), &tree, |out| {
        size = cpio::write(&tree, mtime, out)?;
        Ok(())
    })?;
    let names = tree.iter().count();
    let mut text = format!(
        "{}: {} names, {}, compressed {}\n",
        output.display(),
        HumanCount(names as u64),
        DecimalBytes(size),
        DecimalBytes(compressed)
    );
    let dropped = tree.iter().filter(|(.., node)| !node.attributes.xattrs.is_empty()).count();
    if dropped > 0 {
        text += &format!("left out: extended attributes of {dropped} files, which the format cannot hold\n");
    }
    let value = json!({
        "output": verb.output, "names": names, "size": size, "compressed_size": compressed,
        "files_without_their_xattrs": dropped,
    });
    Ok(Outcome { text, value })
}

pub(super) fn export(verb: &Export) -> Result<Outcome> {
    let wanted = Wanted { arch: verb.arch, reference: verb.reference.clone() };
    let source = source::read(&verb.source, &wanted, &store_of(&verb.images)?)?;
    let mut tree = source.tree;
    if let Some(init) = &verb.init {
        put_init(&mut tree, Path::new(init))?;
    }
    let latest = source_date_epoch()?;
    let output = Path::new(&verb.output);
    let metadata = Metadata {
        arch: verb.arch,
        config: source.config.and_then(|config| config.get("config").cloned()).unwrap_or_else(|| json!({})),
        reference: verb.name.clone().or_else(|| source.name.map(|name| name.to_string())),
        created: latest,
    };
    let mut manifest = Value::Null;
    match verb.format {
        Format::Directory => {
            let partial = Partial::beside(output)?;
            let mut directory = Directory::open(partial.path())?;
            tree.write_to(&mut directory)?;
            directory.finish()?;
            partial.rename_to(output)?;
        }
        Format::Tar => {
            write_compressed(output, verb.compress, None, &tree, |out| tarball::write(&tree, latest, out))?;
        }
        Format::Filesystem(filesystem) => {
            let _progress = Progress::of_unknown("make the file system");
            let temporary = temporary_file(output)?;
            // Tools want to make the file themselves.
            let path = temporary.into_temp_path();
            filesystem::write(&tree, filesystem, latest, verb.size, &path)?;
            persist(path, output)?;
        }
        Format::Oci => {
            let partial = Partial::beside(output)?;
            manifest = image::write_layout(&tree, &metadata, partial.path())?.prefixed().into();
            std::fs::set_permissions(partial.path(), std::fs::Permissions::from_mode(0o755))
                .map_err(|error| Error::new(WRITE, output.display(), error))?;
            partial.rename_to(output)?;
        }
        Format::OciArchive => {
            write_compressed(output, Compression::None, None, &tree, |out| {
                manifest =
                    image::write_archive(&tree, &metadata, directory_of(output), out)?.prefixed().into();
                Ok(())
            })?;
        }
    }
    let names = tree.iter().count();
    let text = format!(
        "{}: {} names, {} in files\n",
        output.display(),
        HumanCount(names as u64),
        DecimalBytes(tree.size())
    );
    let value = json!({ "output": verb.output, "names": names, "bytes": tree.size(), "manifest": manifest });
    Ok(Outcome { text, value })
}

/// Puts the program in as `/sbin/init`, or where `/sbin` leads in distributions that merged it with another directory.
pub(super) fn put_init(tree: &mut Tree, init: &Path) -> Result<()> {
    let directory = match tree.get("/sbin").map(|node| &node.kind) {
        Some(Kind::Symlink(target)) => String::from_utf8_lossy(target).into_owned(),
        _ => "/sbin".to_owned(),
    };
    tree.host_file(&format!("{directory}/init"), 0o755, init)
}

/// Writes a file under a temporary name, compressed, for a kernel that unpacks programs if one is named, and renames it;
/// returns its size in bytes.
fn write_compressed(
    output: &Path,
    compression: Compression,
    programs_of: Option<Arch>,
    tree: &Tree,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<u64> {
    let failed = |error: std::io::Error| Error::new(WRITE, output.display(), error);
    let file = temporary_file(output)?;
    let file = BufWriter::new(file);
    let encoder = match programs_of {
        Some(arch) => Encoder::of_programs(compression, arch, file),
        None => Encoder::new(compression, file),
    };
    let mut encoder = encoder.map_err(failed)?;
    let progress = Progress::of_bytes("write", tree.size());
    write(&mut progress.write(&mut encoder))?;
    drop(progress);
    let buffered = encoder.finish().map_err(failed)?;
    let file = buffered.into_inner().map_err(|error| failed(error.into_error()))?;
    let size = file.as_file().metadata().map_err(failed)?.len();
    persist(file.into_temp_path(), output)?;
    Ok(size)
}

fn directory_of(output: &Path) -> &Path {
    output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn temporary_file(output: &Path) -> Result<NamedTempFile> {
    NamedTempFile::new_in(directory_of(output)).map_err(|error| Error::new(WRITE, output.display(), error))
}

fn persist(path: tempfile::TempPath, output: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::new(WRITE, output.display(), error);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
    path.persist(output).map_err(|error| failed(error.error))
}
