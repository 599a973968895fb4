//! A help text, taken apart.

use anyhow::{Context, Result};

/// What a help text says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The verb, or the program.
    pub(super) name: String,
    /// What it does, in a few words.
    pub(super) summary: String,
    /// How it is called.
    pub(super) usage: Vec<String>,
    /// Paragraphs before and after the options.
    pub(super) text: Vec<String>,
    pub(super) sections: Vec<Section>,
}

/// Lines under a title.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) entries: Vec<Entry>,
}

/// An option with its spellings and what stands for its value, or a verb.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) names: Vec<String>,
    pub(super) value: Option<String>,
    pub(super) text: String,
}

impl Page {
    /// Takes `help` apart.
    ///
    /// # Errors
    /// It does not begin with its usage.
    pub(super) fn parse(name: &str, summary: &str, help: &str) -> Result<Page> {
        let mut blocks = help.trim_end().split("\n\n");
        let usage = blocks.next().filter(|first| first.starts_with("Usage: "));
        let usage = usage.with_context(|| format!("the help of {name} does not begin with its usage"))?;
        let usage = usage.lines().map(|line| line.trim_start_matches("Usage:").trim().to_owned()).collect();
        let (mut text, mut sections) = (Vec::new(), Vec::<Section>::new());
        for block in blocks {
            let mut lines = block.lines();
            let first = lines.next().unwrap_or_default();
            if let Some(title) = first.strip_suffix(':').filter(|title| !title.starts_with(' ')) {
                sections.push(Section { title: title.to_owned(), entries: entries(lines) });
            } else if let (true, Some(section)) = (first.starts_with(' '), sections.last_mut()) {
                section.entries.extend(entries(block.lines()));
            } else {
                text.push(block.lines().map(str::trim).collect::<Vec<_>>().join(" "));
            }
        }
        Ok(Page { name: name.to_owned(), summary: summary.to_owned(), usage, text, sections })
    }

    /// Names and texts of the section `title`.
    pub(super) fn entries(&self, title: &str) -> Vec<(String, String)> {
        let section = self.sections.iter().filter(|section| section.title == title);
        let entries = section.flat_map(|section| &section.entries);
        entries.map(|entry| (entry.names.join(", "), entry.text.clone())).collect()
    }

    /// Its options.
    pub(super) fn options(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.sections.iter().flat_map(|section| &section.entries);
        entries.filter(|entry| entry.names.iter().any(|name| name.starts_with('-')))
    }

    /// Whether an operand is a container.
    pub(super) fn takes_container(&self) -> bool {
        self.usage.iter().any(|usage| usage.contains("CONTAINER"))
    }
}

/// An entry begins two or six blanks deep, with its names up to two blanks; what is deeper goes on with its text.
fn entries<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in lines {
        let (depth, rest) = (line.len() - line.trim_start().len(), line.trim());
        if !(depth == 2 || depth == 6 && rest.starts_with('-')) {
            if let Some(last) = entries.last_mut() {
                last.text = [last.text.as_str(), rest].join(" ").trim().to_owned();
            }
            continue;
        }
        let (head, text) = rest.split_once("  ").unwrap_or((rest, ""));
        let (names, value) = match head.rsplit_once(' ') {
            Some((names, value)) if !value.starts_with('-') => (names, Some(value.to_owned())),
            _ => (head, None),
        };
        let names = names.split(',').map(|name| name.trim().to_owned()).collect();
        entries.push(Entry { names, value, text: text.trim().to_owned() });
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_help_text_comes_apart() {
        let help = "Usage: pipkin x [OPTIONS] CONTAINER\n       pipkin x\n\nDoes this\nand that.\n\nOptions; SIZE is big:\n  -m, --memory SIZE  most memory,\n                     and more\n      --help         show it\n";
        let page = Page::parse("x", "do", help).unwrap();
        assert_eq!(page.usage, ["pipkin x [OPTIONS] CONTAINER", "pipkin x"]);
        assert_eq!(
            (page.text.as_slice(), page.takes_container()),
            (&["Does this and that.".to_owned()][..], true)
        );
        let options: Vec<&Entry> = page.options().collect();
        assert_eq!(options[0].names, ["-m", "--memory"]);
        assert_eq!(
            (options[0].value.as_deref(), options[0].text.as_str()),
            (Some("SIZE"), "most memory, and more")
        );
        assert_eq!((options[1].names.len(), options[1].value.as_ref()), (1, None));
        assert!(Page::parse("x", "", "no usage").is_err());
    }
}
