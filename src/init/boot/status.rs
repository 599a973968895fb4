//! Telling the host how it ended: on the console, and where there is one, by virtio-serial and vsock.
//!
//! The port of virtio-serial is the one named `pipkin.status`; it and vsock get `exit status N` as a line, and before it,
//! where the kernel killed for want of memory, `out of memory: processes killed: N`.

use super::file;
use crate::error::{Error, Result, Stage};
use crate::init::console::{self, Message};
use crate::sys::vsock;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use heapless::Vec;
use rustix::fs::{Mode, OFlags, RawDir, open};

/// What the port is called on the other side.
const PORT: &[u8] = b"pipkin.status";
const PORTS: &CStr = c"/sys/class/virtio-ports";
/// Longest path of a port.
const CAPACITY: usize = 300;

/// Tells `status` to the host.
pub(super) fn tell_host(status: u8, vsock_port: Option<u32>) {
    let mut message = Message::plain();
    if want_of_memory(&mut message) {
        message.text("\n");
    }
    message.text("exit status ").number(u32::from(status)).text("\n");
    if let Some(port) = vsock_port {
        let sent = vsock::connect_host(port).and_then(|socket| rustix::io::write(&socket, message.bytes()));
        if let Err(errno) = sent {
            console::report(&Error::new("tell the host by vsock", errno));
        }
    }
    if let Err(error) = tell_port(message.bytes()) {
        console::report(&error);
    }
}

fn tell_port(line: &[u8]) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Without the bus there is nobody to tell.
    let Ok(ports) = open(PORTS, flags, Mode::empty()) else { return Ok(()) };
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&ports, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let port = entry.file_name().to_bytes();
        let mut path = Vec::<u8, CAPACITY>::new();
        let mut name = [0; 64];
        let named = file::join(&mut path, &[PORTS.to_bytes(), b"/", port, b"/name"])
            .and_then(|path| file::read_whole(path, &mut name).ok())
            .and_then(|length| name.get(..length));
        if named.map(<[u8]>::trim_ascii) != Some(PORT) {
            continue;
        }
        if let Some(device) = file::join(&mut path, &[b"/dev/", port]) {
            // Blocking: a reader that is slow must still get it. The caller has a deadline.
            let opened = open(device, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
            opened.and_then(|port| rustix::io::write(&port, line)).stage_on("tell the host by", port)?;
        }
    }
    Ok(())
}

/// Says on the console how often the kernel killed for want of memory, if it did.
pub(super) fn tell_memory() {
    let mut message = Message::begin();
    if want_of_memory(&mut message) {
        message.send();
    }
}

/// Adds how often the kernel killed for want of memory. Answers whether it did.
fn want_of_memory(message: &mut Message) -> bool {
    const KILLED: &[u8] = b"oom_kill ";
    let mut text = [0; 16 * 1024];
    let length = file::read_whole(c"/proc/vmstat", &mut text).unwrap_or(0);
    let lines = file::lines(text.get(..length).unwrap_or_default());
    let count = lines.filter_map(|line| line.strip_prefix(KILLED)).next();
    match count.filter(|count| *count != b"0") {
        Some(count) => message.text("out of memory: processes killed: ").name(count),
        None => return false,
    };
    true
}
