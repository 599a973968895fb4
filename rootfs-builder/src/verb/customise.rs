//! A root file system with something added, as a stored image.

mod package;

use std::path::Path;

use rootfs_builder::directory::Directory;
use rootfs_builder::image::{Wanted, config_of};
use rootfs_builder::store::{CONFIG, ROOTFS};
use rootfs_builder::tree::Tree;
use rootfs_builder::unpack::Summary;
use rootfs_builder::{Error, Result, account};
use serde_json::{Value, json};

use super::{Outcome, export, source, store_of, tell};
use crate::argument::{Addition, Customise, Words};
use crate::progress::Progress;

const MAKE: &str = "make";

pub(super) fn customise(verb: &Customise) -> Result<Outcome> {
    let store = store_of(&verb.images)?;
    if !verb.replace && store.find(&verb.name)?.is_some() {
        let why = "an image of that name is there (rmi removes it)";
        return Err(Error::refused("store the image", &verb.name, why));
    }
    let wanted = Wanted { arch: verb.arch, reference: verb.reference.clone() };
    let source = source::read(&verb.source, &wanted, &store)?;
    let mut tree = source.tree;
    for addition in &verb.add {
        add(&mut tree, addition)?;
    }
    for user in &verb.user {
        account::add(&mut tree, user)?;
    }
    if let Some(init) = &verb.init {
        export::put_init(&mut tree, Path::new(init))?;
    }
    let mut config = source.config.unwrap_or_else(|| config_of(verb.arch));
    say(&mut config, verb);
    let image = store.begin()?;
    let rootfs = image.path().join(ROOTFS);
    std::fs::create_dir(&rootfs).map_err(|error| Error::new(MAKE, rootfs.display(), error))?;
    let mut directory = Directory::open(&rootfs)?;
    {
        let _progress = Progress::of_unknown("write");
        tree.write_to(&mut directory)?;
    }
    let summary = Summary {
        entries: tree.iter().count() as u64,
        bytes: tree.size(),
        dropped_xattrs: directory.finish()?,
        skipped_devices: 0,
    };
    if !verb.apk.is_empty() {
        package::install(verb, &rootfs)?;
    }
    let path = image.path().join(CONFIG);
    std::fs::write(&path, config.to_string()).map_err(|error| Error::new("write", path.display(), error))?;
    let stored = store.commit(image, &verb.name, verb.replace)?;
    let (mut text, mut value) = (String::new(), json!({ "name": verb.name.to_string() }));
    tell(&mut text, &mut value, "stored", &stored.path.to_string_lossy(), &summary);
    if !verb.apk.is_empty() {
        text += &format!("installed: {}\n", verb.apk.join(", "));
        value["installed"] = json!(verb.apk);
    }
    Ok(Outcome { text, value })
}

/// Adds a file or a directory of this machine. A file of this machine's is root's in there.
fn add(tree: &mut Tree, addition: &Addition) -> Result<()> {
    let host = Path::new(&addition.host);
    let found = std::fs::metadata(host).map_err(|error| Error::new("add", host.display(), error))?;
    if found.is_dir() {
        return tree.host_directory(&addition.path, host);
    }
    use std::os::unix::fs::PermissionsExt;
    tree.host_file(&addition.path, found.permissions().mode() & 0o7777, host)
}

/// Puts what was asked for into the config. It says it to whoever runs the image; here it does nothing.
fn say(config: &mut Value, verb: &Customise) {
    let texts = [
        ("User", verb.run_as.clone()),
        ("WorkingDir", verb.workdir.clone()),
        ("StopSignal", verb.stop_signal.clone()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            config["config"][name] = text.into();
        }
    }
    for (name, words) in [("Entrypoint", &verb.entrypoint), ("Cmd", &verb.cmd)] {
        if let Some(Words(words)) = words {
            config["config"][name] = json!(words);
        }
    }
    if verb.entrypoint.is_some() && verb.cmd.is_none() {
        // What was to be its argument is not for another one.
        config["config"]["Cmd"] = Value::Null;
    }
    let mut variables: Vec<String> = match config["config"]["Env"].as_array() {
        Some(known) => known.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => Vec::new(),
    };
    for variable in &verb.env {
        let name = variable.split_inclusive('=').next().unwrap_or(variable);
        variables.retain(|known| !known.starts_with(name));
        variables.push(variable.clone());
    }
    if !variables.is_empty() {
        config["config"]["Env"] = json!(variables);
    }
}
