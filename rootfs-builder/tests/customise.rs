//! Images with something added, and what they say about how they are run.

mod need;
mod tarball;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

use need::root;
use serde_json::{Value, json};
use tarball::Tarball;

fn run(directory: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rootfs-builder"));
    command.current_dir(directory).env_clear().env("HOME", directory);
    command.arg("customise").args(words).args(["--images", "im"]).output().unwrap()
}

#[track_caller]
fn succeeds(directory: &Path, words: &[&str]) -> String {
    let output = run(directory, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn config(directory: &Path, image: &str) -> Value {
    let config = std::fs::read(directory.join("im").join(image).join("config.json")).unwrap();
    serde_json::from_slice::<Value>(&config).unwrap()["config"].clone()
}

fn source(directory: &Path) {
    let passwd = b"root:x:0:0:root:/root:/bin/sh\n";
    let tarball = Tarball::new().file("etc/passwd", passwd).directory("sbin").file("bin/sh", b"#!");
    std::fs::write(directory.join("t.tar"), tarball.finish()).unwrap();
}

#[test]
fn files_users_and_the_init_are_added() {
    let dir = tempfile::tempdir().unwrap();
    source(dir.path());
    std::fs::create_dir(dir.path().join("more")).unwrap();
    for file in ["init", "more/a", "single"] {
        std::fs::write(dir.path().join(file), file).unwrap();
    }
    let words = [
        "t.tar",
        "web:1",
        "--add",
        "more:/srv/more",
        "--add=single:/srv/renamed",
        "--user",
        "web:1234",
        "--init",
        "init",
        "--json",
    ];
    if !root("owners are set by root alone") {
        return;
    }
    let told: Value = serde_json::from_str(&succeeds(dir.path(), &words)).unwrap();
    assert_eq!((told["name"].as_str(), told["stored"]["skipped_devices"].as_u64()), (Some("web:1"), Some(0)));
    let rootfs = dir.path().join("im/web:1/rootfs");
    assert_eq!(std::fs::read_to_string(rootfs.join("srv/more/a")).unwrap(), "more/a");
    assert_eq!(std::fs::read_to_string(rootfs.join("srv/renamed")).unwrap(), "single");
    assert_eq!(std::fs::metadata(rootfs.join("sbin/init")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(std::fs::metadata(rootfs.join("home/web")).unwrap().uid(), 1234);
    let passwd = std::fs::read_to_string(rootfs.join("etc/passwd")).unwrap();
    assert!(passwd.ends_with("\nweb:x:1234:1234::/home/web:/bin/sh\n"), "{passwd}");
}

#[test]
fn what_an_image_says_is_kept_and_added_to() {
    let dir = tempfile::tempdir().unwrap();
    source(dir.path());
    let first = [
        "t.tar",
        "one",
        "--entrypoint",
        r#"["/e","-x"]"#,
        "--cmd",
        "c",
        "--env=A=1",
        "--env=AB=2",
        "--run-as",
        "7:8",
        "--workdir=/srv",
        "--stop-signal",
        "SIGQUIT",
    ];
    succeeds(dir.path(), &first);
    let said = json!({
        "Entrypoint": ["/e", "-x"], "Cmd": ["c"], "Env": ["A=1", "AB=2"], "User": "7:8", "WorkingDir": "/srv",
        "StopSignal": "SIGQUIT",
    });
    assert_eq!(config(dir.path(), "one"), said);
    let store = dir.path().join("im/one").to_string_lossy().into_owned();
    assert!(Path::new(&store).is_dir());
    succeeds(dir.path(), &["one", "two", "--env", "A=3", "--entrypoint=/f"]);
    let two = config(dir.path(), "two");
    assert_eq!(
        (&two["Env"], &two["Entrypoint"], &two["Cmd"]),
        (&json!(["AB=2", "A=3"]), &json!(["/f"]), &Value::Null)
    );
    assert_eq!(two["User"], "7:8");
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    source(dir.path());
    for (words, expected) in [
        (&["t.tar", "x", "--add", "nowhere:/x"][..], "No such file"),
        (&["t.tar", "x", "--add", "t.tar:x"], "absolute PATH"),
        (&["t.tar", "x", "--add", "t.tar:/../x"], "has a '..' component"),
        (&["t.tar", "x", "--user", "root"], "there is one of this name"),
        (&["t.tar", "x", "--user", "A B"], "is no user"),
        (&["t.tar", "x", "--cmd", "[1]"], "no JSON array of strings"),
        (&["t.tar", "x", "--apk", "p", "--pipkin", "./nowhere"], "pipkin, which runs apk, is not found"),
        (&["t.tar", "x", "--apk", "nowhere.apk"], "No such file"),
    ] {
        let output = run(dir.path(), words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{told}");
        assert!(told.contains(expected) && told.lines().count() == 1, "{told}");
        let left = std::fs::read_dir(dir.path().join("im")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{words:?}");
    }
}
