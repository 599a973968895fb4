//! A connection to a message bus, or to systemd itself: authentication, calls and their answers, signals.

use super::wire::{self, ANSWER, FAULT, Message, Object, Reader, SIGNAL, Writer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read, retry_on_intr};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};

/// How long an answer may take. It is there to end a hang: a busy manager may take seconds.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
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
}

impl Bus {
    /// Connects to the socket at `path`; `direct` when it is systemd's own and no bus is in between.
    pub(super) fn connect(path: &str, direct: bool) -> Result<Self, Why> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        let mut bus = Self { socket, serial: 0 };
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
        let uid = rustix::process::geteuid().as_raw().to_string();
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
            let sent = retry_on_intr(|| send(&self.socket, bytes, SendFlags::NOSIGNAL))?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    fn receive(&self, count: usize) -> Result<Vec<u8>, Why> {
        let mut bytes = vec![0; count];
        let mut got = 0;
        while got < count {
            let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
            if retry_on_intr(|| poll(&mut ready, Some(&PATIENCE)))? == 0 {
                return Err(Errno::TIMEDOUT.into());
            }
            match retry_on_intr(|| read(&self.socket, &mut bytes[got..]))? {
                0 => return Err(Errno::CONNRESET.into()),
                more => got += more,
            }
        }
        Ok(bytes)
    }
}
