//! The terminal: who is in its foreground, before, during and after.

use super::{LIMIT, Running, init, shell};
use crate::role::play;
use libtest_mimic::{Failed, Trial};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// Prints the process group of the shell and the foreground group of its terminal (proc_pid_stat(5)).
const GROUPS: &str = "cut -d' ' -f5,8 /proc/self/stat";

pub(super) fn cases() -> Vec<Trial> {
    let mut cases = vec![
        Trial::test("init::the_payload_is_in_the_foreground", the_payload_is_in_the_foreground),
        Trial::test("init::an_interrupt_reaches_the_payload", an_interrupt_reaches_the_payload),
        Trial::test("init::a_resize_reaches_the_payload", a_resize_reaches_the_payload),
        Trial::test("init::the_foreground_is_given_back", the_foreground_is_given_back),
        Trial::test("init::a_background_init_takes_nothing", a_background_init_takes_nothing),
        Trial::test("init::inits_nest_on_a_terminal", inits_nest_on_a_terminal),
    ];
    // The shell of the test machine speaks of its jobs in other words.
    if std::env::var_os("PIPKIN_VM").is_none() {
        cases.push(Trial::test("init::a_stopped_job_goes_on", a_stopped_job_goes_on));
    }
    cases
}

/// A program in a session of its own on a new terminal.
struct Seated {
    running: Running,
    terminal: Arc<OwnedFd>,
    lines: Receiver<String>,
}

impl Seated {
    fn start(command: &Command) -> Result<Self, Failed> {
        let terminal = open_terminal().map_err(|errno| format!("no terminal: {errno}"))?;
        // The other end is passed by name: the program must open it itself to have it as controlling terminal.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let peer = ioctl_tiocgptpeer(&terminal, flags).map_err(|errno| format!("no other end: {errno}"))?;
        let name = std::fs::read_link(format!("/proc/self/fd/{}", peer.as_raw_fd()))?;
        let mut seated = play("terminal");
        seated.arg(name).arg(command.get_program()).args(command.get_args());
        let running = Running::start(&mut seated)?;
        let terminal = Arc::new(terminal);
        let lines = read_lines(Arc::clone(&terminal), peer);
        Ok(Self { running, terminal, lines })
    }

    /// What is told next: a line that ends with `wanted`, since the terminal shows what was typed before it.
    fn tells(&self, wanted: &str) -> Result<(), Failed> {
        let line = self.line()?;
        if line.ends_with(wanted) {
            Ok(())
        } else {
            Err(format!("told {line:?} instead of {wanted:?}").into())
        }
    }

    fn line(&self) -> Result<String, Failed> {
        self.lines.recv_timeout(LIMIT).map_err(|error| format!("no further line: {error}").into())
    }

    /// The two numbers that [`GROUPS`] prints.
    fn groups(&self) -> Result<(i32, i32), Failed> {
        let line = self.line()?;
        let (own, foreground) = line.split_once(' ').ok_or("two numbers")?;
        Ok((own.parse()?, foreground.parse()?))
    }
}

fn open_terminal() -> rustix::io::Result<OwnedFd> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    Ok(terminal)
}

/// Reads what is written on the terminal. `peer` keeps it from ending before its user has opened it.
fn read_lines(terminal: Arc<OwnedFd>, peer: OwnedFd) -> Receiver<String> {
    let (told, lines) = channel();
    std::thread::spawn(move || {
        let (mut text, mut peer) = (Vec::new(), Some(peer));
        let mut buffer = [0; 1024];
        // EIO is the end: the last user has closed it.
        while let Ok(read @ 1..) = rustix::io::read(&*terminal, &mut buffer) {
            drop(peer.take());
            text.extend_from_slice(&buffer[..read]);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                if told.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
            }
        }
    });
    lines
}

fn the_payload_is_in_the_foreground() -> Result<(), Failed> {
    let mut seated = Seated::start(&init(&[], &shell(GROUPS)))?;
    let (own, foreground) = seated.groups()?;
    seated.running.ends_with(0)?;
    // The session leader's group is init's.
    let apart = own == foreground && own != seated.running.pid();
    if apart { Ok(()) } else { Err(format!("group {own}, foreground {foreground}").into()) }
}

fn an_interrupt_reaches_the_payload() -> Result<(), Failed> {
    let script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.1; done";
    let mut seated = Seated::start(&init(&[], &shell(script)))?;
    seated.tells("ready")?;
    rustix::io::write(&*seated.terminal, b"\x03").map_err(|errno| format!("write: {errno}"))?;
    seated.tells("interrupted")?;
    seated.running.ends_with(9)
}

fn a_resize_reaches_the_payload() -> Result<(), Failed> {
    let mut seated = Seated::start(&init(&[], &play("signals")))?;
    seated.tells("ready")?;
    let size = Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&*seated.terminal, size).map_err(|errno| format!("resize: {errno}"))?;
    seated.tells("28")?;
    seated.running.kill(64)?;
    seated.tells("64")?;
    seated.running.ends_with(0)
}

/// A script without job control stays in one group: when init ends, that group must be in the foreground again.
fn the_foreground_is_given_back() -> Result<(), Failed> {
    let contained = words(&init(&[], &Command::new("true")));
    let mut seated = Seated::start(&shell(&format!("{contained}; {GROUPS}")))?;
    let (own, foreground) = seated.groups()?;
    seated.running.ends_with(0)?;
    if own == foreground { Ok(()) } else { Err(format!("group {own}, foreground {foreground}").into()) }
}

fn a_background_init_takes_nothing() -> Result<(), Failed> {
    let contained = words(&init(&[], &shell(GROUPS)));
    let mut seated = Seated::start(&shell(&format!("set -m; {contained} & wait; {GROUPS}")))?;
    let (payload, foreground) = seated.groups()?;
    let (_, foreground_after) = seated.groups()?;
    seated.running.ends_with(0)?;
    // The group of a session leader is the session's first, and was in the foreground all the time, or, after it,
    // that of a later job of the same shell; never the payload's.
    if payload != foreground && payload != foreground_after && foreground == seated.running.pid() {
        return Ok(());
    }
    Err(format!("group {payload}, foreground {foreground}, afterwards {foreground_after}").into())
}

/// Ctrl-Z and `fg` in a shell with job control behind init.
fn a_stopped_job_goes_on() -> Result<(), Failed> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo here; exec sh -i"]);
    let mut seated = Seated::start(&init(&[], &shell))?;
    // What is typed before somebody has opened the terminal is shown, and taken for the word of whoever has.
    seated.tells("here")?;
    let types = |text: &[u8]| {
        rustix::io::write(&*seated.terminal, text).map_err(|errno| Failed::from(format!("write: {errno}")))
    };
    // The terminal shows what is typed, too; only what the quotes have gone from was told by a program.
    let until_told = |wanted: &str| loop {
        match seated.line() {
            Ok(line) if line.contains(wanted) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    };
    types(b"sh -c 'echo run\"\"ning; read go; echo w\"\"ent $go; exit 5'\n")?;
    until_told("running")?;
    types(b"\x1a")?;
    until_told("Stopped")?;
    types(b"fg\n")?;
    // The shell tells what it goes on with.
    until_told("sh -c")?;
    types(b"on\n")?;
    until_told("went on")?;
    types(b"exit 6\n")?;
    seated.running.ends_with(6)
}

fn inits_nest_on_a_terminal() -> Result<(), Failed> {
    let script = format!("{GROUPS}; exit 3");
    let mut seated = Seated::start(&init(&[], &init(&[], &init(&[], &shell(&script)))))?;
    let (own, foreground) = seated.groups()?;
    seated.running.ends_with(3)?;
    if own == foreground { Ok(()) } else { Err(format!("group {own}, foreground {foreground}").into()) }
}

/// A command as a shell reads it.
fn words(command: &Command) -> String {
    let all = [command.get_program()].into_iter().chain(command.get_args());
    all.map(|word| format!("'{}' ", word.to_string_lossy().replace('\'', "'\\''"))).collect()
}
