//! How containers find one another, and names of the world.

use super::payload::{LONG, ask};
use super::{addresses, place, server};
use crate::harness::{Case, Folder, alpine, cases, detached_sh, run};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use std::fs;
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            neighbours_are_found_by_name,
            lines_of_its_own,
            the_host_by_a_name,
            its_own_name,
            resolvers_that_are_asked_for,
            a_resolver_on_the_loopback_is_of_no_use,
            what_is_no_name,
            an_image_with_links_in_their_place,
        ]
    )
}

fn neighbours_are_found_by_name() {
    let first = detached_sh("--name one", "exec sleep 1000");
    let second = server("--name two --hostname zwei --network-alias due", "7");
    let ours = addresses(&second);
    let lookup = |name: &str| first.verb_with("exec", &["grep", "-w", name, "/etc/hosts"]).text();
    for name in ["two", "zwei", "due"] {
        let found = lookup(name);
        assert!(ours.iter().all(|address| found.contains(&format!("{address}\t"))), "{name}: {found}");
    }
    // By name, over the network.
    let ping = first.verb_with("exec", &["nc", "-w", "5", "two", "7"]);
    assert!(ping.text().starts_with("zwei sees "), "{ping}");
    // Without the right to make raw packets, also by those who are not root.
    for user in ["root", "guest"] {
        let words = ["exec", "-u", user, first.id.as_str(), "ping", "-q", "-c", "1", "-w", "9", "zwei"];
        let ping = crate::harness::pipkin(&words).succeeds();
        assert!(ping.text().contains("1 packets received"), "{ping}");
    }
    let told = ask("tcp", place(&ours[0], 7), LONG);
    assert_eq!(told.as_deref(), Ok("zwei sees 172.20.0.1"));
    drop(second);
    assert_eq!(lookup("two"), "");
    // Those of another bridge are not there.
    let _third = detached_sh("--net red --name three", "exec sleep 1000");
    assert_eq!(lookup("three"), "");
    assert!(lookup("one").contains("one"));
}

fn lines_of_its_own() {
    let other = detached_sh("--name other", "exec sleep 1000");
    let options = "--add-host here:192.0.2.9 --add-host there=[2001:db8::9] --net bridge --net red";
    let outcome = run(options).sh("cat /etc/hosts").succeeds();
    let text = outcome.text();
    for line in ["192.0.2.9\there", "2001:db8::9\tthere", "127.0.0.1\tlocalhost"] {
        assert_eq!(text.lines().filter(|known| *known == line).count(), 1, "{line:?}\n{outcome}");
    }
    assert!(text.contains("\tother") || text.contains(" other "), "{outcome}");
    assert_eq!(other.verb_with("exec", &["grep", "-c", "192.0.2.9", "/etc/hosts"]).text(), "0\n");
}

/// By a name that the container is told its host answers, whatever bridge it is on.
fn the_host_by_a_name() {
    let host = |options: &str| {
        let script = "getent hosts host | awk '{print $1}'; ip route | awk '/^default/ {print $3}'; ping -c 1 host | grep -c '1 packets received'";
        run(&format!("--add-host host:host-gateway {options}")).sh(script).succeeds().words()
    };
    assert_eq!(host(""), ["172.20.0.1", "172.20.0.1", "1"]);
    assert_eq!(host("--bridge br-host --subnet 10.77.3.0/24"), ["10.77.3.1", "10.77.3.1", "1"]);
}

fn its_own_name() {
    let script =
        "cat /etc/hostname; hostname; grep -c -w pot /etc/hosts; getent hosts pot | awk '{print $2}'";
    let outcome = run("--hostname pot --ip 172.20.3.4").sh(script).succeeds();
    assert_eq!(outcome.text(), "pot\npot\n2\npot\n", "{outcome}");
}

/// Lays `text` over the file at `path` for as long as this lives.
struct Laid(&'static Path, Folder);

impl Laid {
    fn over(path: &'static str, text: &str) -> Self {
        let folder = Folder::new();
        let file = folder.file("laid", text);
        mount_bind(&file, path).expect("a file laid over another");
        Self(Path::new(path), folder)
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            assert!(self.1.path().exists());
            unmount(self.0, UnmountFlags::DETACH).expect("the file as it was");
        });
    }
}

const RESOLV_CONF: &str = "/etc/resolv.conf";

fn resolvers_that_are_asked_for() {
    let laid = Laid::over(RESOLV_CONF, "search example.org\nnameserver 192.0.2.53\noptions ndots:2\n");
    let show = |options: &str| run(options).sh("cat /etc/resolv.conf").succeeds().text();
    assert_eq!(show(""), "search example.org\nnameserver 192.0.2.53\noptions ndots:2\n");
    let asked = show("--dns 9.9.9.9 --dns 2620:fe::fe");
    assert_eq!(asked, "nameserver 9.9.9.9\nnameserver 2620:fe::fe\nsearch example.org\noptions ndots:2\n");
    let asked = show("--dns-search a.example --dns-search b.example --dns-option ndots:1");
    assert_eq!(asked, "nameserver 192.0.2.53\nsearch a.example b.example\noptions ndots:1\n");
    let asked = show("--dns 9.9.9.9 --dns-opt timeout:1 --dns-opt attempts:2");
    assert_eq!(asked, "nameserver 9.9.9.9\nsearch example.org\noptions timeout:1 attempts:2\n");
    // A last line without an end is still a line of its own.
    drop(laid);
    let _laid = Laid::over(RESOLV_CONF, "nameserver 192.0.2.53");
    assert_eq!(show("--dns-search a.example"), "nameserver 192.0.2.53\nsearch a.example\n");
    run("--dns one").sh("true").expect_refusal(&["--dns", "one", "an address"]);
    run("--dns-search a/b").sh("true").expect_refusal(&["--dns-search", "a/b", "a domain"]);
    run("--dns-option").option("a b").sh("true").expect_refusal(&["--dns-option", "a b", "ndots:2"]);
}

fn a_resolver_on_the_loopback_is_of_no_use() {
    let show = |options: &str| run(options).sh("cat /etc/resolv.conf").succeeds().text();
    let laid = Laid::over(RESOLV_CONF, "nameserver 127.0.0.53\nsearch example.org\n");
    assert_eq!(show(""), "nameserver 8.8.8.8\nnameserver 8.8.4.4\nsearch example.org\n");
    // Where it listens.
    assert_eq!(show("--net host"), "nameserver 127.0.0.53\nsearch example.org\n");
    fs::create_dir_all("/run/systemd/resolve").expect("a folder");
    fs::write("/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.7\n").expect("a file");
    let behind = show("");
    fs::remove_dir_all("/run/systemd").expect("the folder gone");
    assert_eq!(behind, "nameserver 192.0.2.7\n");
    drop(laid);
    let _laid = Laid::over(RESOLV_CONF, "nameserver ::1\nnameserver 192.0.2.8\n");
    assert_eq!(show(""), "nameserver 192.0.2.8\n");
}

fn what_is_no_name() {
    for text in ["", "a", "a:", "a:1.2.3", ":1.2.3.4", "a b:1.2.3.4", "a:[::1", "a\n:1.2.3.4"] {
        let outcome = run("").option("--add-host").option(text).sh("true");
        outcome.expect_refusal(&["--add-host", "NAME:ADDRESS"]);
    }
    run("--net none --add-host a:1.2.3.4").sh("true").expect_refusal(&["--add-host needs --net bridge"]);
}

/// As distributions ship them: `/etc/resolv.conf` leads to where nothing is yet.
fn an_image_with_links_in_their_place() {
    let _laid = Laid::over(RESOLV_CONF, "nameserver 192.0.2.53\n");
    let folder = Folder::new();
    let image = folder.folder("image");
    for entry in ["bin", "lib", "usr"] {
        let from = alpine().expect("Alpine").join(entry);
        let mut copy = std::process::Command::new("cp");
        copy.args(["-a"]).arg(from).arg(&image);
        assert!(copy.status().expect("cp").success());
    }
    fs::create_dir(image.join("etc")).expect("a folder");
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, image.join("etc").join(name)).expect("a link");
    };
    link("../run/systemd/resolve/stub-resolv.conf", "resolv.conf");
    link("/run/made/hosts", "hosts");
    link("/nowhere/hostname", "hostname");
    let script = "cat /etc/resolv.conf; grep -c localhost /etc/hosts; cat /etc/hostname";
    let outcome = run("--hostname pot").image(&image).sh(script).succeeds();
    assert_eq!(outcome.text(), "nameserver 192.0.2.53\n2\npot\n", "{outcome}");
    // The image is as it was, and so is the host.
    assert!(!image.join("nowhere").exists() && !Path::new("/nowhere").exists());
}
