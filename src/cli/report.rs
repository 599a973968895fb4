//! Facts by name, shown to a person as aligned lines or to a program as JSON, as they are found.

use super::json::Json;
use super::message::{Failure, escape};
use super::{ExitCode, Outcome};
use std::io::Write;

/// Column of the values in lines. A longer name pushes its value to the right.
const COLUMN: usize = 20;

/// One object of facts, and objects in it.
pub(crate) struct Report {
    /// The text so far, when it is lines.
    lines: Vec<u8>,
    /// The text so far, when it is JSON.
    json: Option<Json>,
    /// How many objects are open.
    depth: usize,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(json: bool) -> Self {
        let json = json.then(|| {
            let mut json = Json::default();
            json.open(b'{');
            json
        });
        Self { lines: Vec::new(), json, depth: 0 }
    }

    /// Begins an object within.
    pub(crate) fn open(&mut self, name: &str) {
        match &mut self.json {
            Some(json) => {
                json.key(name.as_bytes()).open(b'{');
            }
            None => {
                self.name(name.as_bytes());
                while self.lines.last() == Some(&b' ') {
                    self.lines.pop();
                }
                self.lines.push(b'\n');
            }
        }
        self.depth += 1;
    }

    /// Ends it.
    pub(crate) fn close(&mut self) {
        self.depth -= 1;
        if let Some(json) = &mut self.json {
            json.close(b'}');
        }
    }

    /// A text, often from outside.
    pub(crate) fn text(&mut self, name: &[u8], text: &[u8]) {
        match &mut self.json {
            Some(json) => {
                json.key(name).string(text);
            }
            None => self.line(name, text),
        }
    }

    /// A number.
    pub(crate) fn number(&mut self, name: &str, number: u64) {
        let digits = number.to_string();
        match &mut self.json {
            Some(json) => {
                json.key(name.as_bytes()).literal(&digits);
            }
            None => self.line(name.as_bytes(), digits.as_bytes()),
        }
    }

    /// Yes or no.
    pub(crate) fn yes(&mut self, name: &str, yes: bool) {
        match &mut self.json {
            Some(json) => {
                json.key(name.as_bytes()).boolean(yes);
            }
            None => self.line(name.as_bytes(), if yes { b"yes" } else { b"no" }),
        }
    }

    /// Words.
    pub(crate) fn list(&mut self, name: &str, words: &[&[u8]]) {
        match &mut self.json {
            Some(json) => {
                json.key(name.as_bytes()).open(b'[');
                for word in words {
                    json.string(word);
                }
                json.close(b']');
            }
            None if words.is_empty() => self.line(name.as_bytes(), b"none"),
            None => self.line(name.as_bytes(), &words.join(&b' ')),
        }
    }

    /// Prints it to standard output.
    pub(crate) fn print(self) -> Outcome {
        write(&self.into_text())
    }

    /// The text of the whole.
    pub(super) fn into_text(self) -> Vec<u8> {
        match self.json {
            Some(mut json) => {
                json.close(b'}');
                json.into_text()
            }
            None => self.lines,
        }
    }

    /// The name of a fact, indented, and blanks up to its value.
    fn name(&mut self, name: &[u8]) {
        let start = self.lines.len();
        self.lines.resize(start + 2 * self.depth, b' ');
        escape(name, &mut self.lines);
        self.lines.extend_from_slice(b"  ");
        let end = self.lines.len().max(start + COLUMN);
        self.lines.resize(end, b' ');
    }

    fn line(&mut self, name: &[u8], text: &[u8]) {
        self.name(name);
        escape(text, &mut self.lines);
        self.lines.push(b'\n');
    }
}

/// Writes `text` to standard output, and a newline when it does not end in one.
///
/// # Errors
/// A [`Failure`] when that does not take it all, so that a full disk does not look like success.
pub(crate) fn write(text: &[u8]) -> Outcome {
    finish(print_lines(text))
}

/// The same for a list. That nobody wants the rest of it is no failure.
///
/// # Errors
/// As [`write`].
pub(super) fn write_list(text: &[u8]) -> Outcome {
    let printed = if text.is_empty() { Ok(()) } else { print_lines(text) };
    forgive(printed).map(|_| ExitCode::SUCCESS)
}

/// Writes as it is; answers whether there is still somebody who reads.
///
/// # Errors
/// As [`write`].
pub(super) fn write_on(text: &[u8]) -> Result<bool, Failure> {
    forgive(print(text))
}

fn forgive(printed: std::io::Result<()>) -> Result<bool, Failure> {
    match printed {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        written => finish(written).map(|_| true),
    }
}

fn print_lines(text: &[u8]) -> std::io::Result<()> {
    let newline: &[u8] = if text.ends_with(b"\n") { b"" } else { b"\n" };
    print(text).and_then(|()| print(newline))
}

fn print(text: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush())
}

fn finish(written: std::io::Result<()>) -> Outcome {
    written.map_err(|error| Failure::io("write to", b"standard output", &error))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(json: bool) -> Report {
        let mut report = Report::new(json);
        report.number("pid", 1);
        report.text(b"name\n", b"a\x1bb");
        report.open("sets");
        report.list("none", &[]);
        report.list("some", &[b"b", b"c"]);
        report.yes("a_name_that_is_too_long", true);
        report.close();
        report.yes("last", false);
        report
    }

    #[test]
    fn lines_are_aligned_and_harmless() {
        assert_eq!(
            String::from_utf8(sample(false).into_text()).unwrap(),
            "pid                 1\n\
             name\\x0a            a\\x1bb\n\
             sets\n\
             \x20 none              none\n\
             \x20 some              b c\n\
             \x20 a_name_that_is_too_long  yes\n\
             last                no\n"
        );
    }

    #[test]
    fn json_has_the_same_facts() {
        let value: serde_json::Value = serde_json::from_slice(&sample(true).into_text()).unwrap();
        let sets = serde_json::json!({"none": [], "some": ["b", "c"], "a_name_that_is_too_long": true});
        assert_eq!(value, serde_json::json!({"pid": 1, "name\n": "a\u{1b}b", "sets": sets, "last": false}));
    }
}
