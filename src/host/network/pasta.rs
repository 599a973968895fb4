//! pasta(1), which connects the container of somebody who is not root: what the container sends to an interface of its
//! own goes out by ordinary sockets of the caller's.
//!
//! Duty: start it, hear that the interface is there, and end it with the container. It is a child of ours and dies with
//! us. It gets neither a way to the host's loopback nor ports that were not asked for.

use crate::error::{Error, Result, Stage};
use crate::plan::HELPER_PORTS;
use crate::spec::{Network, Publish, Transport};
use crate::sys::process::{Side, StrArray, StrPtr, clone, duplicate_onto, execve, exit};
use crate::sys::signal::{SignalSet, reset_actions, set_mask};
use crate::sys::spawn::close_inherited;
use core::ffi::CStr;
use heapless::{String, Vec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, getpid, set_parent_process_death_signal};
use ufmt::uwrite;

/// Where it is sought.
const PROGRAMS: [&CStr; 3] =
    [c"/usr/bin/pasta", c"/usr/local/bin/pasta", c"/run/current-system/sw/bin/pasta"];
/// How long it may take to make the interface. It is there to end a hang.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
/// What is kept of what it says; the end tells.
const SAID: usize = 512;
const STAGE: &str = "have pasta connect the network";

/// Arguments that are always the same: it stays our child, sets up the interface itself, maps neither the gateway's
/// address nor ports inside to the host's loopback, and writes its pid when all is there.
const ALWAYS: [&CStr; 15] = [
    c"pasta",
    c"--foreground",
    c"--quiet",
    c"--config-net",
    c"--no-map-gw",
    c"--no-netns-quit",
    c"--pid",
    c"/proc/self/fd/1",
    c"-T",
    c"none",
    c"-U",
    c"none",
    c"--netns",
    c"/proc/self/fd/0",
    c"--userns",
];

/// One argument with its NUL: two addresses and ports, or a path.
type Word = String<80>;

/// Its file, if it is installed.
#[must_use]
pub fn pasta() -> Option<&'static CStr> {
    PROGRAMS.into_iter().find(|path| rustix::fs::access(*path, rustix::fs::Access::EXEC_OK).is_ok())
}

/// A pasta that was started.
pub(in crate::host) struct Pasta {
    /// The process, which is our child.
    pub(in crate::host) pidfd: OwnedFd,
    /// What it says, and the user namespace that it finds by our descriptor, until it has made the interface.
    start: Option<(OwnedFd, OwnedFd)>,
}

impl Pasta {
    /// Starts it for the namespaces of `child`, which has not begun to hide itself.
    ///
    /// # Errors
    /// `ENOENT` when it is not installed, `E2BIG` for too many ports, and those of starting it.
    pub(in crate::host) fn start(network: &Network<'_>, child: Pid) -> Result<Self> {
        let program = pasta().ok_or(Error::new(STAGE, Errno::NOENT))?;
        let [user, net] = ["user", "net"].map(|kind| open_namespace(child, kind));
        let (user, net) = (user?, net?);
        let user_word = own_path(&user)?;
        let ports = ports(network.ports)?;
        let (voice, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).stage(STAGE)?;
        let mut argv: Vec<StrPtr<'_>, { ALWAYS.len() + 2 + 2 * HELPER_PORTS }> = Vec::new();
        let fixed = ALWAYS.into_iter().chain([text(&user_word)]);
        let asked = ports.iter().flat_map(|(option, word)| [*option, text(word)]);
        for word in fixed.chain(asked) {
            argv.push(StrPtr::new(word)).map_err(|_| Error::new(STAGE, Errno::TOOBIG))?;
        }
        argv.push(StrPtr::END).map_err(|_| Error::new(STAGE, Errno::TOOBIG))?;
        let argv = StrArray::new(&argv).ok_or(Error::new(STAGE, Errno::INVAL))?;
        match clone(0, None).stage(STAGE)? {
            Side::Child => {
                let errno = become_pasta(program, argv, &net, &theirs).unwrap_or_else(|errno| errno);
                exit(u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX))
            }
            Side::Parent(_, pidfd) => Ok(Self { pidfd, start: Some((voice, user)) }),
        }
    }

    /// Waits until the interface is there. What it says of itself afterwards goes nowhere.
    ///
    /// # Errors
    /// `ENETUNREACH` about its last words when it ended instead, `ETIMEDOUT`.
    pub(in crate::host) fn wait(&mut self) -> Result<()> {
        let (voice, _user) = self.start.take().ok_or(Error::new(STAGE, Errno::INVAL))?;
        let mut said = [0; SAID];
        let mut length = 0_usize;
        loop {
            let mut ready = [PollFd::new(&voice, PollFlags::IN)];
            if retry_on_intr(|| poll(&mut ready, Some(&PATIENCE))).stage(STAGE)? == 0 {
                return Err(Error::new(STAGE, Errno::TIMEDOUT));
            }
            if length == SAID {
                // The first half is old news.
                said.copy_within(SAID / 2.., 0);
                length = SAID / 2;
            }
            let room = said.get_mut(length..).unwrap_or_default();
            let read = retry_on_intr(|| rustix::io::read(&voice, &mut *room)).stage(STAGE)?;
            length = length.saturating_add(read);
            let whole = said.get(..length).unwrap_or_default();
            let is_pid = |line: &[u8]| !line.is_empty() && line.iter().all(u8::is_ascii_digit);
            let mut lines = whole.split(|byte| *byte == b'\n');
            // What follows the last newline is no whole line.
            let last = lines.next_back().unwrap_or_default();
            if lines.clone().any(is_pid) {
                return Ok(());
            }
            if read == 0 {
                // A system without a log has it complain of that after each line.
                let told = |line: &&[u8]| !line.is_empty() && !line.ends_with(b"to syslog");
                let words = lines.chain([last]).rfind(told).unwrap_or(b"it ended");
                return Err(Error::on(STAGE, words, Errno::NETUNREACH));
            }
        }
    }
}

/// In the new process: becomes the program. It reads nothing; what it finds as standard input is the network namespace,
/// the one descriptor beside the outputs that every version keeps.
fn become_pasta(
    program: &CStr,
    argv: StrArray<'_>,
    net: &OwnedFd,
    voice: &OwnedFd,
) -> rustix::io::Result<Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    duplicate_onto(net, 0)?;
    duplicate_onto(voice, 1)?;
    duplicate_onto(voice, 2)?;
    close_inherited(0, &[]);
    // It ignores SIGPIPE itself: once the container runs nobody listens any more. Some versions fail where it is ignored
    // already.
    reset_actions()?;
    set_mask(SignalSet::EMPTY)?;
    Ok(execve(program, argv, StrArray::EMPTY))
}

/// Opens a namespace of the child, which later lets nobody look at it. The pid cannot have been used again: it is our
/// child, which we have not reaped.
fn open_namespace(child: Pid, kind: &str) -> Result<OwnedFd> {
    let mut path = Word::new();
    uwrite!(&mut path, "/proc/{}/ns/{}\0", child.as_raw_nonzero().get(), kind)
        .map_err(|_| Error::new(STAGE, Errno::NAMETOOLONG))?;
    openat(CWD, text(&path), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).stage(STAGE)
}

/// By which path another process of ours finds what is open here.
fn own_path(file: &OwnedFd) -> Result<Word> {
    let mut path = Word::new();
    uwrite!(&mut path, "/proc/{}/fd/{}\0", getpid().as_raw_nonzero().get(), file.as_raw_fd())
        .map_err(|_| Error::new(STAGE, Errno::NAMETOOLONG))?;
    Ok(path)
}

fn text(word: &Word) -> &CStr {
    CStr::from_bytes_with_nul(word.as_bytes()).unwrap_or_default()
}

/// What it is told of ports, and by which option: `192.0.2.1/8000-8009:80-89`.
fn ports(ports: &[Publish]) -> Result<Vec<(&'static CStr, Word), { HELPER_PORTS }>> {
    let mut words = Vec::new();
    let full = |_| Error::new(STAGE, Errno::TOOBIG);
    for (option, transport) in [(c"-t", Transport::Tcp), (c"-u", Transport::Udp)] {
        for port in ports.iter().filter(|port| port.transport == transport) {
            words.push((option, port_word(port).map_err(|_| full(()))?)).map_err(|_| full(()))?;
        }
        if !ports.iter().any(|port| port.transport == transport) {
            let mut none = Word::new();
            none.push_str("none\0").map_err(|_| full(()))?;
            words.push((option, none)).map_err(|_| full(()))?;
        }
    }
    Ok(words)
}

fn port_word(port: &Publish) -> core::result::Result<Word, core::fmt::Error> {
    let mut word = Word::new();
    if let Some(host) = port.host {
        core::fmt::write(&mut word, format_args!("{host}"))?;
        word.push('/').map_err(|_| core::fmt::Error)?;
    }
    let last = |first: u16| first.saturating_add(port.count.saturating_sub(1));
    let (outside, inside) = (port.host_port, port.port);
    uwrite!(&mut word, "{}-{}:{}-{}\0", outside, last(outside), inside, last(inside))
        .map_err(|_| core::fmt::Error)?;
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_one_option_each() {
        let port = |transport, host: Option<&str>, host_port, port, count| Publish {
            transport,
            host: host.map(|text| text.parse().unwrap()),
            host_port,
            port,
            count,
        };
        let told = |given: &[Publish], expected: [[&str; 2]; 2]| {
            let words = ports(given).unwrap();
            let shown =
                words.iter().map(|(option, word)| [*option, text(word)].map(|part| part.to_str().unwrap()));
            for (shown, expected) in shown.zip(expected) {
                assert_eq!(shown, expected);
            }
            assert_eq!(words.len(), 2);
        };
        told(&[], [["-t", "none"], ["-u", "none"]]);
        let web = port(Transport::Tcp, Some("192.0.2.1"), 8000, 80, 10);
        let dns = port(Transport::Udp, Some("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), 65_535, 65_535, 1);
        let longest = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/65535-65535:65535-65535";
        told(&[dns, web], [["-t", "192.0.2.1/8000-8009:80-89"], ["-u", longest]]);
        let many = [port(Transport::Tcp, None, 1, 1, 1); HELPER_PORTS];
        assert_eq!(ports(&many).unwrap_err().errno, Errno::TOOBIG);
    }
}
