//! A container on a terminal.

use crate::harness::{Case, Folder, Running, Terminal, cases, eventually, run};
use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::io::Read;
use std::process::Stdio;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            a_shell_talks,
            its_streams_are_a_terminal,
            the_size_is_ours_from_the_start,
            a_resize_arrives,
            the_interrupt_key_interrupts_inside,
            the_stop_key_stops_inside,
            the_end_of_input_key_ends_the_shell,
            the_console_is_the_terminal,
            it_has_a_type,
            the_mode_is_restored_after_the_end,
            the_mode_is_restored_after_a_failure,
            the_mode_is_restored_after_a_signal,
            the_mode_is_restored_while_stopped,
            big_output_arrives_whole,
            a_late_reader_misses_nothing,
            what_nobody_reads_is_given_up_when_asked,
            output_without_a_terminal_of_ours,
            input_from_a_pipe_ends,
            a_terminal_of_another_user,
        ]
    )
}

const SHELL: [&str; 2] = ["/bin/sh", "-i"];

fn a_shell_talks() {
    let mut terminal = Terminal::open();
    let shell = terminal.start(&run("-it"), &SHELL);
    terminal.expect("/ # ");
    terminal.enter("echo a''b; tty\r");
    terminal.expect("ab\r\n/dev/pts/0\r\n");
    terminal.enter("exit 3\r");
    shell.wait().exits(3);
}

fn its_streams_are_a_terminal() {
    let mut terminal = Terminal::open();
    let container =
        terminal.start(&run("-it"), &["sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo all"]);
    terminal.expect("all\r\n");
    container.wait().exits(0);
}

fn the_size_is_ours_from_the_start() {
    let mut terminal = Terminal::open();
    terminal.resize(33, 111);
    let container = terminal.start(&run("-it"), &["stty", "size"]);
    terminal.expect("33 111\r\n");
    container.wait().exits(0);
}

fn a_resize_arrives() {
    let mut terminal = Terminal::open();
    let script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done";
    let container = terminal.start(&run("-it"), &["sh", "-c", script]);
    terminal.expect("ready");
    terminal.resize(50, 132);
    terminal.expect("50 132\r\n");
    container.kill_and_clean();
}

fn the_interrupt_key_interrupts_inside() {
    let mut terminal = Terminal::open();
    let shell = terminal.start(&run("-it"), &SHELL);
    terminal.expect("/ # ");
    // As below: the job itself says when the key will be its own.
    terminal.enter("sh -c \"echo s''tarted; exec sleep 1000\"\r");
    terminal.expect("started\r\n");
    terminal.enter("\x03");
    terminal.expect("/ # ");
    terminal.enter("echo code $?\r");
    terminal.expect("code 130\r\n");
    terminal.enter("exit\r");
    shell.wait().exits(0);
}

fn the_stop_key_stops_inside() {
    let mut terminal = Terminal::open();
    let shell = terminal.start(&run("-it"), &SHELL);
    terminal.expect("/ # ");
    // The job itself says so, when it has the terminal: before, the key would be the shell's, which takes no notice.
    terminal.enter("sh -c \"echo s''tarted; read word; echo went $word\"\r");
    terminal.expect("started\r\n");
    terminal.enter("\x1a");
    terminal.expect("Stopped");
    terminal.expect("/ # ");
    terminal.enter("fg\ron\r");
    terminal.expect("went");
    terminal.enter("exit 0\r");
    shell.wait().exits(0);
}

fn the_end_of_input_key_ends_the_shell() {
    let mut terminal = Terminal::open();
    let shell = terminal.start(&run("-it"), &SHELL);
    terminal.expect("/ # ");
    terminal.enter("\x04");
    shell.wait().exits(0);
}

fn the_console_is_the_terminal() {
    let mut terminal = Terminal::open();
    let script = "test -c /dev/console && echo through > /dev/console; echo o''wn > /dev/tty";
    let container = terminal.start(&run("-it"), &["sh", "-c", script]);
    terminal.expect("through\r\nown\r\n");
    container.wait().exits(0);
}

fn it_has_a_type() {
    let mut terminal = Terminal::open();
    let container = terminal.start(&run("-it").env("TERM", "vt220"), &["sh", "-c", "echo $TERM"]);
    terminal.expect("xterm\r\n");
    container.wait().exits(0);
    let container = terminal.start(&run("-it -e TERM").env("TERM", "vt220"), &["sh", "-c", "echo $TERM"]);
    terminal.expect("vt220\r\n");
    container.wait().exits(0);
}

fn the_mode_is_restored_after_the_end() {
    let mut terminal = Terminal::open();
    let before = terminal.mode();
    let shell = terminal.start(&run("-it"), &SHELL);
    terminal.expect("/ # ");
    assert_ne!(terminal.mode(), before);
    terminal.enter("exit 1\r");
    shell.wait().exits(1);
    assert_eq!(terminal.mode(), before);
}

fn the_mode_is_restored_after_a_failure() {
    let mut terminal = Terminal::open();
    let before = terminal.mode();
    let container = terminal.start(&run("-it"), &["/nonexistent"]);
    terminal.expect("/nonexistent");
    container.wait().exits(127);
    assert_eq!(terminal.mode(), before);
}

fn the_mode_is_restored_after_a_signal() {
    let mut terminal = Terminal::open();
    let before = terminal.mode();
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let container = terminal.start(&run("-it"), &["sh", "-c", script]);
    terminal.expect("ready");
    container.signal(15);
    container.wait().exits(5);
    assert_eq!(terminal.mode(), before);
}

fn the_mode_is_restored_while_stopped() {
    let mut terminal = Terminal::open();
    let before = terminal.mode();
    let shell = terminal.start(&run("-it"), &SHELL);
    terminal.expect("/ # ");
    shell.signal(20);
    crate::signal::wait_for_state(&shell, 'T');
    assert_eq!(terminal.mode(), before);
    shell.signal(18);
    crate::signal::wait_for_state(&shell, 'S');
    assert_ne!(terminal.mode(), before);
    terminal.enter("exit 4\r");
    shell.wait().exits(4);
    assert_eq!(terminal.mode(), before);
}

fn big_output_arrives_whole() {
    let mut terminal = Terminal::open();
    let script = "yes pipkin | head -n 20000; echo end''ed";
    let container = terminal.start(&run("-it"), &["sh", "-c", script]);
    terminal.expect("ended\r\n");
    container.wait().exits(0);
    assert_eq!(terminal.passed().matches("pipkin\r\n").count(), 20_000);
}

/// A container that has written 2000 lines to its terminal, and ended, before anybody reads the pipe behind that: it has
/// room for one read of several.
fn start_unread() -> (Running, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    fcntl_setpipe_size(&writer, 4096).expect("a small one");
    let folder = Folder::new();
    let script = "yes pipkin | head -n 2000; touch /told/end";
    let mut line = run("-t").volume(folder.path(), "/told").line(&["sh", "-c", script]);
    line.stdin(Stdio::null()).stdout(writer);
    let container = Running::start_as_is(line);
    eventually("it has written all", &mut || folder.join("end").exists());
    let children = format!("/proc/{0}/task/{0}/children", container.pid());
    eventually("it has ended", &mut || {
        let child = std::fs::read_to_string(&children).expect("the children");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        stat.is_ok_and(|stat| stat.contains(") Z "))
    });
    (container, reader)
}

fn a_late_reader_misses_nothing() {
    let (container, reader) = start_unread();
    let mut shown = String::new();
    std::fs::File::from(reader).read_to_string(&mut shown).expect("what it shows");
    container.wait().exits(0);
    assert_eq!(shown.matches("pipkin\r\n").count(), 2000);
}

fn what_nobody_reads_is_given_up_when_asked() {
    let (container, _reader) = start_unread();
    eventually("a signal ends it", &mut || {
        container.signal(15);
        container.state() == 'Z'
    });
    container.wait().exits(0);
}

fn output_without_a_terminal_of_ours() {
    run("-t").sh("test -t 0 && test -t 1 && echo terminal").prints("terminal\r\n");
}

fn input_from_a_pipe_ends() {
    let outcome = run("-it").input(*b"typed\n").command(&["cat"]).succeeds();
    assert_eq!(outcome.text(), "typed\r\ntyped\r\n");
}

fn a_terminal_of_another_user() {
    let mut terminal = Terminal::open();
    let container =
        terminal.start(&run("-it -u nobody"), &["sh", "-c", "stat -c %U:%a $(tty); echo x > $(tty)"]);
    terminal.expect("nobody:620\r\nx\r\n");
    container.wait().exits(0);
}
