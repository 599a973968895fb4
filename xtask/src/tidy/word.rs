//! Words that mark unfinished work, and results that are thrown away.

use super::Finding;
use super::source::Source;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Built from halves, so that this file may be checked as well.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
];

/// Rooms where a dropped result can leave something open, mounted or unprotected.
const CHECKED_ROOMS: &[&str] = &["host", "child", "init", "sys", "bpf"];

/// Finds marks of unfinished work, in code and in comments.
pub(super) fn unfinished(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        for mark in UNFINISHED.iter().filter(|mark| has_word(line, mark)) {
            found.push(source.finding(number + 1, format!("unfinished: {mark}")));
        }
    }
    found
}

/// Whether `word` stands in `line` with no letter, digit or underscore on either side.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        !before.ends_with(joins) && (word.ends_with('!') || !after.starts_with(joins))
    })
}

/// Finds `let _ = …` in the rooms where every result is looked at.
pub(super) fn dropped_results(source: &Source, syntax: &syn::File) -> Vec<Finding> {
    if !source.room().is_some_and(|room| CHECKED_ROOMS.contains(&room)) {
        return Vec::new();
    }
    let mut visitor = Visitor { source, found: Vec::new() };
    visitor.visit_file(syntax);
    visitor.found
}

struct Visitor<'a> {
    source: &'a Source,
    found: Vec<Finding>,
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_local(&mut self, node: &'ast syn::Local) {
        let pattern = match &node.pat {
            syn::Pat::Type(typed) => &typed.pat,
            other => other,
        };
        if matches!(pattern, syn::Pat::Wild(_)) && node.init.is_some() {
            let what = "a result is dropped: name a best-effort function and say why";
            self.found.push(self.source.finding(node.span().start().line, what));
        }
        visit::visit_local(self, node);
    }
}

#[cfg(test)]
mod tests {
    use super::UNFINISHED;
    use crate::tidy::tests::told;

    #[test]
    fn marks_are_found_in_comments_and_code() {
        for mark in UNFINISHED.iter().filter(|mark| !mark.ends_with('!')) {
            assert_eq!(
                told("tests/a.rs", &format!("\n// {mark}: later")),
                [format!("2: unfinished: {mark}")]
            );
        }
        for mark in UNFINISHED.iter().filter(|mark| mark.ends_with('!')) {
            assert_eq!(
                told("tests/a.rs", &format!("fn f() {{ {mark}() }}")),
                [format!("1: unfinished: {mark}")]
            );
        }
    }

    #[test]
    fn a_mark_inside_a_word_is_none() {
        assert!(told("tests/a.rs", concat!("// mkstemp needs XX", "XXXX")).is_empty());
    }

    #[test]
    fn a_dropped_result_is_found_where_it_matters() {
        let code = "fn f() {\n    let _ = g();\n    let _: u8 = g();\n    let _kept = g();\n}\n";
        let what = "a result is dropped: name a best-effort function and say why";
        assert_eq!(told("src/child/mount.rs", code), [format!("2: {what}"), format!("3: {what}")]);
        assert!(told("src/cli/run.rs", code).is_empty());
    }
}
