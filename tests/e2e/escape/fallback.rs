//! Where a filter or an old kernel has no openat2(2): paths are walked by hand, and lead out no more than before.

use super::{is_empty, path};
use crate::harness::{Case, Folder, Run, cases, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            without_openat2_everything_works,
            without_openat2_links_lead_nowhere,
            without_openat2_races_lead_nowhere,
            without_openat2_parameters_are_set_where_they_are,
        ]
    )
}

/// Numbers of calls and errnos, the same on all architectures.
const OPENAT2: u32 = 437;
const ENOSYS: u32 = 38;
const EPERM: u32 = 1;

fn without_openat2(run: Run, errno: u32) -> Run {
    run.under_filter(OPENAT2, errno)
}

fn without_openat2_everything_works() {
    let folder = Folder::new();
    folder.file("one", "hello\n");
    for errno in [ENOSYS, EPERM] {
        let run = run(
            "-u nobody -w /made/here --tmpfs /a/b --device /dev/zero:/x/zero --sysctl net.ipv4.ip_default_ttl=77",
        );
        let run = without_openat2(run.volume(folder.path(), "/c/d/e"), errno);
        run.sh("pwd; cat /c/d/e/one /proc/sys/net/ipv4/ip_default_ttl; ls /x; ls -d /a/b; id -un")
            .prints("/made/here\nhello\n77\nzero\n/a/b\nnobody\n");
    }
    let told = without_openat2(run("-t"), ENOSYS).sh("test -t 0 && echo terminal").exits(0).text();
    assert_eq!(told.trim(), "terminal");
}

fn without_openat2_links_lead_nowhere() {
    for attack in path::ATTACKS {
        for target in [path::absolute, path::climbing] {
            // Outside of the new root, where nothing but the walk itself holds it.
            for absent in ["pivot-first", ""] {
                let (layer, outside) = (Folder::new(), Folder::new());
                std::os::unix::fs::symlink(target(&outside), layer.join("link")).unwrap();
                let run =
                    run("--layer").option(layer.path()).without(absent).option(attack[0]).option(attack[1]);
                let outcome = without_openat2(run, ENOSYS).sh("true");
                assert!(is_empty(&outside), "without {absent:?}: {outcome}");
            }
        }
    }
}

fn without_openat2_races_lead_nowhere() {
    let attack = |shared: &Folder| without_openat2(super::race::attack(shared), ENOSYS);
    assert!(!super::race::gets_out(attack, super::race::STARTS));
    assert!(!super::race::gets_out(|shared| attack(shared).without("pivot-first"), super::race::STARTS));
}

fn without_openat2_parameters_are_set_where_they_are() {
    let (layer, folder) = (Folder::new(), Folder::new());
    std::os::unix::fs::symlink("/proc/sys/net/ipv4", layer.join("link")).unwrap();
    let file = folder.file("victim", "");
    let run = run("--sysctl net.ipv4.ip_default_ttl=77 --layer").option(layer.path()).without("whole-proc");
    let run = without_openat2(run.volume(&file, "/link/ip_default_ttl"), ENOSYS);
    run.sh("true").expect_refusal(&["net.ipv4.ip_default_ttl"]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "");
}
