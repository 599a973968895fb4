//! Man pages and shell completions, made of what `pipkin --help` and `pipkin help VERB` print.
//!
//! Those texts are also the tables by which the program reads its arguments, so that what is offered is what is taken.

mod completion;
mod manual;
mod page;

use crate::build::{self, Arch, Face};
use crate::command;
use crate::setup::{self, Program};
use crate::test::tally::Tally;
use anyhow::{Context, Result, bail, ensure};
use argh::FromArgs;
use page::Page;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Write the man pages and the completions for bash, zsh and fish to target/docs.
#[derive(FromArgs)]
#[argh(subcommand, name = "docs")]
pub(crate) struct Docs {}

impl Docs {
    pub(crate) fn run(&self) -> Result<()> {
        let folder = write()?;
        println!("{}", folder.display());
        Ok(())
    }
}

/// All that the program tells of itself.
struct Book {
    version: String,
    program: Page,
    verbs: Vec<Page>,
}

impl Book {
    /// Asks `pipkin`.
    fn read(pipkin: &Path) -> Result<Book> {
        let ask = |words: &[&str]| command::output(Command::new(pipkin).args(words));
        let version = ask(&["--version"])?.lines().next().unwrap_or_default().to_owned();
        let program = Page::parse("pipkin", "", &ask(&["--help"])?)?;
        let mut verbs = Vec::new();
        for (name, summary) in program.entries("Verbs") {
            verbs.push(Page::parse(&name, &summary, &ask(&["help", &name])?)?);
        }
        ensure!(!verbs.is_empty(), "pipkin --help names no verb");
        Ok(Book { version, program, verbs })
    }
}

/// Writes everything and gives the folder.
fn write() -> Result<PathBuf> {
    let book = Book::read(&build::static_binary(Arch::HOST, Face::All)?)?;
    let folder = command::target().join("docs");
    let place = |name: &str, text: String| {
        let path = folder.join(name);
        let above = path.parent().context("looking for a folder")?;
        fs::create_dir_all(above).with_context(|| format!("making {}", above.display()))?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    place("man/pipkin.1", manual::program(&book))?;
    for verb in &book.verbs {
        place(&format!("man/pipkin-{}.1", verb.name), manual::verb(&book, verb))?;
    }
    place("completion/pipkin.bash", completion::bash(&book))?;
    place("completion/_pipkin", completion::zsh(&book))?;
    place("completion/pipkin.fish", completion::fish(&book))?;
    Ok(folder)
}

/// What reads them.
const READERS: [Program; 4] = [
    Program { name: "bash", package: "bash" },
    Program { name: "zsh", package: "zsh" },
    Program { name: "fish", package: "fish" },
    Program { name: "mandoc", package: "mandoc" },
];

/// What bash offers after `pipkin ps --fo` and after `pipkin st`, and after `pipkin run --memory ` not.
const OFFERS: &str = r#"
. "$1"
offered() { COMP_WORDS=(pipkin "$@"); COMP_CWORD=$#; COMPREPLY=(); _pipkin; echo "${COMPREPLY[*]}"; }
[ "$(offered ps --fo)" = --format ] && [ "$(offered stat)" = stats ] && [ "$(offered run --memory --re)" = "" ]
"#;

/// Makes them, and has each read by the program that it is for.
///
/// # Errors
/// One that cannot be made, or is not understood.
pub(crate) fn test() -> Result<Tally> {
    if setup::is_root()? {
        setup::programs(&READERS)?;
    }
    let folder = write()?;
    let completion = |name: &str| folder.join("completion").join(name);
    let mut checks: Vec<(&str, Vec<String>)> = Vec::new();
    let words = |words: &[&str], path: &Path| {
        words.iter().map(|word| (*word).to_owned()).chain([path.display().to_string()]).collect()
    };
    checks.push(("bash", words(&["-n"], &completion("pipkin.bash"))));
    checks.push(("bash", words(&["-c", OFFERS, "bash"], &completion("pipkin.bash"))));
    checks.push(("zsh", words(&["-n"], &completion("_pipkin"))));
    checks.push(("fish", words(&["--no-execute"], &completion("pipkin.fish"))));
    for entry in fs::read_dir(folder.join("man")).context("reading the folder of man pages")? {
        checks.push(("mandoc", words(&["-T", "lint", "-W", "error"], &entry?.path())));
    }
    let mut tally = Tally::default();
    for (program, words) in checks {
        if setup::find(program).is_none() {
            tally.skipped += 1;
            continue;
        }
        let output =
            Command::new(program).args(&words).output().with_context(|| format!("starting {program}"))?;
        if !output.status.success() {
            let told = [output.stdout, output.stderr].concat();
            bail!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&told));
        }
        tally.passed += 1;
    }
    Ok(tally)
}
