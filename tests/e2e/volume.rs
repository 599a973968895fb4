//! Binds, `--mount` and `--tmpfs`.

use crate::harness::{Case, Folder, Run, cases, run};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            a_folder_is_shared_both_ways,
            a_file_is_shared,
            read_only_is_read_only,
            read_only_reaches_mounts_below,
            attributes_as_asked,
            places_are_made,
            a_missing_source_is_made,
            a_missing_source_by_key_is_refused,
            a_source_that_cannot_be_made_is_refused,
            a_relative_source_is_taken_from_here,
            a_file_over_a_folder_is_refused,
            a_link_as_destination_stays_inside,
            a_destination_behind_a_link_to_nothing_is_made_inside,
            dots_in_a_destination_stay_inside,
            a_relative_destination_is_refused,
            the_key_value_form,
            the_key_value_form_refuses_nonsense,
            a_tmpfs_is_bounded,
            shared_memory_is_as_large_as_asked,
            a_tmpfs_has_the_mode_asked_for,
            unknown_options_are_refused,
            private_unless_asked_otherwise,
            a_slave_receives_and_does_not_send,
            a_shared_mount_sends_back,
            one_over_another,
            nothing_goes_on_proc,
        ]
    )
}

/// The attributes and the optional fields of the mount on `point`, as the container sees it.
fn seen(run: Run, point: &str) -> (String, String) {
    let text = run.command(&["cat", "/proc/self/mountinfo"]).succeeds().text();
    let line = text.lines().rfind(|line| line.split(' ').nth(4) == Some(point));
    let fields: Vec<&str> = line.unwrap_or_else(|| panic!("no {point} in {text}")).split(' ').collect();
    let dash = fields.iter().position(|field| *field == "-").unwrap();
    (fields[5].to_owned(), fields[6..dash].join(" "))
}

fn a_folder_is_shared_both_ways() {
    let folder = Folder::new();
    folder.file("from-outside", "hello\n");
    run("")
        .volume(folder.path(), "/data")
        .sh("cat /data/from-outside; echo back > /data/from-inside")
        .prints("hello\n");
    assert_eq!(fs::read_to_string(folder.join("from-inside")).unwrap(), "back\n");
}

fn a_file_is_shared() {
    let folder = Folder::new();
    let file = folder.file("one", "hello\n");
    run("").volume(&file, "/etc/motd").sh("cat /etc/motd; echo back > /etc/motd").prints("hello\n");
    assert_eq!(fs::read_to_string(file).unwrap(), "back\n");
}

fn read_only_is_read_only() {
    let folder = Folder::new();
    run("")
        .volume(folder.path(), "/data:ro")
        .sh("touch /data/x 2> /dev/null || echo refused")
        .prints("refused\n");
    assert!(seen(run("").volume(folder.path(), "/data:ro"), "/data").0.starts_with("ro,"));
    assert!(seen(run("").volume(folder.path(), "/data:rw"), "/data").0.starts_with("rw,"));
}

/// A folder with a writable file system mounted below it.
struct Nested(Folder, PathBuf);

impl Nested {
    fn new() -> Self {
        let folder = Folder::new();
        let point = folder.folder("below");
        mount("tmpfs", &point, "tmpfs", MountFlags::empty(), c"size=1m").unwrap();
        Self(folder, point)
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            unmount(&self.1, UnmountFlags::DETACH).unwrap();
        });
    }
}

fn read_only_reaches_mounts_below() {
    let nested = Nested::new();
    let script = "for d in /data /data/below; do touch $d/x 2> /dev/null || echo $d refused; done";
    for option in ["ro", "rro"] {
        let run = run("").volume(nested.0.path(), &format!("/data:{option}"));
        run.sh(script).prints("/data refused\n/data/below refused\n");
    }
    run("").volume(nested.0.path(), "/data").sh(script).prints("");
}

fn attributes_as_asked() {
    let folder = Folder::new();
    folder.script("tool", "#!/bin/sh\necho ran\n");
    let run = run("").volume(folder.path(), "/data:ro,noexec,nosuid,nodev");
    run.clone().command(&["/data/tool"]).fails(126, &["/data/tool"]);
    assert!(seen(run, "/data").0.starts_with("ro,nosuid,nodev,noexec"));
}

fn places_are_made() {
    let folder = Folder::new();
    let file = folder.file("one", "hello\n");
    let run = run("").volume(folder.path(), "/a/b/c").volume(&file, "/x/y/z");
    run.sh("cat /a/b/c/one /x/y/z").prints("hello\nhello\n");
}

fn a_missing_source_is_made() {
    let folder = Folder::new();
    run("").volume(&folder.join("a/b"), "/data").sh("echo x > /data/x").prints("");
    assert_eq!(fs::read_to_string(folder.join("a/b/x")).unwrap(), "x\n");
}

fn a_missing_source_by_key_is_refused() {
    run("--mount type=bind,src=/nonexistent/source,dst=/data")
        .sh("true")
        .expect_refusal(&["/nonexistent/source"]);
    assert!(!Path::new("/nonexistent").exists());
}

fn a_source_that_cannot_be_made_is_refused() {
    run("-v /proc/nonexistent:/data").sh("true").expect_refusal(&["/proc/nonexistent"]);
}

fn a_relative_source_is_taken_from_here() {
    let folder = Folder::new();
    folder.file("sub/one", "hello\n");
    run("-v ./sub:/data").in_folder(folder.path()).sh("cat /data/one").prints("hello\n");
    run("-v .:/data").in_folder(folder.path()).sh("cat /data/sub/one").prints("hello\n");
}

fn a_file_over_a_folder_is_refused() {
    let folder = Folder::new();
    let file = folder.file("one", "");
    run("").volume(&file, "/etc").sh("true").expect_refusal(&["/etc"]);
    run("").volume(folder.path(), "/etc/passwd").sh("true").expect_refusal(&["/etc/passwd"]);
}

fn a_link_as_destination_stays_inside() {
    let (folder, layer) = (Folder::new(), Folder::new());
    folder.file("one", "hello\n");
    for (name, target) in [("absolute", "/srv"), ("up", "../../../../srv")] {
        std::os::unix::fs::symlink(target, layer.join(name)).unwrap();
    }
    let run = run("--layer").option(layer.path());
    let run = run.volume(folder.path(), "/absolute/a").volume(folder.path(), "/up/b");
    run.sh("cat /srv/a/one /srv/b/one").prints("hello\nhello\n");
    assert!(!Path::new("/srv/a").exists() && !Path::new("/srv/b").exists());
}

fn a_destination_behind_a_link_to_nothing_is_made_inside() {
    let (layer, outside) = (Folder::new(), Folder::new());
    // It leads somewhere on the host, and nowhere inside.
    std::os::unix::fs::symlink(outside.path(), layer.join("link")).unwrap();
    let place = format!("test -e {}/a/passwd && test -e /link/a/passwd", outside.path().display());
    run("-v /etc:/link/a --layer").option(layer.path()).sh(&place).succeeds();
    assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
}

fn dots_in_a_destination_stay_inside() {
    let folder = Folder::new();
    folder.file("one", "hello\n");
    let outcome = run("").volume(folder.path(), "/a/../../../up").sh("cat /up/one");
    if outcome.status.success() {
        outcome.prints("hello\n")
    } else {
        outcome.expect_refusal(&["/a/../../../up"])
    }
    assert!(!Path::new("/up").exists());
}

fn a_relative_destination_is_refused() {
    let folder = Folder::new();
    run("").volume(folder.path(), "data").sh("true").expect_refusal(&["data"]);
    run("").volume(folder.path(), "/").sh("true").expect_refusal(&["/"]);
    run("--tmpfs data").sh("true").expect_refusal(&["data"]);
}

fn the_key_value_form() {
    let folder = Folder::new();
    folder.file("one", "hello\n");
    let source = folder.path().display();
    let bind = run("--mount").option(format!("type=bind,src={source},dst=/data,ro"));
    bind.clone().sh("cat /data/one; touch /data/x 2> /dev/null || echo refused").prints("hello\nrefused\n");
    let long = run("--mount").option(format!("type=bind,source={source},target=/data,readonly"));
    assert!(seen(long, "/data").0.starts_with("ro,"));
    run("--mount type=tmpfs,dst=/data,size=64k,mode=700")
        .sh("df -k /data | tail -1 | awk '{print $2}'; stat -c %a /data")
        .prints("64\n700\n");
}

fn the_key_value_form_refuses_nonsense() {
    for mount in [
        "type=bind,dst=/x",
        "type=bind,src=/etc",
        "type=sorcery,dst=/x",
        "src=/etc,dst=/x,colour=red",
        "",
        "type=tmpfs",
    ] {
        run("--mount").option(mount).sh("true").expect_refusal(&[]);
    }
}

fn a_tmpfs_is_bounded() {
    let script = "dd if=/dev/zero of=/data/x bs=1k count=2000 2> /dev/null || stat -c %s /data/x";
    run("--tmpfs /data:size=1m").sh(script).prints("1048576\n");
    // Without a size a tenth of the machine's memory, in blocks as large as a page.
    let script = "stat -f -c '%b %S' /data; awk '/MemTotal/ { print $2 }' /proc/meminfo";
    for options in ["--tmpfs /data", "--mount type=tmpfs,dst=/data", "--userns auto --tmpfs /data:mode=700"] {
        let told = run(options).sh(script).succeeds().words();
        let numbers: Vec<u64> = told.iter().map(|word| word.parse().unwrap()).collect();
        let (bound_kib, all_kib) = (numbers[0] * numbers[1] / 1024, numbers[2]);
        assert!((all_kib / 11..=all_kib / 9).contains(&bound_kib), "{numbers:?}");
    }
}

fn shared_memory_is_as_large_as_asked() {
    let kilobytes =
        |options: &str| run(options).sh("df -k /dev/shm | awk 'END { print $2 }'").succeeds().text();
    assert_eq!(kilobytes(""), "65536\n");
    assert_eq!(kilobytes("--shm-size 1m"), "1024\n");
    run("--shm-size 1m")
        .sh("stat -c %a /dev/shm; dd if=/dev/zero of=/dev/shm/x bs=1M count=2 2>&1 | tail -1 >&2")
        .assert_says("1777");
    run("--shm-size 1m --tmpfs /dev/shm").sh("true").fails(125, &["--shm-size 1m"]);
    run("--shm-size 0").sh("true").fails(125, &["--shm-size 0"]);
}

fn a_tmpfs_has_the_mode_asked_for() {
    run("--tmpfs /data:size=64k,mode=1770").sh("stat -c %a /data").prints("1770\n");
    run("--tmpfs /data")
        .sh("stat -c %a /data; grep -c ' /data rw,nosuid,nodev,noexec' /proc/self/mountinfo")
        .prints("1777\n1\n");
    let script = "cp /bin/busybox /data/echo && /data/echo ran";
    run("--tmpfs /data:exec").sh(script).prints("ran\n");
}

fn unknown_options_are_refused() {
    let folder = Folder::new();
    for option in ["colour", "ro,colour=red", "size=1m"] {
        run("").volume(folder.path(), &format!("/data:{option}")).sh("true").expect_refusal(&[]);
    }
    for option in ["colour", "size=big", "mode=9"] {
        run("--tmpfs").option(format!("/data:{option}")).sh("true").expect_refusal(&[]);
    }
    run("-v /etc").sh("true").expect_refusal(&["/etc"]);
    run("-v").option("").sh("true").expect_refusal(&[]);
}

fn private_unless_asked_otherwise() {
    let folder = Folder::new();
    assert_eq!(seen(run("").volume(folder.path(), "/data"), "/data").1, "");
}

fn a_slave_receives_and_does_not_send() {
    let folder = Folder::new();
    folder.folder("below");
    let run = run("-i").volume(folder.path(), "/data:rslave");
    assert!(seen(run.clone(), "/data").1.starts_with("master:"));
    // The kernel shows a mount made outside after the start.
    let container =
        run.start_sh("echo ready; until [ -e /data/below/late ]; do usleep 10000; done; echo seen");
    container.expect("ready");
    let _nested = mounted(&folder.join("below"));
    folder.file("below/late", "");
    container.wait().prints("ready\nseen\n");
}

/// A file system in memory that is unmounted when dropped.
struct Mounted(PathBuf);

fn mounted(point: &Path) -> Mounted {
    mount("tmpfs", point, "tmpfs", MountFlags::empty(), c"size=1m").unwrap();
    Mounted(point.to_owned())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            unmount(&self.0, UnmountFlags::DETACH).unwrap();
        });
    }
}

fn a_shared_mount_sends_back() {
    let folder = Folder::new();
    folder.folder("below");
    let run = run("--cap-add SYS_ADMIN").volume(folder.path(), "/data:rshared");
    assert!(seen(run.clone(), "/data").1.starts_with("shared:"));
    run.sh("mount -t tmpfs none /data/below && touch /data/below/x").prints("");
    assert!(folder.join("below/x").exists());
    unmount(folder.join("below"), UnmountFlags::DETACH).unwrap();
}

fn one_over_another() {
    let (outer, inner) = (Folder::new(), Folder::new());
    outer.file("file", "outer\n");
    inner.file("file", "inner\n");
    let run = run("").volume(outer.path(), "/data").volume(inner.path(), "/data/sub");
    run.sh("cat /data/file /data/sub/file").prints("outer\ninner\n");
}

fn nothing_goes_on_proc() {
    let folder = Folder::new();
    for place in ["/proc", "/proc/self"] {
        run("").volume(folder.path(), place).sh("true").expect_refusal(&[place]);
    }
}
