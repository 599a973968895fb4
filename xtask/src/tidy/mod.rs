//! `tidy`: the rules of the house that the compiler and clippy do not know.
//!
//! One file per kind of rule. A rule looks at one [`source::Source`], or at the top folder, and adds findings; none
//! of them changes anything. What a rule cannot see: code behind `include!`, and paths that a macro builds.

mod arrow;
mod layout;
mod length;
mod manifest;
mod path;
mod source;
mod unsafety;
mod word;

use crate::command;
use anyhow::{Context, Result, bail};
use argh::FromArgs;
use source::Source;
use std::fmt;

/// Check the rules of the house: arrows between rooms, lengths, names, where unsafe may stand.
#[derive(FromArgs)]
#[argh(subcommand, name = "tidy")]
pub(crate) struct Tidy {
    /// list instead every unsafe block of the program, and the fact that makes it sound
    #[argh(switch, long = "unsafe")]
    unsafety: bool,
}

impl Tidy {
    /// The rules alone.
    pub(crate) const fn new() -> Self {
        Self { unsafety: false }
    }

    pub(crate) fn run(&self) -> Result<()> {
        if self.unsafety {
            return list_unsafe();
        }
        let findings = findings()?;
        for finding in &findings {
            println!("{finding}");
        }
        match findings.len() {
            0 => Ok(()),
            found => bail!("{found} untidy places"),
        }
    }
}

/// One broken rule in one place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// From the top folder.
    path: String,
    /// From 1.
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Prints each `unsafe` of `src/` with its place and its reason.
fn list_unsafe() -> Result<()> {
    for source in source::all(&command::repository())? {
        if source.room().is_some() && source.path.ends_with(".rs") {
            let syntax = syn::parse_file(&source.text).with_context(|| source.path.clone())?;
            unsafety::reasons(&source, &syntax).iter().for_each(|reason| println!("{reason}"));
        }
    }
    Ok(())
}

/// Applies every rule to the repository; sorted by place.
///
/// # Errors
/// Only a file that cannot be read. One that does not parse is a finding.
pub(crate) fn findings() -> Result<Vec<Finding>> {
    let top = command::repository();
    let mut found = layout::top_folder(&top)?;
    for source in source::all(&top)? {
        found.extend(of(&source));
    }
    found.sort();
    Ok(found)
}

/// Applies every rule about one file.
fn of(source: &Source) -> Vec<Finding> {
    let mut found = layout::name(source);
    found.extend(length::file(source));
    found.extend(word::unfinished(source));
    if source.path.ends_with(".rs") {
        match syn::parse_file(&source.text) {
            Ok(syntax) => {
                found.extend(length::functions(source, &syntax));
                found.extend(unsafety::check(source, &syntax));
                found.extend(arrow::check(source, &syntax));
                found.extend(word::dropped_results(source, &syntax));
            }
            Err(error) => {
                found.push(source.finding(error.span().start().line, format!("does not parse: {error}")))
            }
        }
    }
    if source.path.ends_with("Cargo.toml") {
        found.extend(manifest::reasons(source));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Source, findings, of};

    /// The findings for a file with this text, as `line: what`.
    pub(super) fn told(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        of(&source).iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn this_repository_is_tidy() {
        let findings: Vec<String> = findings().unwrap().iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }

    #[test]
    fn a_file_that_does_not_parse_is_told() {
        assert_eq!(
            told("src/main.rs", "fn main( {}"),
            ["1: does not parse: cannot parse string into token stream"]
        );
    }
}
