//! What PID 1 says, on standard error (in boot mode the console), without core::fmt and without memory of its own.
//!
//! A message that cannot be written is lost: there is nobody left to tell.

use super::payload::{DIGITS, decimal};
use crate::error::{Error, Subject};
use crate::sys::stdio::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Longest stretch written at once; longer messages go out in several writes.
const CAPACITY: usize = 256;

/// A message being made. It starts with `pipkin: ` and ends, with a newline, when it is sent.
#[must_use = "a message is written by `send`"]
pub struct Message {
    len: usize,
    bytes: [u8; CAPACITY],
}

impl Message {
    /// A message with nothing in it yet.
    pub fn begin() -> Self {
        let mut message = Self::plain();
        message.extend(b"pipkin: ");
        message
    }

    /// A message without that head, whose bytes go elsewhere.
    pub fn plain() -> Self {
        Self { len: 0, bytes: [0; CAPACITY] }
    }

    /// What it says so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Adds a text of ours.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.extend(text.as_bytes())
    }

    /// Adds a text from outside: what could steer a terminal becomes `?`.
    pub fn name(&mut self, name: &[u8]) -> &mut Self {
        for byte in name {
            self.push(if byte.is_ascii_control() { b'?' } else { *byte });
        }
        self
    }

    /// Adds a decimal number.
    pub fn number(&mut self, number: u32) -> &mut Self {
        let mut digits = [0_u8; DIGITS];
        self.extend(decimal(number, &mut digits))
    }

    /// Adds the kernel's reason.
    pub fn errno(&mut self, errno: Errno) -> &mut Self {
        match reason(errno) {
            Some(text) => self.text(text),
            None => self.text("errno ").number(errno.raw_os_error().unsigned_abs()),
        }
    }

    /// Ends the line and writes what is left of it.
    pub fn send(&mut self) {
        self.push(b'\n');
        self.flush();
    }

    fn extend(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.push(*byte);
        }
        self
    }

    fn push(&mut self, byte: u8) {
        if self.len == CAPACITY {
            self.flush();
            self.len = 0;
        }
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len = self.len.saturating_add(1);
        }
    }

    fn flush(&self) {
        let mut rest = self.bytes();
        // A console that refuses or stays full loses the message; PID 1 must not stop for it.
        while !rest.is_empty() && takes_more() {
            match rustix::io::write(Stream::Error.fd(), rest) {
                Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                _ => break,
            }
        }
    }
}

/// Whether standard error takes a message without blocking, now or after a while: a pipe that is ready has room for
/// PIPE_BUF, more than the longest stretch.
fn takes_more() -> bool {
    const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    let mut console = [PollFd::from_borrowed_fd(Stream::Error.fd(), PollFlags::OUT)];
    poll(&mut console, Some(&PATIENCE)).is_ok_and(|ready| ready > 0)
}

/// Reports a failed action: `pipkin: <stage> <subject>: <reason>`.
pub fn report(error: &Error) {
    let mut message = Message::begin();
    message.text(error.stage);
    match error.subject {
        Subject::Nothing => &mut message,
        Subject::Name(name) => message.text(" ").text(name),
        Subject::Text(text) => message.text(" ").name(text.as_bytes()),
        Subject::Step(step) => message.text(", step ").number(u32::from(step)),
    };
    message.text(": ").errno(error.errno).send();
}

/// The words for what goes wrong at boot and exec; errno(3) has the rest under its number.
const fn reason(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::PERM => "operation not permitted",
        Errno::NOENT => "no such file or directory",
        Errno::SRCH => "no such process",
        Errno::IO => "input/output error",
        Errno::TOOBIG => "argument list too long",
        Errno::NOEXEC => "exec format error",
        Errno::AGAIN => "resource temporarily unavailable",
        Errno::NOMEM => "out of memory",
        Errno::ACCESS => "permission denied",
        Errno::BUSY => "device or resource busy",
        Errno::EXIST => "already exists",
        Errno::NODEV => "no such device",
        Errno::NOTDIR => "not a directory",
        Errno::INVAL => "invalid argument",
        Errno::NOSPC => "no space left",
        Errno::ROFS => "read-only file system",
        Errno::NAMETOOLONG => "name too long",
        Errno::NOSYS => "not known to this kernel",
        Errno::FBIG => "file too large",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &Message) -> &[u8] {
        message.bytes()
    }

    #[test]
    fn numbers_are_decimal() {
        assert_eq!(shown(Message::begin().number(0)), b"pipkin: 0");
        assert_eq!(shown(Message::begin().number(137)), b"pipkin: 137");
        assert_eq!(shown(Message::begin().number(u32::MAX)), b"pipkin: 4294967295");
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(shown(Message::begin().name(b"a\x1b[2Jb\n")), b"pipkin: a?[2Jb?");
    }

    #[test]
    fn unknown_reasons_show_their_number() {
        assert_eq!(shown(Message::begin().errno(Errno::XDEV)), b"pipkin: errno 18");
        assert_eq!(shown(Message::begin().errno(Errno::ROFS)), b"pipkin: read-only file system");
    }
}
