//! The network of somebody who is not root, by pasta(1).

use super::{Over, User};
use crate::harness::{Case, Folder, Running, cases, eventually, reap_orphans};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) fn cases() -> Vec<Case> {
    cases!(Nothing, [pasta_connects_it, what_pasta_cannot_do_is_told, a_pasta_that_dies_is_told])
}

/// A way out of this machine, or what pasta takes for one, and a device for tunnels that everybody may open.
struct WayOut {
    folder: Folder,
    _tun: Over,
}

impl WayOut {
    fn new() -> Self {
        use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
        let folder = Folder::new();
        // What cases have is without devices.
        mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), c"size=64k,mode=755").unwrap();
        let tun = folder.join("tun");
        mknodat(CWD, &tun, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(10, 200)).unwrap();
        rustix::fs::chmod(&tun, Mode::from_raw_mode(0o666)).unwrap();
        ip("link add e2e0 type veth peer name e2e1");
        ip("link set e2e0 up");
        ip("link set e2e1 up");
        ip("addr add 192.0.2.1/24 dev e2e0");
        ip("addr add 198.51.100.1/32 dev lo");
        ip("route add default via 192.0.2.2");
        Self { _tun: Over::lay(&tun, "/dev/net/tun"), folder }
    }
}

impl Drop for WayOut {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            unmount(self.folder.path(), UnmountFlags::DETACH).unwrap();
            ip("link del e2e0");
            ip("addr del 198.51.100.1/32 dev lo");
        });
    }
}

/// ip(8), in the namespace that is this test program's own.
fn ip(words: &str) {
    let mut command = Command::new("ip");
    command.args(words.split(' '));
    assert!(command.status().unwrap().success(), "ip {words}");
}

/// Which of it run. One that is built for the processor is executed in its place, under the same arguments.
fn pastas() -> Vec<Pid> {
    let line = |entry: &fs::DirEntry| fs::read(entry.path().join("cmdline")).unwrap_or_default();
    let is_pasta = |entry: &fs::DirEntry| String::from_utf8_lossy(&line(entry)).contains("--userns\0/proc/");
    let entries = fs::read_dir("/proc").unwrap().flatten().filter(is_pasta);
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn pasta_connects_it() {
    if pipkin::host::network::pasta().is_none() || !Path::new("/dev/net/tun").exists() {
        eprintln!("pasta or /dev/net/tun is not there");
        return;
    }
    let (user, _way) = (User::new(), WayOut::new());
    let server = TcpListener::bind("198.51.100.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let answer = std::thread::spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        client.write_all(b"from outside\n").unwrap();
        // Some versions of pasta send what stands directly before the end twice, and then no end: here the client ends.
        let mut heard = String::new();
        client.read_to_string(&mut heard).unwrap();
        heard
    });
    let talk = "read line; echo $line >&2; echo heard";
    let script = format!("ls /sys/class/net; nc 198.51.100.1 {port} -e /bin/sh -c '{talk}' 2>&1");
    let told = user.sh("--net pasta --dns 192.0.2.53", &[&script, "; cat /etc/resolv.conf"].concat());
    let text = told.succeeds().text();
    assert_eq!(answer.join().unwrap(), "heard\n");
    assert!(text.starts_with("e2e0\nlo\nfrom outside\nnameserver 192.0.2.53\n"), "{text}");
    // The host's own loopback is out of reach, by its address and by the gateway's.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    for address in ["127.0.0.1", "192.0.2.2"] {
        user.sh("--net pasta", &format!("nc -w 1 {address} {port} < /dev/null")).exits(1);
    }
    server.set_nonblocking(true).unwrap();
    assert!(server.accept().is_err());
    let image = user.image();
    // A shell runs its trap when the program it waits for has ended, but interrupts its own wait for it.
    let script = "trap 'exit 0' TERM; echo ready; while :; do echo from inside | nc -l -p 80 & wait; done";
    let published = ["run", "--rm", "--net", "pasta", "-p", "127.0.0.1:18080:80", image.to_str().unwrap()];
    let words = [&published[..], &["/bin/sh", "-c", script]].concat();
    let container = Running::start(user.command(&words), None);
    container.expect("ready");
    let mut text = String::new();
    eventually("the port answers", &mut || {
        text.clear();
        TcpStream::connect("127.0.0.1:18080").is_ok_and(|mut peer| peer.read_to_string(&mut text).is_ok())
            && !text.is_empty()
    });
    assert_eq!(text, "from inside\n");
    container.signal(15);
    container.wait().exits(0);
    // Nothing of it stays, whatever the end.
    assert_eq!(pastas(), []);
    let container =
        Running::start(user.command(&[&published[..], &["/bin/sh", "-c", script]].concat()), None);
    container.expect("ready");
    assert_eq!(pastas().len(), 1);
    container.kill();
    eventually("pasta is gone", &mut || {
        reap_orphans();
        pastas().is_empty()
    });
    user.pipkin(&["prune"]);
    reap_orphans();
}

fn what_pasta_cannot_do_is_told() {
    let user = User::new();
    if pipkin::host::network::pasta().is_none() {
        user.sh("--net pasta", "true").expect_refusal(&["not installed (package passt)"]);
        return;
    }
    // No way out of this machine.
    user.sh("--net pasta", "true").expect_refusal(&["pasta", "way out"]);
    assert_eq!(pastas(), []);
    for options in ["--net pasta --ip 10.0.0.2", "--net pasta --net none", "--net pasta -p 1:2:3:4"] {
        user.sh(options, "true").expect_refusal(&[]);
    }
    crate::harness::run("--net pasta").sh("true").expect_refusal(&["not root", "bridge"]);
}

/// Kills the one that runs, and waits until it has been reaped.
fn kill_pasta() {
    let [pasta] = pastas()[..] else { panic!("{:?}", pastas()) };
    kill_process(pasta, Signal::KILL).unwrap();
    let entry = PathBuf::from(format!("/proc/{pasta}"));
    eventually("no zombie of pasta is left", &mut || !entry.exists());
}

fn a_pasta_that_dies_is_told() {
    if pipkin::host::network::pasta().is_none() || !Path::new("/dev/net/tun").exists() {
        eprintln!("pasta or /dev/net/tun is not there");
        return;
    }
    let (user, _way) = (User::new(), WayOut::new());
    let image = user.image();
    let words = ["run", "--rm", "--net", "pasta", image.to_str().unwrap(), "/bin/sh", "-c"];
    let script = "trap 'ls /sys/class/net; exit 7' TERM; echo ready; while :; do busybox sleep 1; done";
    let container = Running::start(user.command(&[&words[..], &[script]].concat()), None);
    container.expect("ready");
    kill_pasta();
    assert!(container.tells("goes on without network"));
    container.signal(15);
    let outcome = container.wait().exits(7);
    // Its interface has gone with it.
    assert!(outcome.text() == "ready\nlo\n", "{outcome}");

    // Nobody to tell it to is no reason to end the container.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = user.command(&[&words[..], &[script]].concat());
    let mut container = command.stdout(Stdio::piped()).stderr(writer).spawn().unwrap();
    drop((reader, command));
    container.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    kill_pasta();
    kill_process(Pid::from_child(&container), Signal::TERM).unwrap();
    let mut code = None;
    eventually("it has ended", &mut || {
        code = container.try_wait().unwrap();
        code.is_some()
    });
    assert_eq!(code.unwrap().code(), Some(7));

    let words = ["run", "-d", "--name", "pot", "--net", "pasta", image.to_str().unwrap(), "/bin/sh", "-c"];
    user.pipkin(&[&words[..], &["while :; do busybox sleep 1; done"]].concat()).succeeds();
    kill_pasta();
    eventually("it is written down", &mut || {
        user.pipkin(&["inspect", "pot"]).text().contains(r#""lost": "pasta has died""#)
    });
    let told = user.pipkin(&["events", "--no-follow"]).succeeds().text();
    assert!(told.contains(r#""type":"disconnect""#) && !told.contains(r#""die""#), "{told}");
    user.pipkin(&["rm", "-f", "pot"]).succeeds();
    assert_eq!(pastas(), []);
}
