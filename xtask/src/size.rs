//! `size`: whose bytes the program is made of.
//!
//! A function counts for the crate, and in Pipkin for the room, that its name says. The optimiser moves small
//! functions into their callers, so a crate whose code is all inlined shows nothing of its own. Literal texts have no
//! symbol: they are in the line "no name".

use crate::build::{self, Arch, Face, Targets};
use anyhow::{Context, Result};
use argh::FromArgs;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionIndex, elf};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;

/// Show the bytes of the program per section, per crate and per room.
#[derive(FromArgs)]
#[argh(subcommand, name = "size")]
pub(crate) struct Size {
    /// x86_64, aarch64 or all; the machine's own when left out
    #[argh(option, default = "Targets::One(Arch::HOST)")]
    target: Targets,
    /// what the program can be: all, runtime or init; all when left out
    #[argh(option, default = "Face::All")]
    face: Face,
    /// also list this many of the largest functions and tables
    #[argh(option, default = "0")]
    largest: usize,
}

impl Size {
    pub(crate) fn run(&self) -> Result<()> {
        for arch in self.target.list() {
            let path = build::with_symbols(*arch, self.face)?;
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            let contents = Contents::read(&bytes)?;
            println!("{arch}: {} bytes are loaded", contents.sections.values().sum::<u64>());
            print_table("section", &contents.sections);
            print_table("part", &contents.parts());
            if self.largest > 0 {
                println!("\n{:>8}  largest", "bytes");
                for (name, size) in contents.largest(self.largest) {
                    println!("{size:>8}  {name}");
                }
            }
            println!();
        }
        Ok(())
    }
}

/// Sizes read from an ELF file with symbols.
struct Contents {
    /// Bytes per section that the kernel maps from the file.
    sections: BTreeMap<String, u64>,
    /// Name as a person wrote it, and size, of each symbol in those sections.
    symbols: Vec<(String, u64)>,
}

impl Contents {
    fn read(bytes: &[u8]) -> Result<Contents> {
        let file = object::File::parse(bytes).context("reading the program")?;
        let mut sections = BTreeMap::new();
        let mut mapped = HashSet::new();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
            let in_file = section.file_range().is_some();
            if in_file && sh_flags.contains(elf::SHF_ALLOC) {
                mapped.insert(section.index());
                *sections.entry(section.name()?.to_owned()).or_default() += section.size();
            }
        }
        Ok(Contents { sections, symbols: symbols(&file, &mapped) })
    }

    /// Bytes per crate, Pipkin's own per room, and what no symbol covers.
    fn parts(&self) -> BTreeMap<String, u64> {
        let mut parts = BTreeMap::new();
        for (name, size) in &self.symbols {
            *parts.entry(part(name)).or_default() += size;
        }
        let named: u64 = parts.values().sum();
        let all: u64 = self.sections.values().sum();
        parts.insert("no name (texts, unwind tables, padding)".to_owned(), all.saturating_sub(named));
        parts
    }

    fn largest(&self, count: usize) -> Vec<&(String, u64)> {
        let mut sorted: Vec<&(String, u64)> = self.symbols.iter().collect();
        sorted.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        sorted.truncate(count);
        sorted
    }
}

/// Each symbol of the mapped sections once: several names for one address count for the first.
fn symbols(file: &object::File<'_>, mapped: &HashSet<SectionIndex>) -> Vec<(String, u64)> {
    let mut addresses = BTreeSet::new();
    let mut found = Vec::new();
    for symbol in file.symbols() {
        let inside = symbol.section_index().is_some_and(|index| mapped.contains(&index));
        if inside && symbol.size() > 0 && addresses.insert(symbol.address()) {
            let name = symbol.name().unwrap_or_default();
            found.push((format!("{:#}", rustc_demangle::demangle(name)), symbol.size()));
        }
    }
    found
}

/// Whose symbol it is: `pipkin::bpf`, `core`, or C for a name without a path.
fn part(name: &str) -> String {
    let path = owner(name);
    let mut segments = path.split("::");
    let first = segments.next().unwrap_or_default();
    match (first, segments.next(), segments.next()) {
        // A function at the top of the crate belongs to no room.
        ("pipkin", Some(room), Some(_)) => format!("pipkin::{room}"),
        ("pipkin", ..) => "pipkin".to_owned(),
        (_, None, _) => "C library and compiler's own".to_owned(),
        (name, ..) => name.to_owned(),
    }
}

/// The path that says whose a symbol is, generic arguments left out.
///
/// `<a::T as b::Trait>::f` is the type's, unless the type is a reference, a tuple or another built-in: then the
/// trait's.
fn owner(name: &str) -> &str {
    let Some(inside) = name.strip_prefix('<') else { return until_generics(name) };
    let (subject, implemented) = match inside.split_once(" as ") {
        Some((subject, rest)) => (subject, rest),
        None => (inside, inside),
    };
    let subject = subject.trim_start_matches(['&', '*', '[', '(', '<']);
    let subject = subject.trim_start_matches("mut ").trim_start_matches("const ").trim_start_matches("dyn ");
    let path = until_generics(subject);
    if path.contains("::") { path } else { until_generics(implemented) }
}

fn until_generics(path: &str) -> &str {
    let end = path.find(['<', '>', ' ', ',', ')', ']', '{']).unwrap_or(path.len());
    path[..end].trim_end_matches("::")
}

fn print_table(heading: &str, rows: &BTreeMap<String, u64>) {
    let all: u64 = rows.values().sum();
    let mut rows: Vec<(&String, &u64)> = rows.iter().collect();
    rows.sort_by_key(|(_, size)| std::cmp::Reverse(**size));
    println!("\n{:>8} {:>6}  {heading}", "bytes", "%");
    for (name, size) in rows {
        let tenths = size * 1000 / all.max(1);
        println!("{size:>8} {:>4}.{}  {name}", tenths / 10, tenths % 10);
    }
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn a_symbol_belongs_to_the_crate_of_its_path() {
        assert_eq!(part("core::fmt::write"), "core");
        assert_eq!(part("pipkin::bpf::policy::compile"), "pipkin::bpf");
        assert_eq!(part("pipkin::main"), "pipkin");
        assert_eq!(part("memcpy"), "C library and compiler's own");
    }

    #[test]
    fn a_method_belongs_to_its_type_and_only_then_to_its_trait() {
        assert_eq!(part("<pipkin::error::Error as core::fmt::Display>::fmt"), "pipkin::error");
        assert_eq!(part("<alloc::vec::Vec<pipkin::cli::Verb> as core::ops::Drop>::drop"), "alloc");
        assert_eq!(part("<&mut std::io::Stderr as core::fmt::Write>::write_str"), "std");
        assert_eq!(part("<u32 as core::fmt::Display>::fmt"), "core");
        assert_eq!(part("<[u8] as argh::FromArgValue>::from_arg_value"), "argh");
        assert_eq!(part("core::ptr::drop_in_place::<pipkin::cli::Verb>"), "core");
        assert_eq!(part("<pipkin::plan::Plan>::resolve"), "pipkin::plan");
    }
}
