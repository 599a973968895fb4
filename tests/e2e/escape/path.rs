//! Links in the image that lead to the host, while the container is built along paths in it.
//!
//! Two defences stand against these, each enough by itself: the container's root becomes the root before anything in it
//! is looked up, and every lookup is confined to it.

use super::is_empty;
use crate::harness::{Case, Folder, cases, run};
use std::os::unix::fs::symlink;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            cve_2026_41579_a_device_through_a_link,
            cve_2024_45310_a_folder_made_through_a_link,
            cve_2024_45310_a_file_made_through_a_link,
            cve_2026_87766_a_parent_that_is_a_link,
            ghsa_q6r4_a_working_directory_through_a_link,
            cve_2025_24965_a_link_that_climbs,
            cve_2024_23652_what_is_taken_away_is_the_containers,
        ]
    )
}

/// Options that have something made on the way to a place below `/link`.
pub(super) const ATTACKS: [[&str; 2]; 5] = [
    ["--device", "/dev/zero:/link/zero"],
    ["--tmpfs", "/link/made"],
    ["-v", "/etc/passwd:/link/made"],
    ["-v", "/etc:/link/a/b/c"],
    ["-w", "/link/work"],
];

/// Runs an attack in an image whose `/link` says `target(outside)`, and finds that something is made outside when
/// nothing holds it, and nothing when either defence, or both do.
fn attack(target: impl Fn(&Folder) -> String, attack: [&str; 2]) {
    for absent in ["pivot-first,in-root", "pivot-first", "in-root", ""] {
        let (layer, outside) = (Folder::new(), Folder::new());
        symlink(target(&outside), layer.join("link")).unwrap();
        let run = run("--layer").option(layer.path()).option(attack[0]).option(attack[1]);
        let outcome = if absent.is_empty() { run } else { run.without(absent) }.sh("true");
        let gets_out = absent.contains(',');
        assert_eq!(is_empty(&outside), !gets_out, "without {absent:?}: {outcome}");
    }
}

pub(super) fn absolute(outside: &Folder) -> String {
    outside.path().display().to_string()
}

pub(super) fn climbing(outside: &Folder) -> String {
    ["../../../../../../../../..", &absolute(outside)].concat()
}

/// runc. The same in crun, CVE-2026-47766.
fn cve_2026_41579_a_device_through_a_link() {
    attack(absolute, ATTACKS[0]);
}

/// runc. Of a kind with CVE-2019-18837 in crun and, in docker cp and podman, CVE-2026-42306 and CVE-2019-18466.
fn cve_2024_45310_a_folder_made_through_a_link() {
    attack(absolute, ATTACKS[1]);
}

/// runc. Of a kind with GHSA-wp3j-xq48-xpjw in podman, which wrote the files of its volumes so.
fn cve_2024_45310_a_file_made_through_a_link() {
    attack(absolute, ATTACKS[2]);
}

/// bubblewrap (GHSA-pxhw-h44j-8pfx).
fn cve_2026_87766_a_parent_that_is_a_link() {
    attack(absolute, ATTACKS[3]);
}

/// podman (GHSA-q6r4-3wmg-fwcq).
fn ghsa_q6r4_a_working_directory_through_a_link() {
    attack(absolute, ATTACKS[4]);
}

fn cve_2025_24965_a_link_that_climbs() {
    attack(climbing, ATTACKS[2]);
}

/// BuildKit removed, through a link, what it had made to mount on.
fn cve_2024_23652_what_is_taken_away_is_the_containers() {
    let outside = Folder::new();
    outside.file("kept", "");
    let place = outside.path().display();
    // What was made for mounts is a link by the end, as far as the kernel lets it be, and so is what lies around it.
    let script = format!(
        "umount /a/b/made 2> /dev/null; rm -rf /a; ln -s {place} /a; mkdir -p /c/d; mv /c /e; ln -s {place} /c
         rm -rf /dev/shm /dev/pts; ln -s {place} /dev/shm; ln -s {place} /dev/pts; ln -s {place} /e/d/out; test -L /a"
    );
    for options in ["", "--cap-add SYS_ADMIN", "--ephemeral", "--userns auto"] {
        run(options)
            .option("--tmpfs")
            .option("/a/b/made")
            .option("-v")
            .option("/etc/passwd:/c/file")
            .sh(&script);
        let left: Vec<_> =
            std::fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["kept"], "{options}");
    }
}
