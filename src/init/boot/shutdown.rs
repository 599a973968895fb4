//! The end of the machine: everybody killed, everything unmounted, the status told, the power off.
//!
//! Every wait has a deadline, and what could hang in the kernel runs in a child, so that nothing keeps the machine
//! from ending.

use super::file;
use super::mountinfo::{self, Entry};
use super::status;
use crate::init::best_effort;
use crate::init::console::Message;
use crate::init::option::End;
use crate::sys::clock::{monotonic_ms as now_ms, pause_ms};
use crate::sys::process::exit;
use crate::sys::signal;
use crate::sys::spawn::{Fork, fork};
use crate::sys::stdio::Stream;
use core::ffi::CStr;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::process::{Pid, WaitOptions, wait, waitpid};
use rustix::system::{RebootCommand, reboot};

const SIGKILL: i32 = 9;

/// How long killed processes may take to vanish.
const KILLED_MS: u64 = 2000;
/// How long unmounting and writing out may take.
const UNMOUNT_MS: u64 = 20_000;
/// How long the host may take to listen.
const HOST_MS: u64 = 2000;
/// How long the console may take to show what was written to it.
const DRAIN_MS: u64 = 10_000;
/// Between two attempts at something that others hold up.
const PAUSE_MS: u64 = 20;
/// How often a busy file system is tried again, and how long after.
const ATTEMPTS: u32 = 5;
const BUSY_MS: u64 = 200;

/// Ends the machine, telling `status` on the console and to the host.
pub(super) fn end(status: u8, end: End, vsock_port: Option<u32>) -> ! {
    kill_all();
    within(UNMOUNT_MS, || {
        rustix::fs::sync();
        unmount_all();
        rustix::fs::sync();
    });
    within(HOST_MS, || status::tell_host(status, vsock_port));
    tell(status);
    let command = match end {
        End::PowerOff => RebootCommand::PowerOff,
        End::Reboot => RebootCommand::Restart,
        End::Halt => RebootCommand::Halt,
    };
    // In a child: where the call returns it ends its caller (kernel/reboot.c, do_exit after a halt), and PID 1 must
    // not end.
    within(KILLED_MS, || {
        if let Err(errno) = reboot(command) {
            Message::begin().text("end the machine: ").errno(errno).send();
        }
    });
    loop {
        reap_for(KILLED_MS);
        pause_ms(u64::from(u32::MAX));
    }
}

/// Kills everybody and waits for them to be gone; kernel threads do not mind.
fn kill_all() {
    best_effort(signal::kill(-1, SIGKILL), "nobody may be left");
    reap_for(KILLED_MS);
}

/// Reaps until there is no child left.
fn reap_for(limit_ms: u64) {
    let deadline_ms = now_ms().saturating_add(limit_ms);
    while now_ms() < deadline_ms {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => pause_ms(PAUSE_MS),
            Err(_) => return,
        }
    }
}

/// Does `work` in a child and waits for it, but no longer than that. A child that hangs in the kernel is left behind.
fn within(limit_ms: u64, work: impl FnOnce()) {
    match fork() {
        Ok(Fork::Child) => {
            work();
            exit(0);
        }
        Ok(Fork::Parent(child)) => wait_for(child, limit_ms),
        // No process can be made: then it is done here, and may take as long as it likes.
        Err(_) => work(),
    }
}

fn wait_for(child: Pid, limit_ms: u64) {
    let deadline_ms = now_ms().saturating_add(limit_ms);
    while now_ms() < deadline_ms {
        match waitpid(Some(child), WaitOptions::NOHANG) {
            Ok(None) => pause_ms(PAUSE_MS),
            Err(Errno::INTR) => {}
            Ok(Some(_)) | Err(_) => return,
        }
    }
    Message::begin().text("give up waiting for the file systems or the console").send();
}

/// Unmounts what keeps data, the latest first, several times since one may hold another busy; what stays busy, and
/// the root, is made read-only.
fn unmount_all() {
    for attempt in 1..=ATTEMPTS {
        let mut busy = false;
        let mut progress = false;
        mountinfo::for_each_from_last(|mounted| {
            if mounted.keeps_data() && mounted.target != c"/" {
                let done = unmount(mounted.target, UnmountFlags::NOFOLLOW).is_ok();
                progress |= done;
                busy |= !done;
            }
        });
        if !busy {
            break;
        }
        if !progress && attempt < ATTEMPTS {
            pause_ms(BUSY_MS);
        }
    }
    mountinfo::for_each_from_last(|mounted| {
        if mounted.keeps_data() {
            make_read_only(&mounted);
        }
    });
}

fn make_read_only(mounted: &Entry<'_>) {
    if let Err(errno) = mount_remount(mounted.target, MountFlags::RDONLY, c"") {
        let name: &CStr = mounted.target;
        Message::begin().text("make read-only ").name(name.to_bytes()).text(": ").errno(errno).send();
    }
}

/// Waits until the console has shown all that was written to it, as long as that may take.
pub(super) fn drain() {
    within(DRAIN_MS, send_rest);
}

fn send_rest() {
    best_effort(rustix::termios::tcdrain(Stream::Error.fd()), "no terminal, nothing to wait for");
}

/// Writes the status alone on a line, after all else that was written, and waits until the line has left.
fn tell(status: u8) {
    best_effort(
        file::write_whole(c"/proc/sys/kernel/printk", b"1"),
        "without /proc, messages of the kernel may come between",
    );
    within(DRAIN_MS, || {
        send_rest();
        // Whatever was printed last may not have ended its line.
        best_effort(
            rustix::io::write(Stream::Error.fd(), b"\n"),
            "a console that refuses it refuses the rest too",
        );
        status::tell_memory();
        Message::begin().text("exit status ").number(u32::from(status)).send();
        send_rest();
    });
}
