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

fn cve_2026_41579_a_device_through_a_link() {
    attack(absolute, ATTACKS[0]);
}

fn cve_2024_45310_a_folder_made_through_a_link() {
    attack(absolute, ATTACKS[1]);
}

fn cve_2024_45310_a_file_made_through_a_link() {
    attack(absolute, ATTACKS[2]);
}

fn cve_2026_87766_a_parent_that_is_a_link() {
    attack(absolute, ATTACKS[3]);
}

fn ghsa_q6r4_a_working_directory_through_a_link() {
    attack(absolute, ATTACKS[4]);
}

fn cve_2025_24965_a_link_that_climbs() {
    attack(climbing, ATTACKS[2]);
}
