//! Commands in a container that runs.

use crate::harness::{
    Case, Folder, Outcome, PATIENCE, Running, Terminal, cases, detached, pipkin, reap_orphans, run,
};
use crate::program;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            it_is_inside,
            its_code_is_passed,
            what_cannot_be_run_is_told,
            input_comes_when_it_is_asked_for,
            variables_are_set,
            users_are_read_strictly,
            directories_are_resolved_inside,
            a_link_is_no_way_out,
            it_has_the_rights_of_a_container,
            it_has_what_its_container_was_given,
            a_filter_of_ones_own_holds_for_it,
            it_enters_a_user_namespace,
            it_talks_on_a_terminal,
            signals_are_passed_on,
            its_end_comes_with_pipkins,
            one_that_stands_still_holds_nobody_up,
            what_it_leaves_is_reaped,
            it_goes_on_when_detached,
            nothing_of_the_host_is_to_be_seen_meanwhile,
            nor_by_one_that_may_trace,
            what_does_not_run_is_told,
            what_stands_still_lets_nobody_in,
            options_are_checked,
        ]
    )
}

/// A container that waits, with a name of its own, and `exec` in it.
pub(crate) struct Place {
    name: &'static str,
    container: Option<Running>,
}

impl Place {
    /// One that was started with `options`.
    #[track_caller]
    pub(crate) fn new(name: &'static str, options: &str) -> Self {
        Self::of(name, options, "echo ready; exec sleep 1000")
    }

    /// One in which `script` runs and says `ready`.
    #[track_caller]
    pub(crate) fn of(name: &'static str, options: &str, script: &str) -> Self {
        let options = format!("--net none {options}");
        let container = run(&options).option("--name").option(name).start_sh(script);
        container.expect("ready");
        Self { name, container: Some(container) }
    }

    /// `pipkin exec OPTIONS NAME sh -c SCRIPT`.
    #[track_caller]
    pub(crate) fn sh(&self, options: &str, script: &str) -> Outcome {
        self.exec(options, &["sh", "-c", script])
    }

    /// `pipkin exec OPTIONS NAME WORDS`.
    #[track_caller]
    pub(crate) fn exec(&self, options: &str, words: &[&str]) -> Outcome {
        let options = options.split_whitespace();
        let words: Vec<&str> =
            ["exec"].into_iter().chain(options).chain([self.name]).chain(words.iter().copied()).collect();
        pipkin(&words)
    }

    /// Starts `pipkin exec NAME sh -c SCRIPT`.
    #[track_caller]
    fn start(&self, script: &str) -> Running {
        let mut command = program::pipkin();
        command.args(["exec", self.name, "sh", "-c", script]);
        Running::start(command, None)
    }

    /// Ends it.
    #[track_caller]
    pub(crate) fn end(self) {
        drop(self);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            if let Some(container) = self.container.take() {
                let first = format!("/proc/{}", container.container_pid());
                container.kill();
                // The kernel keeps the first process of a pid namespace until everybody else who was ever in it is reaped:
                // those who came from outside are our children by now.
                wait_until(|| {
                    reap_orphans();
                    !std::path::Path::new(&first).exists()
                });
            }
            let removed = pipkin(&["rm", "-f", self.name]);
            assert!(removed.status.success(), "{removed}");
        });
    }
}

fn it_is_inside() {
    let place = Place::new("exec-inside", "");
    let namespaces = "for n in cgroup ipc mnt net pid uts; do readlink /proc/self/ns/$n; done";
    let inside = place.sh("", &format!("{namespaces}; ls /proc/1/exe >/dev/null")).succeeds().text();
    let first = place.sh("", &namespaces.replace("self", "1")).succeeds().text();
    assert_eq!(inside, first);
    place.exec("", &["readlink", "/proc/self/root"]).prints("/\n");
    // PID 1, the reaper, the command.
    let processes = place.exec("", &["ps", "-o", "comm"]).text();
    assert_eq!(processes.lines().count(), 4, "{processes}");
    place.end();
}

fn its_code_is_passed() {
    let place = Place::new("exec-code", "");
    place.sh("", "exit 7").exits(7);
    place.sh("", "true").prints("");
    place.sh("", "kill -9 $$").exits(137);
    place.sh("", "echo out; echo err >&2").exits(0).assert_says("out");
    place.end();
}

fn what_cannot_be_run_is_told() {
    let place = Place::new("exec-absent", "");
    place.exec("", &["no-such-program"]).fails(127, &["no-such-program", "not found"]);
    place.exec("", &["/etc/passwd"]).fails(126, &["/etc/passwd"]);
    place.exec("", &["/etc"]).fails(126, &["/etc"]);
    place.end();
}

fn input_comes_when_it_is_asked_for() {
    let place = Place::new("exec-input", "");
    let given = |option: &[&str]| {
        let mut command = program::pipkin();
        command.arg("exec").args(option).args(["exec-input", "cat"]);
        Running::start(command, Some(b"typed\n".to_vec())).wait()
    };
    given(&["-i"]).prints("typed\n");
    given(&[]).prints("");
    place.end();
}

fn variables_are_set() {
    let place = Place::new("exec-variables", "");
    place.sh("-e A=1 -e A=2 -e B=x=y -u nobody", "echo $A $B $HOME").prints("2 x=y /\n");
    let file = Folder::new();
    let path = file.file("variables", "C=3\n");
    place
        .sh(&format!("--env-file {}", path.display()), "echo $C; echo $PATH")
        .assert_says("3\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    place.sh("", "env | grep PIPKIN").exits(1);
    place.end();
}

fn users_are_read_strictly() {
    let place = Place::new("exec-user", "");
    for (user, ids) in [("1", "1\n1\n"), ("01", "1\n1\n"), ("1:2", "1\n2\n"), ("nobody", "65534\n65534\n")] {
        place.sh(&format!("-u {user}"), "id -u; id -g").prints(ids);
    }
    for user in ["1:", ":1", "1:2:3", "4294967295", "-1", "+1", "1x", "0x1"] {
        place.sh(&format!("--user={user}"), "true").expect_refusal(&[user]);
    }
    place.sh("-u cook", "true").expect_refusal(&["cook"]);
    place.end();
}

fn directories_are_resolved_inside() {
    let place = Place::new("exec-directory", "");
    place.exec("-w /usr/bin", &["pwd"]).prints("/usr/bin\n");
    place.exec("-w /../../etc", &["pwd"]).prints("/etc\n");
    place.exec("-w /no/such", &["pwd"]).expect_refusal(&["/no/such"]);
    place.exec("-w /etc/passwd", &["pwd"]).expect_refusal(&["/etc/passwd"]);
    place.exec("-w etc", &["pwd"]).expect_refusal(&["absolute"]);
    place.end();
}

/// CVE-2024-21626: the working directory by way of a descriptor that was left open.
fn a_link_is_no_way_out() {
    let place = Place::new("exec-link", "");
    for number in 0..16 {
        place.exec(&format!("-w /proc/self/fd/{number}"), &["ls", "."]).expect_refusal(&["/proc/self/fd"]);
    }
    place.sh("", "ln -s /proc/self/fd/5 /tmp/out; ln -s / /tmp/top").prints("");
    place.exec("-w /tmp/out", &["ls", "."]).expect_refusal(&["/tmp/out"]);
    place.exec("-w /tmp/top/etc", &["pwd"]).prints("/etc\n");
    place.end();
}

fn it_has_the_rights_of_a_container() {
    let place = Place::new("exec-rights", "");
    let status = "grep -E '^(Cap|NoNewPrivs|Seccomp|Groups)' /proc/self/status";
    let inside = run("").sh(status).text();
    assert_eq!(place.sh("", status).succeeds().text(), inside);
    place.sh("", "mount -t tmpfs none /mnt").exits(1);
    place.end();
}

fn it_has_what_its_container_was_given() {
    let status = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Umask)' /proc/self/status; pwd; ulimit -c -n; \
                  cat /proc/self/oom_score_adj; env | grep -E '^(A|PATH|HOME|HOSTNAME)=' | sort";
    for (name, options) in [
        ("exec-given-1", "--cap-drop ALL -u 7:8 -w /srv -e A=1 --hostname oven"),
        ("exec-given-2", "--cap-add NET_ADMIN --security-opt no-new-privileges=false --ulimit nofile=77:99"),
        (
            "exec-given-3",
            "--security-opt seccomp=unconfined --oom-score-adj 500 -e PATH=/bin:/usr/bin -u mail",
        ),
        (
            "exec-given-4",
            "--security-opt no-new-privileges=false --cap-drop SETUID --ulimit core=0 -e HOME=/x",
        ),
    ] {
        let given = run(options).option("--hostname=pan").sh(status).succeeds().text();
        let place = Place::new(name, &format!("{options} --hostname=pan"));
        assert_eq!(place.sh("", status).succeeds().text(), given, "{options}");
        place.end();
    }
}

fn a_filter_of_ones_own_holds_for_it() {
    let folder = Folder::new();
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat","clone3"],
                      "action":"SCMP_ACT_ERRNO","errnoRet":95}]}"#;
    let path = folder.file("profile.json", profile);
    for extra in ["", " --security-opt no-new-privileges=false"] {
        let options = format!("--security-opt seccomp={}{extra}", path.display());
        let place = Place::new("exec-filter", &options);
        let outcome = place.exec("", &["mkdir", "/tmp/x"]).exits(1);
        assert!(outcome.told().contains("Not supported"), "{outcome}");
        place.exec("", &["rmdir", "/tmp/x"]).exits(1);
        place.end();
    }
}

fn it_enters_a_user_namespace() {
    let place = Place::new("exec-userns", "--uidmap 0:100000:65536");
    place.sh("", "id -u; cat /proc/self/uid_map").assert_says("0\n         0     100000      65536");
    place.sh("-u nobody", "id -u; id -G").prints("65534\n65534\n");
    place.end();
}

fn it_talks_on_a_terminal() {
    let place = Place::new("exec-terminal", "");
    let mut terminal = Terminal::open();
    terminal.resize(33, 111);
    let before = terminal.mode();
    let shell = terminal.start_program(&["exec", "-it", "exec-terminal", "sh", "-i"]);
    terminal.expect("/ # ");
    terminal.enter("echo a''b; stty size; echo $TERM\r");
    terminal.expect("ab\r\n33 111\r\nxterm\r\n");
    terminal.resize(22, 99);
    terminal.enter("sh -c 'echo g''o; exec sleep 1000'\r");
    terminal.expect("go\r\n");
    terminal.enter("\x03");
    terminal.expect("/ # ");
    terminal.enter("stty size; exit 3\r");
    terminal.expect("22 99\r\n");
    shell.wait().exits(3);
    assert_eq!(terminal.mode(), before);
    place.end();
}

fn signals_are_passed_on() {
    let place = Place::new("exec-signal", "");
    let command = place.start("trap 'echo term; exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    command.expect("ready");
    command.signal(15);
    assert_eq!(command.wait().exits(7).text(), "ready\nterm\n");
    let command = place.start("echo ready; exec sleep 1000");
    command.expect("ready");
    command.signal(2);
    command.wait().exits(130);
    place.end();
}

fn its_end_comes_with_pipkins() {
    let place = Place::new("exec-kill", "");
    let command = place.start("echo ready; exec sleep 12345");
    command.expect("ready");
    command.kill();
    wait_until(|| !place.exec("", &["ps", "-o", "stat,args"]).text().contains("sleep 12345"));
    reap_orphans();
    place.end();
}

/// The caller is stopped, or stuck in a write: what it put inside is reaped all the same, or the container's pid
/// namespace would never end.
fn one_that_stands_still_holds_nobody_up() {
    let place = detached("--net none --name exec-still", &["sleep", "1000"]);
    let command = |options: &str, script: &str| {
        let mut command = program::pipkin();
        command.arg("exec").args(options.split_whitespace()).args([&*place.id, "sh", "-c", script]);
        command
    };
    let stopped = Running::start(command("", "echo ready; exec sleep 1000"), None);
    stopped.expect("ready");
    stopped.signal(19);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut stuck = command("-t", "exec yes");
    let mut stuck = stuck.stdout(writer.try_clone().expect("its end")).spawn().expect("a process");
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    wait_until(|| poll(&mut [PollFd::new(&writer, PollFlags::OUT)], Some(&now)) == Ok(0));
    place.verb("stop -t 0").succeeds();
    stopped.signal(18);
    stopped.wait().exits(137);
    drop(reader);
    assert_eq!(stuck.wait().expect("an end").code(), Some(137));
}

/// The container's PID 1 here is one that never reaps.
fn what_it_leaves_is_reaped() {
    let place = Place::new("exec-orphan", "");
    place.sh("", "(sh -c 'sleep 0.2 & sleep 0.3' &); echo out").prints("out\n");
    place.sh("", "(sleep 0.1 & exec sleep 0.4 &)").exits(0);
    wait_until(|| {
        reap_orphans();
        let processes = place.exec("", &["ps", "-o", "stat,comm"]).succeeds().text();
        processes.lines().count() == 4 && !processes.contains('Z')
    });
    reap_orphans();
    place.end();
}

fn it_goes_on_when_detached() {
    let place = Place::new("exec-detached", "");
    place.sh("-d", "echo lost; echo $A > /tmp/x; exec sleep 0.3").prints("");
    wait_until(|| place.sh("", "test -s /tmp/x").status.success());
    place.exec("-d", &["no-such-program"]).fails(127, &["no-such-program"]);
    place.exec("-d -w /no/such", &["true"]).expect_refusal(&["/no/such"]);
    wait_until(|| !place.exec("", &["ps", "-o", "args"]).text().contains("sleep 0.3"));
    reap_orphans();
    place.end();
}

/// CVE-2016-9962, and CVE-2017-5985 in LXC: PID 1 looks for descriptors of those who come in. It sees none that leads out of its root.
fn nothing_of_the_host_is_to_be_seen_meanwhile() {
    watch("exec-spy", "", 300);
}

/// The same.
fn nor_by_one_that_may_trace() {
    watch("exec-trace", "--cap-add SYS_PTRACE", 300);
}

fn watch(name: &'static str, options: &str, count: usize) {
    let container = run(options).option("--name").option(name).start_payload("watch /tmp/stop");
    container.expect("ready");
    let mut place = Place { name, container: Some(container) };
    for _ in 0..count {
        place.exec("", &["true"]).prints("");
    }
    // It may end, and take the command along, before that is through.
    let stopped = place.exec("", &["touch", "/tmp/stop"]);
    assert!(matches!(stopped.status.code(), Some(0 | 137)), "{stopped}");
    let outcome = place.container.take().expect("it").wait().succeeds();
    let seen = outcome.text();
    // One that may not trace cannot even open it.
    assert_eq!(seen.contains("held\n"), !options.is_empty(), "{outcome}");
    let seen = seen.lines().find_map(|line| line.strip_prefix("processes ")).expect("a count");
    assert!(seen.parse::<usize>().expect("a number") > count / 4, "{outcome}");
}

fn what_does_not_run_is_told() {
    pipkin(&["exec", "no-such-container", "true"]).expect_refusal(&["no-such-container"]);
    pipkin(&["exec", "no-such-container"]).expect_refusal(&["COMMAND"]);
    pipkin(&["exec"]).expect_refusal(&["CONTAINER"]);
}

/// One that is paused before, and one that is paused when the command is on its way in.
fn what_stands_still_lets_nobody_in() {
    let place = Place::new("exec-paused", "");
    for step in [0, 3] {
        let mut command = std::process::Command::new(program::hooks());
        command.args(["exec", place.name, "echo", "inside"]).env("PIPKIN_PAUSE_CHILD", step.to_string());
        let entering = Running::start(command, None);
        wait_until(|| entering.tells("paused"));
        pipkin(&["pause", place.name]).succeeds();
        let told = entering.wait().exits(125).told();
        assert!(
            told.ends_with("in exec-paused: it is paused\nlet it go on first: pipkin resume\n"),
            "{told}"
        );
        place.exec("", &["true"]).fails(125, &["exec-paused: it is paused", "pipkin resume"]);
        pipkin(&["resume", place.name]).succeeds();
        place.exec("", &["echo", "inside"]).prints("inside\n");
    }
    reap_orphans();
    place.end();
}

fn options_are_checked() {
    let refused = |words: &[&str]| pipkin(&[&["exec"], words, &["x", "true"]].concat());
    refused(&["-dt"]).expect_refusal(&["--detach"]);
    refused(&["-di"]).expect_refusal(&["--detach"]);
    refused(&["--memory", "1g"]).expect_refusal(&["--memory"]);
    let place = Place::new("exec-options", "");
    place.exec("-e =x", &["true"]).expect_refusal(&["pipkin exec: --env", "see 'pipkin exec --help'"]);
    place.exec("--user=", &["true"]).expect_refusal(&["pipkin exec: --user"]);
    place.end();
}

/// Waits until `done` holds.
#[track_caller]
pub(crate) fn wait_until(done: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "it does not come to hold");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
