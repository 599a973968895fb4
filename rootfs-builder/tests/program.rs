//! The program itself: verbs, JSON, exit status, one line per error, and what it does without root.

mod layout;
mod need;
mod tarball;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use layout::LayoutDirectory;
use need::{root, skip};
use tarball::{Tarball, is_root};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rootfs-builder");

fn program(directory: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.current_dir(directory).env_clear().env("HOME", directory);
    command
}

fn run(directory: &Path, words: &str) -> Output {
    program(directory).args(words.split(' ')).output().unwrap()
}

#[track_caller]
fn succeeds(directory: &Path, words: &str) -> String {
    let output = run(directory, words);
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "a bar without a terminal");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn error_of(output: Output) -> String {
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125), "{error}");
    assert!(output.stdout.is_empty());
    let line = error.strip_prefix("rootfs-builder: ").and_then(|rest| rest.strip_suffix('\n'));
    let line = line.unwrap_or_else(|| panic!("{error:?}"));
    assert!(!line.contains(|c: char| c.is_control()), "{error:?}");
    line.to_owned()
}

fn write(path: PathBuf, tarball: Tarball) {
    std::fs::write(path, tarball.finish()).unwrap();
}

#[test]
fn images_from_tarballs_and_directories() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("t.tar"), Tarball::new().file("bin/sh", b"#").symlink("lib", "usr/lib"));
    assert_eq!(
        succeeds(dir.path(), "import t.tar team/app:1 --images im"),
        "stored im/team%2Fapp:1: 2 entries, 1 B\n"
    );
    let json = succeeds(dir.path(), "import --images=im im/team%2Fapp:1/rootfs copy --json");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["stored"]["path"], "im/copy");
    assert_eq!(std::fs::read_link(dir.path().join("im/copy/rootfs/lib")).unwrap(), Path::new("usr/lib"));
    let list = succeeds(dir.path(), "images --images im");
    assert_eq!(list, "copy\t1 layer\tim/copy\nteam/app:1\t1 layer\tim/team%2Fapp:1\n");
    let error = error_of(run(dir.path(), "import t.tar copy --images im"));
    assert_eq!(error, "store the image copy: an image of that name is there (rmi removes it)");
    succeeds(dir.path(), "import t.tar copy --images im --replace");
    assert!(dir.path().join("im/copy/rootfs/bin/sh").exists());
    assert_eq!(succeeds(dir.path(), "rmi copy --images im"), "removed copy\n");
    assert_eq!(succeeds(dir.path(), "rmi team/app:1 --images im --json"), "{\"removed\":\"team/app:1\"}\n");
    assert_eq!(succeeds(dir.path(), "images --images im --json"), "{\"images\":[]}\n");
    assert_eq!(std::fs::read_dir(dir.path().join("im")).unwrap().count(), 0);
}

#[test]
fn a_refused_tarball_leaves_the_store_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("evil.tar"), Tarball::new().file("ok", b"").file("../x", b""));
    let error = error_of(run(dir.path(), "import evil.tar evil --images im"));
    assert_eq!(error, "unpack ../x of evil.tar: path has a '..' component");
    assert_eq!(std::fs::read_dir(dir.path().join("im")).unwrap().count(), 0);
    let error = error_of(run(dir.path(), "unpack evil.tar out"));
    assert_eq!(error, "unpack ../x of evil.tar: path has a '..' component");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn limits_can_be_given() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("t.tar"), Tarball::new().file("f", &[0; 5000]));
    let error = error_of(run(dir.path(), "unpack t.tar out --size-max 4000"));
    assert_eq!(error, "make f of t.tar: unpacks to more than the limit of 4000 bytes");
    let text = succeeds(dir.path(), "unpack t.tar out --size-max=7168");
    assert_eq!(text, "unpacked out: 1 entries, 5.00 kB\n");
    let error = error_of(run(dir.path(), "unpack t.tar out"));
    assert_eq!(error, "make out of t.tar: it is there and not empty");
}

#[test]
fn an_initramfs_is_reproducible_from_either_source() {
    let dir = tempfile::tempdir().unwrap();
    let owner = rustix::process::geteuid().as_raw().into();
    let tarball =
        Tarball::new().mode(0o755, owner, owner, 5).directory(".").file("bin/sh", b"x").symlink("l", "bin");
    write(dir.path().join("t.tar"), tarball.directory("bin"));
    std::fs::write(dir.path().join("init"), "#!/bin/sh\n").unwrap();
    succeeds(dir.path(), "unpack t.tar d");
    for compress in ["gz", "zst", "xz", "none"] {
        let options = format!("--init init --compress {compress}");
        succeeds(dir.path(), &format!("initramfs t.tar -o one {options}"));
        succeeds(dir.path(), &format!("initramfs d -o two {options}"));
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap(), "{compress}");
        assert_eq!(std::fs::metadata(one).unwrap().permissions().mode() & 0o777, 0o644);
    }
    let bytes = std::fs::read(dir.path().join("one")).unwrap();
    assert!(bytes.windows(10).any(|window| window == b"#!/bin/sh\n"));
    let output = program(dir.path())
        .args(["initramfs", "d", "-o", "three"])
        .env("SOURCE_DATE_EPOCH", "tomorrow")
        .output()
        .unwrap();
    assert!(error_of(output).starts_with("read SOURCE_DATE_EPOCH: \"tomorrow\" is not"));
    assert!(!dir.path().join("three").exists());
}

#[test]
fn a_stored_image_is_exported_the_same_with_layers_and_without() {
    let dir = tempfile::tempdir().unwrap();
    let layout = LayoutDirectory::new(&dir.path().join("layout"));
    let owner = rustix::process::geteuid().as_raw().into();
    let base = Tarball::new().mode(0o755, owner, owner, 9).directory(".").directory("d").file("d/a", b"1");
    let upper = Tarball::new().mode(0o644, owner, owner, 9).file("d/.wh.a", b"").file("d/b", b"2");
    layout.index(&[layout.image(&[base.finish(), upper.file("sbin/init", b"old").finish()], "amd64")]);
    std::fs::write(dir.path().join("pot"), "new").unwrap();
    succeeds(dir.path(), "import layout apart --layers --arch amd64 --images im");
    succeeds(dir.path(), "import layout merged --arch amd64 --images im");
    for name in ["apart", "merged", "layout"] {
        succeeds(
            dir.path(),
            &format!("export {name} -o {name}.tar --format tar --arch amd64 --images im --init pot"),
        );
    }
    let bytes = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert_eq!(bytes("apart.tar"), bytes("merged.tar"));
    if is_root() {
        // Otherwise what is stored is ours, and what goes from archive to archive keeps its owners.
        assert_eq!(bytes("apart.tar"), bytes("layout.tar"));
    }
    assert_eq!(succeeds(dir.path(), "unpack apart.tar out"), "unpacked out: 5 entries, 4 B\n");
    assert_eq!(bytes("out/sbin/init"), b"new");
    // The config goes along, and so does the name.
    let options = "--format oci-archive --arch amd64 --images im --json";
    let value: serde_json::Value =
        serde_json::from_str(&succeeds(dir.path(), &format!("export apart -o a.tar {options}"))).unwrap();
    assert!(value["manifest"].as_str().unwrap().starts_with("sha256:"));
    succeeds(dir.path(), "import a.tar again --ref apart --arch amd64 --images im");
    let config: serde_json::Value = serde_json::from_slice(&bytes("im/again/config.json")).unwrap();
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["/bin/sh"]));
    succeeds(dir.path(), "export again -o d --format directory --arch amd64 --images im");
    assert_eq!(bytes("d/d/b"), b"2");
    assert!(!dir.path().join("d/d/a").exists());
    let error = error_of(run(dir.path(), "export again -o x --format zip --images im"));
    assert!(error.contains("unknown format \"zip\": directory, tar,"), "{error}");
    let error = error_of(run(dir.path(), "import pot x --layers --images im"));
    assert!(error.contains("truncated"), "{error}");
    let error = error_of(run(dir.path(), "import out x --layers --images im"));
    assert_eq!(error, "import out: not an image, which alone has layers and names");
}

#[test]
fn bad_words_are_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for (words, part) in [
        ("frobnicate", "frobnicate"),
        ("unpack", "Required positional arguments not provided"),
        ("unpack a b c", "c"),
        ("rmi UPPER", "\"UPPER\" is no image name"),
        ("alpine --arch m68k", "unknown architecture \"m68k\": x86_64 or aarch64"),
        ("alpine --version 3.22/../..", "is no version such as 3.22.1"),
        ("alpine -o a --store b", "either -o or --store"),
        ("alpine --offline", "find an Alpine minirootfs for x86_64: no tarball of 3.22.1"),
        ("initramfs d -o x --compress br", "unknown compression \"br\": gz, zst, xz or none"),
        ("unpack gone b", "open gone: No such file"),
        ("unpack . b", "Is a directory"),
        ("rmi gone", "no such image"),
    ] {
        if words == "alpine --offline" && cfg!(not(target_arch = "x86_64")) {
            continue;
        }
        let error = error_of(run(dir.path(), &format!("{words} --json").replace(" --json", "")));
        assert!(error.contains(part), "{words}: {error}");
    }
    let odd = program(dir.path()).arg("rmi").arg(OsStr::from_bytes(b"a\xff\n")).output().unwrap();
    assert_eq!(error_of(odd), "read the argument a\\xff\\n: it is not UTF-8");
    for verb in ["", "alpine", "unpack", "import", "images", "rmi", "initramfs", "export"] {
        let help = succeeds(dir.path(), format!("{verb} --help").trim());
        assert!(help.contains("Usage: rootfs-builder"), "{help}");
    }
}

/// Runs the program as another user; `None` if this is not root, who alone can become one.
fn as_nobody(directory: &Path, words: &str) -> Option<Output> {
    if !root("only root can become another user") {
        return None;
    }
    let copy = directory.join("program");
    if !copy.exists() {
        // By another process: a descriptor for writing that a fork elsewhere inherits would make it busy.
        assert!(Command::new("cp").arg(PROGRAM).arg(&copy).status().unwrap().success());
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let mut command = Command::new(copy);
    command.args(words.split(' ')).current_dir(directory).env_clear().env("HOME", directory);
    Some(command.uid(65534).gid(65534).output().unwrap())
}

#[test]
fn without_root() {
    let dir = tempfile::tempdir().unwrap();
    let closed =
        |tarball: Tarball| tarball.mode(0o4111, 0, 0, 7).directory("closed").file("closed/suid", b"x");
    write(dir.path().join("device.tar"), closed(Tarball::new()).char_device("dev/null", 1, 3));
    write(dir.path().join("good.tar"), closed(Tarball::new().mode(0o755, 0, 0, 7).directory(".")));
    let Some(refused) = as_nobody(dir.path(), "unpack device.tar out") else { return };
    let error = error_of(refused);
    assert_eq!(
        error,
        "unpack dev/null of device.tar: a device node needs root (--skip-devices leaves it out)"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "the closed directory is removed too");
    let skipped = as_nobody(dir.path(), "unpack device.tar out --skip-devices").unwrap();
    let text = String::from_utf8(skipped.stdout).unwrap();
    assert_eq!(text, "unpacked out: 3 entries, 1 B\nleft out: 1 device nodes\n");

    let import = as_nobody(dir.path(), "import good.tar good").unwrap();
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    let rootfs = dir.path().join(".local/share/pipkin/images/good/rootfs");
    let stat = std::fs::metadata(rootfs.join("closed/suid")).unwrap();
    assert_eq!((stat.mode(), stat.uid(), stat.mtime()), (0o100111, 65534, 7));
    assert_eq!(std::fs::metadata(rootfs.join("closed")).unwrap().mode() & 0o7777, 0o111);
    let removed = as_nobody(dir.path(), "rmi good").unwrap();
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert_eq!(std::fs::read_dir(dir.path().join(".local/share/pipkin/images")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_leaves_nothing() {
    if !root("only root can mount a small disk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("small")).unwrap();
    write(dir.path().join("big.tar"), Tarball::new().file("a", &[1; 4000]).file("b/c", &vec![1; 2 << 20]));
    let script = "mount -t tmpfs -o size=1m small small || exit 1
        for to in \"unpack big.tar small/out\" \"import big.tar x --images small/im\"; do
            \"$1\" $to; echo $?; find small -mindepth 1 ! -name im
        done";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh", PROGRAM])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let error = "rootfs-builder: make b/c of big.tar: No space left on device (os error 28)\n".repeat(2);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), error);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "125\n125\n");
}

#[test]
fn a_real_alpine() {
    let Some(given) = std::env::var_os("PIPKIN_ROOTFS_DIR") else {
        return skip("PIPKIN_ROOTFS_DIR is not set");
    };
    let dir = tempfile::tempdir().unwrap();
    let output = program(dir.path())
        .args(["alpine", "--offline", "-o", "root", "--json"])
        .env("PIPKIN_ROOTFS_DIR", given)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["origin"], &value["unpacked"]["dropped_xattrs"]), (&"given".into(), &0.into()));
    let at = |path: &str| dir.path().join("root").join(path);
    let busybox = std::fs::metadata(at("bin/busybox")).unwrap();
    assert!(busybox.is_file() && busybox.len() > 500_000);
    assert_eq!(busybox.mode() & 0o7777, 0o755);
    assert_eq!(std::fs::read_link(at("bin/sh")).unwrap(), Path::new("/bin/busybox"));
    assert_eq!(std::fs::metadata(at("tmp")).unwrap().mode() & 0o7777, 0o1777);
    if is_root() {
        let shadow = std::fs::metadata(at("etc/shadow")).unwrap();
        assert_eq!((shadow.uid(), shadow.gid(), shadow.mode() & 0o777), (0, 42, 0o640));
    }
}

#[test]
fn nothing_but_a_program_is_a_root_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("program"), vec![7; 5000]).unwrap();
    let told = succeeds(dir.path(), "initramfs scratch -o tiny.gz --init program --json");
    let value: serde_json::Value = serde_json::from_str(&told).unwrap();
    // The root itself, and the program.
    assert_eq!(value["names"], 2);
    assert!(value["compressed_size"].as_u64().unwrap() < 500, "{value}");
    let told = succeeds(dir.path(), "export scratch --format tar -o empty.tar --json");
    assert!(told.contains(r#""bytes":0"#), "{told}");
}
