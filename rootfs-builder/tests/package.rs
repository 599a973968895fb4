//! Packages, installed by Alpine's `apk` in a container of Pipkin's, from files and from repositories.

mod layout;
mod need;
mod server;
mod tarball;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use need::{installed, root, skip};
use rootfs_builder::compress::{Compression, Encoder};
use rootfs_builder::digest::Digest;
use server::{Answer, Server};
use tarball::Tarball;

/// The program and an unpacked Alpine.
fn given() -> Option<[String; 2]> {
    let given = ["PIPKIN", "PIPKIN_ROOTFS"].map(|name| std::env::var(name).ok());
    let [Some(pipkin), Some(alpine)] = given else {
        skip("PIPKIN and PIPKIN_ROOTFS do not name the program and an unpacked Alpine");
        return None;
    };
    root("containers with an owner each need root").then_some([pipkin, alpine])
}

fn run(directory: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rootfs-builder"));
    command
        .current_dir(directory)
        .env_clear()
        .env("HOME", directory)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.arg("customise").args(words).args(["--images", "im"]).output().unwrap()
}

#[track_caller]
fn succeeds(directory: &Path, words: &[&str]) -> String {
    let output = run(directory, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(directory: &Path, words: &[&str], expected: &str) {
    let output = run(directory, words);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(told.contains(expected) && told.lines().count() == 1, "{told}");
    assert!(!directory.join("im").join(words[1]).exists());
}

fn packed(archive: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Compression::Gzip, Vec::new()).unwrap();
    encoder.write_all(archive).unwrap();
    encoder.finish().unwrap()
}

/// An archive of one file, without an end: what follows is read as a part of it.
fn segment(name: &str, text: &[u8]) -> Vec<u8> {
    let mut archive = Tarball::new().file(name, text).finish();
    archive.truncate(512 + text.len().next_multiple_of(512));
    packed(&archive)
}

/// A package of one program: a control segment without an end, then the files (apk-package(5)).
fn package() -> Vec<u8> {
    const PROGRAM: &[u8] = b"#!/bin/sh\necho from-package\n";
    const CHECKSUM: &[u8] = b"f72d500a2b7e9411e2bd5c7326b8118ec5292aa0";
    let files = Tarball::new().directory("usr").directory("usr/bin");
    let files = files.pax(&[("APK-TOOLS.checksum.SHA1", CHECKSUM)]).mode(0o755, 0, 0, 0);
    let data = packed(&files.file("usr/bin/hello-pot", PROGRAM).finish());
    let hash = Digest::of(&data[..]).unwrap();
    let info = format!(
        "pkgname = hello-pot\npkgver = 1.0-r0\npkgdesc = x\nurl = x\nsize = 100\narch = {}\norigin = hello-pot\n\
         license = MIT\ndatahash = {hash}\n",
        std::env::consts::ARCH
    );
    [segment(".PKGINFO", info.as_bytes()), data].concat()
}

#[test]
fn packages_are_installed_by_apk_in_a_container() {
    let Some([pipkin, alpine]) = given() else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hello-pot.apk"), package()).unwrap();
    let told = succeeds(dir.path(), &[&alpine, "pot:1", "--apk", "hello-pot.apk", "--pipkin", &pipkin]);
    assert!(told.contains("installed: hello-pot.apk"), "{told}");
    let rootfs = dir.path().join("im/pot:1/rootfs");
    assert!(std::fs::read_to_string(rootfs.join("usr/bin/hello-pot")).unwrap().contains("from-package"));
    assert!(std::fs::read_to_string(rootfs.join("lib/apk/db/installed")).unwrap().contains("P:hello-pot"));
    // What apk does not take is told, and no image is left.
    std::fs::write(dir.path().join("bad.apk"), "no package").unwrap();
    let output = run(dir.path(), &[&alpine, "pot:2", "--apk", "bad.apk", "--pipkin", &pipkin]);
    assert_eq!(output.status.code(), Some(125));
    assert!(!dir.path().join("im/pot:2").exists());
}

/// A repository of that package, its index made by apk and signed by `pots.rsa`, with the public half beside it.
fn repository(directory: &Path, pipkin: &str, alpine: &str) {
    let arch = directory.join("repository").join(std::env::consts::ARCH);
    std::fs::create_dir_all(&arch).unwrap();
    std::fs::write(arch.join("hello-pot-1.0-r0.apk"), package()).unwrap();
    let mut command = Command::new(pipkin);
    command.args([
        "run",
        "--rm",
        "--net",
        "none",
        "-v",
        &format!("{}:/r", arch.display()),
        alpine,
        "sh",
        "-ec",
    ]);
    let index = command.arg("cd /r; apk index --allow-untrusted -o index *.apk").output().unwrap();
    assert!(index.status.success(), "{}", String::from_utf8_lossy(&index.stderr));
    let script = "openssl genrsa -out pots.rsa 2048
        openssl rsa -in pots.rsa -pubout -out pots.rsa.pub
        openssl dgst -sha256 -sign pots.rsa -out signature \"$1/index\"";
    let signed =
        Command::new("sh").args(["-ec", script, "sh"]).arg(&arch).current_dir(directory).output().unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    let signature = std::fs::read(directory.join("signature")).unwrap();
    let index = std::fs::read(arch.join("index")).unwrap();
    let whole = [segment(".SIGN.RSA256.pots.rsa.pub", &signature), index].concat();
    std::fs::write(arch.join("APKINDEX.tar.gz"), whole).unwrap();
}

#[test]
fn packages_come_from_a_repository_that_a_key_vouches_for() {
    let Some([pipkin, alpine]) = given() else { return };
    if !installed("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path(), &pipkin, &alpine);
    let from = |name, more: &[&'static str]| {
        [&[alpine.as_str(), name, "--apk", "hello-pot", "--pipkin", pipkin.as_str()], more].concat()
    };
    let local = ["--repository", "repository", "--key", "pots.rsa.pub"];
    succeeds(dir.path(), &from("pot:1", &local));
    let rootfs = dir.path().join("im/pot:1/rootfs");
    assert!(std::fs::read_to_string(rootfs.join("usr/bin/hello-pot")).unwrap().contains("from-package"));
    assert!(!rootfs.join("etc/apk/keys/pots.rsa.pub").exists(), "the key vouches for this once");

    refused(dir.path(), &from("pot:2", &local[..2]), "UNTRUSTED signature");
    refused(dir.path(), &from("pot:3", &["--repository", "nowhere"]), "No such file");
    refused(dir.path(), &from("pot:4", &["--repository", "repository", "--key", "nowhere"]), "No such file");
    let file = dir.path().join("repository").join(std::env::consts::ARCH).join("hello-pot-1.0-r0.apk");
    let mut bytes = package();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    std::fs::write(file, bytes).unwrap();
    refused(dir.path(), &from("pot:5", &local), "hello-pot-1.0-r0");
}

#[test]
fn packages_come_from_the_mirror_that_was_given() {
    let Some([pipkin, alpine]) = given() else { return };
    if !installed("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path(), &pipkin, &alpine);
    let files = dir.path().join("repository");
    // As Alpine's own: below a release, and here the same in each of its repositories.
    let server = Server::start(move |asked| {
        let name = asked.path.strip_prefix("/alpine/v").and_then(|rest| rest.splitn(3, '/').nth(2));
        match name.and_then(|name| std::fs::read(files.join(name)).ok()) {
            Some(bytes) => Answer::Whole(200, Vec::new(), bytes),
            None => Answer::Whole(404, Vec::new(), Vec::new()),
        }
    });
    let mirror = format!("http://{}/alpine", server.address);
    let words = |name, mirror| {
        [alpine.as_str(), name, "--apk", "hello-pot", "--pipkin", pipkin.as_str(), "--key", "pots.rsa.pub"]
            .into_iter()
            .chain(["--mirror", mirror])
            .collect::<Vec<_>>()
    };
    succeeds(dir.path(), &words("pot:1", &mirror));
    assert!(dir.path().join("im/pot:1/rootfs/usr/bin/hello-pot").is_file());
    assert!(server.asked().iter().any(|asked| asked.path.ends_with("/hello-pot-1.0-r0.apk")));
    let list = std::fs::read_to_string(dir.path().join("im/pot:1/rootfs/etc/apk/repositories")).unwrap();
    assert!(!list.contains("127.0.0.1"), "the mirror is for now, not for the image: {list}");
    refused(dir.path(), &words("pot:2", "http://127.0.0.1:1"), "hello-pot (no such package)");
}
