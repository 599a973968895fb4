//! JSON (RFC 8259), read into a tree that knows where each value stands, so that whatever is wrong with it later can be
//! told with line and column.
//!
//! Stricter than the RFC asks: a member given twice is an error, since readers differ on which one counts. Numbers
//! keep their text: profiles use all 64 bits, which floating point does not hold.
//!
//! Own code and not a crate for the sake of bytes: for the seccomp profile alone serde_json with derived structs costs
//! 60 KiB of the shipped program, this reader 12.

use std::borrow::Cow;

/// Deepest nesting of arrays and objects.
const DEEPEST: usize = 64;

/// What is wrong with a document, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// Byte offset.
    pub(crate) at: usize,
    /// What is wrong, or what to give instead.
    pub(crate) what: Cow<'static, str>,
}

impl Fault {
    /// At `at`, `what`.
    pub(crate) fn new(at: usize, what: impl Into<Cow<'static, str>>) -> Self {
        Self { at, what: what.into() }
    }

    /// `line L, column C: WHAT`, counted from 1, columns in characters.
    pub(crate) fn in_document(&self, text: &[u8]) -> String {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        // Bytes 0x80 to 0xbf go on with a character that another byte began.
        let column = before.iter().skip(start).filter(|byte| (**byte as i8) >= -0x40).count() + 1;
        ["line ", &line.to_string(), ", column ", &column.to_string(), ": ", &self.what].concat()
    }
}

/// A value and where it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Value<'a> {
    /// Byte offset.
    pub(crate) at: usize,
    kind: Kind<'a>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind<'a> {
    Null,
    Bool(bool),
    /// As it was written.
    Number(&'a str),
    Text(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// Reads a document.
///
/// # Errors
/// Where it stops being JSON, or nests deeper than 64 levels.
pub(crate) fn parse(text: &[u8]) -> Result<Value<'_>, Fault> {
    let utf8 = |error: std::str::Utf8Error| Fault::new(error.valid_up_to(), "this is not UTF-8");
    let mut reader = Reader { text: std::str::from_utf8(text).map_err(utf8)?, at: 0 };
    let value = reader.value(0)?;
    reader.blanks();
    if reader.at == text.len() { Ok(value) } else { Err(reader.fault("nothing may follow the document")) }
}

impl<'a> Value<'a> {
    /// A fault at this value.
    pub(crate) fn fault(&self, what: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(self.at, what)
    }

    /// The member `name` of this object; `None` where it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&Value<'a>>, Fault> {
        let Kind::Object(members) = &self.kind else { return Err(self.fault("this must be an object")) };
        let found = members.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        Ok(found.filter(|value| value.kind != Kind::Null))
    }

    /// What the members named between the dots of `path` lead to; `None` where one is absent, null or no object.
    pub(crate) fn at(&self, path: &str) -> Option<&Value<'a>> {
        path.split('.').try_fold(self, |value, name| value.get(name).ok().flatten())
    }

    /// The members of this object, in order; none of what is no object.
    pub(crate) fn members(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        if let Kind::Object(members) = &self.kind { members } else { &[] }
    }

    /// The string at `path`.
    pub(crate) fn text_at(&self, path: &str) -> Option<&str> {
        self.at(path).and_then(|value| value.text().ok())
    }

    /// The whole number at `path`.
    pub(crate) fn number_at(&self, path: &str) -> Option<u64> {
        self.at(path).and_then(|value| value.whole(u64::MAX).ok())
    }

    /// The number at `path` that may be below zero.
    pub(crate) fn signed_at(&self, path: &str) -> Option<i64> {
        self.at(path).and_then(|value| value.signed().ok())
    }

    /// Whether `true` stands at `path`.
    pub(crate) fn is_true(&self, path: &str) -> bool {
        self.at(path).is_some_and(|value| value.kind == Kind::Bool(true))
    }

    /// The elements of the array at `path`.
    pub(crate) fn elements(&self, path: &str) -> &[Value<'a>] {
        self.at(path).and_then(|value| value.array().ok()).unwrap_or_default()
    }

    /// The name of the property in which byte `at` of the document lies, as `process.args[1]`.
    pub(crate) fn name_of(&self, at: usize) -> String {
        let mut name = String::new();
        let mut here = self;
        while here.at < at {
            let before = |value: &Value<'_>| value.at <= at;
            match &here.kind {
                Kind::Object(members) => {
                    let Some((key, value)) = members.iter().rfind(|(_, value)| before(value)) else { break };
                    name.push_str(if name.is_empty() { "" } else { "." });
                    name.push_str(key);
                    here = value;
                }
                Kind::Array(elements) => {
                    let Some(place) = elements.iter().rposition(before) else { break };
                    name.extend(["[", &place.to_string(), "]"]);
                    here = &elements[place];
                }
                _ => break,
            }
        }
        name
    }

    /// The elements of this array.
    pub(crate) fn array(&self) -> Result<&[Value<'a>], Fault> {
        if let Kind::Array(elements) = &self.kind {
            Ok(elements)
        } else {
            Err(self.fault("this must be an array"))
        }
    }

    /// The elements of the array `name` of this object; none where it is absent or null.
    pub(crate) fn list(&self, name: &str) -> Result<&[Value<'a>], Fault> {
        self.get(name)?.map_or(Ok(&[]), Self::array)
    }

    /// This string.
    pub(crate) fn text(&self) -> Result<&str, Fault> {
        if let Kind::Text(text) = &self.kind { Ok(text) } else { Err(self.fault("this must be a string")) }
    }

    /// Whether this is `true` or `false`.
    pub(crate) fn is_boolean(&self) -> bool {
        matches!(self.kind, Kind::Bool(_))
    }

    /// This whole number, which may be below zero.
    pub(crate) fn signed(&self) -> Result<i64, Fault> {
        let number = if let Kind::Number(digits) = self.kind { digits.parse().ok() } else { None };
        number.ok_or_else(|| self.fault("this must be a whole number of 64 bits"))
    }

    /// This whole number, 0 to `most`.
    pub(crate) fn whole(&self, most: u64) -> Result<u64, Fault> {
        let number = if let Kind::Number(digits) = self.kind { digits.parse().ok() } else { None };
        let range = || ["this must be a whole number, 0 to ", &most.to_string()].concat();
        number.filter(|number| *number <= most).ok_or_else(|| self.fault(range()))
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn fault(&self, what: &'static str) -> Fault {
        Fault::new(self.at, what)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over bytes as long as `wanted` holds, and gives them.
    fn span(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.span(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Fault> {
        self.blanks();
        if depth > DEEPEST {
            return Err(self.fault("this is nested too deep"));
        }
        let at = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Kind::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => match self.span(|byte| byte.is_ascii_alphabetic()) {
                "null" => Kind::Null,
                "true" => Kind::Bool(true),
                "false" => Kind::Bool(false),
                _ => return Err(Fault::new(at, "a value must stand here")),
            },
        };
        Ok(Value { at, kind })
    }

    fn object(&mut self, depth: usize) -> Result<Kind<'a>, Fault> {
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
        self.at += 1;
        self.blanks();
        while !self.take(b'}') {
            if !members.is_empty() && !self.take(b',') {
                return Err(self.fault("',' or '}' must stand here"));
            }
            self.blanks();
            let at = self.at;
            let name = self.string()?;
            if members.iter().any(|(known, _)| *known == name) {
                return Err(Fault::new(at, "this member was given before"));
            }
            self.blanks();
            if !self.take(b':') {
                return Err(self.fault("':' must stand here"));
            }
            members.push((name, self.value(depth + 1)?));
            self.blanks();
        }
        Ok(Kind::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Kind<'a>, Fault> {
        let mut elements = Vec::new();
        self.at += 1;
        self.blanks();
        while !self.take(b']') {
            if !elements.is_empty() && !self.take(b',') {
                return Err(self.fault("',' or ']' must stand here"));
            }
            elements.push(self.value(depth + 1)?);
            self.blanks();
        }
        Ok(Kind::Array(elements))
    }

    fn number(&mut self) -> Result<Kind<'a>, Fault> {
        let start = self.at;
        let digits = |reader: &mut Self| match reader.span(|byte| byte.is_ascii_digit()) {
            "" => Err(reader.fault("a digit must stand here")),
            digits => Ok(digits),
        };
        self.take(b'-');
        let whole = digits(self)?;
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(Fault::new(start, "a number does not begin with 0"));
        }
        if self.take(b'.') {
            digits(self)?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _signed = self.take(b'+') || self.take(b'-');
            digits(self)?;
        }
        Ok(Kind::Number(self.text.get(start..self.at).unwrap_or_default()))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        if !self.take(b'"') {
            return Err(self.fault("a string must stand here"));
        }
        let mut text = Cow::Borrowed(self.span(plain));
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    let character = self.escape()?;
                    text.to_mut().push(character);
                }
                _ => return Err(self.fault("a string ends with '\"' and has no control characters")),
            }
            let more = self.span(plain);
            text.to_mut().push_str(more);
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let fault = self.fault("this is no escape of JSON");
        self.at += 1;
        let byte = self.peek().ok_or_else(|| fault.clone())?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' => Ok(char::from(byte)),
            b'b' => Ok('\u{8}'),
            b'f' => Ok('\u{c}'),
            b'n' => Ok('\n'),
            b'r' => Ok('\r'),
            b't' => Ok('\t'),
            b'u' => {
                let first = self.four_digits().ok_or_else(|| fault.clone())?;
                let second = if (0xd800..0xdc00).contains(&first) && self.take(b'\\') && self.take(b'u') {
                    self.four_digits()
                } else {
                    None
                };
                let units = [Some(first), second].into_iter().flatten();
                let mut decoded = char::decode_utf16(units);
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(character)), None) => Ok(character),
                    _ => Err(fault),
                }
            }
            _ => Err(fault),
        }
    }

    fn four_digits(&mut self) -> Option<u16> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.at += 4;
        u16::from_str_radix(digits, 16).ok()
    }
}

/// Whether a byte of a string stands for itself.
fn plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        parse(text.as_bytes()).map_or_else(|fault| fault.in_document(text.as_bytes()), |_| "good".to_owned())
    }

    #[test]
    fn documents_are_read() {
        let text = br#" {"a": [1, 18446744073709551615, -0.5e+3], "b\u00e9\ud83d\ude00\n": null, "c": {}, "d": true} "#;
        let value = parse(text).unwrap();
        let numbers = value.list("a").unwrap();
        assert_eq!([numbers[0].whole(1), numbers[1].whole(u64::MAX)], [Ok(1), Ok(u64::MAX)]);
        assert!(numbers[1].whole(9).is_err() && numbers[2].whole(9).is_err());
        assert_eq!(value.get("bé😀\n"), Ok(None));
        assert!(
            value.list("c").is_err()
                && value.get("d").unwrap().is_some()
                && value.get("e").unwrap().is_none()
        );
    }

    #[test]
    fn faults_are_told_with_their_place() {
        for (text, place) in [
            ("", "line 1, column 1: a value must stand here"),
            ("{\n  \"é\": tru\n}", "line 2, column 8: a value must stand here"),
            ("[1 2]", "line 1, column 4: ',' or ']' must stand here"),
            ("[1,]", "line 1, column 4: a value must stand here"),
            ("{\"a\":1,}", "line 1, column 8: a string must stand here"),
            ("{\"a\":1,\n\"a\":2}", "line 2, column 1: this member was given before"),
            ("{\"a\" 1}", "line 1, column 6: ':' must stand here"),
            ("[01]", "line 1, column 2: a number does not begin with 0"),
            ("[-]", "line 1, column 3: a digit must stand here"),
            ("[1.]", "line 1, column 4: a digit must stand here"),
            ("\"a", "line 1, column 3: a string ends with '\"' and has no control characters"),
            ("\"a\nb\"", "line 1, column 3: a string ends with '\"' and has no control characters"),
            ("\"\\x\"", "line 1, column 2: this is no escape of JSON"),
            ("\"\\ud800\"", "line 1, column 2: this is no escape of JSON"),
            ("\"\\ud800\\u0041\"", "line 1, column 2: this is no escape of JSON"),
            ("\"\\u+123\"", "line 1, column 2: this is no escape of JSON"),
            ("{} {}", "line 1, column 4: nothing may follow the document"),
        ] {
            assert_eq!(told(text), place, "{text}");
        }
        assert_eq!(parse(b"[\"\xff\"]").unwrap_err().at, 2);
        let nested = |levels| ["[".repeat(levels), "]".repeat(levels)].concat();
        assert_eq!(told(&nested(64)), "good");
        assert_eq!(told(&nested(66)), "line 1, column 66: this is nested too deep");
    }

    const SEED: &[u8] =
        br#"{"a":[1,-2.5e7,true,null,"x\u00e9\ud83d\ude00\n"],"b":{"c":[{}],"d":false}, "e": "\"" }"#;

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
        /// What another reader takes is taken, what it refuses is refused, but for members given twice.
        #[test]
        fn readers_agree(
            cuts in proptest::collection::vec((0..SEED.len(), 0..6_usize, "[]{}:,\"\\\\0-9eE.+u \n\u{1}tfn-]{0,2}"), 1..4),
        ) {
            let mut text = SEED.to_vec();
            for (at, length, new) in cuts {
                let at = at.min(text.len());
                let end = (at + length).min(text.len());
                text.splice(at..end, new.bytes());
            }
            let ours = parse(&text);
            let theirs = serde_json::from_slice::<serde_json::Value>(&text);
            let differs = match (&ours, &theirs) {
                (Err(fault), Ok(_)) => fault.what != "this member was given before",
                (Ok(_), Err(error)) => !error.to_string().starts_with("number out of range"),
                _ => false,
            };
            proptest::prop_assert!(!differs, "{}: {:?}, {:?}", String::from_utf8_lossy(&text), ours, theirs);
            if let Err(fault) = ours {
                proptest::prop_assert!(fault.at <= text.len());
            }
        }
    }
}
