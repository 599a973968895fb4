//! Exit codes.

use crate::harness::{Case, Folder, Running, alpine, cases, pipkin, run};
use crate::program;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            every_code_passes,
            a_killed_command_gives_128_and_the_signal,
            killed_from_outside,
            a_fault_gives_its_signal,
            a_command_that_is_not_there_gives_127,
            a_command_that_cannot_run_gives_126,
            a_script_without_its_interpreter_gives_127,
            a_file_of_no_format_gives_126,
            a_failure_of_pipkin_gives_125,
            children_left_behind_end_with_the_command,
            a_caller_that_ignores_its_children_is_no_matter,
        ]
    )
}

fn every_code_passes() {
    for code in [0, 1, 2, 3, 42, 100, 124, 125, 126, 127, 128, 129, 137, 200, 254, 255] {
        let outcome = run("").sh(&format!("exit {code}")).exits(code);
        assert!(outcome.stderr.is_empty(), "{outcome}");
    }
}

/// That SIGCHLD is ignored is inherited, and would have the kernel reap the container unseen.
fn a_caller_that_ignores_its_children_is_no_matter() {
    let ignoring = |words: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "trap '' CHLD; exec \"$@\"", "sh"]).arg(program::pipkin().get_program());
        command.args(words);
        Running::start(command, None).wait()
    };
    let image = alpine().expect("Alpine");
    let image = image.to_str().expect("text");
    ignoring(&["run", "--rm", "--net", "none", image, "sh", "-c", "exit 3"]).exits(3);
    let id = ignoring(&["run", "-d", "--net", "none", image, "sh", "-c", "exit 4"]).succeeds().text();
    pipkin(&["wait", id.trim_end()]).prints("4\n");
    pipkin(&["rm", id.trim_end()]).succeeds();
}

fn a_killed_command_gives_128_and_the_signal() {
    // In the host's pid namespace the command is no PID 1, which its own signals would not kill.
    for signal in [1, 2, 6, 9, 10, 11, 13, 14, 15, 31, 34, 64] {
        let outcome = run("--pid host").sh(&format!("kill -{signal} $$")).exits(128 + signal);
        assert!(outcome.stderr.is_empty(), "{outcome}");
    }
}

fn killed_from_outside() {
    let container = run("").start_sh("echo ready; exec sleep 1000");
    container.expect("ready");
    pipkin::sys::signal::kill(container.container_pid(), 9).unwrap();
    container.wait().exits(137);
}

fn a_fault_gives_its_signal() {
    // PID 1 or not, a fault kills.
    run("").payload("fault").exits(139);
}

fn a_command_that_is_not_there_gives_127() {
    for name in ["nonexistent", "/nonexistent", "/bin/nonexistent", "./nonexistent", "/etc/passwd/x"] {
        run("").command(&[name]).fails(127, &[name]);
    }
}

fn a_command_that_cannot_run_gives_126() {
    let layer = Folder::new();
    layer.file("plain", "text");
    for name in ["/plain", "/etc", "/", "/proc/self", "/dev/null"] {
        run("--layer").option(layer.path()).command(&[name]).fails(126, &[name]);
    }
}

fn a_script_without_its_interpreter_gives_127() {
    let layer = Folder::new();
    layer.script("script", "#!/nonexistent/interpreter\n");
    run("--layer").option(layer.path()).command(&["/script"]).fails(127, &["/script"]);
}

fn a_file_of_no_format_gives_126() {
    let layer = Folder::new();
    layer.script("empty", "");
    layer.script("nonsense", "\x7fELF nonsense");
    layer.script("text", "echo no interpreter line\n");
    for name in ["/empty", "/nonsense", "/text"] {
        run("--layer").option(layer.path()).command(&[name]).fails(126, &[name]);
    }
}

fn a_failure_of_pipkin_gives_125() {
    run("--tmpfs /x:size=1k,nr_inodes=x").sh("true").expect_refusal(&[]);
    run("-u nobody-of-that-name").sh("true").expect_refusal(&["nobody-of-that-name"]);
}

fn children_left_behind_end_with_the_command() {
    // They hold the output too: that nobody does is part of every case.
    run("").sh("sleep 1000 & sleep 1000 & (setsid sleep 1000 &); echo done").prints("done\n");
}
