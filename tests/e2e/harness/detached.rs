//! A detached container, as cases use it.

use super::enclosure::alpine;
use super::footprint::reap_orphans;
use super::outcome::Outcome;
use super::run::pipkin;
use super::running::{PATIENCE, Running};
use std::time::{Duration, Instant};

/// A script's beginning that waits for USR1.
pub(crate) const WAITS: &str = "trap go=1 USR1; echo ready; until [ $go ]; do sleep 0.02; done;";

/// A container in the background; taken away when dropped.
pub(crate) struct Detached {
    pub(crate) id: String,
    /// Pid of its supervisor; 0 when it was gone too soon to be seen.
    supervisor: i32,
}

/// Starts `words` in Alpine with these options, given between blanks.
#[track_caller]
pub(crate) fn detached(options: &str, words: &[&str]) -> Detached {
    let outcome = try_detached(options, words).succeeds();
    let id = outcome.text().trim_end().to_owned();
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{outcome}");
    let mut container = Detached { id, supervisor: 0 };
    container.supervisor = container.fact("supervisor").parse().unwrap_or(0);
    container
}

/// Tries to.
#[track_caller]
pub(crate) fn try_detached(options: &str, words: &[&str]) -> Outcome {
    let image = alpine().expect("Alpine");
    let mut line = vec!["run", "-d"];
    line.extend(options.split_whitespace());
    line.push(image.to_str().expect("a path that is text"));
    line.extend(words);
    pipkin(&line)
}

/// Starts a script by the image's shell.
#[track_caller]
pub(crate) fn detached_sh(options: &str, script: &str) -> Detached {
    detached(options, &["/bin/sh", "-c", script])
}

/// Waits until `holds`; there to end a hang.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: &mut dyn FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many sockets a process has.
pub(crate) fn sockets(pid: i32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

impl Detached {
    /// Runs a verb on it, words before its id.
    #[track_caller]
    pub(crate) fn verb(&self, words: &str) -> Outcome {
        let mut line: Vec<&str> = words.split_whitespace().collect();
        line.push(&self.id);
        pipkin(&line)
    }

    /// The same, with words of a command after its id.
    #[track_caller]
    pub(crate) fn verb_with(&self, words: &str, command: &[&str]) -> Outcome {
        let line: Vec<&str> = words.split_whitespace().chain([self.id.as_str()]).collect();
        pipkin(&[&line, command].concat())
    }

    /// Starts `words` of the program, and its id, `count` times, with `input`, and waits until the supervisor has taken
    /// them in.
    #[track_caller]
    pub(crate) fn clients(&self, words: &[&str], input: Option<&str>, count: usize) -> Vec<Running> {
        let supervisor = self.pid("supervisor");
        let before = sockets(supervisor);
        let start = || {
            let mut command = crate::program::pipkin();
            command.args(words).arg(&self.id);
            Running::start(command, input.map(|text| text.as_bytes().to_vec()))
        };
        let clients = (0..count).map(|_| start()).collect();
        eventually("they are taken in", &mut || sockets(supervisor) == before + count);
        clients
    }

    /// A value of its record, empty when there is none.
    pub(crate) fn fact(&self, key: &str) -> String {
        let text = std::fs::read_to_string(format!("/run/pipkin/containers/{}", self.id)).unwrap_or_default();
        let mut values =
            text.lines().filter_map(|line| line.split_once('=')).filter(|(known, _)| *known == key);
        values.next().map(|(_, value)| value.to_owned()).unwrap_or_default()
    }

    /// A pid of its record.
    #[track_caller]
    pub(crate) fn pid(&self, key: &str) -> i32 {
        self.fact(key).parse().unwrap_or_else(|_| panic!("no {key} is known"))
    }

    /// Waits until its record says that it has ended, and gives its exit code.
    #[track_caller]
    pub(crate) fn ended(&self) -> String {
        self.verb("wait").succeeds().text().trim_end().to_owned()
    }

    /// What it wrote to standard output, by now.
    #[track_caller]
    pub(crate) fn output(&self) -> String {
        self.verb("logs --stdout").text()
    }

    /// Waits until it wrote this.
    #[track_caller]
    pub(crate) fn expect(&self, text: &str) {
        eventually(text, &mut || self.output().contains(text));
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            let outcome = self.verb("rm -f");
            if !std::thread::panicking() {
                outcome.succeeds();
                // The supervisor's last act is to let go of the lock; it ends at once.
                eventually("all is reaped", &mut || {
                    reap_orphans();
                    let supervisor = format!("/proc/{}", self.supervisor);
                    if self.supervisor == 0 {
                        !super::footprint::has_children()
                    } else {
                        !std::path::Path::new(&supervisor).exists()
                    }
                });
            }
        });
    }
}
