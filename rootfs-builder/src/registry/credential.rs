//! What `docker login` and `podman login` left: a name and a password, or a token, per registry.
//!
//! They are sent, over TLS or to this machine, and never shown. Credential helpers (`credsStore`, `credHelpers`) are other
//! people's programs and are not run.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::error::{Doing, Error, Result};

/// A secret for one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// As the `Authorization` header has it, after `Basic `.
    basic: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Credential(hidden)")
    }
}

impl Credential {
    /// The value of an `Authorization` header.
    pub(super) fn header(&self) -> String {
        format!("Basic {}", self.basic)
    }

    /// Looks in `$REGISTRY_AUTH_FILE`, `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, and podman's
    /// `$XDG_RUNTIME_DIR/containers/auth.json`, in that order. None for a registry that is in none of them.
    pub fn of_user(host: &str) -> Result<Option<Credential>> {
        let directory =
            |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let docker =
            directory("DOCKER_CONFIG").or_else(|| directory("HOME").map(|home| home.join(".docker")));
        let podman = directory("XDG_RUNTIME_DIR").map(|run| run.join("containers/auth.json"));
        let files =
            [directory("REGISTRY_AUTH_FILE"), docker.map(|docker| docker.join("config.json")), podman];
        for file in files.into_iter().flatten() {
            if let Some(found) = in_file(&file, host)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn in_file(path: &Path, host: &str) -> Result<Option<Credential>> {
    const READ: &str = "read the credentials in";
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.doing(READ, || path.display())?,
    };
    // What serde_json says of a fault may quote the text: a password.
    let document: Value =
        serde_json::from_slice(&bytes).map_err(|_| Error::refused(READ, path.display(), "it is not JSON"))?;
    in_document(&document, host).map_err(|why| Error::refused(READ, path.display(), why))
}

fn in_document(document: &Value, host: &str) -> std::result::Result<Option<Credential>, String> {
    let Some(registries) = document.get("auths").and_then(Value::as_object) else { return Ok(None) };
    // Docker's own registry has its address of long ago.
    let keys: &[&str] =
        if host == "docker.io" { &["docker.io", "https://index.docker.io/v1/"] } else { &[host] };
    let found = registries.iter().find(|(key, _)| {
        let bare = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        keys.contains(&key.as_str()) || bare == host
    });
    let Some((_, entry)) = found else { return Ok(None) };
    let member = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let bad = || format!("the entry of {host} holds no name and password");
    let pair = match member("auth") {
        Some(auth) => {
            let bytes = STANDARD.decode(auth).map_err(|_| bad())?;
            String::from_utf8(bytes).map_err(|_| bad())?
        }
        None => match (member("username"), member("password")) {
            (Some(name), Some(password)) => format!("{name}:{password}"),
            // A helper has it, or nobody.
            _ => return Ok(None),
        },
    };
    if !pair.contains(':') || pair.chars().any(char::is_control) {
        return Err(bad());
    }
    Ok(Some(Credential { basic: STANDARD.encode(pair) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_is_found_by_its_registry() {
        let document = json!({ "auths": {
            "r.example": { "auth": STANDARD.encode("me:secret") },
            "https://index.docker.io/v1/": { "auth": STANDARD.encode("you:other") },
            "https://plain.example/": { "username": "a", "password": "b" },
            "helped.example": {},
        }});
        let header = |host: &str| in_document(&document, host).unwrap().map(|found| found.header());
        assert_eq!(header("r.example"), Some(format!("Basic {}", STANDARD.encode("me:secret"))));
        assert_eq!(header("docker.io"), Some(format!("Basic {}", STANDARD.encode("you:other"))));
        assert_eq!(header("plain.example"), Some(format!("Basic {}", STANDARD.encode("a:b"))));
        assert_eq!((header("helped.example"), header("other.example")), (None, None));
        assert_eq!(in_document(&json!({}), "x").unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        for auth in ["%%%", &STANDARD.encode("secret"), &STANDARD.encode("me:se\ncret")] {
            let why = in_document(&json!({ "auths": { "x": { "auth": auth } } }), "x").unwrap_err();
            assert!(!why.contains("secret") && !why.contains(auth), "{why}");
        }
        let shown = format!("{:?}", Credential { basic: "c2VjcmV0".into() });
        assert_eq!(shown, "Credential(hidden)");
    }
}
