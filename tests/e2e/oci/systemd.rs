//! Cgroups that systemd makes: the runtime speaks to something that answers on a socket as systemd does.

use super::bundle::Bundle;
use crate::harness::{Case, cases};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            a_scope_holds_the_container,
            what_systemd_refuses_is_told,
            a_bus_that_is_none,
            names_that_are_no_scope
        ]
    )
}

/// The part of systemd that makes scopes: one connection at a time, and every call noted.
struct Manager {
    calls: Arc<Mutex<Vec<String>>>,
    address: String,
}

/// Where groups can be made on this machine.
fn hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).expect("cgroup2");
    PathBuf::from(line.split(' ').nth(1).unwrap())
}

impl Manager {
    /// Its answer to `StartTransientUnit` is the result of the job, or an error when that has a dot.
    fn new(bundle: &Bundle, result: &'static str) -> Self {
        let path = bundle.path("bus");
        let listener = UnixListener::bind(&path).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let noted = calls.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &noted, result);
            }
        });
        Self { calls, address: format!("unix:path={},guid=0", path.display()) }
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

fn serve(mut stream: UnixStream, noted: &Mutex<Vec<String>>, result: &str) {
    let mut line = Vec::new();
    while !line.ends_with(b"BEGIN\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap() == 0 {
            return;
        }
        line.push(byte[0]);
        if line == b"\0AUTH EXTERNAL 30\r\n" {
            stream.write_all(b"OK 0123\r\n").unwrap();
        }
    }
    let mut head = [0; 16];
    while stream.read_exact(&mut head).is_ok() {
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let (body, serial, fields) = (number(4), number(8) as u32, number(12));
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        stream.read_exact(&mut rest).unwrap();
        let field = |code: u8| {
            let mut at = 0;
            while at < fields {
                at = at.next_multiple_of(8);
                let (found, kind) = (rest[at], rest[at + 2]);
                at += 4;
                let length = if kind == b'g' { usize::from(rest[at]) } else { le(&rest, at) };
                let start = at + if kind == b'g' { 1 } else { 4 };
                at = start + length + 1;
                if found == code {
                    return String::from_utf8(rest[start..start + length].to_vec()).unwrap();
                }
            }
            String::new()
        };
        let member = field(3);
        let body = &rest[fields.next_multiple_of(8)..];
        noted.lock().unwrap().push(format!("{member} {} {}", field(8), words(body)));
        answer(&mut stream, serial, &member, body, result);
    }
}

fn le(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Everything in a body that reads as text.
fn words(body: &[u8]) -> String {
    let printable = body.split(|byte| !byte.is_ascii_graphic() && *byte != b' ');
    let words: Vec<&str> =
        printable.filter(|word| word.len() > 1).map(|word| std::str::from_utf8(word).unwrap()).collect();
    words.join(" ")
}

/// A string of D-Bus.
fn string(out: &mut Vec<u8>, text: &str) {
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend((text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn message(kind: u8, fields: &[(u8, char, &str)], answers: Option<u32>, body: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    for (code, kind, text) in fields {
        header.resize(header.len().next_multiple_of(8), 0);
        header.extend([*code, 1, *kind as u8, 0]);
        if *kind == 'g' {
            header.push(text.len() as u8);
            header.extend_from_slice(text.as_bytes());
            header.push(0);
        } else {
            string(&mut header, text);
        }
    }
    if let Some(serial) = answers {
        header.resize(header.len().next_multiple_of(8), 0);
        header.extend([5, 1, b'u', 0]);
        header.extend(serial.to_le_bytes());
    }
    let mut out = vec![b'l', kind, 0, 1];
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(9_u32.to_le_bytes());
    out.extend((header.len() as u32).to_le_bytes());
    out.extend_from_slice(&header);
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend_from_slice(body);
    out
}

fn answer(stream: &mut UnixStream, serial: u32, member: &str, body: &[u8], result: &str) {
    let unit = if body.is_empty() { "" } else { std::str::from_utf8(&body[4..4 + le(body, 0)]).unwrap() };
    let job = "/org/freedesktop/systemd1/job/7";
    match member {
        "StartTransientUnit" if result.contains('.') => {
            let mut words = Vec::new();
            string(&mut words, "Unit is masked.");
            stream.write_all(&message(3, &[(4, 's', result), (8, 'g', "s")], Some(serial), &words)).unwrap();
        }
        "StartTransientUnit" | "StopUnit" => {
            if member == "StopUnit" {
                fs::remove_dir(place(unit)).unwrap_or(());
                fs::remove_dir(place("")).unwrap_or(());
            } else if result == "done" {
                fs::create_dir_all(place(unit)).unwrap();
                let at = body.windows(5).position(|window| window == b"PIDs\0").unwrap() + 5;
                let at = (at + 4).next_multiple_of(4) + 4;
                fs::write(place(unit).join("cgroup.procs"), le(body, at).to_string()).unwrap();
            }
            let mut path = Vec::new();
            string(&mut path, job);
            let fields = [(8, 'g', "o")];
            stream.write_all(&message(2, &fields, Some(serial), &path)).unwrap();
            for ended in ["/org/freedesktop/systemd1/job/6", job] {
                let mut told = 7_u32.to_le_bytes().to_vec();
                string(&mut told, ended);
                string(&mut told, unit);
                string(&mut told, if member == "StopUnit" { "done" } else { result });
                let path = (1, 'o', "/org/freedesktop/systemd1");
                let fields = [path, (3, 's', "JobRemoved"), (8, 'g', "uoss")];
                stream.write_all(&message(4, &fields, None, &told)).unwrap();
            }
        }
        _ => stream.write_all(&message(2, &[], Some(serial), &[])).unwrap(),
    }
}

/// The group of a unit.
fn place(unit: &str) -> PathBuf {
    hierarchy().join("oci-fake.slice").join(unit)
}

fn bundle(script: &str) -> Bundle {
    Bundle::sh(script).set("/linux/cgroupsPath", json!("oci-fake.slice:engine:one"))
}

/// A call by which systemd makes the groups.
fn call(bundle: &Bundle, manager: &Manager, words: &str) -> std::process::Output {
    let mut command = bundle.command(&format!("--systemd-cgroup {words}"));
    command.env("DBUS_SYSTEM_BUS_ADDRESS", &manager.address).stdin(std::process::Stdio::null());
    // A container that is left holds no pipe of ours.
    let told = bundle.path("told");
    command.stderr(fs::File::create(&told).unwrap()).stdout(std::process::Stdio::null());
    let status = command.status().expect("the runtime");
    std::process::Output { status, stdout: Vec::new(), stderr: fs::read(told).unwrap() }
}

fn a_scope_holds_the_container() {
    let bundle = bundle("while :; do sleep 0.05; done").written();
    let manager = Manager::new(&bundle, "done");
    let output = call(&bundle, &manager, "create c");
    assert!(output.status.success(), "{output:?}");
    let calls = manager.calls();
    assert_eq!(calls[0], "Hello  ", "{calls:?}");
    assert!(calls[1].starts_with("AddMatch s type='signal'"), "{calls:?}");
    assert_eq!(calls[2], "Subscribe  ");
    assert!(calls[3].starts_with("StartTransientUnit ssa(sv)a(sa(sv)) engine-one.scope fail Description Pipkin container c Slice oci-fake.slice PIDs au "), "{calls:?}");
    // Bytes of a process id can look like letters.
    assert!(calls[3].contains(" Delegate"), "{calls:?}");
    let state = bundle.call("state c").succeeds().json();
    let pid = state["pid"].as_i64().unwrap();
    let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(group.contains("/oci-fake.slice/engine-one.scope\n"), "{group}");
    // The placeholder is gone.
    assert_eq!(
        fs::read_to_string(place("engine-one.scope").join("cgroup.procs")).unwrap(),
        format!("{pid}\n")
    );
    assert!(call(&bundle, &manager, "start c").status.success());
    assert_eq!(bundle.call("ps -f json c").succeeds().json()[0], pid);
    assert!(call(&bundle, &manager, "pause c").status.success());
    assert_eq!(bundle.status(), "paused");
    assert!(manager.calls().is_empty());
    assert!(call(&bundle, &manager, "delete --force c").status.success());
    let calls = manager.calls();
    assert!(calls.contains(&"StopUnit ss engine-one.scope replace".to_owned()), "{calls:?}");
    assert!(calls.contains(&"ResetFailedUnit s engine-one.scope".to_owned()), "{calls:?}");
    assert!(!place("").exists());
    bundle.is_clean();
}

fn what_systemd_refuses_is_told() {
    for (result, words) in [
        ("org.freedesktop.systemd1.UnitMasked", "engine-one.scope: Unit is masked."),
        ("failed", "engine-one.scope: its job for engine-one.scope ended as failed"),
    ] {
        let bundle = bundle("true").written();
        let manager = Manager::new(&bundle, result);
        let output = call(&bundle, &manager, "create c");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.contains(words), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        bundle.is_clean();
    }
}

fn a_bus_that_is_none() {
    let bundle = bundle("true").written();
    for (address, words) in
        [("unix:path=/nosuch", "No such file or directory"), ("tcp:host=localhost", "has no unix:path=")]
    {
        let mut command = bundle.command("--cgroup-manager=systemd create c");
        command.env("DBUS_SYSTEM_BUS_ADDRESS", address);
        let outcome = crate::harness::Running::start(command, None).wait();
        outcome.fails(1, &["cannot reach systemd", words]);
        bundle.is_clean();
    }
    // What does not speak D-Bus, and what ends.
    let path = bundle.path("bus");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for (place, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let text: &[u8] = if place == 0 { b"HTTP/1.1 400\r\n" } else { b"OK 1\r\n" };
            stream.write_all(text).unwrap();
            stream.read_exact(&mut [0; 8]).unwrap();
        }
    });
    for words in ["does not let us in", "cannot reach systemd"] {
        let mut command = bundle.command("--systemd-cgroup create c");
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", path.display()));
        crate::harness::Running::start(command, None).wait().fails(1, &["cannot reach systemd", words]);
        bundle.is_clean();
    }
}

fn names_that_are_no_scope() {
    for path in ["/a/b", "a:b", "noslice:b:c", "a.slice:b:c.slice"] {
        let bundle = Bundle::new(&["true"]).set("/linux/cgroupsPath", json!(path)).written();
        bundle.call("--systemd-cgroup create c").fails(1, &[path, "SLICE:PREFIX:NAME"]);
        bundle.is_clean();
    }
    assert!(!Path::new("/sys/fs/cgroup/noslice:b:c").exists());
}
