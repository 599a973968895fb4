//! What an engine's configuration, or what lies about on the host, could make a runtime do.

use super::bundle::Bundle;
use crate::escape::race::{MOST_STARTS, STARTS, Swapper};
use crate::harness::{Case, Folder, Outcome, cases};
use serde_json::json;
use std::cell::Cell;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            cve_2025_23266_a_hook_has_nothing_of_the_images,
            cve_2021_43784_what_does_not_fit_is_refused,
            ghsa_5g49_a_limit_outside_of_its_group,
            cve_2026_1386_what_lies_in_the_way_is_refused,
            cve_2023_27561_a_proc_that_is_a_link_to_a_volume,
            ghsa_3q8j_what_is_masked_swapped_for_a_link,
            ghsa_3q8j_what_is_read_only_swapped_for_a_link,
        ]
    )
}

fn cve_2025_23266_a_hook_has_nothing_of_the_images() {
    let bundle = Bundle::new(&["true"]);
    let log = bundle.path("log");
    // The shell's own variables are its own; `env` shows what it passes on.
    let script =
        format!("cd /proc/$$/cwd; tr '\\0' '\\n' < /proc/$$/environ > {0}; pwd -P >> {0}", log.display());
    let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
    let env = json!(["PATH=/bin", "LD_PRELOAD=/proc/self/cwd/evil.so"]);
    let bundle =
        bundle.set("/process/env", env).set("/hooks", json!({ "createContainer": hook, "prestart": hook }));
    fs::write(&log, "").unwrap();
    let bundle = bundle.written();
    bundle.call("run c").exits(0);
    let told = fs::read_to_string(log).unwrap();
    assert!(!told.contains("LD_PRELOAD") && !told.contains("alpine"), "{told}");
}

fn cve_2021_43784_what_does_not_fit_is_refused() {
    let maps: Vec<_> =
        (0..400).map(|id| json!({ "containerID": id, "hostID": 100_000 + id, "size": 1 })).collect();
    let user = json!({ "type": "user" });
    let path = "/x".repeat(40_000);
    for bundle in [
        Bundle::new(&["true"])
            .set("/linux/namespaces/-", user)
            .set("/linux/uidMappings", json!(maps))
            .set("/linux/gidMappings", json!(maps)),
        Bundle::new(&["true"]).set("/linux/namespaces/-", json!({ "type": "time", "path": path })),
        Bundle::new(&["true"]).set("/linux/cgroupsPath", json!(path)),
        Bundle::new(&["true"]).set("/hostname", json!("x".repeat(70_000))),
    ] {
        let bundle = bundle.written();
        bundle.call("create c").fails(1, &[]);
        bundle.is_clean();
    }
}

/// runc (GHSA-5g49-rx9x-qfc6).
fn ghsa_5g49_a_limit_outside_of_its_group() {
    for name in ["../memory.max", "/sys/fs/cgroup/memory.max", "a/b", "..", ""] {
        let bundle =
            Bundle::new(&["true"]).set("/linux/resources", json!({ "unified": { name: "1" } })).written();
        bundle.call("create c").fails(1, &["unified"]);
        bundle.is_clean();
    }
}

fn cve_2026_1386_what_lies_in_the_way_is_refused() {
    let outside = Folder::new();
    let bundle = Bundle::new(&["true"]).written();
    // Whoever may write there could have planted it before.
    bundle.call("list").exits(0);
    let root = bundle.path("state");
    fs::create_dir_all(&root).unwrap();
    symlink(outside.path(), root.join("c")).unwrap();
    let told = bundle.call("create c");
    assert!(!told.status.success(), "{told}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{told}");
    fs::remove_file(root.join("c")).unwrap();
    bundle.call("run c").exits(0);
}

/// runc: CVE-2019-19921 again, in either order of the mounts, and by it CVE-2023-28642.
fn cve_2023_27561_a_proc_that_is_a_link_to_a_volume() {
    let (image, shared) = (Folder::new(), Folder::new());
    for name in ["shared", "dev", "sys"] {
        image.folder(name);
    }
    image.file("e2e", "");
    shared.folder("proc");
    symlink("/shared/proc", image.join("proc")).unwrap();
    let own = std::env::current_exe().unwrap();
    let bind =
        |source: &Path, target: &str| json!({ "destination": target, "source": source, "options": ["bind"] });
    let volume = bind(shared.path(), "/shared");
    let proc = json!({ "destination": "/proc", "type": "proc", "source": "proc" });
    for mounts in [[&volume, &proc], [&proc, &volume]] {
        let bundle = Bundle::new(&["/e2e", "--payload", "list", "/shared/proc/self/attr"])
            .set("/root/path", json!(image.path()))
            .set("/mounts", json!([mounts[0], mounts[1], bind(&own, "/e2e")]))
            .set("/linux/maskedPaths", json!([]))
            .set("/linux/readonlyPaths", json!([]))
            .written();
        bundle.call("run c").fails(1, &["/proc", "link"]);
        bundle.is_clean();
        if mounts[0] == &volume {
            // It is mounted where another container can put something else in its place.
            let told = bundle.call_without("real-directory", "run c").exits(0).text();
            assert!(told.contains("exec\n"), "{told}");
        }
        assert_eq!(fs::read_dir(shared.join("proc")).unwrap().count(), 0);
    }
}

/// Containers that must have run before a defence counts as tried.
const RUNS: usize = 3;

/// Has a container mask a file and close a directory of a folder that it shares, while another swaps the directory that
/// both are in for a link to elsewhere. What it then comes to under both names is judged by `reached`, which is given
/// the directory; whether that ever held.
fn gets_past(absent: &str, most: usize, reached: impl Fn(&Outcome, &Path) -> bool) -> bool {
    let (shared, decoy) = (Folder::new(), Folder::new());
    for folder in [shared.join("place"), decoy.path().to_owned()] {
        fs::create_dir_all(folder.join("closed")).unwrap();
        fs::write(folder.join("masked"), "").unwrap();
    }
    fs::write(shared.join("place/masked"), "secret\n").unwrap();
    symlink("/srv", shared.join("link")).unwrap();
    // Whichever name it has, this leads to it.
    let held = fs::File::open(shared.join("place")).unwrap();
    let place = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    let script = "for i in $(seq 50); do for name in place link; do
        cat /mnt/$name/masked; touch /mnt/$name/closed/made; done; done 2> /dev/null; true";
    let bind =
        |source: &Path, target: &str| json!({ "destination": target, "source": source, "options": ["bind"] });
    let bundle = Bundle::sh(script)
        .set("/mounts/-", bind(shared.path(), "/mnt"))
        .set("/mounts/-", bind(decoy.path(), "/srv"))
        .set("/linux/maskedPaths", json!(["/mnt/place/masked"]))
        .set("/linux/readonlyPaths", json!(["/mnt/place/closed"]))
        .written();
    let swapper = Swapper::start(shared.join("place"), shared.join("link"));
    let ran = Cell::new(0);
    let attempt = || {
        let outcome = bundle.call_without(absent, "run c");
        ran.set(ran.get() + usize::from(outcome.status.success()));
        reached(&outcome, &place)
    };
    // Most are refused, having found the link.
    let through = swapper.lets_through(most, attempt)
        || (0..MOST_STARTS).take_while(|_| ran.get() < RUNS).any(|_| attempt());
    assert!(through || ran.get() >= RUNS, "{} have run", ran.get());
    through
}

/// youki (GHSA-3q8j-pf29-vwv8).
fn ghsa_3q8j_what_is_masked_swapped_for_a_link() {
    let read = |outcome: &Outcome, _: &Path| outcome.text().contains("secret");
    assert!(gets_past("real-directory", MOST_STARTS, read));
    assert!(!gets_past("", STARTS, read));
}

/// The same.
fn ghsa_3q8j_what_is_read_only_swapped_for_a_link() {
    let wrote = |_: &Outcome, place: &Path| place.join("closed/made").exists();
    assert!(gets_past("real-directory", MOST_STARTS, wrote));
    assert!(!gets_past("", STARTS, wrote));
}
