//! A terminal with a user in front of it.

use super::run::Run;
use super::running::{PATIENCE, Running};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::process::{Command, Stdio};

/// Both ends of a pseudo-terminal.
pub(crate) struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    /// What was shown and not yet waited for, and all before that.
    shown: String,
    passed: String,
}

impl Terminal {
    /// One of 24 lines by 80 characters.
    pub(crate) fn open() -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        unlockpt(&master).expect("it unlocked");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
        let terminal = Self {
            master,
            slave: slave.expect("its other end"),
            shown: String::new(),
            passed: String::new(),
        };
        terminal.resize(24, 80);
        terminal
    }

    /// Starts `run` as a login would: in a session of its own, with this as the controlling terminal.
    #[track_caller]
    pub(crate) fn start(&self, run: &Run, words: &[&str]) -> Running {
        self.start_line(&run.line(words))
    }

    /// Starts any verb of the program the same way.
    #[track_caller]
    pub(crate) fn start_program(&self, words: &[&str]) -> Running {
        let mut line = crate::program::pipkin();
        line.args(words);
        self.start_line(&line)
    }

    #[track_caller]
    fn start_line(&self, line: &Command) -> Running {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command.args(["--payload", "session"]).arg(line.get_program()).args(line.get_args()).env_clear();
        command.envs(line.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let slave = || Stdio::from(self.slave.try_clone().expect("its descriptor"));
        command.stdin(slave()).stdout(slave()).stderr(slave());
        Running::start_as_is(command)
    }

    /// Types.
    #[track_caller]
    pub(crate) fn enter(&self, text: &str) {
        assert_eq!(rustix::io::write(&self.master, text.as_bytes()), Ok(text.len()));
    }

    /// Waits until the terminal shows `text`, after what was waited for before.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        assert!(self.shows_within(text, PATIENCE.as_secs()), "{text:?} was not shown, but {:?}", self.shown);
    }

    /// The same, but whether it comes before nothing comes for three seconds.
    #[track_caller]
    pub(crate) fn shows(&mut self, text: &str) -> bool {
        self.shows_within(text, 3)
    }

    #[track_caller]
    fn shows_within(&mut self, text: &str, silence_s: u64) -> bool {
        let limit = Timespec { tv_sec: silence_s as i64, tv_nsec: 0 };
        loop {
            if let Some(place) = self.shown.find(text) {
                self.passed.extend(self.shown.drain(..place + text.len()));
                return true;
            }
            let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&limit)).expect("a poll");
            if ready == 0 {
                return false;
            }
            let mut chunk = [0; 4096];
            let length = rustix::io::read(&self.master, &mut chunk).expect("what it shows");
            self.shown.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
    }

    /// All that was shown up to what was last waited for.
    pub(crate) fn passed(&self) -> &str {
        &self.passed
    }

    /// Drags the window's corner.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).expect("a size");
    }

    /// Its mode, as `stty -a` shows it.
    pub(crate) fn mode(&self) -> String {
        let Termios { input_modes, output_modes, control_modes, local_modes, special_codes, .. } =
            tcgetattr(&self.slave).expect("its mode");
        format!("{input_modes:?} {output_modes:?} {control_modes:?} {local_modes:?} {special_codes:?}")
    }
}
