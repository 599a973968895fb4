//! What Pipkin says when it cannot: the one place where a failure becomes text.
//!
//! `pipkin: cannot WHAT SUBJECT: WHY`, and on a second line what to do about it, where that is known. What came from
//! outside is shown with its control characters escaped, so that no name can steer the reader's terminal.

use super::ExitCode;
use pipkin::error::{Error, Subject};
use pipkin::plan::Conflict;
use rustix::io::Errno;
use std::io::Write;

/// Exit code of Pipkin's own failures, as with docker.
pub(crate) const FAILED: u8 = 125;

/// What to do where clone3 is refused.
const CLONE_REMEDY: &str = "clone3 is refused, by this system or a filter: see 'pipkin doctor'; another container around it is to have --security-opt seccomp=unconfined or the capability SYS_ADMIN";

/// A failure, ready to be shown. One word wide, since almost every function of this room can return one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure(Box<Parts>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Parts {
    /// What went wrong, one line without a newline.
    line: Vec<u8>,
    /// What to do about it; empty when there is nothing to say.
    remedy: String,
    /// The exit code it ends with.
    code: u8,
}

impl Failure {
    /// Bad usage of `verb`: `line` says what is wrong.
    pub(crate) fn usage(verb: &str, line: &str) -> Self {
        let remedy = ["see 'pipkin ", verb, if verb.is_empty() { "" } else { " " }, "--help'"].concat();
        let prefix = if verb.is_empty() { "" } else { " " };
        let line = [prefix, verb, ": ", line].concat().into_bytes();
        Self(Box::new(Parts { line, remedy, code: FAILED }))
    }

    /// The same failure about `verb`, when it is one of usage of `run`, whose options other verbs take too.
    pub(crate) fn of(mut self, verb: &str) -> Self {
        match self.0.line.strip_prefix(b" run: ") {
            Some(line) => {
                self.0.line = [b" ", verb.as_bytes(), b": ", line].concat();
                self.0.remedy = ["see 'pipkin ", verb, " --help'"].concat();
                self
            }
            None => self,
        }
    }

    /// `what`, a verb phrase, cannot be done to `subject`, and why.
    pub(crate) fn new(what: &str, subject: &[u8], why: &[u8]) -> Self {
        let space: &[u8] = if subject.is_empty() { b"" } else { b" " };
        let line = [b": cannot ", what.as_bytes(), space, subject, b": ", why].concat();
        Self(Box::new(Parts { line, remedy: String::new(), code: FAILED }))
    }

    /// `what` cannot be done to `subject`, by the kernel's answer.
    pub(crate) fn errno(what: &str, subject: &[u8], errno: Errno) -> Self {
        Self::new(what, subject, reason(errno).as_bytes())
    }

    /// The same, where the answer came through std, which sometimes has one of its own.
    pub(crate) fn io(what: &str, subject: &[u8], error: &std::io::Error) -> Self {
        Self::new(what, subject, without_number(error).as_bytes())
    }

    /// The same failure with a remedy.
    pub(crate) fn remedy(mut self, remedy: &str) -> Self {
        remedy.clone_into(&mut self.0.remedy);
        self
    }

    /// The same failure with an exit code of its own.
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.0.code = code;
        self
    }

    /// What went wrong, on one line.
    pub(crate) fn text(&self) -> String {
        let line = String::from_utf8_lossy(&self.0.line);
        line.trim_start_matches([':', ' ']).to_owned()
    }

    /// The exit code it ends with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode(self.0.code)
    }

    /// Prints it to standard error and gives its exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        let Parts { line, remedy, .. } = &*self.0;
        let newline = if remedy.is_empty() { "" } else { "\n" };
        let mut text = b"pipkin".to_vec();
        escape(line, &mut text);
        text.extend_from_slice(newline.as_bytes());
        escape(remedy.as_bytes(), &mut text);
        text.push(b'\n');
        // Nobody is left to tell when standard error is closed; the exit code still speaks.
        drop(std::io::stderr().write_all(&text));
        self.exit_code()
    }
}

/// Says something that is no failure, on standard error; best effort, as for a failure.
pub(crate) fn note(text: &str) {
    drop(std::io::stderr().write_all(["pipkin: ", text, "\n"].concat().as_bytes()));
}

impl From<Conflict> for Failure {
    fn from(conflict: Conflict) -> Self {
        let subject = conflict.subject.as_ref().map_or(&b""[..], |text| text.as_bytes());
        Self::new(conflict.what, subject, conflict.why.as_bytes()).remedy(conflict.remedy)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::plain(&error);
        let remedies = [
            (
                "map the ids of",
                Errno::INVAL,
                "its file system has no id-mapped mounts: have it on ext4, xfs, btrfs or tmpfs",
            ),
            (
                "have pasta connect the network",
                Errno::NETUNREACH,
                "pasta needs a way out of this machine, and /dev/net/tun open to you",
            ),
            (
                "give away the writable layer in",
                Errno::INVAL,
                "the user namespace around Pipkin has not these ids: give --userns host, or map ids that it has",
            ),
            (
                "enter the pid namespace",
                Errno::INVAL,
                "the path must lead to a pid namespace, Pipkin's own or one in it",
            ),
            (
                "read the id maps of",
                Errno::INVAL,
                "the path must lead to a user namespace, and not to Pipkin's own",
            ),
            ("enable the cgroup controller", Errno::INVAL, "this kernel has no such controller"),
            (
                "enable the cgroup controller",
                Errno::NOENT,
                "have it handed down to the cgroup that Pipkin is in (cgroup.subtree_control)",
            ),
            ("clone the child", Errno::NOSYS, CLONE_REMEDY),
            ("clone the child", Errno::PERM, CLONE_REMEDY),
            ("map user ids by newuidmap", Errno::NOENT, "install newuidmap (package uidmap)"),
            ("map user ids by newuidmap", Errno::PERM, "/etc/subuid must allot these ids to you"),
            ("map group ids by newgidmap", Errno::PERM, "/etc/subgid must allot these ids to you"),
        ];
        let known = remedies.iter().find(|(stage, errno, _)| (*stage, *errno) == (error.stage, error.errno));
        match known {
            Some((_, _, remedy)) => failure.remedy(remedy),
            None => failure,
        }
    }
}

impl Failure {
    fn plain(error: &Error) -> Self {
        match error.subject {
            Subject::Nothing | Subject::Step(_) => Self::errno(error.stage, b"", error.errno),
            Subject::Name(name) => Self::errno(error.stage, name.as_bytes(), error.errno),
            Subject::Text(text) => Self::errno(error.stage, text.as_bytes(), error.errno),
        }
    }
}

/// The text of an errno without its number.
pub(crate) fn reason(errno: Errno) -> String {
    without_number(&std::io::Error::from_raw_os_error(errno.raw_os_error()))
}

/// The text of an error without the ` (os error N)` at its end.
fn without_number(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    if error.raw_os_error().is_some() {
        let end = text.rfind('(').unwrap_or(text.len());
        text.truncate(end);
        text.truncate(text.trim_ascii_end().len());
    }
    text
}

/// Appends `bytes` to `out` with control characters as `\xNN`. Other bytes, UTF-8 or not, stay as they are.
pub(crate) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    // Mostly there is none, and there may be ten thousand names to a list.
    if !bytes.iter().any(u8::is_ascii_control) {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        if byte.is_ascii_control() {
            let digit = |nibble: u8| b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'?');
            out.extend([b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
        } else {
            out.push(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(failure: &Failure) -> &str {
        std::str::from_utf8(&failure.0.line).unwrap()
    }

    #[test]
    fn a_failure_says_what_to_what_and_why() {
        let error = Error::on("open the layer", b"/img", Errno::NOENT);
        assert_eq!(line(&error.into()), ": cannot open the layer /img: No such file or directory");
        let error = Error::new("make the child", Errno::PERM);
        assert_eq!(line(&error.into()), ": cannot make the child: Operation not permitted");
        let conflict = Conflict::new("limit memory", "v1 holds it", "boot with x").about(b"memory");
        let failure = Failure::from(conflict);
        assert_eq!(line(&failure), ": cannot limit memory memory: v1 holds it");
        assert_eq!(failure.0.remedy, "boot with x");
    }

    #[test]
    fn usage_points_to_the_help() {
        let failure = Failure::usage("run", "unknown option --foo");
        assert_eq!(line(&failure), " run: unknown option --foo");
        assert_eq!(failure.0.remedy, "see 'pipkin run --help'");
        assert_eq!(Failure::usage("", "x").0.remedy, "see 'pipkin --help'");
        assert_eq!(line(&Failure::usage("", "x")), ": x");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let mut out = Vec::new();
        escape(b"a\x1b[2J\n\xff\xc3\xa4", &mut out);
        assert_eq!(out, b"a\\x1b[2J\\x0a\xff\xc3\xa4");
    }
}
