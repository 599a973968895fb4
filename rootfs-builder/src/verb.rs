//! What each verb does, and how its result is told.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use indicatif::{DecimalBytes, HumanCount};
use rootfs_builder::compress::Encoder;
use rootfs_builder::directory::Directory;
use rootfs_builder::image::{Layout, Wanted};
use rootfs_builder::store::{Contents, Image, ImageName, ROOTFS, Store};
use rootfs_builder::tree::Tree;
use rootfs_builder::unpack::{self, Options, Summary, apply};
use rootfs_builder::{Error, Result, alpine, cpio};
use serde_json::{Value, json};

use crate::argument::{Alpine, Arguments, Images, Import, Initramfs, Rmi, Unpack, Verb};
use crate::progress::Progress;

/// A result, for people and for programs.
pub(crate) struct Outcome {
    /// Lines, each ended.
    pub(crate) text: String,
    value: Value,
}

impl Outcome {
    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        format!("{}\n", self.value)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome> {
    match &arguments.verb {
        Verb::Alpine(verb) => get_alpine(verb),
        Verb::Unpack(verb) => unpack(verb),
        Verb::Import(verb) => import(verb),
        Verb::Images(verb) => images(verb),
        Verb::Rmi(verb) => rmi(verb),
        Verb::Initramfs(verb) => initramfs(verb),
    }
}

fn get_alpine(verb: &Alpine) -> Result<Outcome> {
    let mut request = alpine::Request::from_environment(verb.arch);
    request.version.clone_from(&verb.version);
    request.sha256.clone_from(&verb.sha256);
    if verb.mirror.is_some() {
        request.mirror.clone_from(&verb.mirror);
    }
    if verb.offline {
        request.mirror = None;
    }
    if verb.output.is_some() && verb.store.is_some() {
        return Err(Error::refused("read", "the arguments", "either -o or --store"));
    }
    let progress = Progress::of_bytes("download", 0);
    let tarball = alpine::obtain(&request, &mut |done, total| progress.set(done, total))?;
    drop(progress);
    let mut text = format!(
        "Alpine {} for {} ({}; {}): {}\n",
        tarball.version,
        verb.arch,
        tarball.origin,
        tarball.verification,
        tarball.path.display()
    );
    let mut value = json!({
        "version": tarball.version,
        "arch": verb.arch.as_str(),
        "tarball": tarball.path.to_string_lossy(),
        "origin": tarball.origin.to_string(),
        "verification": tarball.verification.to_string(),
    });
    let options = Options::default();
    if let Some(output) = &verb.output {
        let summary = unpack_file(&tarball.path, Path::new(output), &options)?;
        tell(&mut text, &mut value, "unpacked", output, &summary);
    }
    if let Some(name) = &verb.store {
        let (image, summary) =
            store_tarball(&tarball.path, &store_of(&verb.images)?, name, verb.replace, &options)?;
        tell(&mut text, &mut value, "stored", &image.path.to_string_lossy(), &summary);
    }
    Ok(Outcome { text, value })
}

fn unpack(verb: &Unpack) -> Result<Outcome> {
    let summary = unpack_file(Path::new(&verb.tarball), Path::new(&verb.directory), &verb.options())?;
    let (mut text, mut value) = (String::new(), json!({}));
    tell(&mut text, &mut value, "unpacked", &verb.directory, &summary);
    Ok(Outcome { text, value })
}

fn import(verb: &Import) -> Result<Outcome> {
    let (source, store) = (Path::new(&verb.source), store_of(&verb.images)?);
    let layout = layout_at(source, &verb.options())?;
    let (image, summary) = match layout {
        Some(layout) => {
            let wanted = Wanted { arch: verb.arch, reference: verb.reference.clone() };
            let image = layout.image(&wanted)?;
            let _progress = Progress::of_unknown("unpack layers");
            store.import(&image, &verb.name, verb.layers, &verb.options(), verb.replace)?
        }
        None if verb.layers || verb.reference.is_some() => {
            let why = "not an image, which alone has layers and names";
            return Err(Error::refused("import", source.display(), why));
        }
        None if source.is_dir() => store_directory(source, &store, &verb.name, verb.replace)?,
        None => store_tarball(source, &store, &verb.name, verb.replace, &verb.options())?,
    };
    let (mut text, mut value) = (String::new(), json!({ "name": verb.name.to_string() }));
    tell(&mut text, &mut value, "stored", &image.path.to_string_lossy(), &summary);
    Ok(Outcome { text, value })
}

/// The image with layers that `source` holds, if it does.
fn layout_at(source: &Path, options: &Options) -> Result<Option<Layout>> {
    if source.is_dir() {
        return if Layout::is_at(source) { Layout::open_directory(source).map(Some) } else { Ok(None) };
    }
    let (_, file) = open(source, "read")?;
    if !Layout::is_in(file)? {
        return Ok(None);
    }
    let (progress, file) = open(source, "read")?;
    Layout::read_archive(progress.read(file), options.limits).map(Some)
}

fn images(verb: &Images) -> Result<Outcome> {
    let mut text = String::new();
    let mut values = Vec::new();
    for Image { name, path, contents } in store_of(&verb.images)?.list()? {
        let layers = match contents {
            Contents::Rootfs(_) => 1,
            Contents::Layers(layers) => layers.len(),
        };
        let plural = if layers == 1 { "" } else { "s" };
        text += &format!("{name}\t{layers} layer{plural}\t{}\n", path.display());
        let path = path.to_string_lossy();
        values.push(json!({ "name": name.to_string(), "layers": layers, "path": path }));
    }
    Ok(Outcome { text, value: json!({ "images": values }) })
}

fn rmi(verb: &Rmi) -> Result<Outcome> {
    store_of(&verb.images)?.remove(&verb.name)?;
    let text = format!("removed {}\n", verb.name);
    Ok(Outcome { text, value: json!({ "removed": verb.name.to_string() }) })
}

fn initramfs(verb: &Initramfs) -> Result<Outcome> {
    const WRITE: &str = "write";
    let (source, output) = (Path::new(&verb.source), Path::new(&verb.output));
    let mut tree = Tree::new();
    if source.is_dir() {
        tree.host_directory("/", source)?;
    } else {
        let (progress, file) = open(source, "read")?;
        apply(progress.read(file), &mut tree, &Options::default())
            .map_err(|error| error.within(source.display()))?;
    }
    if let Some(init) = &verb.init {
        tree.host_file("/init", 0o755, Path::new(init))?;
    }
    let failed = |error: std::io::Error| Error::new(WRITE, output.display(), error);
    let directory = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    let mut encoder = Encoder::new(verb.compress, BufWriter::new(file)).map_err(failed)?;
    let progress = Progress::of_bytes("write", tree.size());
    let size = cpio::write(&tree, cpio::source_date_epoch()?, progress.write(&mut encoder))?;
    drop(progress);
    let mut buffered = encoder.finish().map_err(failed)?;
    buffered.flush().map_err(failed)?;
    let file = buffered.into_inner().map_err(|error| failed(error.into_error()))?;
    let compressed = file.as_file().metadata().map_err(failed)?.len();
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
    file.persist(output).map_err(|error| failed(error.error))?;
    let names = tree.iter().count();
    let text = format!(
        "{}: {} names, {}, compressed {}\n",
        output.display(),
        HumanCount(names as u64),
        DecimalBytes(size),
        DecimalBytes(compressed)
    );
    let value = json!({
        "output": verb.output, "names": names, "size": size, "compressed_size": compressed,
    });
    Ok(Outcome { text, value })
}

fn store_of(images: &Option<String>) -> Result<Store> {
    match images {
        Some(directory) => Ok(Store::at(directory)),
        None => Store::of_user(),
    }
}

fn open(path: &Path, doing: &'static str) -> Result<(Progress, File)> {
    let failed = |error: std::io::Error| Error::new("open", path.display(), error);
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    Ok((Progress::of_bytes(doing, size), file))
}

fn unpack_file(tarball: &Path, directory: &Path, options: &Options) -> Result<Summary> {
    let (progress, file) = open(tarball, "unpack")?;
    let result = unpack::unpack(progress.read(file), directory, options);
    result.map_err(|error| error.within(tarball.display()))
}

fn store_tarball(
    tarball: &Path,
    store: &Store,
    name: &ImageName,
    replace: bool,
    options: &Options,
) -> Result<(Image, Summary)> {
    let (progress, file) = open(tarball, "import")?;
    let image = store.begin()?;
    let summary = unpack::unpack(progress.read(file), &image.path().join(ROOTFS), options)
        .map_err(|error| error.within(tarball.display()))?;
    drop(progress);
    Ok((store.commit(image, name, replace)?, summary))
}

fn store_directory(
    source: &Path,
    store: &Store,
    name: &ImageName,
    replace: bool,
) -> Result<(Image, Summary)> {
    let _progress = Progress::of_unknown("import");
    let mut tree = Tree::new();
    tree.host_directory("/", source)?;
    let image = store.begin()?;
    let rootfs: PathBuf = image.path().join(ROOTFS);
    std::fs::create_dir(&rootfs).map_err(|error| Error::new("make", rootfs.display(), error))?;
    let mut directory = Directory::open(&rootfs)?;
    tree.write_to(&mut directory)?;
    let summary = Summary {
        entries: tree.iter().count() as u64,
        bytes: tree.size(),
        dropped_xattrs: directory.finish()?,
        skipped_devices: 0,
    };
    Ok((store.commit(image, name, replace)?, summary))
}

fn tell(text: &mut String, value: &mut Value, done: &str, place: &str, summary: &Summary) {
    *text += &format!(
        "{done} {place}: {} entries, {}\n",
        HumanCount(summary.entries),
        DecimalBytes(summary.bytes)
    );
    if summary.skipped_devices > 0 {
        *text += &format!("left out: {} device nodes\n", summary.skipped_devices);
    }
    if summary.dropped_xattrs > 0 {
        *text += &format!("left out: {} extended attributes\n", summary.dropped_xattrs);
    }
    value[done] = json!({
        "path": place,
        "entries": summary.entries,
        "bytes": summary.bytes,
        "skipped_devices": summary.skipped_devices,
        "dropped_xattrs": summary.dropped_xattrs,
    });
}
