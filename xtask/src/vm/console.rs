//! The machine's serial console: shown as it comes, kept, and read for the exit status.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// What Pipkin as `/init` says before the number.
const EXIT_STATUS: &str = "pipkin: exit status ";
/// More than this on the console is a machine gone wild.
const OUTPUT_MAX_BYTES: usize = 64 << 20;
/// Lines shown of a machine that was given up.
const LAST_LINES: usize = 40;

/// A machine that ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What the console said, in lines that end with `\n` alone.
    pub(crate) output: String,
    /// The job's exit status; none when the machine ended before it could tell.
    pub(crate) status: Option<u8>,
}

/// What is done with the console's output beside keeping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// All of it goes to standard output as it comes.
    Live,
    /// Its end becomes part of the error, if there is one.
    LastWords,
}

impl Show {
    /// The end of what the machine said, for those who have not seen it.
    fn words(self, said: &[u8]) -> String {
        if self == Show::Live {
            return String::new();
        }
        let text = String::from_utf8_lossy(said);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        format!("; its last words:\n{}", lines.get(from..).unwrap_or_default().join("\n"))
    }
}

/// What is still to be typed, each text once the words before it were said.
struct Typist {
    rest: &'static [(&'static str, &'static str)],
    keyboard: Option<ChildStdin>,
    /// How much of what was said has been answered.
    answered: usize,
}

impl Typist {
    /// Types what is due.
    fn answer(&mut self, said: &[u8]) -> Result<()> {
        while let Some(((words, text), rest)) = self.rest.split_first() {
            let news = said.get(self.answered..).unwrap_or_default();
            let found = news.windows(words.len()).position(|part| part == words.as_bytes());
            let (Some(at), Some(keyboard)) = (found, &mut self.keyboard) else { break };
            self.answered += at + words.len();
            self.rest = rest;
            keyboard.write_all(text.as_bytes()).and_then(|()| keyboard.flush()).context("typing")?;
        }
        Ok(())
    }
}

/// Starts qemu and follows its standard output until it ends, or its machine halts.
///
/// # Errors
/// qemu failing, the deadline, or endless output; the process is killed and reaped in each case.
pub(super) fn watch(
    qemu: &mut Command,
    typed: &'static [(&'static str, &'static str)],
    timeout: Duration,
    show: Show,
) -> Result<Ended> {
    let deadline = Instant::now() + timeout;
    qemu.stdin(if typed.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut process = Process(qemu.stdout(Stdio::piped()).spawn().context("starting qemu")?);
    let mut stdout = process.0.stdout.take().context("taking qemu's output")?;
    let mut typist = Typist { rest: typed, keyboard: process.0.stdin.take(), answered: 0 };
    let (sender, chunks) = mpsc::sync_channel(16);
    // Ends with the pipe, or with the receiver when this function gives up.
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        loop {
            let chunk = match stdout.read(&mut buffer) {
                Ok(0) => return,
                Ok(len) => Ok(buffer.get(..len).unwrap_or_default().to_vec()),
                Err(error) => Err(error),
            };
            let failed = chunk.is_err();
            if sender.send(chunk).is_err() || failed {
                return;
            }
        }
    });
    let mut said = Vec::new();
    loop {
        match chunks.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(chunk) => {
                let mut chunk = chunk.context("reading qemu's output")?;
                // The console's lines end as a terminal wants them.
                chunk.retain(|byte| *byte != b'\r');
                if show == Show::Live {
                    let mut out = std::io::stdout().lock();
                    out.write_all(&chunk).and_then(|()| out.flush()).context("showing the console")?;
                }
                said.extend_from_slice(&chunk);
                typist.answer(&said)?;
                if is_halted(&said) {
                    return Ok(ended(&said));
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                bail!("the machine was killed after {} s{}", timeout.as_secs(), show.words(&said))
            }
        }
        if said.len() > OUTPUT_MAX_BYTES {
            bail!("the machine was killed: it would not stop talking{}", show.words(&said));
        }
    }
    let status = process.wait()?;
    if !status.success() {
        bail!("qemu: {status}{}", show.words(&said));
    }
    Ok(ended(&said))
}

fn ended(said: &[u8]) -> Ended {
    let output = String::from_utf8_lossy(said).into_owned();
    let status = exit_status(&output);
    Ended { output, status }
}

/// Whether the kernel says that the machine stands still, with the power on: it never ends by itself.
fn is_halted(said: &[u8]) -> bool {
    said.trim_ascii_end().ends_with(b"reboot: System halted")
}

/// The number on the last line that tells one: an earlier line may be something the job has printed.
pub(super) fn exit_status(output: &str) -> Option<u8> {
    output.lines().rev().find_map(|line| line.trim().strip_prefix(EXIT_STATUS)?.parse().ok())
}

/// A process that does not outlive the interest in it.
struct Process(Child);

impl Process {
    fn wait(&mut self) -> Result<ExitStatus> {
        self.0.wait().context("waiting for qemu")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has been waited for.
        if self.0.kill().is_ok() && self.0.wait().is_err() {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Show, exit_status, watch};
    use std::process::Command;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_last_status_counts() {
        assert_eq!(exit_status("pipkin: exit status 0\nx\n\npipkin: exit status 7\r\n"), Some(7));
        assert_eq!(exit_status("pipkin: exit status 256\n"), None);
        assert_eq!(exit_status("panic\n"), None);
    }

    #[test]
    fn output_and_status_are_kept() {
        let ended =
            watch(&mut shell("printf 'a\\r\\npipkin: exit status 3\\r\\n'"), &[], LONG, Show::LastWords)
                .unwrap();
        assert_eq!(ended.output, "a\npipkin: exit status 3\n");
        assert_eq!(ended.status, Some(3));
    }

    #[test]
    fn a_failing_qemu_is_told_with_the_last_words() {
        let error = watch(&mut shell("echo panic; exit 1"), &[], LONG, Show::LastWords).unwrap_err();
        assert!(error.to_string().contains("exit status: 1") && error.to_string().ends_with("panic"));
    }

    #[test]
    fn what_is_to_be_typed_is_typed_when_it_is_asked_for() {
        let script = "echo name; read -r a; echo \"name $a\"; read -r b; echo \"$a and $b\"";
        let typed = &[("name", "x\n"), ("name", "y\n"), ("never", "z\n")];
        let ended = watch(&mut shell(script), typed, LONG, Show::LastWords).unwrap();
        assert_eq!(ended.output, "name\nname x\nx and y\n");
    }

    #[test]
    fn a_machine_that_has_halted_is_not_waited_for() {
        let script = "echo 'pipkin: exit status 4'; echo '[ 1.5] reboot: System halted'; exec sleep 1000";
        assert_eq!(watch(&mut shell(script), &[], LONG, Show::LastWords).unwrap().status, Some(4));
    }

    #[test]
    fn a_silent_machine_is_killed() {
        let error =
            watch(&mut shell("echo hung; exec sleep 1000"), &[], Duration::from_millis(300), Show::LastWords);
        assert!(error.unwrap_err().to_string().contains("killed after"));
    }

    #[test]
    fn last_words_are_not_all_words() {
        let said: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert!(Show::LastWords.words(said.as_bytes()).starts_with("; its last words:\n60\n"));
        assert_eq!(Show::Live.words(said.as_bytes()), "");
    }
}
