//! What an image says of itself, and what a container says on the network.

use crate::harness::{Case, cases, eventually, pipkin, run};
use crate::image::Stored;
use std::fs;
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            cve_2026_53488_labels_of_an_image_steer_nothing,
            cve_2022_23648_volumes_of_an_image_are_not_the_hosts,
            cve_2020_13401_a_router_that_is_none,
        ]
    )
}

/// The plan for an image with this config.
fn plan(config: &str) -> serde_json::Value {
    let image = Stored::new(config);
    let mut plan = image.run("--dry-run --json --hostname h --net none").command(&["true"]).succeeds().json();
    // Each has an id of its own.
    let text = plan.to_string();
    let id = text.split("containers/").nth(1).and_then(|rest| rest.get(..16)).unwrap_or_default().to_owned();
    plan = serde_json::from_str(&text.replace(&id, "ID")).unwrap();
    plan
}

/// containerd. What CVE-2026-53489, CVE-2026-53492, CVE-2026-53495, CVE-2026-50195 and CVE-2026-47262 have in common: what
/// an image says of itself steers the host.
fn cve_2026_53488_labels_of_an_image_steer_nothing() {
    let labels = r#"{"config":{"Labels":{"run.oci.hooks.stderr":"/x","org.systemd.property.CollectMode":"'inactive'",
        "io.kubernetes.cri.sandbox-id":"x","privileged":"true","label":"disable","io.podman.annotations.seccomp":"unconfined",
        "com.docker.network.bridge.name":"x","pipkin.cap-add":"ALL"},"Privileged":true,"HostConfig":{"CapAdd":["ALL"]}}}"#;
    assert_eq!(plan(labels), plan(r#"{"config":{}}"#));
}

fn cve_2022_23648_volumes_of_an_image_are_not_the_hosts() {
    let volumes = r#"{"config":{"Volumes":{"/../../../../etc":{},"/proc":{},"/data":{}}}}"#;
    assert_eq!(plan(volumes), plan(r#"{"config":{}}"#));
}

/// Routes that were told by a router.
fn learnt() -> String {
    let told = Command::new("ip").args(["-6", "route", "show", "proto", "ra"]).output().unwrap();
    String::from_utf8(told.stdout).unwrap()
}

fn cve_2020_13401_a_router_that_is_none() {
    let container = run("--name router --net bridge --cap-add NET_RAW").with_payload().start(&[
        "/bin/sh",
        "-c",
        "echo ready; exec sleep 1000",
    ]);
    container.expect("ready");
    let advertise = || {
        pipkin(&["exec", "router", "/e2e", "--payload", "advertise", "eth0"]).exits(0);
    };
    advertise();
    assert_eq!(learnt(), "");
    // A bridge that listens to routers does learn from it: the attack is one.
    fs::write("/proc/sys/net/ipv6/conf/pipkin0/accept_ra", "2").unwrap();
    eventually("the advertisement is believed", &mut || {
        advertise();
        learnt().contains("default via fe80:")
    });
    container.kill_and_clean();
}
