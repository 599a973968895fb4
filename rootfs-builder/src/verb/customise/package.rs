//! Packages, installed by the distribution's own `apk`, which runs in a container of Pipkin's on the very root file system
//! it installs to: its scripts reach nothing else of this machine but its network.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rootfs_builder::alpine::{MIRROR, MIRROR_VARIABLE};
use rootfs_builder::beneath::Root;
use rootfs_builder::name::{Name, printable};
use rootfs_builder::{Error, Reason, Result};
use tempfile::TempDir;

use crate::argument::Customise;
use crate::progress::Progress;

const INSTALL: &str = "install packages in";
/// Where apk finds what it installs to, package files, the list of repositories, and keys.
const TARGET: &str = "/target";
const PACKAGES: &str = "/packages";
const REPOSITORIES: &str = "/repositories";
const KEYS: &str = "/keys";

/// Where the root file system has its own.
const LIST: &str = "etc/apk/repositories";
const OWN_KEYS: &str = "etc/apk/keys";

/// What the container is shown, as `-v` takes it, and what apk is told.
#[derive(Default)]
struct Container {
    volumes: Vec<String>,
    words: Vec<String>,
}

impl Container {
    fn show(&mut self, host: &Path, inside: &str) {
        self.volumes.push(format!("{}:{inside}:ro", host.display()));
    }
}

/// Runs `apk add` in a container whose root is a throw-away view of `rootfs`, on `rootfs` itself.
pub(super) fn install(verb: &Customise, rootfs: &Path) -> Result<()> {
    let rootfs = found(INSTALL, rootfs)?;
    let mut container = Container::default();
    container.volumes.push(format!("{}:{TARGET}", rootfs.display()));
    let names = Path::new("/etc/resolv.conf");
    if names.exists() {
        container.show(names, "/etc/resolv.conf");
    }
    let mut packages = Vec::new();
    for (number, package) in verb.apk.iter().enumerate() {
        if package.ends_with(".apk") {
            let inside = format!("{PACKAGES}/{number}.apk");
            container.show(&found("read", Path::new(package))?, &inside);
            packages.push(inside);
        } else {
            packages.push(package.clone());
        }
    }
    let given = packages.iter().filter(|package| package.starts_with(PACKAGES)).count();
    if given > 0 {
        // The user gives the file itself: nobody else vouches for it.
        container.words.push("--allow-untrusted".to_owned());
    }
    // What the container is shown goes with this.
    let folder = tempfile::tempdir().map_err(|error| Error::new(INSTALL, &verb.source, error))?;
    if given == packages.len() && verb.repository.is_empty() {
        // With --no-cache, --no-network would not keep it from asking for the lists of packages.
        container.words.extend(["--repositories-file", "/dev/null"].map(str::to_owned));
    } else {
        choose_repositories(verb, &rootfs, &folder, &mut container)?;
    }
    choose_keys(verb, &rootfs, &folder, &mut container)?;
    run(verb, &rootfs, &container, &packages)
}

fn found(stage: &'static str, path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|error| Error::new(stage, path.display(), error))
}

/// Reads a file of the root file system, in which no link is followed: it would lead to files of this machine.
fn read_within(rootfs: &Path, name: &str) -> Result<Vec<u8>> {
    let failed = |error| Error::new("read", name, error);
    let root = Root::open(rootfs).map_err(|errno| failed(errno.into()))?;
    let parsed = Name::parse(name.as_bytes()).map_err(|bad| Error::refused("read", name, bad.to_string()))?;
    let mut file = root.open_file(&parsed).map_err(|errno| failed(errno.into()))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

fn write(folder: &TempDir, name: &str, text: &[u8]) -> Result<PathBuf> {
    let path = folder.path().join(name);
    std::fs::write(&path, text).map_err(|error| Error::new("write", path.display(), error))?;
    Ok(path)
}

/// The repositories that were given, or those of the root file system, from the mirror that was given.
fn choose_repositories(
    verb: &Customise,
    rootfs: &Path,
    folder: &TempDir,
    container: &mut Container,
) -> Result<()> {
    let mut lines = String::new();
    for (number, repository) in verb.repository.iter().enumerate() {
        let line = if repository.contains("://") {
            repository.clone()
        } else {
            let inside = format!("{REPOSITORIES}.{number}");
            container.show(&found("read", Path::new(repository))?, &inside);
            inside
        };
        lines += &format!("{line}\n");
    }
    let mirror = verb.mirror.clone().or_else(|| std::env::var(MIRROR_VARIABLE).ok());
    if let Some(mirror) = mirror.filter(|_| lines.is_empty()) {
        let known = String::from_utf8_lossy(&read_within(rootfs, LIST)?).into_owned();
        lines = known.replace(MIRROR, mirror.trim_end_matches('/'));
    }
    if !lines.is_empty() {
        container.show(&write(folder, "repositories", lines.as_bytes())?, REPOSITORIES);
        container.words.extend(["--repositories-file", REPOSITORIES].map(str::to_owned));
    }
    Ok(())
}

/// The keys of the root file system and those that were given; the latter do not stay in it.
fn choose_keys(verb: &Customise, rootfs: &Path, folder: &TempDir, container: &mut Container) -> Result<()> {
    if verb.key.is_empty() {
        return Ok(());
    }
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).map_err(|error| Error::new("make", keys.display(), error))?;
    let own = std::fs::read_dir(rootfs.join(OWN_KEYS)).into_iter().flatten().flatten();
    for name in own.filter_map(|entry| entry.file_name().into_string().ok()) {
        write(folder, &format!("keys/{name}"), &read_within(rootfs, &format!("{OWN_KEYS}/{name}"))?)?;
    }
    for key in &verb.key {
        let name = Path::new(key).file_name().and_then(OsStr::to_str).unwrap_or_default();
        let text = std::fs::read(key).map_err(|error| Error::new("read", key, error))?;
        write(folder, &format!("keys/{name}"), &text)?;
    }
    container.show(&keys, KEYS);
    container.words.extend(["--keys-dir", KEYS].map(str::to_owned));
    Ok(())
}

fn run(verb: &Customise, rootfs: &Path, container: &Container, packages: &[String]) -> Result<()> {
    let mut pipkin = Command::new(verb.pipkin.as_deref().unwrap_or("pipkin"));
    pipkin.args(["run", "--rm", "--net", "host"]);
    for volume in &container.volumes {
        pipkin.args(["-v", volume]);
    }
    pipkin.arg(rootfs).args(["apk", "--root", TARGET, "add", "--no-progress", "--no-cache"]);
    pipkin.args(&container.words).arg("--").args(packages).stdin(Stdio::null());
    let _progress = Progress::of_unknown("install packages");
    let output = pipkin.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let why = "pipkin, which runs apk, is not found (--pipkin names it)";
            Error::new(INSTALL, &verb.source, Reason::Missing(why.into()))
        }
        _ => Error::new(INSTALL, &verb.source, error),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout.trim_ascii(), output.stderr.trim_ascii()].join(&b' ');
    Err(Error::refused(INSTALL, &verb.source, format!("{}: {}", output.status, printable(said.trim_ascii()))))
}
