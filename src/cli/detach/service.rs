//! What a supervisor does while its container runs: log, requests, clocks.

use super::control::{self, Request};
use super::health::{Health, STARTING};
use super::policy::STOPPED;
use super::{Orders, STOP_TIMEOUT_MS, close_streams};
use crate::cli::launch::{errno_of, with_room};
use crate::cli::message::Failure;
use crate::cli::run::network::Facts;
use crate::cli::{event, exec};
use crate::store::log::Writer;
use crate::store::{Container, Status, now_ns, process};
use pipkin::error::{Error, Result, Stage};
use pipkin::host::{ATTENDED, Attendant, Reach, Sources};
use pipkin::sys::clock::monotonic_ms;
use pipkin::sys::stdio::Stream;
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::cell::Cell;
use std::ffi::OsString;

/// How much is read at a time.
const CHUNK: usize = 256 << 10;
/// How often one stream is read before the other sources are looked at again.
const TURNS: usize = 4;
/// How often after the container's end: more than any pipe or terminal holds, and an end where others than its own
/// processes have the stream and go on writing.
const LAST_TURNS: usize = 4096;
/// Most clients at a time.
const CLIENTS: usize = ATTENDED - FIRST_CLIENT;
/// Places among the sources, after the two outputs.
const HEALTH: usize = 2;
pub(super) const LISTENER: usize = 3;
const FIRST_CLIENT: usize = 4;

/// Why the container was made to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It was not.
    None,
    /// Somebody stopped it.
    Stopped,
    /// It ran longer than it may.
    Timeout,
}

/// A client of the control socket.
struct Client {
    socket: OwnedFd,
    /// Whether it waits for the end.
    waits: bool,
    /// Whether it is attached, and gets the terminal of the next run too.
    attached: bool,
}

/// What is known of a container from its birth on.
#[derive(Default)]
pub(super) struct News {
    /// Pid of its first process.
    pub(super) pid: Cell<i32>,
    /// What it has on the network.
    pub(super) facts: Cell<Facts>,
}

/// The supervisor's side of a running container.
pub(super) struct Service<'s> {
    pub(super) container: Container,
    orders: &'s Orders,
    /// What is to be written down once the container runs.
    news: &'s News,
    /// Where what is typed for it goes: its standard input or its terminal; `None` when it reads nothing. It stays open
    /// as long as it may be attached to.
    input: Option<OwnedFd>,
    /// Where its output comes from: standard output or its terminal, and standard error.
    outputs: [Option<OwnedFd>; 2],
    log: Writer,
    buffer: Vec<u8>,
    listener: OwnedFd,
    clients: Vec<Client>,
    /// Whoever waits for the container to run.
    ready: Option<OwnedFd>,
    pub(super) verdict: Verdict,
    /// When it has run long enough.
    ends_at_ms: Option<u64>,
    /// When it is killed, having been asked to end.
    killed_at_ms: Option<u64>,
    health: Option<Health<'s>>,
}

fn nonblocking(fd: OwnedFd) -> rustix::io::Result<OwnedFd> {
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    Ok(fd)
}

impl<'s> Service<'s> {
    /// Opens the log and the control socket of `container`.
    pub(super) fn new(
        container: &mut Option<Container>,
        orders: &'s Orders,
        news: &'s News,
        streams: (Option<OwnedFd>, [OwnedFd; 2]),
        ready: OwnedFd,
    ) -> std::result::Result<Self, Failure> {
        let fail = |errno| Failure::errno("read the container's output", b"", errno);
        let (input, [output, error]) = streams;
        let outputs = [Some(nonblocking(output).map_err(fail)?), Some(nonblocking(error).map_err(fail)?)];
        let gone = || Failure::errno("serve the container", b"", Errno::NOENT);
        let held = container.as_ref().ok_or_else(gone)?;
        let directory = held.store().layer(&held.id);
        let log = Writer::open(&directory, orders.limits).map_err(|error| {
            let failure = Failure::io("open the log in", directory.as_os_str().as_encoded_bytes(), &error);
            with_room(failure, errno_of(&error))
        })?;
        let listener = control::open(&held.store().socket_path(&held.id))?;
        Ok(Self {
            container: container.take().ok_or_else(gone)?,
            orders,
            news,
            input,
            outputs,
            log,
            buffer: Vec::new(),
            listener,
            clients: Vec::new(),
            ready: Some(ready),
            verdict: Verdict::None,
            ends_at_ms: None,
            killed_at_ms: None,
            health: None,
        })
    }

    /// Whether it has run at all.
    pub(super) fn has_started(&self) -> bool {
        self.ready.is_none()
    }

    /// Writes the record. Best effort: the container goes on without, and the next change is written again.
    pub(super) fn save(&mut self) {
        self.container.record.lost_bytes = self.log.lost;
        self.container.save().unwrap_or(());
    }

    /// Reads what a stream has now, at most so many times, and logs it.
    fn pump(&mut self, index: usize, turns: usize) -> Result<()> {
        if self.buffer.is_empty() {
            // New memory is zero: none of it is touched, and so taken, before it is needed.
            self.buffer = vec![0; CHUNK];
        }
        let read = self.read(index, turns);
        self.log.flush();
        read
    }

    fn read(&mut self, index: usize, turns: usize) -> Result<()> {
        let name = if index == 0 { "stdout" } else { "stderr" };
        for _ in 0..turns {
            let Some(output) = self.outputs.get(index).and_then(Option::as_ref) else { return Ok(()) };
            match rustix::io::read(output, self.buffer.as_mut_slice()) {
                // A terminal whose last user is gone answers EIO.
                Ok(0) | Err(Errno::IO) => {
                    if let Some(output) = self.outputs.get_mut(index) {
                        *output = None;
                    }
                }
                Ok(length) => self.log.append(name, self.buffer.get(..length).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(errno) => return Err(Error::new("read the container's output", errno)),
            }
        }
        Ok(())
    }

    /// Takes in whoever has come, when there is room.
    fn welcome(&mut self) {
        while self.clients.len() < CLIENTS
            && let Some(socket) = control::accept(&self.listener)
        {
            self.clients.push(Client { socket, waits: false, attached: false });
        }
    }

    /// Does what clients ask, those of which `asks` holds.
    fn hear(&mut self, asks: impl Fn(usize) -> bool, reach: Option<&Reach<'_>>) {
        // From the last to the first: letting one go moves only those behind it.
        for index in (0..self.clients.len()).rev() {
            if asks(index) && !self.attend(index, reach) {
                self.clients.swap_remove(index);
            }
        }
    }

    /// Does what a client asks. False when it is to be let go.
    fn attend(&mut self, index: usize, reach: Option<&Reach<'_>>) -> bool {
        let Some(client) = self.clients.get(index) else { return false };
        let (request, rest) = match control::receive(&client.socket) {
            Ok(None) => return true,
            Ok(Some(asked)) => asked,
            Err(errno) => {
                control::answer(&client.socket, errno.raw_os_error());
                return false;
            }
        };
        let answer = match request {
            Request::Stop => {
                self.stopped();
                // On its way to its command it has no use for a signal, and nobody knows its process yet.
                let alive = self.container.record.status.is_alive();
                reach.filter(|_| !alive).map_or(Ok(()), Reach::kill)
            }
            Request::Pause => self.freeze(true, reach),
            Request::Resume => self.freeze(false, reach),
            Request::Rename => {
                self.container.rename(&rest).map_err(|error| Error::new("rename", errno_of(&error)))
            }
            Request::Attach | Request::Wait => {
                if request == Request::Attach {
                    control::hand_out(&client.socket, self.input.as_ref().map(AsFd::as_fd));
                }
                if let Some(client) = self.clients.get_mut(index) {
                    (client.waits, client.attached) = (true, request == Request::Attach);
                }
                return true;
            }
        };
        if let Some(client) = self.clients.get(index) {
            control::answer(&client.socket, answer.err().map_or(0, |error| error.errno.raw_os_error()));
        }
        false
    }

    /// Somebody wants it to end, and not to be started again.
    fn stopped(&mut self) {
        if self.verdict != Verdict::Stopped {
            self.verdict = Verdict::Stopped;
            self.container.record.set(STOPPED, b"1");
            self.save();
            event::publish(&self.container, event::begin("stop", &self.container));
        }
    }

    fn freeze(&mut self, on: bool, reach: Option<&Reach<'_>>) -> Result<()> {
        reach.ok_or(Error::new("pause a container that does not run", Errno::SRCH))?.freeze(on)?;
        self.container.record.status = if on { Status::Paused } else { Status::Running };
        self.save();
        Ok(())
    }

    /// Answers those who wait for the end, also whoever has asked before it and was not heard yet.
    pub(super) fn say_goodbye(&mut self) {
        self.welcome();
        self.hear(|_| true, None);
        let status = self.container.record.exit.map_or(i32::from(u8::MAX), i32::from);
        for client in self.clients.iter().filter(|client| client.waits) {
            control::answer(&client.socket, status);
        }
    }

    /// Deals with what came, with the container or between two runs of it.
    pub(super) fn turn(&mut self, ready: &[PollFlags], reach: Option<&Reach<'_>>) -> Result<()> {
        let is_ready = |index: usize| ready.get(index).is_some_and(|flags| !flags.is_empty());
        for index in 0..2 {
            if is_ready(index) {
                self.pump(index, TURNS)?;
            }
        }
        self.hear(|client| is_ready(client + FIRST_CLIENT), reach);
        if is_ready(LISTENER) {
            self.welcome();
        }
        Ok(())
    }

    /// Looks after the health command, unless the container stands still.
    fn watch_health(&mut self, ready: &[PollFlags]) {
        let Some(health) = &mut self.health else { return };
        let ended = ready.get(HEALTH).is_some_and(|flags| !flags.is_empty());
        let paused = self.container.record.status == Status::Paused;
        if !ended && (paused || health.at_ms() > monotonic_ms()) {
            return;
        }
        let id = self.container.id;
        let state = health.turn(&|command| exec_in(id.as_str(), command));
        if let Some(state) = state.filter(|state| *state != self.container.record.health) {
            state.clone_into(&mut self.container.record.health);
            let mut told = event::begin("health", &self.container);
            told.key(b"state").string(state.as_bytes());
            event::publish(&self.container, told);
            self.save();
        }
    }

    fn watch_clocks(&mut self, reach: &Reach<'_>) -> Result<()> {
        let now_ms = monotonic_ms();
        let over = |at_ms: Option<u64>| at_ms.is_some_and(|at_ms| at_ms <= now_ms);
        if over(self.ends_at_ms) {
            self.ends_at_ms = None;
            self.verdict = Verdict::Timeout;
            let record = &self.container.record;
            self.killed_at_ms = Some(now_ms + record.stop_timeout_ms.unwrap_or(STOP_TIMEOUT_MS));
            reach.send(record.stop_signal())?;
        }
        if over(self.killed_at_ms) {
            self.killed_at_ms = None;
            reach.kill()?;
        }
        Ok(())
    }
}

/// Runs a line of the container's shell inside it, as `exec` does.
fn exec_in(id: &str, command: &str) -> u8 {
    exec(&[id, "/bin/sh", "-c", command].map(OsString::from))
}

impl Attendant for Service<'_> {
    fn executed(&mut self) -> Result<()> {
        let record = &mut self.container.record;
        record.status = Status::Running;
        record.pid = self.news.pid.get();
        record.others.retain(|key| !key.starts_with("network."));
        record.others.extend(self.news.facts.take());
        record.pid_start = process::start_of(record.pid).unwrap_or(0);
        record.started_ns = now_ns();
        // Each run has a cgroup of its own, which begins to count.
        record.oom_kills = 0;
        record.health = self.orders.health.as_ref().map_or("", |_| STARTING).to_owned();
        self.container.save().map_err(|error| Error::new("write the record", errno_of(&error)))?;
        self.health = self.orders.health.as_ref().map(Health::new);
        self.ends_at_ms = self.orders.timeout_ms.map(|ms| monotonic_ms().saturating_add(ms));
        let mut told = event::begin("start", &self.container);
        told.key(b"pid").number(i64::from(self.news.pid.get()));
        event::publish(&self.container, told);
        if let Some(ready) = self.ready.take() {
            close_streams().stage("let go of the caller's streams")?;
            // Best effort: a caller that is gone does not want to know.
            rustix::io::write(&ready, b"1").unwrap_or(0);
        }
        Ok(())
    }

    fn take_terminal(&mut self, master: OwnedFd) -> Result<()> {
        const STAGE: &str = "take over the container's terminal";
        let master = nonblocking(master).stage(STAGE)?;
        if let Some(input) = &mut self.input {
            *input = rustix::io::fcntl_dupfd_cloexec(&master, 3).stage(STAGE)?;
            for client in self.clients.iter().filter(|client| client.attached) {
                control::hand_out(&client.socket, Some(input.as_fd()));
            }
        }
        self.outputs = [Some(master), None];
        Ok(())
    }

    fn sources<'f>(&'f self, sources: &mut Sources<'f>) {
        let mut add = |fd: BorrowedFd<'f>, wanted: bool| {
            let flags = if wanted { PollFlags::IN } else { PollFlags::empty() };
            sources.push((fd, flags)).unwrap_or(());
        };
        for output in &self.outputs {
            add(output.as_ref().map_or(Stream::Input.fd(), AsFd::as_fd), output.is_some());
        }
        let health = self.health.as_ref().and_then(Health::process);
        add(health.map_or(Stream::Input.fd(), AsFd::as_fd), health.is_some());
        add(self.listener.as_fd(), self.clients.len() < CLIENTS);
        for client in &self.clients {
            add(client.socket.as_fd(), true);
        }
    }

    fn patience_ms(&self) -> Option<u64> {
        let health = self.health.as_ref().filter(|_| self.container.record.status != Status::Paused);
        let health = health.map(Health::at_ms);
        let next = [self.ends_at_ms, self.killed_at_ms, health].into_iter().flatten().min();
        next.map(|at_ms| at_ms.saturating_sub(monotonic_ms()))
    }

    fn serve(&mut self, ready: &[PollFlags], reach: &Reach<'_>) -> Result<()> {
        self.turn(ready, Some(reach))?;
        self.watch_health(ready);
        self.watch_clocks(reach)
    }

    fn out_of_memory(&mut self, kills: u64) {
        if kills > self.container.record.oom_kills {
            self.container.record.oom_kills = kills;
            let mut told = event::begin("oom", &self.container);
            told.key(b"kills").literal(&kills.to_string());
            event::publish(&self.container, told);
            self.save();
        }
    }

    fn disconnected(&mut self) {
        self.container.record.set("network.lost", b"pasta has died");
        event::publish(&self.container, event::begin("disconnect", &self.container));
        self.save();
    }

    fn rest(&mut self) {
        self.buffer = Vec::new();
        self.log.rest();
        if self.container.record.lost_bytes != self.log.lost {
            self.save();
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.health = None;
        self.pump(0, LAST_TURNS)?;
        self.pump(1, LAST_TURNS)?;
        self.rest();
        Ok(())
    }
}
