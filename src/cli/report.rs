//! Facts as a tree, shown to a person as aligned lines or to a program as JSON.

use super::json::Json;
use super::message::Failure;
use super::{ExitCode, Outcome};
use std::io::Write;

/// One fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fact {
    /// A text, often from outside.
    Text(Vec<u8>),
    /// A number.
    Number(i64),
    /// Yes or no.
    Yes(bool),
    /// Texts.
    List(Vec<Vec<u8>>),
    /// Facts by name.
    Map(Map),
}

/// Facts by name, in order.
pub(crate) type Map = Vec<(Vec<u8>, Fact)>;

impl Fact {
    /// A text.
    pub(crate) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().to_vec())
    }

    /// Appends the fact as JSON.
    pub(crate) fn write_json(&self, json: &mut Json) {
        match self {
            Self::Text(text) => json.string(text),
            Self::Number(number) => json.number(*number),
            Self::Yes(yes) => json.boolean(*yes),
            Self::List(items) => {
                json.open(b'[');
                for item in items {
                    json.string(item);
                }
                json.close(b']')
            }
            Self::Map(map) => {
                json.open(b'{');
                for (name, fact) in map {
                    json.key(name);
                    fact.write_json(json);
                }
                json.close(b'}')
            }
        };
    }

    /// Appends the fact as text: a map one line each below its name, indented, values in one column.
    fn write_text(&self, indent: usize, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => super::message::escape(text, out),
            Self::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Yes(yes) => out.extend_from_slice(if *yes { b"yes" } else { b"no" }),
            Self::List(items) if items.is_empty() => out.extend_from_slice(b"none"),
            Self::List(items) => super::message::escape(&items.join(&b' '), out),
            Self::Map(map) if map.is_empty() => out.extend_from_slice(b"none"),
            Self::Map(map) => {
                let width = map.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
                for (place, (name, fact)) in map.iter().enumerate() {
                    if place > 0 || indent > 0 {
                        out.push(b'\n');
                    }
                    out.resize(out.len() + indent, b' ');
                    let start = out.len();
                    super::message::escape(name, out);
                    if !matches!(fact, Self::Map(below) if !below.is_empty()) {
                        out.resize(out.len().max(start + width), b' ');
                    }
                    fact.write_text(indent + 2, out);
                }
            }
        }
    }
}

/// Prints `fact` to standard output, as JSON or as text.
pub(crate) fn print(fact: &Fact, json: bool) -> Outcome {
    let mut text = Vec::new();
    if json {
        let mut writer = Json::default();
        fact.write_json(&mut writer);
        text = writer.into_text();
    } else {
        fact.write_text(0, &mut text);
    }
    text.push(b'\n');
    write(&text)
}

/// Writes `text` to standard output.
///
/// # Errors
/// A [`Failure`] when that does not take it all, so that a full disk does not look like success.
pub(crate) fn write(text: &[u8]) -> Outcome {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text).and_then(|()| out.flush());
    written.map_err(|error| Failure::io("write to", b"standard output", &error))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Fact {
        Fact::Map(vec![
            (b"pid".to_vec(), Fact::Number(1)),
            (b"name\n".to_vec(), Fact::text("a\x1bb")),
            (
                b"sets".to_vec(),
                Fact::Map(vec![(b"a".to_vec(), Fact::List(vec![])), (b"bc".to_vec(), Fact::Yes(true))]),
            ),
            (b"none".to_vec(), Fact::Map(vec![])),
        ])
    }

    #[test]
    fn text_is_aligned_and_harmless() {
        let mut text = Vec::new();
        sample().write_text(0, &mut text);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, "pid    1\nname\\x0aa\\x1bb\nsets\n  a   none\n  bc  yes\nnone   none");
    }

    #[test]
    fn json_has_the_same_shape() {
        let mut json = Json::default();
        sample().write_json(&mut json);
        let value: serde_json::Value = serde_json::from_slice(&json.into_text()).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"pid": 1, "name\n": "a\u{1b}b", "sets": {"a": [], "bc": true}, "none": {}})
        );
    }
}
