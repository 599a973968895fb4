//! What each verb does, and how its result is told.

mod customise;
mod export;
mod source;

use std::path::{Path, PathBuf};

use indicatif::{DecimalBytes, HumanCount};
use rootfs_builder::directory::Directory;
use rootfs_builder::image::Wanted;
use rootfs_builder::registry::{Authorities, Credential, Patience};
use rootfs_builder::store::{Contents, Image, ImageName, ROOTFS, Store};
use rootfs_builder::tree::Tree;
use rootfs_builder::unpack::{self, Options, Summary};
use rootfs_builder::{Error, Result, alpine, registry};
use serde_json::{Value, json};

use crate::argument::{Alpine, Arguments, Images, Import, Pull, Rmi, Unpack, Verb};
use crate::progress::Progress;
use source::{layout_at, open};

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
        Verb::Pull(verb) => pull(verb),
        Verb::Customise(verb) => customise::customise(verb),
        Verb::Images(verb) => images(verb),
        Verb::Rmi(verb) => rmi(verb),
        Verb::Initramfs(verb) => export::initramfs(verb),
        Verb::Export(verb) => export::export(verb),
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

fn pull(verb: &Pull) -> Result<Outcome> {
    let reference = &verb.reference;
    let name = match &verb.name {
        Some(name) => name.clone(),
        None => {
            reference.short_name().parse().map_err(|why: String| Error::refused("name", reference, why))?
        }
    };
    let store = store_of(&verb.images)?;
    if !verb.replace && store.find(&name)?.is_some() {
        // Before the download, not after it.
        return Err(Error::refused(
            "store the image",
            name,
            "an image of that name is there (rmi removes it)",
        ));
    }
    let wanted = Wanted { arch: verb.arch, reference: None };
    let credential = Credential::of_user(reference.host())?;
    let cache = registry::cache_of_user()?;
    let authorities = match &verb.cacert {
        Some(path) => Some(Authorities::read(Path::new(path))?),
        None => None,
    };
    let request = registry::Request {
        reference,
        wanted: &wanted,
        credential: credential.as_ref(),
        authorities: authorities.as_ref(),
        cache: &cache,
        size_max: verb.size_max,
        patience: Patience::default(),
    };
    let progress = Progress::of_bytes("pull", 0);
    let pulled = registry::pull(&request, &mut |done, total| progress.set(done, total))?;
    drop(progress);
    let image = pulled.layout()?.image(&wanted)?;
    let (stored, summary) = {
        let _progress = Progress::of_unknown("unpack layers");
        store.import(&image, &name, verb.layers, &verb.options(), verb.replace)?
    };
    let digest = pulled.digest.prefixed();
    let downloaded = pulled.downloaded;
    pulled.forget()?;
    let mut text = format!("pulled {reference}: {digest}, {} downloaded\n", DecimalBytes(downloaded));
    let mut value = json!({
        "name": name.to_string(), "reference": reference.to_string(), "digest": digest, "downloaded": downloaded,
    });
    tell(&mut text, &mut value, "stored", &stored.path.to_string_lossy(), &summary);
    Ok(Outcome { text, value })
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

fn store_of(images: &Option<String>) -> Result<Store> {
    match images {
        Some(directory) => Ok(Store::at(directory)),
        None => Store::of_user(),
    }
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
