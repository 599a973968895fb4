//! Completions: verbs, their options, containers by name and id; files wherever a value or another operand stands.

use super::Book;
use super::page::Entry;

/// What prints the names and ids of all containers, each on a line.
const CONTAINERS: &str = "{ pipkin ps -aq; pipkin ps -a --format json | grep -o '\"Name\":\"[^\"]*' | cut -d '\"' -f 4; } 2>/dev/null";

fn verbs(book: &Book) -> String {
    book.verbs.iter().map(|verb| verb.name.as_str()).collect::<Vec<_>>().join(" ")
}

fn spellings<'b>(options: impl Iterator<Item = &'b Entry>) -> Vec<&'b str> {
    options.flat_map(|option| &option.names).map(String::as_str).collect()
}

/// For bash.
pub(super) fn bash(book: &Book) -> String {
    let mut out = format!(
        "# Completion of pipkin for bash.\n_pipkin() {{\n\tlocal word=${{COMP_WORDS[COMP_CWORD]}} last=${{COMP_WORDS[COMP_CWORD - 1]}} \
         options= values= containers=\n\tif [ \"$COMP_CWORD\" = 1 ]; then\n\t\tCOMPREPLY=($(compgen -W '{} --help --version' -- \"$word\"))\n\
         \t\treturn\n\tfi\n\tcase ${{COMP_WORDS[1]}} in\n",
        verbs(book)
    );
    for verb in &book.verbs {
        let options = spellings(verb.options()).join(" ");
        let values = spellings(verb.options().filter(|option| option.value.is_some())).join(" ");
        let containers = if verb.takes_container() { "yes" } else { "" };
        out.push_str(&format!(
            "\t{}) options='{options}' values=' {values} ' containers={containers} ;;\n",
            verb.name
        ));
    }
    out.push_str(
        "\tesac\n\tif [[ $values == *\" $last \"* ]]; then\n\t\tCOMPREPLY=()\n\telif [[ $word == -* ]]; then\n\
         \t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n\telif [ -n \"$containers\" ]; then\n",
    );
    out.push_str(&format!("\t\tCOMPREPLY=($(compgen -W \"$({CONTAINERS})\" -- \"$word\"))\n\tfi\n}}\n"));
    out.push_str("complete -o default -F _pipkin pipkin\n");
    out
}

/// Text between single quotes of a shell that takes `'\''` for one.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

/// For zsh.
pub(super) fn zsh(book: &Book) -> String {
    let mut out =
        String::from("#compdef pipkin\n# Completion of pipkin for zsh.\n\n_pipkin_containers() {\n");
    out.push_str(&format!("\tcompadd -- ${{(f)\"$({CONTAINERS})\"}}\n}}\n\n_pipkin() {{\n"));
    out.push_str("\tlocal -a verbs\n\tverbs=(\n");
    for verb in &book.verbs {
        out.push_str(&format!("\t\t'{}:{}'\n", verb.name, quoted(&verb.summary.replace(':', "\\:"))));
    }
    out.push_str(
        "\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe verb verbs\n\t\treturn\n\tfi\n\tcase $words[2] in\n",
    );
    for verb in &book.verbs {
        out.push_str(&format!("\t{})\n\t\t_arguments -s", verb.name));
        for option in verb.options() {
            // What stands between brackets ends at the first one that closes.
            let text = quoted(&option.text.replace('[', "(").replace(']', ")").replace(':', "\\:"));
            let value = option.value.as_ref().map(|value| format!(":{}:_files", value.replace(':', "\\:")));
            for name in &option.names {
                out.push_str(&format!(" \\\n\t\t\t'*{name}[{text}]{}'", value.clone().unwrap_or_default()));
            }
        }
        let operands = if verb.takes_container() { "_pipkin_containers" } else { "_files" };
        out.push_str(&format!(" \\\n\t\t\t'*: :{operands}'\n\t\t;;\n"));
    }
    out.push_str("\tesac\n}\n\n_pipkin \"$@\"\n");
    out
}

/// For fish.
pub(super) fn fish(book: &Book) -> String {
    let mut out = String::from("# Completion of pipkin for fish.\n");
    // Within single quotes fish takes a backslash before a quote or a backslash.
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    for verb in &book.verbs {
        out.push_str(&format!(
            "complete -c pipkin -n __fish_use_subcommand -f -a {} -d '{}'\n",
            verb.name,
            quoted(&verb.summary)
        ));
    }
    for verb in &book.verbs {
        let seen = format!("complete -c pipkin -n '__fish_seen_subcommand_from {}'", verb.name);
        if verb.takes_container() {
            out.push_str(&format!("{seen} -f -a '({})'\n", quoted(&in_fish())));
        }
        for option in verb.options() {
            let names: String = option.names.iter().map(|name| format!(" {}", flag(name))).collect();
            let value = if option.value.is_some() { " -r" } else { "" };
            out.push_str(&format!("{seen}{names}{value} -d '{}'\n", quoted(&option.text)));
        }
    }
    out
}

/// [`CONTAINERS`] in its grammar.
fn in_fish() -> String {
    CONTAINERS.replace("{ ", "begin; ").replace("; }", "; end")
}

fn flag(name: &str) -> String {
    match name.strip_prefix("--") {
        Some(long) => format!("-l {long}"),
        None => format!("-s {}", name.trim_start_matches('-')),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Book;
    use super::super::page::Page;
    use super::*;

    #[test]
    fn each_shell_is_told_of_verbs_and_options() {
        let page = |name: &str| {
            let help = "Usage: pipkin ps CONTAINER\n\nOptions:\n  -f, --format FORMAT  it's [one]: two";
            Page::parse(name, "list what's there", help).unwrap()
        };
        let book = Book { version: "1".into(), program: page("pipkin"), verbs: vec![page("ps")] };
        assert!(bash(&book).contains("ps) options='-f --format' values=' -f --format ' containers=yes ;;"));
        assert!(zsh(&book).contains("'*--format[it'\\''s (one)\\: two]:FORMAT:_files'"));
        assert!(fish(&book).contains(" -s f -l format -r -d 'it\\'s [one]: two'"));
    }
}
