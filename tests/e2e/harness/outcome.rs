//! How a program ended, and what must hold of that.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Bytes of an output that a failed assertion shows.
const SHOWN: usize = 2000;

/// What a program said and ended with.
pub(crate) struct Outcome {
    /// What was run.
    pub(super) line: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Outcome {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub(crate) fn told(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The words of standard output.
    pub(crate) fn words(&self) -> Vec<String> {
        self.text().split_whitespace().map(str::to_owned).collect()
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
    }

    /// It ended by itself, with `code`.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// It ended with 0 and complained of nothing.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert!(self.status.success() && self.stderr.is_empty(), "{self}");
        self
    }

    /// It succeeded and said just this.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) {
        let outcome = self.succeeds();
        assert_eq!(outcome.text(), text, "{outcome}");
    }

    /// It said this, whatever it complained of.
    #[track_caller]
    pub(crate) fn assert_says(self, text: &str) {
        assert_eq!(self.text().trim(), text, "{self}");
    }

    /// It ended with `code`, said nothing, and told why in one line, or two with the remedy; `words` are among
    /// them.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) {
        let outcome = self.exits(code);
        let told = outcome.told();
        let lines = told.lines().count();
        assert!(outcome.stdout.is_empty(), "{outcome}");
        assert!((1..=2).contains(&lines) && told.ends_with('\n'), "{lines} lines\n{outcome}");
        assert!(told.starts_with("pipkin: cannot ") || told.starts_with("pipkin "), "{outcome}");
        for word in words {
            assert!(told.contains(word), "{word:?} is not told\n{outcome}");
        }
    }

    /// It ended with `code` and told this.
    #[track_caller]
    pub(crate) fn fails_with(self, code: i32, words: &str) {
        let outcome = self.exits(code);
        assert!(outcome.told().contains(words), "{words:?} is not told\n{outcome}");
    }

    /// Pipkin itself refused, and told why.
    #[track_caller]
    pub(crate) fn expect_refusal(self, words: &[&str]) {
        self.fails(125, words);
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
        let how = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("killed by signal {signal:?}"),
        };
        let line = &self.line[..self.line.floor_char_boundary(SHOWN)];
        writeln!(out, "$ {line}\n{how}\nstdout: {}\nstderr: {}", shown(&self.stdout), shown(&self.stderr))
    }
}
