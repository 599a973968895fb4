//! Networks that are nobody's bridge: none, the host's, another one's.

use super::question;
use crate::harness::{Case, Elsewhere, cases, detached_sh, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(Nothing, [none, the_hosts, another_containers, a_namespace_by_its_path, what_is_no_network])
}

const LINKS: &str = "ip -o link | awk '{print $2}' | tr '\\n' ' '";

fn none() {
    run("--net none").sh(LINKS).prints("lo: ");
    run("--net none").sh("cat /sys/class/net/lo/flags; ip route | wc -l").prints("0x9\n0\n");
}

fn the_hosts() {
    let _elsewhere = Elsewhere::new();
    let told = run("--net host").sh(LINKS).succeeds().text();
    assert!(told.contains("up0@"), "{told}");
    super::payload::answer("host", &[7073]);
    let asked = run("--net host").payload(&question("tcp", "127.0.0.1", 7073, "long"));
    asked.prints("host sees 127.0.0.1\n");
}

fn another_containers() {
    let first = detached_sh("--name first --ip 172.20.5.5", "exec sleep 1000");
    let address = "ip -o -4 addr show eth0 | awk '{print $4}'";
    for name in ["first", &first.id] {
        run(&format!("--net container:{name}")).sh(address).prints("172.20.5.5/16\n");
    }
    first.verb("stop -t 0").succeeds();
    run("--net container:first").sh("true").expect_refusal(&["first", "no such container is running"]);
    run("--net container:nobody").sh("true").expect_refusal(&["nobody", "no such container is running"]);
}

fn a_namespace_by_its_path() {
    let first = detached_sh("--ip 172.20.5.6", "exec sleep 1000");
    let option = format!("--net ns:/proc/{}/ns/net", first.pid("pid"));
    run(&option).sh("ip -o -4 addr show eth0 | awk '{print $4}'").prints("172.20.5.6/16\n");
    run("--net ns:/nowhere").sh("true").expect_refusal(&["/nowhere"]);
    run("--net ns:/etc/passwd").sh("true").expect_refusal(&["network namespace", "of this kind"]);
    let other = format!("--net ns:/proc/{}/ns/uts", first.pid("pid"));
    run(&other).sh("true").expect_refusal(&["namespace"]);
}

fn what_is_no_network() {
    for text in ["none:", "container:", "ns:", "ns:relative", "private", "a/b", "longer-than-15-b", ""] {
        run("").option("--net").option(text).sh("true").expect_refusal(&["--net"]);
    }
    run("--net none --net none").sh("true").expect_refusal(&["only bridges can be given together"]);
    run("--net bridge --net host").sh("true").expect_refusal(&["only bridges can be given together"]);
    run("--net red --net red").sh("true").expect_refusal(&["red", "on this bridge already"]);
    for options in ["--ip 1.2.3.4", "--mac 02:00:00:00:00:01", "--subnet 10.0.0.0/8", "--bridge br0"] {
        let option = options.split(' ').next().unwrap_or_default();
        let outcome = run(&format!("--net none {options}")).sh("true");
        outcome.expect_refusal(&[&format!("{option} needs --net bridge")]);
    }
}
