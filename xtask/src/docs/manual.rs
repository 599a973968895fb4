//! Man pages, in the macros of man(7).

use super::Book;
use super::page::{Entry, Page};

/// `pipkin.1`.
pub(super) fn program(book: &Book) -> String {
    let mut out = page(book, &book.program, "Linux containers from one static program");
    out.push_str(".SH EXIT STATUS\nThat of the command where one is run; 128 and the number of the signal that killed it; ");
    out.push_str("125 when Pipkin itself failed, 126 when the command could not be executed, 127 when there is none.\n");
    let pages = book.verbs.iter().map(|verb| format!(".BR pipkin\\-{} (1)", verb.name));
    see_also(&mut out, pages.collect());
    out
}

/// The page of a verb.
pub(super) fn verb(book: &Book, verb: &Page) -> String {
    let mut out = page(book, verb, &verb.summary);
    see_also(&mut out, vec![".BR pipkin (1)".to_owned()]);
    out
}

fn see_also(out: &mut String, pages: Vec<String>) {
    out.push_str(".SH SEE ALSO\n");
    out.push_str(&pages.join(",\n"));
    out.push('\n');
}

fn page(book: &Book, page: &Page, summary: &str) -> String {
    let name = if page.name == "pipkin" { page.name.clone() } else { format!("pipkin-{}", page.name) };
    let mut out = format!(".TH {} 1 \"\" \"{}\" \"\"\n", name.to_uppercase(), book.version);
    out.push_str(&format!(".SH NAME\n{} \\- {}\n.SH SYNOPSIS\n", plain(&name), plain(summary)));
    out.push_str(&page.usage.iter().map(|usage| text(usage)).collect::<Vec<_>>().join(".br\n"));
    out.push_str(".SH DESCRIPTION\n");
    out.push_str(&page.text.iter().map(|paragraph| text(paragraph)).collect::<Vec<_>>().join(".PP\n"));
    if page.text.is_empty() {
        out.push_str(&text(summary));
    }
    for section in &page.sections {
        out.push_str(&format!(".SH {}\n", plain(&section.title.to_uppercase())));
        section.entries.iter().for_each(|entry| out.push_str(&item(entry)));
    }
    out
}

fn item(entry: &Entry) -> String {
    let names: Vec<String> = entry.names.iter().map(|name| format!("\\fB{}\\fR", plain(name))).collect();
    let value = entry.value.as_ref().map(|value| format!(" \\fI{}\\fR", plain(value))).unwrap_or_default();
    format!(".TP\n{}{value}\n{}", names.join(", "), text(&entry.text))
}

/// A line of text, of which no character means anything to the formatter.
fn text(text: &str) -> String {
    let text = plain(text);
    let guard = if text.starts_with(['.', '\'']) { "\\&" } else { "" };
    format!("{guard}{text}\n")
}

fn plain(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq")
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn nothing_in_a_text_is_a_request() {
        assert_eq!(text(".so /etc/passwd"), "\\&.so /etc/passwd\n");
        assert_eq!(text("a\\n --b 'c'"), "a\\en \\-\\-b \\(aqc\\(aq\n");
    }
}
