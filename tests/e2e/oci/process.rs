//! Further processes, terminals and devices.

use super::bundle::Bundle;
use crate::harness::{Case, Terminal, cases};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            a_further_process_is_as_asked_for,
            a_further_process_from_a_file,
            a_further_process_is_tuned_as_the_file_says,
            a_further_process_is_left_to_the_engine,
            a_missing_further_command_is_told,
            one_that_is_ending_lets_nobody_in,
            terminals_go_to_the_engine,
            a_terminal_is_served_in_the_foreground,
            a_terminal_that_nobody_serves_is_refused,
            signals_are_passed_on_in_the_foreground,
            pidfds_go_to_the_engine,
            devices_are_allowed_by_rules,
            a_paused_container_is_told_and_deleted,
            a_paused_container_is_not_started,
        ]
    )
}

const SLEEPER: &str = "trap 'exit 3' TERM; while :; do sleep 0.05; done";

fn running() -> Bundle {
    let bundle = Bundle::sh(SLEEPER).written();
    bundle.create("");
    bundle.call("start c").succeeds();
    bundle
}

fn end(bundle: &Bundle) {
    // As engines do: a container whose dead are not reaped does not end.
    crate::harness::reap_orphans();
    bundle.call("delete --force c").succeeds();
    bundle.is_clean();
}

fn a_further_process_is_as_asked_for() {
    let bundle = running();
    let outcome = bundle.call("exec c /bin/sh -c id;hostname;exit$IFS$((5+1))").exits(6);
    assert_eq!(outcome.text(), "uid=0(root) gid=0(root) groups=0(root)\nbundle\n", "{outcome}");
    let options = "--user 7:8 --additional-gids 9 --env A=b --cwd /etc --cap CAP_CHOWN --no-new-privs";
    let outcome = bundle.call(&format!(
        "exec {options} c /bin/sh -c id;echo${{IFS}}$A;pwd;grep${{IFS}}CapBnd${{IFS}}/proc/self/status"
    ));
    assert_eq!(
        outcome.text(),
        "uid=7(halt) gid=8 groups=8,9(kmem)\nb\n/etc\nCapBnd:\t0000000000000021\n",
        "{outcome}"
    );
    for (option, barred) in [("", 1), ("--no-new-privs=false", 0)] {
        let told = bundle.call(&format!("exec {option} c grep NoNewPrivs /proc/self/status")).exits(0);
        assert_eq!(told.text(), format!("NoNewPrivs:\t{barred}\n"));
    }
    bundle.call("exec --env PATH=/nosuch c true").fails_with(255, "not found in $PATH");
    let options = "--env A=b --env A=c --env HOME=/h --env PATH=/usr/bin";
    let outcome = bundle.call(&format!("exec {options} c env"));
    assert_eq!(outcome.text(), "A=c\nHOME=/h\nPATH=/usr/bin\n", "{outcome}");
    bundle.call("exec --env A c true").fails_with(255, "--env A: give NAME=VALUE");
    bundle.call("exec c").fails_with(255, "a COMMAND or --process is needed");
    bundle.call("exec --user x c true").fails_with(255, "UID or UID:GID");
    end(&bundle);
    bundle.call("exec c true").fails_with(255, "container does not exist");
}

fn a_further_process_from_a_file() {
    let bundle = running();
    let process = json!({
        "cwd": "/tmp", "args": ["/bin/sh", "-c", "id -u; pwd; cat /proc/self/oom_score_adj; echo $X"],
        "env": ["PATH=/bin:/usr/bin", "X=y"], "user": { "uid": 4, "gid": 5 }, "oomScoreAdj": 33
    });
    fs::write(bundle.path("process.json"), process.to_string()).unwrap();
    let call = format!("exec --process={} c", bundle.path("process.json").display());
    assert_eq!(bundle.call(&call).exits(0).text(), "4\n/tmp\n33\ny\n");
    fs::write(bundle.path("process.json"), r#"{"cwd": "x", "args": ["true"]}"#).unwrap();
    bundle.call(&call).fails_with(255, "cwd, line 1, column 9: this must be an absolute path");
    end(&bundle);
}

fn a_further_process_is_tuned_as_the_file_says() {
    let bundle = running();
    let script = "id -G; umask; ulimit -n; ulimit -H -n; cut -d' ' -f19,41 /proc/self/stat; ionice; \
                  grep -E 'CapInh|CapAmb|NoNewPrivs|Cpus_allowed_list' /proc/self/status";
    let sets = ["bounding", "effective", "permitted", "inheritable", "ambient"];
    let capabilities: serde_json::Map<_, _> =
        sets.iter().map(|set| ((*set).to_owned(), json!(["CAP_CHOWN", "CAP_KILL"]))).collect();
    let process = json!({
        "cwd": "/", "args": ["/bin/sh", "-c", script], "env": ["PATH=/bin:/usr/bin"],
        "user": { "uid": 4, "gid": 5, "umask": 63, "additionalGids": [66] },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 88 }],
        "capabilities": capabilities,
        "scheduler": { "policy": "SCHED_BATCH", "nice": 5 },
        "ioPriority": { "class": "IOPRIO_CLASS_IDLE", "priority": 0 },
        "execCPUAffinity": { "initial": "0", "final": "0" },
    });
    fs::write(bundle.path("process.json"), process.to_string()).unwrap();
    let call = format!("exec --process={} c", bundle.path("process.json").display());
    let expected = "5 66\n0077\n77\n88\n5 3\nidle\nCapInh:\t0000000000000021\nCapAmb:\t0000000000000021\n\
                    NoNewPrivs:\t0\nCpus_allowed_list:\t0\n";
    assert_eq!(bundle.call(&call).exits(0).text(), expected);
    end(&bundle);
}

fn a_further_process_is_left_to_the_engine() {
    let bundle = running();
    let pid_file = bundle.path("exec.pid");
    let call = format!("exec --detach --pid-file {} c sleep 1000", pid_file.display());
    let mut command = bundle.command(&call);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap(), "sleep\u{0}1000\u{0}");
    let listed = bundle.call("ps -f json c").succeeds().json();
    assert!(listed.as_array().unwrap().contains(&json!(pid)), "{listed}");
    // It is for whoever reaps here to see its end.
    pipkin::sys::signal::kill(pid, 9).unwrap();
    assert_eq!(reap(pid).terminating_signal(), Some(9));
    end(&bundle);
}

/// Waits for the end of a process that was left to whoever reaps here, as engines do.
fn reap(pid: i32) -> WaitStatus {
    waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap().unwrap().1
}

fn a_missing_further_command_is_told() {
    let bundle = running();
    bundle.call("exec c nosuch").fails_with(255, "executable file not found in $PATH");
    bundle.call("exec c /etc/passwd").fails_with(255, "permission denied");
    end(&bundle);
}

/// Its first process has ended but for one that we do not reap, for which the kernel has it wait.
fn one_that_is_ending_lets_nobody_in() {
    let bundle = running();
    let pid_file = bundle.path("exec.pid");
    let mut command =
        bundle.command(&format!("exec --detach --pid-file {} c sleep 1000", pid_file.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    bundle.call("kill c KILL").succeeds();
    let dead = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ");
    while !dead() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bundle.call("exec c true").fails_with(255, "cannot run a process in c: container not running");
    assert_eq!(reap(pid).terminating_signal(), Some(9));
    end(&bundle);
}

/// Takes the descriptor that comes to `listener`.
fn receive(listener: &UnixListener) -> OwnedFd {
    let (connection, _) = listener.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0; 64];
    let mut parts = [std::io::IoSliceMut::new(&mut word)];
    recvmsg(&connection, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let sent = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    sent.expect("a descriptor")
}

fn terminals_go_to_the_engine() {
    let bundle = Bundle::sh("tty; stty size; read x; echo got $x; ls -l /dev/console | cut -c1; sleep 1000")
        .set("/process/terminal", json!(true))
        .set("/process/consoleSize", json!({ "height": 11, "width": 22 }))
        .written();
    let path = bundle.path("console");
    let listener = UnixListener::bind(&path).unwrap();
    bundle.create(&format!("--console-socket {}", path.display()));
    let mut master = fs::File::from(receive(&listener));
    bundle.call("start c").succeeds();
    let expect = |master: &mut fs::File, wanted: &str| {
        let mut seen = String::new();
        while !seen.contains(wanted) {
            let mut bytes = [0; 256];
            let length = master.read(&mut bytes).unwrap();
            seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    };
    expect(&mut master, "/dev/pts/0\r\n11 22\r\n");
    master.write_all(b"this\n").unwrap();
    expect(&mut master, "got this\r\nc\r\n");
    let pid_file = bundle.path("exec.pid");
    let options = format!("--console-socket {} --pid-file {}", path.display(), pid_file.display());
    let call = format!("exec --tty --detach {options} c tty");
    assert!(bundle.command(&call).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success());
    // Until its end: a terminal that goes ends who is on it.
    let mut further = fs::File::from(receive(&listener));
    expect(&mut further, "/dev/pts/1\r\n");
    assert_eq!(reap(fs::read_to_string(&pid_file).unwrap().parse().unwrap()).exit_status(), Some(0));
    end(&bundle);
}

fn a_terminal_is_served_in_the_foreground() {
    let bundle = Bundle::new(&["/bin/sh"]).set("/process/terminal", json!(true)).written();
    let [state, below] =
        ["state", "bundle"].map(|name| bundle.path(name).into_os_string().into_string().unwrap());
    let start = |terminal: &Terminal, call: &[&str]| {
        terminal.start_program(&[&["--root", &state][..], call].concat())
    };
    let mut terminal = Terminal::open();
    terminal.resize(33, 111);
    let before = terminal.mode();
    let shell = start(&terminal, &["run", "--bundle", &below, "c"]);
    terminal.expect("/ # ");
    assert_ne!(terminal.mode(), before);
    terminal.enter("tty; stty size\r");
    terminal.expect("/dev/pts/0\r\n33 111\r\n");
    terminal.resize(50, 132);
    terminal.enter("trap 'echo inter''rupted' INT; sh -c \"echo s''tarted; exec sleep 1000\"; stty size\r");
    terminal.expect("started\r\n");
    terminal.enter("\x03");
    terminal.expect("50 132\r\n");

    let mut second = Terminal::open();
    let further = start(&second, &["exec", "--tty", "c", "/bin/sh", "-i"]);
    second.expect("/ # ");
    second.enter("tty; exit 4\r");
    second.expect("/dev/pts/1\r\n");
    further.wait().exits(4);
    assert_eq!(second.mode(), before);

    terminal.enter("exit 3\r");
    shell.wait().exits(3);
    assert_eq!(terminal.mode(), before);
    bundle.is_clean();
}

fn a_terminal_that_nobody_serves_is_refused() {
    let bundle = Bundle::sh("sleep 1000").set("/process/terminal", json!(true)).written();
    bundle
        .call("create c")
        .fails(1, &["cannot serve the terminal: nobody stays here: give --console-socket"]);
    bundle.call("run --detach c").fails(1, &["nobody stays here: give --console-socket"]);
    bundle.call("run c").fails(1, &["no standard stream is one"]);
    bundle.is_clean();
    let bundle = running();
    bundle.call("exec --tty c true").fails_with(255, "no standard stream is one");
    bundle.call("exec --tty --detach c true").fails_with(255, "nobody stays here");
    bundle.call("exec --console-socket /x c true").fails_with(255, "is for one of process.terminal or --tty");
    end(&bundle);
}

fn signals_are_passed_on_in_the_foreground() {
    let bundle = Bundle::sh("trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done").written();
    let container = bundle.start("run c");
    container.expect("ready");
    let script = "trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done";
    let mut call = bundle.command("exec c sh -c");
    call.arg(script);
    let further = crate::harness::Running::start(call, None);
    further.expect("ready");
    further.signal(10);
    further.wait().exits(5);
    container.signal(15);
    container.wait().exits(3);
    bundle.is_clean();
}

fn pidfds_go_to_the_engine() {
    let bundle = Bundle::sh("sleep 1000").written();
    let path = bundle.path("pidfd");
    let listener = UnixListener::bind(&path).unwrap();
    let pid_file = bundle.path("pid");
    let options = format!("--pidfd-socket {} --pid-file {}", path.display(), pid_file.display());
    let sent_is_told = || {
        let sent = receive(&listener);
        let pid: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
        assert_eq!(pipkin::host::pid_of(&sent).unwrap().as_raw_nonzero().get(), pid);
        (sent, pid)
    };
    bundle.create(&options);
    let (first, _) = sent_is_told();
    bundle.call("start c").succeeds();
    let call = format!("exec --detach {options} c sleep 1000");
    assert!(bundle.command(&call).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success());
    let (further, pid) = sent_is_told();
    pipkin::sys::signal::send(&further, 9).unwrap();
    assert_eq!(reap(pid).terminating_signal(), Some(9));
    pipkin::sys::signal::send(&first, 9).unwrap();
    bundle.await_status("stopped");
    fs::remove_file(&path).unwrap();
    let call = format!("exec {options} c true");
    bundle.call(&call).fails_with(255, "container not running");
    end(&bundle);
}

fn devices_are_allowed_by_rules() {
    let node = |path: &str, minor: u32| json!({ "path": path, "type": "c", "major": 240, "minor": minor });
    // Nobody drives these numbers: opening one that may be used is another error than opening one that may not.
    let script = "cat /dev/allowed; cat /dev/closed; cat /dev/null; echo x > /dev/allowed";
    let bundle = Bundle::sh(script)
        .set("/linux/devices", json!([node("/dev/allowed", 7), node("/dev/closed", 8)]))
        .set("/linux/cgroupsPath", json!("/oci-devices"))
        .set(
            "/linux/resources",
            json!({ "devices": [
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 240, "minor": 7, "access": "r" }
        ] }),
        )
        .written();
    let told = bundle.call("run c").told();
    let errors: Vec<&str> = told.lines().filter_map(|line| line.rsplit(": ").next()).collect();
    let (none, not) = ("No such device or address", "Operation not permitted");
    assert_eq!(errors, [none, not, not], "{told}");
    bundle.is_clean();
}

fn a_paused_container_is_told_and_deleted() {
    let bundle = running();
    bundle.call("pause c").succeeds();
    assert_eq!(bundle.status(), "paused");
    bundle.call("resume c").succeeds();
    assert_eq!(bundle.status(), "running");
    bundle.call("resume c").fails(1, &["container not paused"]);
    bundle.call("pause c").succeeds();
    bundle.call("kill c KILL").succeeds();
    bundle.call("delete --force c").succeeds();
    bundle.is_clean();
}

fn a_paused_container_is_not_started() {
    let bundle = Bundle::sh(SLEEPER).written();
    bundle.create("");
    bundle.call("pause c").succeeds();
    assert_eq!(bundle.status(), "paused");
    bundle.call("start c").fails(1, &["cannot start the container c: it is paused"]);
    bundle.call("resume c").succeeds();
    assert_eq!(bundle.status(), "created");
    bundle.call("start c").succeeds();
    assert_eq!(bundle.status(), "running");
    end(&bundle);
}
