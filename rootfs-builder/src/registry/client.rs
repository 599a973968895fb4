//! Talking to one registry: requests, who we say we are, and documents.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Response;
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

use super::Request;
use super::credential::Credential;
use super::reference::{Reference, is_loopback};
use crate::digest::Digest;
use crate::error::{Error, Reason, Result};
use crate::name::printable;

/// What documents an image may begin with.
pub(super) const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Registries take manifests up to 4 MiB (OCI distribution specification, "Pushing Manifests").
pub(super) const DOCUMENT_SIZE_MAX: u64 = 4 << 20;
const TOKEN_SIZE_MAX: u64 = 64 << 10;

pub(super) const PULL: &str = "pull";

/// How long a registry is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a name, a connection, the first byte of an answer, and each byte after the one before.
    pub silence: Duration,
    /// So many tries in a row that bring nothing new are the last ones.
    pub tries: u32,
}

impl Default for Patience {
    /// 30 s, and five tries.
    fn default() -> Patience {
        Patience { silence: Duration::from_secs(30), tries: 5 }
    }
}

/// A registry, and what it asked of us so far.
pub(super) struct Client<'r> {
    agent: Agent,
    reference: &'r Reference,
    credential: Option<&'r Credential>,
    /// Whether it is spoken to without TLS.
    plain: bool,
    /// The value of `Authorization` that the registry takes.
    authorization: Option<String>,
}

/// A document by its digest.
pub(super) struct Document {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

impl<'r> Client<'r> {
    pub(super) fn new(request: &Request<'r>) -> Client<'r> {
        let &Request { reference, credential, authorities, patience, .. } = request;
        let plain = reference.is_loopback() && authorities.is_none();
        let silence = Some(patience.silence);
        let mut config = Agent::config_builder()
            // A registry elsewhere must not send us on to plain http.
            .https_only(!plain)
            // An answer such as 401 says more than that it is one.
            .http_status_as_error(false)
            .timeout_resolve(silence)
            .timeout_connect(silence)
            .timeout_recv_response(silence)
            .timeout_per_read(silence)
            .user_agent(concat!("rootfs-builder/", env!("CARGO_PKG_VERSION")));
        if reference.is_loopback() {
            config = config.proxy(None);
        }
        if let Some(authorities) = authorities {
            config = config.tls_config(TlsConfig::builder().root_certs(authorities.roots()).build());
        }
        Client { agent: config.build().into(), reference, credential, plain, authorization: None }
    }

    /// Gets `PATH` of the repository, from byte `from` on; an answer is 200 or 206.
    pub(super) fn get(&mut self, path: &str, accept: &str, from: u64) -> Result<Response<Body>> {
        let url = format!("{}/{}/{path}", self.reference.base(self.plain), self.reference.path());
        let mut asked = false;
        loop {
            let mut request = self.agent.get(&url).header("Accept", accept);
            if let Some(authorization) = &self.authorization {
                request = request.header("Authorization", authorization);
            }
            if from > 0 {
                request = request.header("Range", format!("bytes={from}-"));
            }
            let response = request.call().map_err(|error| unreached(&url, &error))?;
            match response.status().as_u16() {
                200 | 206 => return Ok(response),
                401 if !asked => {
                    asked = true;
                    self.authorization = Some(self.authorize(&response)?);
                }
                401 | 403 => {
                    let why = match self.credential {
                        Some(_) => "the registry does not let these credentials have it",
                        None => {
                            "the registry does not let everybody have it, or has it not: log in with docker or podman"
                        }
                    };
                    return Err(Error::new(PULL, self.reference, Reason::Network(why.into())));
                }
                404 => {
                    let why = format!("the registry has no {path} of {}", self.reference.path());
                    return Err(Error::new(PULL, self.reference, Reason::Missing(why)));
                }
                400 if self.plain => {
                    let why = "the registry takes no plain http (--cacert FILE says who vouches for it)";
                    return Err(network(&url, why));
                }
                other => return Err(network(&url, &format!("the registry answers with status {other}"))),
            }
        }
    }

    /// Gets a manifest or an index by tag or digest. Its digest is right where one was asked for or told.
    pub(super) fn document(&mut self, version: &str) -> Result<Document> {
        let response = self.get(&format!("manifests/{version}"), &MANIFESTS.join(", "), 0)?;
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let media_type = header("content-type").split(';').next().unwrap_or_default().trim().to_owned();
        let told = header("docker-content-digest");
        let bytes = self.read(response, DOCUMENT_SIZE_MAX, version)?;
        let digest = Digest::of(&bytes[..]).map_err(|error| Error::new(PULL, self.reference, error))?;
        let expected = Digest::parse_prefixed(version).or_else(|| Digest::parse_prefixed(&told));
        super::compare(digest, expected.unwrap_or(digest), format!("{} {version}", self.reference))?;
        if !MANIFESTS.contains(&media_type.as_str()) {
            let why = format!("it is of type {:?}, which is no image", printable(media_type.as_bytes()));
            return Err(Error::refused(PULL, self.reference, why));
        }
        Ok(Document { media_type, digest, bytes })
    }

    fn read(&self, response: Response<Body>, size_max: u64, what: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let reader = response.into_body().into_with_config().limit(size_max).reader();
        reader.take(size_max).read_to_end(&mut bytes).map_err(|error| network(what, &error.to_string()))?;
        Ok(bytes)
    }

    /// What to send to a registry that answered 401.
    fn authorize(&self, response: &Response<Body>) -> Result<String> {
        let challenges = response.headers().get_all("www-authenticate").iter();
        let challenges: Vec<&str> = challenges.filter_map(|value| value.to_str().ok()).collect();
        let of_scheme = |scheme: &str| {
            challenges.iter().find_map(|challenge| {
                let (name, rest) = challenge.split_once(' ')?;
                name.eq_ignore_ascii_case(scheme).then_some(rest)
            })
        };
        match (of_scheme("bearer"), of_scheme("basic"), self.credential) {
            (Some(challenge), ..) => self.token(challenge),
            (None, Some(_), Some(credential)) => Ok(credential.header()),
            _ => {
                let why = "the registry wants a password: log in with docker or podman";
                Err(Error::new(PULL, self.reference, Reason::Network(why.into())))
            }
        }
    }

    /// Gets a token from where the challenge says (Docker's token authentication specification).
    fn token(&self, challenge: &str) -> Result<String> {
        let parameters = parameters(challenge);
        let named = |name: &str| {
            parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        };
        let refused = |why: &str| Error::refused(PULL, self.reference, why.to_owned());
        let realm = named("realm").ok_or_else(|| refused("the registry does not say who gives tokens"))?;
        let plain = realm.strip_prefix("http://");
        let near = plain.is_some_and(|rest| is_loopback(rest.split('/').next().unwrap_or_default()));
        if !(realm.starts_with("https://") || near && self.plain) {
            return Err(refused("the registry sends us for a token where anybody could listen"));
        }
        let scope = format!("repository:{}:pull", self.reference.path());
        let mut request = self.agent.get(realm).query("scope", named("scope").unwrap_or(&scope));
        if let Some(service) = named("service") {
            request = request.query("service", service);
        }
        if let Some(credential) = self.credential {
            request = request.header("Authorization", credential.header());
        }
        let response = request.call().map_err(|error| unreached(realm, &error))?;
        if response.status().as_u16() != 200 {
            let why = format!("no token: status {}", response.status().as_u16());
            return Err(network(realm, &why));
        }
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let bytes = self.read(response, TOKEN_SIZE_MAX, realm)?;
        // What serde_json says of a fault may quote the token.
        let token: Token =
            serde_json::from_slice(&bytes).map_err(|_| network(realm, "no token in its answer"))?;
        let token = token.token.or(token.access_token).filter(|token| !token.chars().any(char::is_control));
        token.map(|token| format!("Bearer {token}")).ok_or_else(|| network(realm, "no token in its answer"))
    }
}

/// Reads `name="value",name=value` (RFC 9110, section 11.2), as far as registries use it.
fn parameters(challenge: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = challenge;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((name.trim_matches([' ', ',']).to_owned(), value.to_owned()));
        rest = after;
    }
    found
}

/// Why there is no answer.
fn unreached(url: &str, error: &ureq::Error) -> Error {
    let why = error.to_string();
    if why.contains("CaUsedAsEndEntity") {
        // What `openssl req -x509` makes unless told otherwise; the TLS library tells it by this word only.
        let why = "its certificate is an authority's and no server's (openssl: basicConstraints=CA:FALSE)";
        return network(url, why);
    }
    network(url, &why)
}

pub(super) fn network(subject: &str, why: &str) -> Error {
    Error::new(PULL, printable(subject.as_bytes()), Reason::Network(printable(why.as_bytes()).to_string()))
}

#[cfg(test)]
mod tests {
    use super::parameters;

    #[test]
    fn challenges_are_read() {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            parameters(r#"realm="https://a/t",service="s", scope="repository:a,b:pull""#),
            owned(&[("realm", "https://a/t"), ("service", "s"), ("scope", "repository:a,b:pull")])
        );
        assert_eq!(parameters("realm=a,service=b"), owned(&[("realm", "a"), ("service", "b")]));
        assert_eq!(parameters(r#"realm="open"#), owned(&[("realm", "open")]));
        assert_eq!(parameters("none"), []);
    }
}
