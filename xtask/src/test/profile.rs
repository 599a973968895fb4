//! docker's seccomp profile, out of a distribution's package.
//!
//! Only the file is wanted: the package holds docker's sources, and installed it would bring hundreds of others.

use crate::command;
use crate::setup;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const PACKAGE: &str = "golang-github-docker-docker-dev";
const MEMBER: &str = "./usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json";

/// Where it is, fetched on first use; `None` where there is no apt to fetch it.
///
/// # Errors
/// A package that cannot be had or has no such file.
pub(super) fn docker() -> Result<Option<PathBuf>> {
    let folder = command::target().join("docker-profile");
    let path = folder.join("default.json");
    if path.exists() {
        return Ok(Some(path));
    }
    if setup::find("apt-get").is_none() {
        return Ok(None);
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // The lists may be older than the package.
    let line = format!(
        "(apt-get -q download {PACKAGE} || (apt-get -q update && apt-get -q download {PACKAGE})) >&2"
    );
    command::run(Command::new("sh").args(["-c", &line]).current_dir(&folder))?;
    let line = format!("dpkg-deb --fsys-tarfile {PACKAGE}_*.deb | tar -x -O {MEMBER}");
    let text = command::output(Command::new("sh").args(["-c", &line]).current_dir(&folder))?;
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(Some(path))
}
