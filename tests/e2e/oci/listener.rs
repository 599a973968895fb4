//! Calls that a filter asks somebody else about.

use super::bundle::Bundle;
use crate::harness::{Case, cases};
use pipkin::sys::notification::{Answer, answer, is_pending, receive};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            what_a_filter_asks_is_answered_by_the_listener,
            a_further_process_has_a_listener_of_its_own,
            without_a_listener_nothing_starts,
            an_execution_can_be_asked_about,
            a_path_is_of_no_use_without_a_question,
        ]
    )
}

/// The errno that the listener answers for mkdir.
const ANSWER: u16 = 28;

/// A bundle whose filter asks about these calls; the listener is to be at `socket` beside it.
fn asking(script: &str, calls: &[&str]) -> Bundle {
    let bundle = Bundle::sh(script);
    let path = bundle.path("socket");
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "of \"mine\"",
        "syscalls": [{ "names": calls, "action": "SCMP_ACT_NOTIFY" }]
    });
    bundle.set("/linux/seccomp", seccomp).written()
}

/// What came in one connection: the state, and the descriptor with it.
fn take(listener: &UnixListener) -> (Value, OwnedFd) {
    let (connection, _) = listener.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = vec![0; 1 << 16];
    let mut buffer = [std::io::IoSliceMut::new(&mut text)];
    let got = recvmsg(&connection, &mut buffer, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    // Nothing more may come: one state for each connection.
    let mut rest = [0];
    assert_eq!(rustix::io::read(&connection, &mut rest), Ok(0));
    (serde_json::from_slice(&text[..got.bytes]).unwrap(), descriptor.expect("a descriptor"))
}

/// Takes one state and answers one call.
fn serve(listener: UnixListener, reply: Answer) -> JoinHandle<Value> {
    std::thread::spawn(move || {
        let (state, descriptor) = take(&listener);
        let call = receive(&descriptor).unwrap();
        assert!(is_pending(&descriptor, call.id) && !is_pending(&descriptor, call.id ^ 1));
        assert!(call.pid != 0);
        answer(&descriptor, call.id, reply).unwrap();
        state
    })
}

fn listen(bundle: &Bundle) -> UnixListener {
    UnixListener::bind(bundle.path("socket")).unwrap()
}

/// What programs say of it.
const TOLD: &str = "No space left on device";

fn what_a_filter_asks_is_answered_by_the_listener() {
    let bundle = asking("mkdir /tmp/a 2>&1; ls -A /tmp", &["mkdir", "mkdirat"]);
    let listening = serve(listen(&bundle), Answer::Errno(ANSWER));
    let outcome = bundle.call("run c").succeeds();
    assert_eq!(outcome.text().lines().count(), 1, "{outcome}");
    assert!(outcome.text().contains(TOLD), "{outcome}");
    let state = listening.join().unwrap();
    assert_eq!(state["ociVersion"], "1.3.0");
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "of \"mine\"");
    assert!(state["pid"].as_i64().is_some_and(|pid| pid > 1) && state["pid"] == state["state"]["pid"]);
    assert_eq!((&state["state"]["id"], &state["state"]["status"]), (&json!("c"), &json!("created")));
    assert_eq!(state["state"]["annotations"], json!({ "org.example.a": "b" }));
    bundle.is_clean();
}

fn a_further_process_has_a_listener_of_its_own() {
    let bundle = asking("trap 'exit 3' TERM; while :; do sleep 0.05; done", &["mkdir", "mkdirat"]);
    let listener = listen(&bundle);
    bundle.create("");
    let first = std::thread::spawn({
        let listener = listener.try_clone().unwrap();
        move || take(&listener)
    });
    bundle.call("start c").succeeds();
    let (first, _descriptor) = first.join().unwrap();
    let listening = serve(listener, Answer::Errno(ANSWER));
    let outcome = bundle.call("exec c mkdir /tmp/a").exits(1);
    assert!(outcome.told().contains(TOLD), "{outcome}");
    let further = listening.join().unwrap();
    assert_eq!(further["state"]["status"], "running");
    assert_eq!(further["state"]["pid"], first["pid"]);
    assert!(further["pid"] != first["pid"] && further["pid"].as_i64().is_some_and(|pid| pid > 1));
    std::fs::remove_file(bundle.path("socket")).unwrap();
    bundle.call("exec c echo started").fails_with(255, "send a descriptor to");
    crate::harness::reap_orphans();
    bundle.call("delete --force c").succeeds();
    bundle.is_clean();
}

fn without_a_listener_nothing_starts() {
    let bundle = asking("echo started", &["mkdir"]);
    bundle.call("run c").fails(1, &["send a descriptor to", "socket"]);
    bundle.create("");
    bundle.call("start c").fails(1, &["send a descriptor to", "socket"]);
    crate::harness::reap_orphans();
    bundle.await_status("stopped");
    bundle.call("delete c").succeeds();
    bundle.is_clean();
}

/// The first call that is asked about is Pipkin's own last one: whoever starts the container must not wait for it.
fn an_execution_can_be_asked_about() {
    let bundle = asking("echo started", &["execve"]);
    let listening = serve(listen(&bundle), Answer::Continue);
    assert_eq!(bundle.call("run c").succeeds().text(), "started\n");
    listening.join().unwrap();
    bundle.is_clean();
}

fn a_path_is_of_no_use_without_a_question() {
    let bundle = Bundle::sh("echo started").set(
        "/linux/seccomp",
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/such/socket" }),
    );
    assert_eq!(bundle.written().call("run c").succeeds().text(), "started\n");
    let bundle = asking("true", &["sendmsg"]);
    bundle
        .call("create c")
        .fails(1, &["linux.seccomp.syscalls[0].names[0]", "sendmsg cannot be SCMP_ACT_NOTIFY"]);
    bundle.is_clean();
}
