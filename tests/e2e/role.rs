//! What this test program can play when a case starts it as `e2e play ROLE …`: payloads and parents whose behaviour no
//! shell has.

use pipkin::sys::process::{StrArray, StrPtr, duplicate_onto, execve, exit};
use pipkin::sys::signal::{self, Action, SignalSet};
use pipkin::sys::spawn::{Fork, fork};
use pipkin::sys::stdio::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{WaitOptions, ioctl_tiocsctty, setsid, waitpid};
use std::error::Error;
use std::ffi::{CString, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The last signal: it ends the payload that tells signals.
const LAST: i32 = 64;
/// How long a payload waits for something to happen before it takes its case for dead.
const LIMIT: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// A command that plays `role`.
pub(crate) fn play(role: &str) -> Command {
    let mut command = Command::new(this_program());
    command.args(["play", role]);
    command
}

/// The path of this program, for the command line of another.
pub(crate) fn this_program() -> OsString {
    std::env::current_exe().map_or_else(|_| "e2e".into(), Into::into)
}

/// Plays the role this program was started for, if any.
pub(crate) fn asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == "play").then_some(())?;
    let role = args.next()?;
    let rest: Vec<OsString> = args.collect();
    let played = match role.to_str()? {
        "signals" => tell_signals(),
        "orphans" => make_orphans(&rest),
        "dispositions" => tell_dispositions(),
        "ignoring" => ignore_and_become(&rest),
        "pending" => wait_with_signals_and_become(&rest),
        "listener" => listen_and_become(&rest),
        "vanishing" => start_and_vanish(&rest),
        "bare" => go_and_become(&rest),
        "terminal" => take_terminal_and_become(&rest),
        _ => Err("no such role".into()),
    };
    Some(played.unwrap_or_else(|error| {
        eprintln!("e2e: {error}");
        ExitCode::from(99)
    }))
}

type Played = Result<ExitCode, Box<dyn Error>>;

/// Tells each signal that comes, a line each, until the last one comes or the pipe of standard input ends.
fn tell_signals() -> Played {
    signal::set_mask(SignalSet::ALL)?;
    let signals = signal::signalfd(SignalSet::ALL)?;
    println!("ready");
    loop {
        let input = Stream::Input.fd();
        let mut fds = [PollFd::new(&signals, PollFlags::IN), PollFd::new(&input, PollFlags::empty())];
        if poll(&mut fds, Some(&LIMIT))? == 0 {
            return Err("nobody needs this payload any more".into());
        }
        let input_ended = fds[1].revents().contains(PollFlags::HUP);
        while let Some(received) = signal::receive(&signals)? {
            println!("{}", received.signal);
            if received.signal == LAST {
                return Ok(ExitCode::SUCCESS);
            }
        }
        if input_ended {
            return Ok(ExitCode::from(1));
        }
    }
}

/// Leaves as many thousands of orphans as asked, each ended at once, telling each thousand, and waits for the end of
/// standard input; ends with 23.
fn make_orphans(args: &[OsString]) -> Played {
    let thousands: u32 = args.first().and_then(|count| count.to_str()).ok_or("how many?")?.parse()?;
    for _ in 0..thousands {
        for _ in 0..10 {
            match fork()? {
                // No copy may do more than end: each is the copy of one thread of this program.
                Fork::Child => exit(u8::from(!(0..100).all(|_| is_parent()))),
                Fork::Parent(child) => match waitpid(Some(child), WaitOptions::empty())? {
                    Some((_, status)) if status.exit_status() == Some(0) => {}
                    other => return Err(format!("orphans could not be made: {other:?}").into()),
                },
            }
        }
        println!("made");
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(ExitCode::from(23))
}

/// Makes a child that ends at once; false when it cannot.
fn is_parent() -> bool {
    match fork() {
        Ok(Fork::Child) => exit(0),
        made => made.is_ok(),
    }
}

/// Tells the signal mask and the ignored signals it was started with, as `/proc` shows them.
fn tell_dispositions() -> Played {
    let status = std::fs::read_to_string("/proc/self/status")?;
    for line in status.lines().filter(|line| line.starts_with("SigBlk") || line.starts_with("SigIgn")) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Ignores HUP, PIPE and CHLD, blocks USR2, and becomes the program.
fn ignore_and_become(args: &[OsString]) -> Played {
    for ignored in [1, 13, 17] {
        signal::set_action(ignored, Action::Ignore)?;
    }
    signal::set_mask(SignalSet::EMPTY.with(12))?;
    become_as_it_is(args)
}

/// Has TERM and a real-time signal wait for it, and becomes the program.
fn wait_with_signals_and_become(args: &[OsString]) -> Played {
    signal::set_mask(SignalSet::EMPTY.with(15).with(40))?;
    let own = std::process::id().cast_signed();
    // From another process: what init sends to itself is not passed on.
    match fork()? {
        Fork::Child => exit(u8::from(signal::kill(own, 15).and_then(|()| signal::kill(own, 40)).is_err())),
        Fork::Parent(child) => match waitpid(Some(child), WaitOptions::empty())? {
            Some((_, status)) if status.exit_status() == Some(0) => become_as_it_is(args),
            other => Err(format!("no signal could be sent: {other:?}").into()),
        },
    }
}

/// Not by std's Command, which would reset the mask and what is ignored.
fn become_as_it_is(args: &[OsString]) -> Played {
    let words: Vec<_> = args.iter().filter_map(|arg| CString::new(arg.as_encoded_bytes()).ok()).collect();
    let pointers: Vec<_> = words.iter().map(|word| StrPtr::new(word)).chain([StrPtr::END]).collect();
    let argv = StrArray::new(&pointers).ok_or("no array")?;
    let program = words.first().ok_or("which program?")?;
    let errno = execve(program, argv, StrArray::EMPTY);
    Err(format!("execve: {errno}").into())
}

/// Becomes the program, with sockets passed to it as sd_listen_fds(3) says.
fn listen_and_become(args: &[OsString]) -> Played {
    Err(command(args)?.env("LISTEN_PID", std::process::id().to_string()).env("LISTEN_FDS", "1").exec().into())
}

/// Starts the program, and ends as soon as it has told that it is ready, by ending the standard input of ours.
fn start_and_vanish(args: &[OsString]) -> Played {
    command(args)?.stdin(std::process::Stdio::null()).spawn()?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(ExitCode::SUCCESS)
}

/// Becomes the program in a session of its own, whose terminal is the first argument.
fn take_terminal_and_become(args: &[OsString]) -> Played {
    let (terminal, args) = args.split_first().ok_or("which terminal?")?;
    setsid()?;
    let terminal = open(terminal.as_encoded_bytes(), OFlags::RDWR, Mode::empty())?;
    ioctl_tiocsctty(&terminal)?;
    for stream in 0..=2 {
        duplicate_onto(&terminal, stream)?;
    }
    drop(terminal);
    Err(command(args)?.exec().into())
}

/// Becomes the program with the first argument as its root, as a user who owns nothing.
fn go_and_become(args: &[OsString]) -> Played {
    let (root, args) = args.split_first().ok_or("which root?")?;
    rustix::process::chroot(root.as_encoded_bytes())?;
    rustix::process::chdir("/")?;
    Err(command(args)?.uid(4242).gid(4242).env_clear().exec().into())
}

fn command(args: &[OsString]) -> Result<Command, &'static str> {
    let (program, args) = args.split_first().ok_or("which program?")?;
    let mut command = Command::new(program);
    command.args(args);
    Ok(command)
}
