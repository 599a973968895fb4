//! What a container has of its own and what it shares.

use crate::harness::{Case, Run, cases, detached, run};
use std::collections::BTreeMap;
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            all_but_user_and_time_are_its_own,
            time_on_request,
            shared_with_the_host_on_request,
            shared_memory_is_the_hosts_on_request,
            joined_by_path,
            joined_by_the_name_of_a_container,
            its_process_is_pid_1,
            it_sees_no_process_of_the_host,
            hostname_as_asked,
            hostname_is_the_id_otherwise,
            domainname_as_asked,
            the_hosts_own_names_stay,
            loopback_is_up_and_nothing_else_is_there,
        ]
    )
}

const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// The namespaces that a process says it is in.
fn own(mut link: impl FnMut(&str) -> String) -> BTreeMap<&'static str, String> {
    KINDS.iter().map(|kind| (*kind, link(kind))).collect()
}

fn ours() -> BTreeMap<&'static str, String> {
    own(|kind| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string())
}

fn inside(run: Run) -> BTreeMap<&'static str, String> {
    let links: Vec<String> = KINDS.iter().map(|kind| format!("/proc/self/ns/{kind}")).collect();
    let outcome = run.sh(&format!("for link in {}; do readlink $link; done", links.join(" "))).succeeds();
    let mut words = outcome.words().into_iter();
    own(|_| words.next().unwrap())
}

#[track_caller]
fn assert_shared(inside: &BTreeMap<&'static str, String>, shared: &[&str]) {
    for (kind, name) in ours() {
        assert_eq!(
            inside[kind] == name,
            shared.contains(&kind),
            "{kind}: {} inside, {name} outside",
            inside[kind]
        );
    }
}

fn all_but_user_and_time_are_its_own() {
    assert_shared(&inside(run("")), &["time", "user"]);
}

fn time_on_request() {
    assert_shared(&inside(run("--time-ns")), &["user"]);
}

fn shared_with_the_host_on_request() {
    let options = "--net host --pid host --ipc host --uts host --cgroupns host";
    assert_shared(&inside(run(options)), &["cgroup", "ipc", "net", "pid", "time", "user", "uts"]);
}

fn shared_memory_is_the_hosts_on_request() {
    let name = format!("/dev/shm/e2e-{}", std::process::id());
    fs::write(&name, "soup").unwrap();
    let outcomes = ["--ipc host", "", "--ipc host --tmpfs /dev/shm"]
        .map(|options| run(options).sh(&format!("cat {name} && echo tea > {name} || ls /dev/shm")));
    let now = fs::read_to_string(&name);
    fs::remove_file(&name).unwrap();
    assert_eq!(outcomes.map(|outcome| outcome.text()), ["soup", "", ""]);
    assert_eq!(now.unwrap(), "tea\n");
    run("--ipc host --shm-size 1m").sh("true").expect_refusal(&["--shm-size 1m"]);
}

fn joined_by_path() {
    let first = run("--hostname first").start_sh("echo here; exec sleep 1000");
    first.expect("here");
    let path = format!("/proc/{}/ns", first.container_pid());
    let link = |kind: &str| fs::read_link(format!("{path}/{kind}")).unwrap().display().to_string();
    let kinds = [("net", "--net"), ("ipc", "--ipc"), ("uts", "--uts"), ("pid", "--pid")];
    for (kind, option) in kinds {
        let found = inside(run(&format!("{option} ns:{path}/{kind}")));
        assert_eq!(found[kind], link(kind));
        assert_ne!(found["mnt"], link("mnt"));
    }
    run(&format!("--uts ns:{path}/uts")).sh("hostname").prints("first\n");
    first.kill_and_clean();
}

fn joined_by_the_name_of_a_container() {
    let container = detached("--name pot --hostname pot", &["sleep", "1000"]);
    let all = ["pid", "ipc", "uts", "net", "cgroupns"].map(|option| format!("--{option} container:pot"));
    let theirs =
        own(|kind| container.verb_with("exec", &["readlink", &format!("/proc/self/ns/{kind}")]).text());
    let joined = inside(run(&all.join(" ")));
    for (kind, name) in &theirs {
        // The root is always one of its own.
        assert_eq!(joined[kind] == name.trim_end(), *kind != "mnt", "{kind}");
    }
    let processes = run("--pid container:pot").sh("ps").succeeds().text();
    assert!(processes.contains("sleep 1000"), "{processes}");
    run("--pid container:nosuch").sh("true").expect_refusal(&["nosuch", "no such container is running"]);
    container.verb("stop -t 0").succeeds();
    run("--ipc container:pot").sh("true").expect_refusal(&["pot", "no such container is running"]);
}

fn its_process_is_pid_1() {
    run("").sh("echo $$").prints("1\n");
}

fn it_sees_no_process_of_the_host() {
    run("").sh("echo /proc/[0-9]*").prints("/proc/1\n");
}

fn hostname_as_asked() {
    run("--hostname pot").sh("hostname; cat /proc/sys/kernel/hostname").prints("pot\npot\n");
    run("-h little.pot").sh("hostname").prints("little.pot\n");
}

fn hostname_is_the_id_otherwise() {
    let name = run("").sh("hostname").succeeds().text();
    let id = name.trim();
    assert!(id.len() >= 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
}

fn domainname_as_asked() {
    run("--domainname kitchen").sh("cat /proc/sys/kernel/domainname").prints("kitchen\n");
}

fn the_hosts_own_names_stay() {
    let before = rustix::system::uname();
    run("--hostname pot --domainname kitchen").sh("true").prints("");
    let after = rustix::system::uname();
    assert_eq!(before.nodename(), after.nodename());
    assert_eq!(before.domainname(), after.domainname());
}

fn loopback_is_up_and_nothing_else_is_there() {
    let links = run("--net none")
        .sh("ip -o link | cut -d: -f2; cat /sys/class/net/lo/flags; ip -o -4 addr show dev lo");
    let text = links.succeeds().text();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words[0], "lo");
    // IFF_UP and IFF_LOOPBACK (netdevice(7)).
    assert_eq!(words[1], "0x9", "{text}");
    assert!(text.contains("127.0.0.1/8"), "{text}");
    run("").sh("ping -c 1 -W 5 127.0.0.1 > /dev/null 2>&1; test $? -ne 2; echo -n > /dev/null").prints("");
}
