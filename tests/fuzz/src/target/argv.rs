//! The argument normaliser: what it made of a command line, spelled out in full, means the same.

use crate::cli::argv::{Order, Sorted, sort};
use crate::cli::help;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The first byte is where options may stand; the rest are arguments with a NUL between them.
pub(super) fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let order = if first & 1 == 0 { Order::OptionsFirst } else { Order::Mixed };
    let words: Vec<OsString> =
        rest.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    let sorted = match sort(help(), order, &words) {
        Ok(sorted) if !sorted.help_wanted => sorted,
        Ok(_) => return,
        Err(line) => {
            assert!(!line.is_empty());
            return;
        }
    };
    let spelled = spell(&sorted);
    let again = sort(help(), order, &spelled).expect("options in their own words");
    assert_eq!((&again.options, &again.operands), (&sorted.options, &sorted.operands), "{words:?}");
}

/// The options by their one name, each value a word of its own, and the operands after the dashes.
fn spell(sorted: &Sorted<'_>) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    for (name, value) in &sorted.options {
        words.push(name.into());
        words.extend(value.map(OsString::from));
    }
    words.push("--".into());
    words.extend(sorted.operands.iter().map(|operand| operand.to_os_string()));
    words
}
