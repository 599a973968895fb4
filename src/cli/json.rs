//! JSON (RFC 8259), written and never read: the output of `--json`.
//!
//! Commas are set by the last byte written, so calls follow the shape of the document and nothing is counted. The
//! caller closes what it opens. Strings that are not UTF-8 have U+FFFD where they are not.

/// A JSON text under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Json {
    text: Vec<u8>,
}

impl Json {
    /// The text.
    pub(crate) fn into_text(self) -> Vec<u8> {
        self.text
    }

    /// Begins an object (`{`) or an array (`[`).
    pub(crate) fn open(&mut self, bracket: u8) -> &mut Self {
        self.separate();
        self.text.push(bracket);
        self
    }

    /// Ends it: `}` or `]`.
    pub(crate) fn close(&mut self, bracket: u8) -> &mut Self {
        self.text.push(bracket);
        self
    }

    /// The name of the next value, inside an object.
    pub(crate) fn key(&mut self, name: &[u8]) -> &mut Self {
        self.string(name);
        self.text.push(b':');
        self
    }

    /// A string.
    pub(crate) fn string(&mut self, bytes: &[u8]) -> &mut Self {
        self.separate();
        self.text.push(b'"');
        for chunk in bytes.utf8_chunks() {
            chunk.valid().bytes().for_each(|byte| self.escape(byte));
            if !chunk.invalid().is_empty() {
                self.text.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
        self.text.push(b'"');
        self
    }

    /// A number.
    pub(crate) fn number(&mut self, number: i64) -> &mut Self {
        self.literal(&number.to_string())
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, value: bool) -> &mut Self {
        self.literal(if value { "true" } else { "false" })
    }

    /// A value that is JSON already: a number, `null`.
    pub(crate) fn literal(&mut self, literal: &str) -> &mut Self {
        self.separate();
        self.text.extend_from_slice(literal.as_bytes());
        self
    }

    fn separate(&mut self) {
        if !matches!(self.text.last(), None | Some(b'{' | b'[' | b':')) {
            self.text.push(b',');
        }
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'"' | b'\\' => self.text.extend([b'\\', byte]),
            0..0x20 | 0x7f => {
                let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
                self.text.extend([b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            _ => self.text.push(byte),
        }
    }
}

/// A JSON text with a line for each value and two blanks for each level.
pub(crate) fn pretty(text: &[u8]) -> Vec<u8> {
    let (mut out, mut depth, mut quoted, mut escaped) = (Vec::with_capacity(2 * text.len()), 0, false, false);
    let break_line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    for (place, byte) in text.iter().enumerate() {
        if quoted {
            out.push(*byte);
            (quoted, escaped) = (escaped || *byte != b'"', !escaped && *byte == b'\\');
            continue;
        }
        let empty = matches!(text.get(place + 1), Some(b'}' | b']'));
        let was_empty = place > 0 && matches!(text.get(place - 1), Some(b'{' | b'['));
        match byte {
            b'{' | b'[' => {
                out.push(*byte);
                if !empty {
                    depth += 1;
                    break_line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                if !was_empty {
                    depth -= 1;
                    break_line(&mut out, depth);
                }
                out.push(*byte);
            }
            b',' => {
                out.push(*byte);
                break_line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                quoted = *byte == b'"';
                out.push(*byte);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commas_stand_between_values_only() {
        let mut json = Json::default();
        json.open(b'{').key(b"a").open(b'[').number(-1).boolean(true).literal("null").close(b']');
        json.key(b"b").open(b'{').close(b'}').key(b"c").string(b"").close(b'}');
        assert_eq!(json.into_text(), br#"{"a":[-1,true,null],"b":{},"c":""}"#);
    }

    #[test]
    fn pretty_text_says_the_same() {
        let text = br#"{"a":[1,{"b":"\\\",:{}[]"}],"c":{},"d":[]}"#;
        let shown = pretty(text);
        let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&shown), read(text));
        assert_eq!(String::from_utf8(shown).unwrap(), serde_json::to_string_pretty(&read(text)).unwrap());
    }

    proptest! {
        #[test]
        fn another_reader_finds_the_same_strings(
            items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..5)
        ) {
            let mut json = Json::default();
            json.open(b'{').key(b"items").open(b'[');
            items.iter().for_each(|item| { json.string(item); });
            json.close(b']').close(b'}');
            let read: serde_json::Value = serde_json::from_slice(&json.into_text()).unwrap();
            let expected: Vec<_> = items.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect();
            prop_assert_eq!(&read["items"], &serde_json::json!(expected));
        }
    }
}
