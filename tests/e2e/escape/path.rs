//! Links in the image that lead to the host, while the container is built along paths in it.
//!
//! Two defences stand against these, each enough by itself: the container's root becomes the root before anything in it
//! is looked up, and every lookup is confined to it.

use super::is_empty;
use crate::harness::{Case, Folder, Run, cases, run};
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

/// Runs `attack` in an image whose `/link` says `target(outside)`, and finds that something is made outside when
/// nothing holds it, and nothing when either defence, or both do.
fn attack(target: impl Fn(&Folder) -> String, attack: impl Fn(Run) -> Run) {
    for (absent, gets_out) in
        [("pivot-first,in-root", true), ("pivot-first", false), ("in-root", false), ("", false)]
    {
        let (layer, outside) = (Folder::new(), Folder::new());
        symlink(target(&outside), layer.join("link")).unwrap();
        let run = run("--layer").option(layer.path());
        let run = attack(if absent.is_empty() { run } else { run.without(absent) });
        let outcome = run.sh("true");
        assert_eq!(is_empty(&outside), !gets_out, "without {absent:?}: {outcome}");
    }
}

fn absolute(outside: &Folder) -> String {
    outside.path().display().to_string()
}

fn cve_2026_41579_a_device_through_a_link() {
    attack(absolute, |run| run.option("--device").option("/dev/zero:/link/zero"));
}

fn cve_2024_45310_a_folder_made_through_a_link() {
    attack(absolute, |run| run.option("--tmpfs").option("/link/made"));
}

fn cve_2024_45310_a_file_made_through_a_link() {
    attack(absolute, |run| run.option("-v").option("/etc/passwd:/link/made"));
}

fn cve_2026_87766_a_parent_that_is_a_link() {
    attack(absolute, |run| run.option("-v").option("/etc:/link/a/b/c"));
}

fn ghsa_q6r4_a_working_directory_through_a_link() {
    attack(absolute, |run| run.option("-w").option("/link/work"));
}

fn cve_2025_24965_a_link_that_climbs() {
    let climbing = |outside: &Folder| ["../../../../../../../../..", &absolute(outside)].concat();
    attack(climbing, |run| run.option("-v").option("/etc/passwd:/link/made"));
}
