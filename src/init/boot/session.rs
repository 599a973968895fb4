//! The session on the console: its leader, which outlives the command.
//!
//! When the leader of a session ends, the kernel hangs up its terminal, and what that has not sent by then is lost
//! (disassociate_ctty and tty_ldisc_hangup in drivers/tty). So the leader is a process of ours: it waits for the command,
//! and then for its last words to have left.

use super::shutdown;
use crate::error::{Result, Stage};
use crate::init::supervise::code_of;
use crate::sys::process::exit;
use crate::sys::signal::{SignalSet, set_mask};
use crate::sys::spawn::{Fork, fork};
use crate::sys::stdio::Stream;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};

/// In the leader of a session: takes the console as its terminal and answers as the child that is to become the
/// command, while the leader stays and ends as that one does. A console that is no terminal gives no job control;
/// whoever calls then becomes the command itself.
///
/// # Errors
/// Those of the fork; nothing was started then.
pub(super) fn lead() -> Result<()> {
    if rustix::process::ioctl_tiocsctty(Stream::Input.fd()).is_err() {
        return Ok(());
    }
    // What ends the command or its machine is not for the leader, which only waits.
    let inherited = set_mask(SignalSet::ALL).stage("block signals")?;
    match fork().stage("fork the command")? {
        Fork::Child => set_mask(inherited).map(drop).stage("restore the signal mask"),
        Fork::Parent(command) => {
            let code = wait_for(command);
            shutdown::drain();
            exit(code)
        }
    }
}

fn wait_for(command: Pid) -> u8 {
    loop {
        match waitpid(Some(command), WaitOptions::empty()) {
            Ok(Some((_, status))) => return code_of(status),
            Ok(None) | Err(Errno::INTR) => {}
            // It is a child of ours: this cannot be.
            Err(_) => return u8::MAX,
        }
    }
}
