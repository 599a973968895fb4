//! `pipkin run`, as cases spell it.

use super::enclosure::alpine;
use super::outcome::Outcome;
use super::running::Running;
use crate::program;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

/// A `pipkin run --rm` to be: Alpine, unless another image is named.
#[derive(Clone)]
pub(crate) struct Run {
    program: OsString,
    options: Vec<OsString>,
    image: OsString,
    env: Vec<(OsString, OsString)>,
    folder: Option<OsString>,
    input: Option<Vec<u8>>,
    /// Words in front of the whole line.
    prefix: Vec<OsString>,
}

/// With these options, given as words between blanks.
pub(crate) fn run(options: &str) -> Run {
    Run {
        program: program::path(),
        options: std::iter::once("--rm").chain(options.split_whitespace()).map(OsString::from).collect(),
        image: alpine().expect("Alpine").into(),
        env: Vec::new(),
        folder: None,
        input: None,
        prefix: Vec::new(),
    }
}

/// Runs any verb of the program.
pub(crate) fn pipkin(words: &[&str]) -> Outcome {
    let mut command = program::pipkin();
    command.args(words);
    Running::start(command, None).wait()
}

impl Run {
    /// One more word among the options, as it is.
    pub(crate) fn option(mut self, word: impl AsRef<OsStr>) -> Self {
        self.options.push(word.as_ref().to_owned());
        self
    }

    /// `-v SOURCE:REST`.
    pub(crate) fn volume(self, source: &Path, rest: &str) -> Self {
        let mut word = source.as_os_str().to_owned();
        word.push(":");
        word.push(rest);
        self.option("-v").option(word)
    }

    /// Another image.
    pub(crate) fn image(mut self, image: impl AsRef<OsStr>) -> Self {
        self.image = image.as_ref().to_owned();
        self
    }

    /// A variable of Pipkin's own environment, which is empty otherwise.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Pipkin's own working directory.
    pub(crate) fn in_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// What Pipkin reads on standard input, which is `/dev/null` otherwise.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// The program with pause points, to stop before the step of this index of the `HOST`'s or `CHILD`'s list.
    pub(crate) fn paused(mut self, side: &str, step: usize) -> Self {
        self.program = program::hooks();
        self.env(format!("PIPKIN_PAUSE_{side}"), step.to_string())
    }

    /// The program with the named defences, between commas, taken away.
    pub(crate) fn without(mut self, defences: &str) -> Self {
        self.program = program::hooks();
        self.env("PIPKIN_WITHOUT", defences)
    }

    /// Another program file.
    pub(crate) fn by(mut self, program: &Path) -> Self {
        self.program = program.into();
        self
    }

    /// Under a filter that answers system call `number` with `errno`, to Pipkin and to all that it starts.
    pub(crate) fn under_filter(mut self, number: u32, errno: u32) -> Self {
        let own = std::env::current_exe().expect("our own path").into_os_string();
        let words =
            ["--payload", "under-filter", &number.to_string(), &errno.to_string()].map(OsString::from);
        self.prefix = std::iter::once(own).chain(words).collect();
        self
    }

    /// By another program, with its own arguments in front.
    pub(crate) fn under(mut self, program: &str, words: &[&str]) -> Self {
        self.prefix = [program].iter().chain(words).map(OsString::from).collect();
        self.env("PATH", "/usr/bin:/bin")
    }

    /// The whole command line, with `words` as the container's command.
    pub(crate) fn line<W: AsRef<OsStr>>(&self, words: &[W]) -> Command {
        let line: Vec<&OsString> = self.prefix.iter().chain([&self.program]).collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        command.arg("run").args(&self.options).arg(&self.image).args(words);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Starts `words` in the container.
    #[track_caller]
    pub(crate) fn start<W: AsRef<OsStr>>(self, words: &[W]) -> Running {
        let command = self.line(words);
        Running::start(command, self.input)
    }

    /// Runs `words` in the container to their end.
    #[track_caller]
    pub(crate) fn command<W: AsRef<OsStr>>(self, words: &[W]) -> Outcome {
        self.start(words).wait()
    }

    /// Runs a script by the image's shell.
    #[track_caller]
    pub(crate) fn sh(self, script: &str) -> Outcome {
        self.command(&["/bin/sh", "-c", script])
    }

    /// Starts a script by the image's shell.
    #[track_caller]
    pub(crate) fn start_sh(self, script: &str) -> Running {
        self.start(&["/bin/sh", "-c", script])
    }

    /// With this test program inside, as `/e2e`.
    pub(crate) fn with_payload(self) -> Self {
        let own = std::env::current_exe().expect("our own path");
        self.volume(&own, "/e2e:ro")
    }

    /// Runs one of this program's payloads, named and with its arguments between blanks.
    #[track_caller]
    pub(crate) fn payload(self, words: &str) -> Outcome {
        self.start_payload(words).wait()
    }

    /// Starts one.
    #[track_caller]
    pub(crate) fn start_payload(self, words: &str) -> Running {
        let words: Vec<&str> = ["/e2e", "--payload"].into_iter().chain(words.split_whitespace()).collect();
        self.with_payload().start(&words)
    }
}
