//! Each dependency says why it is there.

use super::Finding;
use super::source::Source;

/// Finds dependencies without a comment line above them.
pub(super) fn reasons(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut open_brackets = 0_usize;
    let mut above = "";
    for (number, line) in source.text.lines().map(str::trim).enumerate() {
        if open_brackets == 0 {
            let heading = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
            let named = heading.and_then(|heading| heading.rsplit_once("dependencies."));
            let dependency = match (heading, named) {
                // `[dependencies.name]`
                (Some(_), Some((_, name))) => {
                    inside = false;
                    Some(name)
                }
                (Some(heading), None) => {
                    inside = heading.ends_with("dependencies");
                    None
                }
                (None, _) => line.split_once('=').map(|(name, _)| name.trim()).filter(|_| inside),
            };
            if let Some(name) = dependency.filter(|name| !name.starts_with('#') && !above.starts_with('#')) {
                found.push(source.finding(number + 1, format!("dependency {name} has no reason above it")));
            }
        }
        open_brackets = (open_brackets + line.matches('[').count()).saturating_sub(line.matches(']').count());
        above = line;
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::tidy::tests::told;

    #[test]
    fn a_dependency_needs_a_reason() {
        let manifest = "[package]\nname = \"a\"\n[dependencies]\n# Reads.\nobject = \"1\"\nsyn = \"2\"\n";
        assert_eq!(told("xtask/Cargo.toml", manifest), ["6: dependency syn has no reason above it"]);
        let table = "[dev-dependencies.syn]\nversion = \"2\"\n\n[profile.dist]\nlto = true\n";
        assert_eq!(told("Cargo.toml", table), ["1: dependency syn has no reason above it"]);
        let target = "[target.'cfg(unix)'.dependencies]\nsyn = \"2\"\n";
        assert_eq!(told("Cargo.toml", target), ["2: dependency syn has no reason above it"]);
    }

    #[test]
    fn a_value_of_several_lines_is_one_dependency() {
        let manifest = "[dependencies]\n# Why.\nsyn = { version = \"2\", features = [\n  \"full\",\n] }\n";
        assert!(told("Cargo.toml", manifest).is_empty());
    }
}
