//! A connection to a message bus, or to systemd itself: authentication, calls and their answers, signals.

use super::wire::{self, ANSWER, FAULT, Message, Object, Reader, SIGNAL, Writer};
use crate::oci::caller;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read, retry_on_intr};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with, sockopt,
};
use std::time::{Duration, Instant};

/// How long everything on one connection may take, however much of what is not asked for comes in between. It is there
/// to end a hang: a busy manager may take seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest line of the authentication.
const LINE: usize = 256;

const BUS: Object = Object {
    service: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// Why something cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// What the kernel said.
    Kernel(Errno),
    /// What the other side said, or we say of it.
    Words(Vec<u8>),
}

impl From<Errno> for Why {
    fn from(errno: Errno) -> Self {
        Self::Kernel(errno)
    }
}

fn words(text: &str) -> Why {
    Why::Words(text.into())
}

/// A connection.
pub(super) struct Bus {
    socket: OwnedFd,
    serial: u32,
    deadline: Instant,
}

impl Bus {
    /// Connects to the socket at `path`; `direct` when it is systemd's own and no bus is in between.
    pub(super) fn connect(path: &str, direct: bool) -> Result<Self, Why> {
        Self::connect_within(path, direct, PATIENCE)
    }

    fn connect_within(path: &str, direct: bool, patience: Duration) -> Result<Self, Why> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // A full queue of whoever listens there would hold us up too.
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        let mut bus = Self { socket, serial: 0, deadline: Instant::now() + patience };
        bus.authenticate()?;
        if !direct {
            bus.call(&BUS, "Hello", "", &Writer::default())?;
            let mut rule = Writer::default();
            rule.string(b"type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
            bus.call(&BUS, "AddMatch", "s", &rule)?;
        }
        Ok(bus)
    }

    /// We are who the kernel says (D-Bus specification, authentication protocol, EXTERNAL).
    fn authenticate(&mut self) -> Result<(), Why> {
        let uid = caller::uid().to_string();
        let mut text = b"\0AUTH EXTERNAL ".to_vec();
        for digit in uid.bytes() {
            text.extend([b'3', digit]);
        }
        text.extend_from_slice(b"\r\n");
        self.send(&text)?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() >= LINE {
                return Err(words("it does not speak D-Bus"));
            }
            line.extend_from_slice(&self.receive(1)?);
        }
        if !line.starts_with(b"OK ") {
            return Err(words("it does not let us in"));
        }
        self.send(b"BEGIN\r\n")
    }

    /// Makes a call and waits for its answer.
    pub(super) fn call(
        &mut self,
        to: &Object,
        member: &str,
        signature: &str,
        body: &Writer,
    ) -> Result<Message, Why> {
        self.serial += 1;
        self.send(&wire::call(self.serial, to, member, signature, &body.bytes))?;
        loop {
            let message = self.next()?;
            match message.kind {
                ANSWER if message.answers == self.serial => return Ok(message),
                FAULT if message.answers == self.serial => {
                    // Most errors say in words what is wrong.
                    let text =
                        Reader { bytes: &message.body, at: 0 }.string().filter(|text| !text.is_empty());
                    return Err(Why::Words(text.map_or(message.name, <[u8]>::to_vec)));
                }
                _ => {}
            }
        }
    }

    /// Waits for the next signal called `name`.
    pub(super) fn signal(&mut self, name: &[u8]) -> Result<Message, Why> {
        loop {
            let message = self.next()?;
            if message.kind == SIGNAL && message.name == name {
                return Ok(message);
            }
        }
    }

    fn next(&mut self) -> Result<Message, Why> {
        let malformed = || words("what it sent is no message of D-Bus");
        let mut bytes = self.receive(16)?;
        let length = bytes.first_chunk().and_then(wire::length).ok_or_else(malformed)?;
        bytes.extend(self.receive(length - 16)?);
        wire::read(&bytes).ok_or_else(malformed)
    }

    fn send(&self, mut bytes: &[u8]) -> Result<(), Why> {
        while !bytes.is_empty() {
            self.wait(PollFlags::OUT)?;
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match retry_on_intr(|| send(&self.socket, bytes, flags)) {
                Err(Errno::AGAIN) => {}
                sent => bytes = &bytes[sent?..],
            }
        }
        Ok(())
    }

    /// Waits until the socket can be read or written.
    fn wait(&self, flags: PollFlags) -> Result<(), Why> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut ready = [PollFd::new(&self.socket, flags)];
        // Whoever never falls silent is always ready.
        if left == Timespec::default() || retry_on_intr(|| poll(&mut ready, Some(&left)))? == 0 {
            return Err(Errno::TIMEDOUT.into());
        }
        Ok(())
    }

    fn receive(&self, count: usize) -> Result<Vec<u8>, Why> {
        let mut bytes = vec![0; count];
        let mut got = 0;
        while got < count {
            self.wait(PollFlags::IN)?;
            match retry_on_intr(|| read(&self.socket, &mut bytes[got..]))? {
                0 => return Err(Errno::CONNRESET.into()),
                more => got += more,
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    /// Connects to something that lets us in and then does `what` until we are gone. Gives why the first call of all
    /// ended.
    fn ended(name: &str, what: fn(&mut UnixStream)) -> Option<Why> {
        let name = [name, &std::process::id().to_string()].concat();
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = Vec::new();
            BufReader::new(&stream).read_until(b'\n', &mut line).unwrap();
            stream.write_all(b"OK 0\r\n").unwrap();
            what(&mut stream);
        });
        let ended = Bus::connect_within(path.to_str().unwrap(), false, Duration::from_millis(300)).err();
        std::fs::remove_file(path).unwrap();
        served.join().unwrap();
        ended
    }

    #[test]
    fn what_is_not_asked_for_does_not_put_the_deadline_off() {
        let chatters = ended("pipkin-bus-chatters", |stream| {
            let other = wire::call(1, &BUS, "Ping", "", &[]);
            while stream.write_all(&other).is_ok() {}
        });
        assert_eq!(chatters, Some(Why::Kernel(Errno::TIMEDOUT)));
    }

    #[test]
    fn silence_ends_too() {
        let silent = ended("pipkin-bus-silent", |stream| {
            // Until the other end goes.
            std::io::copy(stream, &mut std::io::sink()).unwrap();
        });
        assert_eq!(silent, Some(Why::Kernel(Errno::TIMEDOUT)));
    }
}
