//! A started program, watched with a deadline.

use super::footprint::reap_orphans;
use super::outcome::Outcome;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How long anything may take. It is there to end a hang, not to judge a speed: the emulated machine is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A program that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    line: String,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    waited: bool,
}

impl Running {
    /// Starts it, with `input` on standard input, and both outputs collected.
    #[track_caller]
    pub(crate) fn start(mut command: Command, input: Option<Vec<u8>>) -> Self {
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Self::start_as_is(command);
        running.stdout = running.child.stdout.take().map(Stream::new);
        running.stderr = running.child.stderr.take().map(Stream::new);
        if let (Some(mut pipe), Some(input)) = (running.child.stdin.take(), input) {
            // A program that does not read to the end closes the pipe early; that is its right.
            std::thread::spawn(move || pipe.write_all(&input).unwrap_or(()));
        }
        running
    }

    /// Starts it with the standard streams that `command` says.
    #[track_caller]
    pub(crate) fn start_as_is(mut command: Command) -> Self {
        let line = spelled(&command);
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {line}: {error}"));
        Self { child, line, stdout: None, stderr: None, waited: false }
    }

    /// Pipkin's pid.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Pid of the container's first process on this side.
    #[track_caller]
    pub(crate) fn container_pid(&self) -> i32 {
        let pid = self.pid();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(path).expect("the children");
        children.trim().parse().unwrap_or_else(|_| panic!("one child expected, not {children:?}"))
    }

    /// Sends Pipkin a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: i32) {
        pipkin::sys::signal::kill(self.pid(), signal).expect("a signal sent");
    }

    /// Waits until standard output contains `text`.
    #[track_caller]
    pub(crate) fn expect(&self, text: &str) {
        self.stdout.as_ref().expect("standard output").expect(text, &self.line);
    }

    /// Whether standard output contains `text` by now.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.output().contains(text)
    }

    /// What has come on standard output by now.
    pub(crate) fn output(&self) -> String {
        let bytes = self.stdout.as_ref().expect("standard output").bytes();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until standard error contains `text`; false when it ended without.
    pub(crate) fn tells(&self, text: &str) -> bool {
        self.stderr.as_ref().expect("standard error").contains(text).expect("the deadline")
    }

    /// Waits for its end, and the end of its output: whoever still holds that is a process left behind.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Outcome {
        let in_time = self.ends_within(PATIENCE);
        if !in_time {
            self.child.kill().expect("it killed");
        }
        let status = self.child.wait().expect("its status");
        self.waited = true;
        let collect = |stream: &Option<Stream>| stream.as_ref().map_or(Ok(Vec::new()), Stream::whole);
        let (stdout, stderr) = (collect(&self.stdout), collect(&self.stderr));
        let closed = stdout.is_ok() && stderr.is_ok();
        let bytes = |output: Result<Vec<u8>, Vec<u8>>| output.unwrap_or_else(|so_far| so_far);
        let outcome =
            Outcome { line: self.line.clone(), status, stdout: bytes(stdout), stderr: bytes(stderr) };
        assert!(in_time, "did not end in time\n{outcome}");
        assert!(closed, "ended, but somebody still holds its output\n{outcome}");
        outcome
    }

    /// Kills Pipkin and waits for it, not for those who hold its output.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it killed");
        self.child.wait().expect("its status");
        self.waited = true;
    }

    /// The same, and lets the next command take away what is left.
    #[track_caller]
    pub(crate) fn kill_and_clean(self) {
        self.kill();
        super::run::run("").command(&["true"]).prints("");
        reap_orphans();
    }

    /// The state letter of Pipkin in `/proc/PID/stat`.
    pub(crate) fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("its state");
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).expect("a letter")
    }

    fn ends_within(&self, time: Duration) -> bool {
        let pid = Pid::from_raw(self.pid()).expect("a pid");
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd");
        let limit = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: 0 };
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).expect("a poll") > 0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            if !self.waited {
                // Both fail only when it is gone already.
                self.child.kill().unwrap_or(());
                self.child.wait().map(drop).unwrap_or(());
            }
        });
    }
}

fn spelled(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// What a pipe has given so far, and whether it has ended.
#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    ended: bool,
}

/// A pipe that is read as things come.
struct Stream(Arc<(Mutex<Collected>, Condvar)>);

impl Stream {
    fn new(mut pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Collected::default()), Condvar::new()));
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            loop {
                let length = pipe.read(&mut chunk).unwrap_or(0);
                let mut collected = ours.0.lock().expect("the output");
                collected.bytes.extend_from_slice(&chunk[..length]);
                collected.ended = length == 0;
                ours.1.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
        Self(shared)
    }

    /// Waits until `done` holds: false if it does not within our patience.
    fn wait_until(&self, done: impl Fn(&Collected) -> bool) -> bool {
        let guard = self.0.0.lock().expect("the output");
        let (_guard, waited) =
            self.0.1.wait_timeout_while(guard, PATIENCE, |collected| !done(collected)).expect("the output");
        !waited.timed_out()
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().expect("the output").bytes.clone()
    }

    /// Whether `text` comes before the end; `None` when neither does in time.
    fn contains(&self, text: &str) -> Option<bool> {
        let found = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        self.wait_until(|collected| collected.ended || found(&collected.bytes)).then(|| found(&self.bytes()))
    }

    #[track_caller]
    fn expect(&self, text: &str, line: &str) {
        let found = self.contains(text);
        assert_eq!(found, Some(true), "{text:?} in {:?}\n$ {line}", String::from_utf8_lossy(&self.bytes()));
    }

    /// All of it, or what came until our patience ended.
    fn whole(&self) -> Result<Vec<u8>, Vec<u8>> {
        let ended = self.wait_until(|collected| collected.ended);
        if ended { Ok(self.bytes()) } else { Err(self.bytes()) }
    }
}
