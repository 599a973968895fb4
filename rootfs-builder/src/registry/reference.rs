//! What an image in a registry is called: `[HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST]`, in the words of Docker.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::name::printable;

/// The registry of names without a host, and the host that answers for it.
const USUAL: &str = "docker.io";
const USUAL_HOST: &str = "registry-1.docker.io";
/// Longest repository path (OCI distribution specification, "Pulling manifests": 255 with the host).
const PATH_MAX: usize = 255;

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry as people name it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the manifest must be, where that was said.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What a manifest is asked for by: the digest, the tag, or `latest`.
    pub(super) fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.prefixed(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The name for the image on this machine: the path, without what every image of Docker's own has, and the tag.
    pub fn short_name(&self) -> String {
        let path = match self.host.as_str() {
            USUAL => self.path.strip_prefix("library/").unwrap_or(&self.path),
            _ => &self.path,
        };
        match &self.tag {
            Some(tag) => format!("{path}:{tag}"),
            None => path.to_owned(),
        }
    }

    /// Whether the registry is this machine: then nobody is on the way.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Where the registry's interface begins, over plain http or TLS.
    pub(super) fn base(&self, plain: bool) -> String {
        let scheme = if plain { "http" } else { "https" };
        let host = if self.host == USUAL { USUAL_HOST } else { &self.host };
        format!("{scheme}://{host}/v2")
    }
}

/// Whether `host`, maybe with a port, names this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _)) => name,
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = name.parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Reference, String> {
        let bad = |why: &str| format!("{:?} is no image reference: {why}", printable(text.as_bytes()));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = Digest::parse_prefixed(digest);
                (rest, Some(digest.ok_or_else(|| bad("after '@' must be sha256: and a digest"))?))
            }
            None => (text, None),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((first, rest)) if first == "localhost" || first.contains(['.', ':', '[']) => (first, rest),
            _ => (USUAL, rest),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag.to_owned())),
            None => (rest, None),
        };
        let host_byte =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
        // An empty host, or one that is a path (`..`), begins with none of these.
        let begins = host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[');
        if !begins || !host.bytes().all(host_byte) {
            return Err(bad("a host may have letters, digits, '.', '-' and a port"));
        }
        let path_byte = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let part = |part: &str| {
            part.bytes().all(path_byte) && part.starts_with(|first: char| first.is_ascii_alphanumeric())
        };
        if path.len() > PATH_MAX || !path.split('/').all(part) {
            return Err(bad("a path has lower-case letters, digits, '.', '_', '-' and '/'"));
        }
        let tag_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let good = |tag: &String| {
            !tag.starts_with(['.', '-']) && (1..=128).contains(&tag.len()) && tag.bytes().all(tag_byte)
        };
        if !tag.as_ref().is_none_or(good) {
            return Err(bad("a tag has letters, digits, '.', '_' and '-'"));
        }
        let path =
            if host == USUAL && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        Ok(Reference { host: host.to_owned(), path, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.host, self.path)?;
        if let Some(tag) = &self.tag {
            write!(out, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(out, "@{}", digest.prefixed()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (text, whole, short) in [
            ("alpine", "docker.io/library/alpine", "alpine"),
            ("alpine:3.22", "docker.io/library/alpine:3.22", "alpine:3.22"),
            ("me/tool", "docker.io/me/tool", "me/tool"),
            ("docker.io/library/a:b", "docker.io/library/a:b", "a:b"),
            ("registry.example/a/b/c:T_1", "registry.example/a/b/c:T_1", "a/b/c:T_1"),
            ("localhost:5000/x", "localhost:5000/x", "x"),
            ("[::1]:5000/x:y", "[::1]:5000/x:y", "x:y"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!((reference.to_string().as_str(), reference.short_name().as_str()), (whole, short));
        }
        let digest = "a".repeat(64);
        let pinned: Reference = format!("r.example/x:1@sha256:{digest}").parse().unwrap();
        assert_eq!((pinned.version(), pinned.short_name()), (format!("sha256:{digest}"), "x:1".to_owned()));
        assert_eq!("a".parse::<Reference>().unwrap().version(), "latest");
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            "/",
            "a/",
            "A",
            "r.example/",
            "a:",
            "a:.b",
            "a@sha256:1",
            "a b",
            "h_st.example/x",
            "a//b",
            "-a",
            "a:b:c",
            "../x",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        for (text, base) in [
            ("a", "https://registry-1.docker.io/v2"),
            ("r.example:8000/a", "https://r.example:8000/v2"),
            ("localhost:1/a", "http://localhost:1/v2"),
            ("127.0.0.9:1/a", "http://127.0.0.9:1/v2"),
            ("[::1]:1/a", "http://[::1]:1/v2"),
            ("localhost.example/a", "https://localhost.example/v2"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.base(reference.is_loopback()), base);
        }
    }
}
