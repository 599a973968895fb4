//! Images from registries: a well-behaved one, all the others, and the one that distributions have.

mod distribution;
mod layout;
mod need;
mod server;
mod tarball;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use distribution::{Distribution, KEY, certificates, succeeds};
use layout::{LayoutDirectory, for_platform};
use need::installed;
use rootfs_builder::alpine::Arch;
use rootfs_builder::image::Wanted;
use rootfs_builder::registry::{Patience, Pulled, Reference, Request, pull};
use rootfs_builder::tree::Tree;
use rootfs_builder::unpack::Options;
use rootfs_builder::{Error, Reason};
use serde_json::json;
use server::{Answer, Asked, Server, honest};
use tarball::Tarball;

/// An image for both architectures in a layout, a place for the cache, and the blob to play with.
struct Stage {
    folder: tempfile::TempDir,
    /// The layer of this architecture's image.
    layer: String,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let layout = LayoutDirectory::new(&folder.path().join("layout"));
        // Random enough to stay as long when it is compressed.
        let mut state = 1_u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        let noise: Vec<u8> = (0..200_000).map(|_| draw()).collect();
        let layer = Tarball::new().file("bin/sh", b"#!").file("noise", &noise).finish();
        let mine = layout.image(&[layer], "amd64");
        let other = layout.image(&[Tarball::new().file("other", b"").finish()], "arm64");
        let both = [for_platform(other, "arm64", "linux"), for_platform(mine.clone(), "amd64", "linux")];
        let both = json!({ "schemaVersion": 2, "mediaType": layout::INDEX, "manifests": both });
        // An index in the layout's own one, as skopeo wants it.
        layout.index(&[layout.blob(layout::INDEX, both.to_string().as_bytes())]);
        let manifest = std::fs::read(layout.blob_path(mine["digest"].as_str().unwrap())).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let layer = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
        Stage { folder, layer }
    }

    fn layout(&self) -> PathBuf {
        self.folder.path().join("layout")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn layer_bytes(&self) -> Vec<u8> {
        std::fs::read(self.layout().join("blobs").join(self.layer.replace(':', "/"))).unwrap()
    }

    /// A server that is honest but for the layer.
    fn server(&self, layer: impl Fn(&Asked, usize) -> Option<Answer> + Send + Sync + 'static) -> Server {
        let (layout, path) = (self.layout(), format!("/v2/team/app/blobs/{}", self.layer));
        let count = std::sync::atomic::AtomicUsize::new(0);
        Server::start(move |asked| {
            let own = (asked.path == path)
                .then(|| layer(asked, count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
            own.flatten().unwrap_or_else(|| honest(&layout, asked))
        })
    }

    fn pull(&self, server: &Server, version: &str) -> Result<Pulled, Error> {
        let reference: Reference = format!("{}/team/app{version}", server.address).parse().unwrap();
        let patience = Patience { silence: Duration::from_millis(300), tries: 2 };
        pull_as(&reference, &self.cache(), patience)
    }

    /// The names of the blobs in the cache, those not complete among them.
    fn kept(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.cache()).unwrap();
        let files = entries.flatten().filter(|entry| entry.path().is_file());
        files.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

fn pull_as(reference: &Reference, cache: &Path, patience: Patience) -> Result<Pulled, Error> {
    let wanted = wanted();
    let request = Request {
        reference,
        wanted: &wanted,
        credential: None,
        authorities: None,
        cache,
        size_max: 1 << 30,
        patience,
    };
    pull(&request, &mut |_, _| {})
}

fn wanted() -> Wanted {
    Wanted { arch: Arch::X86_64, reference: None }
}

fn squashed(pulled: &Pulled) -> Tree {
    let mut tree = Tree::new();
    let image = pulled.layout().unwrap().image(&wanted()).unwrap();
    image.squash(&mut tree, &Options::default()).unwrap();
    tree
}

#[test]
fn an_image_for_this_architecture_is_chosen_and_kept_until_it_is_stored() {
    let stage = Stage::new();
    let server = stage.server(|_, _| None);
    let pulled = stage.pull(&server, ":1").unwrap();
    let tree = squashed(&pulled);
    assert!(tree.get("/bin/sh").is_some() && tree.get("/other").is_none());
    assert!(pulled.downloaded > 100_000);
    let again = stage.pull(&server, ":1").unwrap();
    assert_eq!(again.downloaded, 0, "what is there is not fetched");
    again.forget().unwrap();
    assert!(stage.kept().is_empty());
    pulled.forget().unwrap();
    assert!(server.asked().iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn a_tampered_blob_is_refused_and_not_kept() {
    let stage = Stage::new();
    let mut bytes = stage.layer_bytes();
    bytes[1000] ^= 1;
    let server = stage.server(move |_, _| Some(Answer::Whole(200, Vec::new(), bytes.clone())));
    let error = stage.pull(&server, "").unwrap_err();
    assert!(matches!(error.reason, Reason::Digest { .. }), "{error}");
    assert!(error.subject.contains(&stage.layer["sha256:".len()..]), "{error}");
    assert!(stage.kept().iter().all(|name| !name.contains(&stage.layer["sha256:".len()..])));
}

#[test]
fn a_blob_longer_than_it_may_be_is_refused() {
    let stage = Stage::new();
    let bytes = [stage.layer_bytes(), vec![0; 10]].concat();
    let server = stage.server(move |_, _| Some(Answer::Whole(200, Vec::new(), bytes.clone())));
    let error = stage.pull(&server, "").unwrap_err().to_string();
    assert!(error.contains("goes on after its"), "{error}");
}

#[test]
fn a_dropped_connection_is_taken_up_where_it_ended() {
    let stage = Stage::new();
    let bytes = stage.layer_bytes();
    let half = bytes.len() / 2;
    let server = stage.server(move |_, count| (count == 0).then(|| Answer::Cut(bytes.clone(), half)));
    let pulled = stage.pull(&server, "").unwrap();
    assert!(squashed(&pulled).get("/noise").is_some());
    let wanted: Vec<usize> =
        server.asked().iter().filter(|asked| asked.path.ends_with(&stage.layer)).map(Asked::from).collect();
    assert_eq!(wanted, [0, half]);
}

#[test]
fn an_interrupted_download_is_gone_on_with_by_the_next_one() {
    let stage = Stage::new();
    let bytes = stage.layer_bytes();
    let length = bytes.len();
    let server = stage.server(move |asked, _| {
        // Not in a mood to go on, nor to say so.
        let nothing = Answer::Whole(206, Vec::new(), Vec::new());
        Some(if asked.from() == 0 { Answer::Cut(bytes.clone(), 5000) } else { nothing })
    });
    let error = stage.pull(&server, "").unwrap_err();
    assert!(matches!(error.reason, Reason::Network(_)), "{error}");
    let pulled = stage.pull(&stage.server(|_, _| None), "").unwrap();
    assert_eq!(pulled.downloaded, length as u64 - 5000);
    assert!(squashed(&pulled).get("/noise").is_some());
}

#[test]
fn a_registry_without_ranges_is_asked_from_the_start() {
    let stage = Stage::new();
    let bytes = stage.layer_bytes();
    let server = stage.server(move |_, count| {
        Some(if count == 0 {
            Answer::Cut(bytes.clone(), 7000)
        } else {
            Answer::Whole(200, Vec::new(), bytes.clone())
        })
    });
    assert!(squashed(&stage.pull(&server, "").unwrap()).get("/noise").is_some());
}

#[test]
fn a_registry_that_never_gets_to_the_end_is_given_up() {
    let stage = Stage::new();
    let bytes = stage.layer_bytes();
    let server = stage.server(move |_, count| Some(Answer::Cut(bytes.clone(), 5000 - count % 2)));
    let error = stage.pull(&server, "").unwrap_err();
    assert!(matches!(error.reason, Reason::Network(_)), "{error}");
}

#[test]
fn a_slow_registry_is_waited_for_and_a_silent_one_is_not() {
    let stage = Stage::new();
    let bytes = stage.layer_bytes();
    // All of it takes longer than one silence may.
    let pause = Duration::from_millis(60);
    let server = stage.server(move |_, _| Some(Answer::Drip(bytes.clone(), 8, pause)));
    stage.pull(&server, "").unwrap().forget().unwrap();
    let error = stage.pull(&stage.server(|_, _| Some(Answer::Silent)), "").unwrap_err();
    assert!(matches!(error.reason, Reason::Network(_)), "{error}");
}

#[test]
fn a_digest_in_the_reference_decides() {
    let stage = Stage::new();
    let server = stage.server(|_, _| None);
    let index = std::fs::read(stage.layout().join("index.json")).unwrap();
    std::fs::write(stage.layout().join("blobs").join(layout::digest(&index).replace(':', "/")), &index)
        .unwrap();
    stage.pull(&server, &format!("@{}", layout::digest(&index))).unwrap();
    let other = format!("sha256:{}", "0".repeat(64));
    std::fs::write(stage.layout().join("blobs").join(other.replace(':', "/")), &index).unwrap();
    let error = stage.pull(&server, &format!(":1@{other}")).unwrap_err();
    assert!(matches!(error.reason, Reason::Digest { .. }), "{error}");
}

#[test]
fn what_is_no_image_is_refused() {
    let stage = Stage::new();
    let typed = |status, media_type: &str, body: &[u8]| {
        let (media_type, body) = (media_type.to_owned(), body.to_vec());
        Server::start(move |_| {
            Answer::Whole(status, vec![("Content-Type", media_type.clone())], body.clone())
        })
    };
    for (server, expected) in [
        (typed(200, "text/html", b"<html>"), "which is no image"),
        (typed(200, "application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}"), "which is no image"),
        (typed(200, layout::INDEX, br#"{"manifests":[]}"#), "none for linux/amd64"),
        (typed(200, layout::MANIFEST, b"{}"), "missing field"),
        (typed(404, "", b""), "the registry has no manifests/latest of team/app"),
        (typed(500, "", b""), "status 500"),
        (typed(403, "", b""), "log in with docker or podman"),
    ] {
        let error = stage.pull(&server, "").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let index =
        format!(r#"{{"manifests":[{{"mediaType":{:?},"digest":"md5:0","size":1}}]}}"#, layout::MANIFEST);
    let error = stage.pull(&typed(200, layout::INDEX, index.as_bytes()), "").unwrap_err().to_string();
    assert!(error.contains("not a sha256 digest"), "{error}");
}

/// A registry that wants a token, which it gives to whom it knows.
fn guarded(layout: PathBuf, realm: Option<&'static str>) -> Server {
    Server::start(move |asked| {
        let host = asked.header("host").unwrap();
        if asked.path.starts_with("/token?") {
            assert!(
                asked.path.contains("service=pots") && asked.path.contains("team%2Fapp"),
                "{}",
                asked.path
            );
            // me:secret
            let known = asked.header("authorization") == Some("Basic bWU6c2VjcmV0");
            let body = if known { r#"{"token":"let-me-in"}"# } else { "{}" };
            return Answer::Whole(if known { 200 } else { 401 }, Vec::new(), body.into());
        }
        if asked.header("authorization") == Some("Bearer let-me-in") {
            return honest(&layout, asked);
        }
        let realm = realm.map_or_else(|| format!("http://{host}/token"), str::to_owned);
        let challenge = format!(r#"Bearer realm="{realm}",service="pots",scope="repository:team/app:pull""#);
        Answer::Whole(401, vec![("WWW-Authenticate", challenge)], Vec::new())
    })
}

/// The program with these credentials, pulling into a store of its own.
fn program(stage: &Stage, server: &Server, auth: &str) -> std::process::Output {
    let config = serde_json::json!({ "auths": { &server.address: { "auth": auth } } });
    std::fs::write(stage.folder.path().join("config.json"), config.to_string()).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_rootfs-builder"));
    program.env_clear().env("HOME", stage.folder.path()).env("DOCKER_CONFIG", stage.folder.path());
    let reference = format!("{}/team/app:1", server.address);
    program.args(["pull", "--arch", "x86_64", "--json", "--images"]).arg(stage.folder.path().join("images"));
    program.arg(reference).output().unwrap()
}

#[test]
fn a_token_is_got_with_what_docker_login_left() {
    let stage = Stage::new();
    let server = guarded(stage.layout(), None);
    let output = program(&stage, &server, "bWU6c2VjcmV0");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((told["name"].as_str(), told["stored"]["entries"].as_u64()), (Some("team/app:1"), Some(2)));
    assert!(stage.folder.path().join("images/team%2Fapp:1/rootfs/noise").is_file());
    assert!(std::fs::read_dir(stage.folder.path().join(".cache/pipkin/blobs")).unwrap().next().is_none());
    let tokens = server.asked().iter().filter(|asked| asked.path.starts_with("/token")).count();
    assert_eq!(tokens, 1, "one token serves for all");
}

#[test]
fn secrets_are_never_shown() {
    let stage = Stage::new();
    // me:wrong, and what is no base64.
    for auth in ["bWU6d3Jvbmc=", "%secret"] {
        let output = program(&stage, &guarded(stage.layout(), None), auth);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125));
        assert!(!["wrong", "bWU6d3Jvbmc", "secret"].iter().any(|secret| told.contains(secret)), "{told}");
    }
    let output = program(&stage, &guarded(stage.layout(), Some("http://192.0.2.1/token")), "bWU6c2VjcmV0");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("where anybody could listen"), "{told}");
}

#[test]
fn a_password_is_not_sent_on_to_where_blobs_are() {
    let stage = Stage::new();
    let layout = stage.layout();
    let elsewhere = Server::start(move |asked| honest(&layout, asked));
    let (layout, target) = (stage.layout(), elsewhere.address.clone());
    let server = Server::start(move |asked| {
        if asked.header("authorization") != Some("Basic bWU6c2VjcmV0") {
            return Answer::Whole(401, vec![("WWW-Authenticate", "Basic realm=\"x\"".into())], Vec::new());
        }
        if asked.path.contains("/blobs/") {
            let to = format!("http://{target}{}", asked.path);
            return Answer::Whole(307, vec![("Location", to)], Vec::new());
        }
        honest(&layout, asked)
    });
    let output = program(&stage, &server, "bWU6c2VjcmV0");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let asked = elsewhere.asked();
    assert!(asked.len() >= 2 && asked.iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn what_skopeo_pushed_to_a_real_registry_is_pulled() {
    if !installed("docker-registry") || !installed("skopeo") {
        return;
    }
    let stage = Stage::new();
    let registry = Distribution::start(stage.folder.path(), "");
    registry.push(&stage.layout(), stage.folder.path());
    let reference: Reference = format!("{}/team/app:both", registry.address).parse().unwrap();
    let pulled = pull_as(&reference, &stage.cache(), Patience::default()).unwrap();
    let tree = squashed(&pulled);
    assert!(tree.get("/noise").is_some() && tree.get("/other").is_none());
    let missing: Reference = format!("{}/team/other", registry.address).parse().unwrap();
    let error = pull_as(&missing, &stage.cache(), Patience::default()).unwrap_err();
    assert!(matches!(error.reason, Reason::Missing(_)), "{error}");
}

#[test]
fn a_registry_is_reached_over_tls_by_an_authority_of_its_own() {
    if !installed("docker-registry") || !installed("skopeo") || !installed("openssl") {
        return;
    }
    let stage = Stage::new();
    let folder = stage.folder.path();
    certificates(folder);
    let at = |name: &str| folder.join(name).display().to_string();
    let tls = format!("  tls:\n    certificate: {}\n    key: {}\n", at("server.pem"), at("server.key"));
    let registry = Distribution::start(folder, &tls);
    registry.push(&stage.layout(), stage.folder.path());
    let pull = |cacert: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_rootfs-builder"));
        program.env_clear().env("HOME", folder).args(["pull", "--arch", "x86_64", "--images", &at("images")]);
        program.args(["--cacert", &at(cacert), &format!("{}/team/app:both", registry.address), cacert]);
        program.output().unwrap()
    };
    let output = pull("ca.pem");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.join("images/ca.pem/rootfs/noise").is_file());
    // Somebody else's word is none, nor is a file without certificates.
    std::fs::create_dir(folder.join("other")).unwrap();
    certificates(&folder.join("other"));
    std::fs::rename(folder.join("other/ca.pem"), folder.join("other.pem")).unwrap();
    for (cacert, expected) in [
        ("other.pem", "certificate"),
        ("server.key", "there is none in PEM form"),
        ("nowhere", "No such file"),
    ] {
        let output = pull(cacert);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{told}");
        assert!(told.contains(expected) && told.lines().count() == 1, "{told}");
        assert!(!folder.join("images").join(cacert).exists());
    }
}

#[test]
fn a_registry_that_vouches_for_itself_is_taken_at_its_word() {
    if !installed("docker-registry") || !installed("openssl") {
        return;
    }
    let stage = Stage::new();
    let folder = stage.folder.path();
    let at = |name: &str| folder.join(name).display().to_string();
    for (kind, expected) in [
        ("CA:FALSE", "the registry has no manifests/latest"),
        ("CA:TRUE", "is an authority's and no server's"),
    ] {
        let script = format!(
            "openssl req -x509 {KEY} -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints={kind} \
             -keyout own.key -out own.pem"
        );
        succeeds(Command::new("sh").args(["-ec", &script]).current_dir(folder));
        let tls = format!("  tls:\n    certificate: {}\n    key: {}\n", at("own.pem"), at("own.key"));
        let registry = Distribution::start(folder, &tls);
        for (more, expected) in [(&["--cacert", "own.pem"][..], expected), (&[], "takes no plain http")] {
            let mut program = Command::new(env!("CARGO_BIN_EXE_rootfs-builder"));
            program.env_clear().env("HOME", folder).current_dir(folder).arg("pull").args(more);
            let output = program.arg(format!("{}/a", registry.address)).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(125), "{told}");
            assert!(told.contains(expected) && told.lines().count() == 1, "{told}");
        }
    }
}
