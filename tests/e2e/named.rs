//! Volumes with names: `-v NAME:DST` and `pipkin volume`.

use crate::harness::{Case, Folder, Run, cases, detached, pipkin, run};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            a_volume_outlasts_its_containers,
            an_empty_volume_takes_over_what_is_there,
            a_volume_is_filled_once,
            what_was_half_filled_is_filled_anew,
            filling_follows_nothing_in_a_volume,
            a_volume_has_the_containers_ids,
            volumes_are_made_listed_and_removed,
            a_volume_that_somebody_has_stays,
            a_name_that_is_none_is_refused,
        ]
    )
}

/// A volume with a name of its own, removed in the end.
struct Named(String);

impl Named {
    fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        Self(format!("pipkin-test-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)))
    }

    /// Its directory on the host.
    fn path(&self) -> PathBuf {
        let all = pipkin(&["volume", "ls"]).succeeds().text();
        let line = all.lines().find_map(|line| line.strip_prefix(&self.0)?.strip_prefix('\t'));
        line.unwrap_or_else(|| panic!("no {} in {all}", self.0)).into()
    }

    /// `-v NAME:TARGET`
    fn at(&self, options: &str, target: &str) -> Run {
        run(&format!("{options} -v {}:{target}", self.0))
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        pipkin(&["volume", "rm", "-f", &self.0]).succeeds();
    }
}

fn a_volume_outlasts_its_containers() {
    let volume = Named::new();
    volume.at("", "/data").sh("echo kept > /data/file").prints("");
    volume.at("", "/elsewhere/deep").sh("cat /elsewhere/deep/file").prints("kept\n");
    volume
        .at("", "/data:ro")
        .sh("cat /data/file; touch /data/x 2> /dev/null || echo refused")
        .prints("kept\nrefused\n");
    let mount = format!("--mount type=volume,src={},dst=/data,readonly", volume.0);
    run(&mount).sh("cat /data/file; touch /data/x 2> /dev/null || echo refused").prints("kept\nrefused\n");
}

fn an_empty_volume_takes_over_what_is_there() {
    let volume = Named::new();
    let layer = Folder::new();
    let there = layer.folder("srv").join("data");
    fs::create_dir_all(there.join("deep/er")).unwrap();
    fs::write(there.join("deep/er/file"), "hello\n").unwrap();
    symlink("../elsewhere", there.join("link")).unwrap();
    fs::set_permissions(&there, PermissionsExt::from_mode(0o1751)).unwrap();
    chown(&there, Some(70), Some(71)).unwrap();
    let over = format!("--layer {}", layer.path().display());
    let seen =
        |place: &str| format!("cd {place}; cat deep/er/file; readlink link; stat -c '%a %u %g' .; ls -A");
    let whole = "hello\n../elsewhere\n1751 70 71\ndeep\nlink\n";
    // Read-only for the container is not read-only for who fills it.
    volume.at(&over, "/srv/data:ro").sh(&seen("/srv/data")).prints(whole);
    volume.at("", "/elsewhere").sh(&seen("/elsewhere")).prints(whole);
    // Now something is in it: what another image has in its place goes nowhere.
    volume.at("", "/etc/apk").sh(&seen("/etc/apk")).prints(whole);
    // A file is no directory to take over.
    let other = Named::new();
    other.at("", "/etc/passwd").sh("true").expect_refusal(&["/etc/passwd"]);
    // An empty place gives its mode and owner.
    other.at("", "/tmp").sh("stat -c '%a %u %g' /tmp; ls -A /tmp").prints("1777 0 0\n");
}

/// Containers that begin at once with a new volume all find it whole.
fn a_volume_is_filled_once() {
    let volume = Named::new();
    let whole = run("").sh("find /usr/share | sort | md5sum").succeeds().text();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| volume.at("", "/usr/share").sh("find /usr/share | sort | md5sum").prints(&whole));
        }
    });
}

/// Whoever fills a volume may be killed meanwhile, or the disk be full.
fn what_was_half_filled_is_filled_anew() {
    let volume = Named::new();
    pipkin(&["volume", "create", &volume.0]).prints(&format!("{}\n", volume.0));
    let path = volume.path();
    fs::write(path.join(".pipkin-filling"), "").unwrap();
    fs::write(path.join("arch"), "ha").unwrap();
    fs::create_dir(path.join("keys")).unwrap();
    let seen = "ls -aR /etc/apk; cat /etc/apk/arch";
    let plain = run("").sh(seen).succeeds().text();
    volume.at("", "/etc/apk").sh(seen).prints(&plain);
    assert!(!path.join(".pipkin-filling").exists());
}

/// One container may want another that begins with the same volume to write elsewhere for it.
fn filling_follows_nothing_in_a_volume() {
    let volume = Named::new();
    let elsewhere = Folder::new();
    let (file, folder) = (elsewhere.file("file", "kept\n"), elsewhere.folder("folder"));
    let mine = |options: &str| volume.at(options, "/etc/apk").volume(elsewhere.path(), "/mnt");
    volume.at("", "/v").sh("touch /v/.pipkin-filling; ln -s /mnt/file /v/arch").prints("");
    mine("").sh("cat /etc/apk/arch | wc -l; ls -l /etc/apk/arch | cut -c 1").prints("1\n-\n");
    volume.at("", "/v").sh("touch /v/.pipkin-filling; rm -r /v/keys; ln -s /mnt/folder /v/keys").prints("");
    mine("").sh("true").expect_refusal(&["/etc/apk"]);
    for other in ["mkdir", "ln -s /mnt/file", "mkfifo"] {
        volume.at("", "/v").sh(&format!("rm -rf /v/* /v/.p*; {other} /v/.pipkin-filling")).prints("");
        mine("").sh("ls -A /etc/apk").prints(".pipkin-filling\n");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "kept\n");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}

/// In a user namespace too, whose root is nobody on the host.
fn a_volume_has_the_containers_ids() {
    let volume = Named::new();
    let touch = "touch /data/file; chown 33:34 /data/file; stat -c '%u %g' /data /data/file";
    volume.at("--userns auto", "/data").sh(touch).prints("0 0\n33 34\n");
    volume.at("", "/data").sh("stat -c '%u %g' /data/file").prints("33 34\n");
    volume.at("--userns auto", "/data").sh("stat -c '%u %g' /data/file").prints("33 34\n");
    let named = format!("{}:/data", volume.0);
    run(&format!("--dry-run --userns auto -v {named}")).command(&["true"]).succeeds();
    let filled = Named::new();
    filled.at("--userns auto", "/etc/apk").sh("stat -c '%u %g' /etc/apk/arch").prints("0 0\n");
    let arch = fs::metadata(filled.path().join("arch")).unwrap();
    assert_eq!((arch.uid(), arch.gid()), (0, 0));
}

fn volumes_are_made_listed_and_removed() {
    let (one, other) = (Named::new(), Named::new());
    let names = [one.0.as_str(), &other.0];
    pipkin(&["volume", "create", names[0], names[1]]).prints(&format!("{}\n{}\n", names[0], names[1]));
    // Once more is no error.
    pipkin(&["volume", "create", names[0]]).succeeds();
    let listed = pipkin(&["volume", "ls", "-q"]).succeeds().text();
    assert!(names.iter().all(|name| listed.lines().any(|line| line == *name)), "{listed}");
    fs::write(one.path().join("file"), "x").unwrap();
    // One that cannot be removed does not keep the others.
    let told = pipkin(&["volume", "rm", "no-such-volume", names[0], names[1]]);
    assert_eq!(told.text().lines().collect::<Vec<_>>(), names);
    assert!(told.told().contains("no-such-volume: there is none of this name"), "{told}");
    told.exits(125);
    pipkin(&["volume", "rm", names[0]]).expect_refusal(&[names[0], "there is none of this name"]);
    pipkin(&["volume", "rm", "-f", names[0]]).succeeds();
    for words in [&["volume"][..], &["volume", "rm"], &["volume", "list", "x"], &["volume", "prune"]] {
        pipkin(words).exits(125);
    }
}

fn a_volume_that_somebody_has_stays() {
    let volume = Named::new();
    let running = detached(&format!("-v {}:/data", volume.0), &["sleep", "1000"]);
    pipkin(&["volume", "rm", &volume.0]).expect_refusal(&[&running.id, "pipkin rm"]);
    pipkin(&["stop", "-t", "0", &running.id]).succeeds();
    pipkin(&["volume", "rm", "-f", &volume.0]).expect_refusal(&[&running.id]);
    pipkin(&["start", &running.id]).succeeds();
    pipkin(&["rm", "-f", &running.id]).succeeds();
    pipkin(&["volume", "rm", &volume.0]).succeeds();
    // Nothing is made for one that is only told of.
    let told = run(&format!("--dry-run -v {}:/data", volume.0)).command(&["true"]).succeeds().text();
    assert!(told.contains("with a copy of what lies there"), "{told}");
    assert!(!pipkin(&["volume", "ls"]).succeeds().text().contains(&volume.0));
}

fn a_name_that_is_none_is_refused() {
    for name in ["-x", ".x", "_x", "a b", "a+b", "x\u{e9}"] {
        run("").option("-v").option(format!("{name}:/data")).command(&["true"]).exits(125);
        pipkin(&["volume", "create", "--", name]).exits(125);
    }
    let long = "x".repeat(256);
    pipkin(&["volume", "create", &long]).exits(125);
    pipkin(&["volume", "create", "../x"]).expect_refusal(&["../x", "a path has a slash"]);
}
