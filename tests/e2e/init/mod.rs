//! The duties of an init, shown on the program: forwarding, reaping, the end, the terminal, and where it can live.

mod alone;
mod end;
mod place;
mod service;
mod signal;
mod terminal;

use crate::program::pipkin;
use libtest_mimic::{Failed, Trial};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything here takes on the slowest machine; what takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn cases() -> Vec<Trial> {
    [signal::cases(), end::cases(), terminal::cases(), place::cases(), service::cases(), alone::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// `pipkin init` with `options` and the command `words`.
fn init(options: &[&str], words: &Command) -> Command {
    let mut command = pipkin();
    command.arg("init").args(options).arg("--").arg(words.get_program()).args(words.get_args());
    command
}

/// A shell command line.
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

/// A running program whose lines are read as they come, and which does not outlive its case.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self, Failed> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let mut child = command.spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("no standard output")?;
        let (told, lines) = channel();
        std::thread::spawn(move || {
            // Ends with the last process that holds the pipe, or when the case no longer listens.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, input, lines })
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    fn kill(&self, signal: i32) -> Result<(), Failed> {
        pipkin::sys::signal::kill(self.pid(), signal).map_err(|errno| format!("kill: {errno}").into())
    }

    /// The next line, which must be `expected`.
    fn tells(&self, expected: &str) -> Result<(), Failed> {
        let line = self.line()?;
        if line == expected { Ok(()) } else { Err(format!("told {line:?} instead of {expected:?}").into()) }
    }

    fn line(&self) -> Result<String, Failed> {
        self.lines.recv_timeout(LIMIT).map_err(|error| format!("no further line: {error}").into())
    }

    /// The lines until nobody can write any more: every process that held standard output has ended.
    fn rest(&self) -> Result<Vec<String>, Failed> {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => lines.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Ok(lines),
                Err(error) => return Err(format!("still running after {lines:?}: {error}").into()),
            }
        }
    }

    /// Waits for the end.
    fn end(&mut self) -> Result<ExitStatus, Failed> {
        let mut ended = None;
        until("the end", || {
            ended = self.child.try_wait().ok().flatten();
            ended.is_some()
        })?;
        ended.ok_or_else(|| "not ended".into())
    }

    /// Waits for the end, which must be by this exit code.
    fn ends_with(&mut self, code: i32) -> Result<(), Failed> {
        let status = self.end()?;
        if status.code() == Some(code) {
            Ok(())
        } else {
            Err(format!("{status} instead of code {code}").into())
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            // The payloads that wait do so for the end of this, or for TERM.
            drop(self.input.take());
            for signal in [15, 9] {
                if let Ok(Some(_)) = self.child.try_wait() {
                    return;
                }
                if pipkin::sys::signal::kill(self.pid(), signal).is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            drop(self.child.wait());
        });
    }
}

/// Waits until `holds`.
fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), Failed> {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > LIMIT {
            return Err(format!("waited in vain for {what}").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The state letter and the parent of a process (proc_pid_stat(5)).
fn state_and_parent(pid: i32) -> Option<(String, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold spaces and brackets.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// The value of a line of `/proc/PID/status`.
fn status(pid: i32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// The children of `pid`, each with its state letter.
fn children(pid: i32) -> Vec<(i32, String)> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|child| {
        let (state, parent) = state_and_parent(child)?;
        (parent == pid).then_some((child, state))
    })
    .collect()
}

/// A directory of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn make(name: &str) -> Result<Self, Failed> {
        let path = std::env::temp_dir().join(format!("pipkin-e2e-{}-{name}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            drop(std::fs::remove_dir_all(&self.0));
        });
    }
}
