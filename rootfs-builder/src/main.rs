//! The `rootfs-builder` program: arguments in, one result or one line of error out.
//!
//! Exit status: 0, or 125 for whatever went wrong. Results go to standard output, as text or with `--json` as one
//! JSON object; progress and errors go to standard error.

#![forbid(unsafe_code)]

mod argument;
mod progress;
mod verb;

use std::io::{self, Write};
use std::process::ExitCode;

use argh::FromArgs;
use rootfs_builder::name::printable;

use argument::Arguments;

const PROGRAM: &str = "rootfs-builder";
const FAILURE: u8 = 125;

fn main() -> ExitCode {
    let mut words = Vec::new();
    for word in std::env::args_os().skip(1) {
        match word.into_string() {
            Ok(word) => words.push(word),
            Err(word) => {
                let word = printable(word.as_encoded_bytes());
                return failure(&format!("read the argument {word}: it is not UTF-8"));
            }
        }
    }
    let words = argument::separate_values(words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let arguments = match Arguments::from_args(&[PROGRAM], &words) {
        Ok(arguments) => arguments,
        Err(argh::EarlyExit { output, status: Ok(()) }) => return print(&output),
        Err(argh::EarlyExit { output, status: Err(()) }) => {
            return failure(&format!("read the arguments: {}", output.trim().replace('\n', " ")));
        }
    };
    match verb::run(&arguments) {
        Ok(outcome) => print(&if arguments.verb.wants_json() { outcome.json() } else { outcome.text }),
        Err(error) => failure(&error.to_string()),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&format!("write to standard output: {error}")),
    }
}

fn failure(message: &str) -> ExitCode {
    report_best_effort(&printable(message.as_bytes()));
    ExitCode::from(FAILURE)
}

/// There is nowhere left to say that standard error is closed.
fn report_best_effort(message: &str) {
    drop(writeln!(io::stderr(), "{PROGRAM}: {message}"));
}
