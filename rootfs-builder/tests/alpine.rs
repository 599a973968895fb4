//! Where a minirootfs comes from, with a mirror on loopback.

mod need;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use need::skip;
use rootfs_builder::Reason;
use rootfs_builder::alpine::{Arch, Origin, Request, Verification, file_name, obtain};
use rootfs_builder::digest::Digest;

/// Answers one request after another, each with the next of `answers`, and tells the paths that were asked for.
fn mirror(answers: Vec<Vec<u8>>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/alpine/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            asked.push(lines.next().unwrap().split(' ').nth(1).unwrap().to_owned());
            lines.find(String::is_empty);
            stream.write_all(&answer).unwrap();
        }
        asked
    });
    (url, server)
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn request(cache: &Path) -> Request {
    Request {
        arch: Arch::X86_64,
        version: None,
        sha256: None,
        mirror: None,
        given: None,
        cache: Some(cache.join("deep/cache")),
    }
}

fn quiet(request: &Request) -> rootfs_builder::Result<rootfs_builder::alpine::Tarball> {
    obtain(request, &mut |_, _| {})
}

#[test]
fn downloads_verifies_and_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let body = vec![9; 300_000];
    let (url, server) = mirror(vec![ok(&body)]);
    let mut request = request(dir.path());
    request.version = Some("3.99.1".into());
    request.sha256 = Some(Digest::of(&body[..]).unwrap().to_string());
    request.mirror = Some(url);
    let mut last = (0, None);
    let first = obtain(&request, &mut |done, size| last = (done, size)).unwrap();
    assert_eq!(last, (300_000, Some(300_000)));
    assert_eq!(
        server.join().unwrap(),
        ["/alpine/v3.99/releases/x86_64/alpine-minirootfs-3.99.1-x86_64.tar.gz"]
    );
    assert!(matches!(first.origin, Origin::Downloaded(_)));
    assert_eq!(first.verification, Verification::Asked);
    assert_eq!(std::fs::read(&first.path).unwrap(), body);
    request.mirror = None;
    let second = quiet(&request).unwrap();
    assert_eq!((second.origin, second.path), (Origin::Cached, first.path));
}

#[test]
fn a_wrong_short_or_refused_download_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc".to_vec();
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let (url, server) = mirror(vec![ok(b"tampered"), short, missing]);
    let mut request = request(dir.path());
    request.mirror = Some(url);
    assert!(matches!(quiet(&request).unwrap_err().reason, Reason::Digest { .. }));
    assert!(matches!(quiet(&request).unwrap_err().reason, Reason::Network(_)), "cut off");
    let error = quiet(&request).unwrap_err();
    assert!(matches!(&error.reason, Reason::Network(why) if why.contains("404")), "{error}");
    server.join().unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("deep/cache")).unwrap().count(), 0);
}

#[test]
fn a_damaged_cache_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = request(dir.path());
    let cache = request.cache.clone().unwrap();
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::write(cache.join(file_name("3.22.1", Arch::X86_64)), "half").unwrap();
    assert!(matches!(quiet(&request).unwrap_err().reason, Reason::Digest { .. }), "offline: told");
    request.sha256 = Some(Digest::of(&b"whole"[..]).unwrap().to_string());
    let (url, server) = mirror(vec![ok(b"whole")]);
    request.mirror = Some(url);
    let tarball = quiet(&request).unwrap();
    server.join().unwrap();
    assert_eq!(std::fs::read(tarball.path).unwrap(), b"whole");
}

#[test]
fn given_tarballs_come_first_and_pinned_ones_are_verified() {
    let dir = tempfile::tempdir().unwrap();
    let given = dir.path().join("given");
    std::fs::create_dir(&given).unwrap();
    let mut request = request(dir.path());
    request.given = Some(given.clone());
    assert!(matches!(quiet(&request).unwrap_err().reason, Reason::Missing(_)));
    for name in ["3.9.1-x86_64", "3.10.0-x86_64", "3.99.0-aarch64", "nonsense-x86_64", "3.99-x86_64"] {
        std::fs::write(given.join(format!("alpine-minirootfs-{name}.tar.gz")), name).unwrap();
    }
    let tarball = quiet(&request).unwrap();
    assert_eq!((tarball.version.as_str(), tarball.origin), ("3.10.0", Origin::Given));
    assert_eq!(tarball.verification, Verification::Unverified);
    request.version = Some("3.9.1".into());
    assert_eq!(quiet(&request).unwrap().version, "3.9.1");
    request.version = Some("3.9.2".into());
    assert!(matches!(quiet(&request).unwrap_err().reason, Reason::Missing(_)));
    request.version = None;
    std::fs::write(given.join("alpine-minirootfs-3.22.1-x86_64.tar.gz"), "not the real one").unwrap();
    let error = quiet(&request).unwrap_err();
    assert!(matches!(error.reason, Reason::Digest { .. }), "{error}");
}

#[test]
fn words_that_reach_paths_and_addresses_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    for version in ["../../etc", "3.22", "3.22.1/x", "3.22.+1", "3.22.1_rc/1", ""] {
        let request = Request { version: Some(version.into()), ..request(dir.path()) };
        assert!(matches!(quiet(&request).unwrap_err().reason, Reason::Refused(_)), "{version:?}");
    }
    let mut request = Request { version: Some("3.99.0_rc1".into()), ..request(dir.path()) };
    request.mirror = Some("http://127.0.0.1:9".into());
    let error = quiet(&request).unwrap_err();
    assert!(matches!(&error.reason, Reason::Refused(why) if why.contains("digest")), "{error}");
}

#[test]
fn the_real_tarballs_are_the_pinned_ones() {
    let Some(given) = std::env::var_os("PIPKIN_ROOTFS_DIR") else {
        return skip("PIPKIN_ROOTFS_DIR is not set");
    };
    let dir = tempfile::tempdir().unwrap();
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let tarball =
            quiet(&Request { arch, given: Some(given.clone().into()), ..request(dir.path()) }).unwrap();
        assert_eq!((tarball.origin, tarball.verification), (Origin::Given, Verification::Pinned));
    }
}
