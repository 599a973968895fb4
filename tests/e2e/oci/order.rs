//! In which order things come, and where.

use super::bundle::Bundle;
use crate::harness::{Case, cases};
use serde_json::json;
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    cases!(Nothing, [mounts_are_listed_in_the_order_of_the_configuration, a_mount_on_the_root_is_refused])
}

/// Newer kernels list mounts in the order in which they were made, older ones as they were put in their places.
fn mounts_are_listed_in_the_order_of_the_configuration() {
    for user in [false, true] {
        let bundle = Bundle::sh(
            "cut -d' ' -f5 /proc/self/mountinfo | grep -E '^/(proc|dev|dev/pts|mnt|tmp|sys|opt|srv)$'",
        );
        fs::create_dir(bundle.path("source")).unwrap();
        let source = bundle.path("source");
        let bind = |target: &str| json!({ "destination": target, "source": source, "options": ["bind"] });
        let memory = json!({ "destination": "/opt", "type": "tmpfs", "options": ["size=1m", "ro"] });
        let mut bundle = bundle.set("/mounts/-", bind("/mnt")).set("/mounts/-", memory);
        bundle = bundle.set("/mounts/-", bind("/srv"));
        let mut expected = "/proc /dev /dev/pts /tmp /sys /mnt /opt /srv";
        if user {
            // There the binds are taken hold of by who may, before the others.
            let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
            let kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"];
            let namespaces: Vec<_> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
            bundle =
                bundle.set("/linux/namespaces", json!(namespaces)).set("/linux/uidMappings", map.clone());
            bundle = bundle.set("/linux/gidMappings", map);
            expected = "/mnt /srv /proc /dev /dev/pts /tmp /sys /opt";
        }
        let bundle = bundle.written();
        let told = bundle.call("run c").exits(0).text();
        let listed = told.split_whitespace().collect::<Vec<_>>();
        let ordered = "/proc /dev /dev/pts /tmp /sys /mnt /opt /srv";
        assert!(listed.join(" ") == expected || listed.join(" ") == ordered, "{listed:?}");
        bundle.is_clean();
    }
}

/// What would be the root of the container after all that was checked.
fn a_mount_on_the_root_is_refused() {
    for target in ["/", "/mnt/..", "//", "/mnt/../.", ".."] {
        let memory = json!({ "destination": target, "type": "tmpfs", "options": ["size=1m"] });
        let bundle = Bundle::new(&["/bin/true"]).set("/mounts/-", memory).written();
        bundle.call("run c").fails(1, &["mounts[5].destination"]);
        bundle.is_clean();
    }
    // Where a link of the image leads there.
    let bundle = Bundle::new(&["/bin/true"]);
    fs::create_dir(bundle.path("source")).unwrap();
    std::os::unix::fs::symlink("/", bundle.path("source/link")).unwrap();
    let bind = json!({ "destination": "/mnt", "source": bundle.path("source"), "options": ["bind"] });
    let memory = json!({ "destination": "/mnt/link", "type": "tmpfs", "options": ["size=1m"] });
    let bundle = bundle.set("/mounts/-", bind).set("/mounts/-", memory).written();
    bundle.call("run c").fails(1, &["its root is not the one that was built", "a link to /"]);
    bundle.is_clean();
}
