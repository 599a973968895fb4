//! The root file system.

use crate::harness::{Case, Folder, alpine, cases, run};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            the_image_stays_as_it_was,
            changes_last_as_long_as_the_container,
            the_top_layer_wins,
            a_whiteout_hides_what_is_below,
            an_opaque_directory_hides_what_is_below,
            layers_stay_as_they_were,
            a_missing_layer_is_refused,
            many_layers,
            names_with_separators,
            ephemeral_changes_stay_in_memory,
            a_read_only_root,
            a_read_only_root_leaves_mounts_writable,
            scratch_holds_only_pipkin,
            a_stored_image_is_found_by_name,
            the_default_mounts_are_there,
            no_mount_of_the_host_is_in_sight,
            there_is_nothing_above_the_root,
            a_chroot_does_not_lead_out,
            the_program_inside_is_a_copy,
            it_works_in_a_private_mount_tree,
        ]
    )
}

/// Everything in a tree with what would change when somebody touched it.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::symlink_metadata(&path).unwrap();
            if data.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (data.mode(), data.size(), data.mtime(), data.mtime_nsec()));
        }
    }
    found
}

fn the_image_stays_as_it_was() {
    let image = alpine().unwrap();
    let before = tree(&image);
    let script =
        "echo x >> /etc/passwd; rm -r /etc/apk; mkdir /newer; chmod 777 /usr; mv /bin/busybox /bin/moved";
    run("-w /made --hostname pot -v /etc:/new/place --tmpfs /other").sh(script).prints("");
    assert!(before == tree(&image));
}

fn changes_last_as_long_as_the_container() {
    run("").sh("echo x > /kept; sync; cat /kept").prints("x\n");
    run("").sh("cat /kept 2> /dev/null || echo gone").prints("gone\n");
}

fn the_top_layer_wins() {
    let (low, high) = (Folder::new(), Folder::new());
    low.file("etc/motd", "low\n");
    low.file("only/low", "low only\n");
    high.file("etc/motd", "high\n");
    let run = run("--layer").option(low.path()).option("--layer").option(high.path());
    run.sh("cat /etc/motd /only/low; test -e /etc/passwd").prints("high\nlow only\n");
}

fn a_whiteout_hides_what_is_below() {
    let layer = Folder::new();
    layer.folder("etc");
    mknodat(CWD, layer.join("etc/motd"), FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
    run("--layer").option(layer.path()).sh("ls /etc/motd 2> /dev/null || echo hidden").prints("hidden\n");
}

fn an_opaque_directory_hides_what_is_below() {
    let layer = Folder::new();
    layer.file("etc/apk/mine", "x");
    setxattr(layer.join("etc/apk"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    run("--layer").option(layer.path()).command(&["ls", "/etc/apk"]).prints("mine\n");
}

fn layers_stay_as_they_were() {
    let layer = Folder::new();
    layer.file("etc/motd", "layer\n");
    run("--layer").option(layer.path()).sh("rm /etc/motd; echo x > /etc/new").prints("");
    assert_eq!(tree(layer.path()).len(), 2);
}

fn a_missing_layer_is_refused() {
    run("--layer /nonexistent/layer").sh("true").expect_refusal(&["/nonexistent/layer"]);
    run("--layer /etc/passwd").sh("true").expect_refusal(&["/etc/passwd"]);
}

fn many_layers() {
    let folder = Folder::new();
    let run = (0..100).fold(run(""), |run, number| {
        folder.file(&format!("{number}/layers/{number}"), "");
        run.option("--layer").option(folder.join(&number.to_string()))
    });
    run.sh("ls /layers | wc -l").prints("100\n");
}

fn names_with_separators() {
    let folder = Folder::new();
    folder.file("a,b:c\\d e\"/etc/motd", "odd\n");
    run("--layer").option(folder.join("a,b:c\\d e\"")).sh("cat /etc/motd").prints("odd\n");
}

fn ephemeral_changes_stay_in_memory() {
    let data = Path::new("/var/lib/pipkin/containers");
    let container = run("--ephemeral").start_sh("echo x > /kept; echo ready; exec sleep 1000");
    container.expect("ready");
    let kept = tree(data).into_keys().find(|path| path.ends_with("kept"));
    assert_eq!(kept, None);
    container.kill_and_clean();
    run("--ephemeral").sh("echo x > /kept; cat /kept").prints("x\n");
}

fn a_read_only_root() {
    let script = "echo x 2> /dev/null > /kept || echo refused; chmod 700 /etc 2> /dev/null || echo refused
        grep -c ' / / ro,' /proc/self/mountinfo";
    run("--read-only").sh(script).prints("refused\nrefused\n1\n");
}

fn a_read_only_root_leaves_mounts_writable() {
    let folder = Folder::new();
    let run = run("--read-only --tmpfs /tmp -w /made").volume(folder.path(), "/data");
    run.sh("echo x > /tmp/x; echo y > /data/y; echo z > /dev/shm/z; pwd").prints("/made\n");
    assert_eq!(fs::read_to_string(folder.join("y")).unwrap(), "y\n");
}

fn scratch_holds_only_pipkin() {
    let outcome = run("").image("scratch").command(&["/pipkin", "probe", "--json"]);
    let facts = outcome.succeeds().json();
    assert_eq!(facts["pid"], 1);
    let run = run("").image("scratch");
    run.clone().command(&["/pipkin", "--version"]).exits(0);
    run.clone().command(&["sh"]).fails(127, &["sh"]);
    let own = std::env::current_exe().unwrap();
    run.option("--net")
        .option("none")
        .volume(&own, "/e2e:ro")
        .command(&["/e2e", "--payload", "list", "/"])
        .prints("dev\ne2e\npipkin\nproc\nsys\n");
}

fn a_stored_image_is_found_by_name() {
    let images = Path::new("/var/lib/pipkin/images");
    fs::create_dir_all(images).unwrap();
    fs::create_dir(images.join("pot:1")).unwrap();
    std::os::unix::fs::symlink(alpine().unwrap(), images.join("pot:1/rootfs")).unwrap();
    let outcome = run("").image("pot:1").sh("echo found");
    let unknown = run("").image("pot:2").sh("true");
    fs::remove_dir_all(images.join("pot:1")).unwrap();
    outcome.prints("found\n");
    unknown.expect_refusal(&["pot:2"]);
}

/// Mount point, attributes and type of every mount the container sees.
fn mounts() -> BTreeMap<String, (String, String)> {
    let text = run("").command(&["cat", "/proc/self/mountinfo"]).succeeds().text();
    let parse = |line: &str| {
        let (mount, rest) = line.split_once(" - ").unwrap();
        let fields: Vec<&str> = mount.split(' ').collect();
        let kind = rest.split(' ').next().unwrap();
        (fields[4].to_owned(), (fields[5].to_owned(), kind.to_owned()))
    };
    text.lines().map(parse).collect()
}

fn the_default_mounts_are_there() {
    let mounts = mounts();
    let inert = "nosuid,nodev,noexec,relatime";
    for (point, attributes, kind) in [
        ("/", "rw,relatime", "overlay"),
        ("/proc", &format!("rw,{inert}"), "proc"),
        ("/dev", "rw,nosuid,noexec", "tmpfs"),
        ("/dev/pts", "rw,nosuid,noexec,relatime", "devpts"),
        ("/dev/shm", &format!("rw,{inert}"), "tmpfs"),
        ("/dev/mqueue", &format!("rw,{inert}"), "mqueue"),
        ("/sys", &format!("ro,{inert}"), "sysfs"),
        ("/sys/fs/cgroup", &format!("ro,{inert}"), "cgroup2"),
        ("/proc/sys", &format!("ro,{inert}"), "proc"),
    ] {
        let expected = (attributes.to_owned(), kind.to_owned());
        assert_eq!(mounts.get(point), Some(&expected), "{point}");
    }
}

fn no_mount_of_the_host_is_in_sight() {
    let tops = ["/proc", "/sys", "/dev"];
    let names = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    for (point, (attributes, kind)) in
        mounts().into_iter().filter(|(point, _)| !names.contains(&point.as_str()))
    {
        assert!(point == "/" || tops.iter().any(|top| Path::new(&point).starts_with(top)), "{point}");
        let known = ["overlay", "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2", "devtmpfs"];
        assert!(known.contains(&kind.as_str()), "{kind} on {point} ({attributes})");
    }
    let text = run("").command(&["cat", "/proc/self/mountinfo"]).succeeds().text();
    assert!(!text.contains("/run/") && !text.contains("/var/lib"), "{text}");
    assert!(!text.contains("shared:") && !text.contains("master:"), "{text}");
}

fn there_is_nothing_above_the_root() {
    run("").sh("cd /; cd ..; cd ../../..; pwd; test / -ef /.. && echo same").prints("/\nsame\n");
}

fn a_chroot_does_not_lead_out() {
    // The classic way out: a working directory above the new root.
    let script = "mkdir -p /jail; /e2e --payload climb /jail";
    run("").with_payload().sh(script).prints("the root of the container\n");
}

fn the_program_inside_is_a_copy() {
    let own = std::env::var_os("PIPKIN").map(PathBuf::from);
    let before = own.as_ref().map(|own| fs::read(own).unwrap());
    let outcome =
        run("").image("scratch").with_payload().command(&["/e2e", "--payload", "overwrite", "/pipkin"]);
    outcome.prints("overwritten\n");
    assert!(before == own.map(|own| fs::read(own).unwrap()));
}

fn it_works_in_a_private_mount_tree() {
    use rustix::mount::{MountPropagationFlags, mount_change};
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let outcome = run("").sh("echo works");
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC).unwrap();
    outcome.prints("works\n");
}
