//! Fetches a tarball into the cache: under a temporary name until its digest is right, then renamed.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use super::{Origin, Request, Tarball, Verification, file_name};
use crate::digest::Hashing;
use crate::error::{Doing, Error, Reason, Result};

/// Name lookup, connection and the first byte of an answer each have this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// A whole download has this long.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// A minirootfs is 3 to 4 MiB; what claims to be one and goes on beyond this is not.
const SIZE_MAX: u64 = 64 << 20;
/// A `.sha256` file is one line.
const DIGEST_FILE_SIZE_MAX: u64 = 4096;

const DOWNLOAD: &str = "download";

pub(super) fn download(
    request: &Request,
    mirror: &str,
    cache: &Path,
    version: &str,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Tarball> {
    let file = file_name(version, request.arch);
    // vMAJOR.MINOR of the version is the mirror's directory.
    let branch = version.rsplit_once('.').map_or(version, |(branch, _)| branch);
    let url = format!("{}/v{branch}/releases/{}/{file}", mirror.trim_end_matches('/'), request.arch);
    let agent = agent(mirror);
    let (expected, verification) = match request.expected_digest(version) {
        Some((digest, verification)) => (digest.to_owned(), verification),
        None => (published_digest(&agent, &url)?, Verification::Published),
    };

    std::fs::create_dir_all(cache).doing("create the cache", || cache.display())?;
    let mut target =
        tempfile::NamedTempFile::new_in(cache).doing("write into the cache", || cache.display())?;
    let (body, size) = open(&agent, &url, SIZE_MAX)?;
    let mut body = Hashing::new(body);
    let mut buffer = vec![0; 64 << 10];
    let mut done = 0;
    loop {
        let count = body.read(&mut buffer).map_err(|error| interrupted(&url, &error))?;
        let chunk = buffer.get(..count).unwrap_or_default();
        if chunk.is_empty() {
            break;
        }
        target.write_all(chunk).doing("write into the cache", || cache.display())?;
        done += count as u64;
        progress(done, size);
    }
    let actual = body.digest().to_string();
    if actual != expected {
        return Err(Error::new(DOWNLOAD, &url, Reason::Digest { expected, actual }));
    }
    let path = cache.join(file);
    target.as_file().sync_all().doing("write into the cache", || path.display())?;
    target.persist(&path).map_err(|error| error.error).doing("write into the cache", || path.display())?;
    Ok(Tarball { path, version: version.to_owned(), origin: Origin::Downloaded(url), verification })
}

fn agent(mirror: &str) -> ureq::Agent {
    ureq::Agent::config_builder()
        // An https mirror must not send us on to plain http.
        .https_only(mirror.starts_with("https://"))
        .timeout_resolve(Some(ANSWER_TIMEOUT))
        .timeout_connect(Some(ANSWER_TIMEOUT))
        .timeout_recv_response(Some(ANSWER_TIMEOUT))
        .timeout_global(Some(DOWNLOAD_TIMEOUT))
        .user_agent(concat!("rootfs-builder/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn open(agent: &ureq::Agent, url: &str, size_max: u64) -> Result<(impl Read + 'static, Option<u64>)> {
    let network = |error: ureq::Error| Error::new(DOWNLOAD, url, Reason::Network(error.to_string()));
    let body = agent.get(url).call().map_err(network)?.into_body();
    let size = body.content_length();
    Ok((body.into_with_config().limit(size_max).reader(), size))
}

/// The body did not come whole: as much the network's failure as one to connect.
fn interrupted(url: &str, error: &std::io::Error) -> Error {
    Error::new(DOWNLOAD, url, Reason::Network(error.to_string()))
}

/// The first word of `URL.sha256`. Over plain `http` anyone on the way could write both files, so that is refused.
fn published_digest(agent: &ureq::Agent, url: &str) -> Result<String> {
    if !url.starts_with("https://") {
        let why = "this release is not among the known ones and the mirror is not https: give its digest";
        return Err(Error::refused(DOWNLOAD, url, why));
    }
    let url = format!("{url}.sha256");
    let (mut body, _) = open(agent, &url, DIGEST_FILE_SIZE_MAX)?;
    let mut text = String::new();
    body.read_to_string(&mut text).map_err(|error| interrupted(&url, &error))?;
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    if word.len() != 64 || !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::refused(DOWNLOAD, &url, "holds no SHA-256 digest"));
    }
    Ok(word.to_ascii_lowercase())
}
