//! Services beside the command, or without one.

use super::{Folder, Running, init, shell, until};
use crate::program::pipkin;
use libtest_mimic::{Failed, Trial};

const TERM: i32 = 15;
const KILL: i32 = 9;

pub(super) fn cases() -> Vec<Trial> {
    vec![
        Trial::test("init::services_start_again", services_start_again),
        Trial::test("init::services_end_with_the_command", services_end_with_the_command),
        Trial::test("init::services_alone_end_on_term", services_alone_end_on_term),
        Trial::test(
            "init::services_that_cannot_be_read_are_refused",
            services_that_cannot_be_read_are_refused,
        ),
    ]
}

/// A file of services; in it `%` is the folder that it is in.
fn services(name: &str, text: &str) -> Result<(Folder, String), Failed> {
    let folder = Folder::make(name)?;
    let path = folder.0.join("services");
    std::fs::write(&path, text.replace('%', &folder.0.to_string_lossy()))?;
    let path = path.to_string_lossy().into_owned();
    Ok((folder, path))
}

fn services_start_again() -> Result<(), Failed> {
    let text = "# two of them\n\nsh -c \"echo one; exit 3\"\n  sh -c \"echo $$ >%/two; exec sleep 1000\"\n";
    let (folder, path) = services("again", text)?;
    let mut running = Running::start(&mut init(&["--services", &path], &shell("read -r go; exit 4")))?;
    running.tells("one")?;
    running.tells("one")?;
    let pid = || std::fs::read_to_string(folder.0.join("two")).ok()?.trim().parse::<i32>().ok();
    until("the second service", || pid().is_some())?;
    let first = pid().ok_or("no pid")?;
    pipkin::sys::signal::kill(first, KILL).map_err(|errno| format!("kill: {errno}"))?;
    until("another second service", || pid().is_some_and(|pid| pid != first))?;
    drop(running.input.take());
    running.ends_with(4)?;
    let last = pid().ok_or("no pid")?;
    until("the second service to be gone", || super::state_and_parent(last).is_none())
}

fn services_end_with_the_command() -> Result<(), Failed> {
    let text = "sh -c \"trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.1; done\"";
    let (_folder, path) = services("end", text)?;
    let command = shell("read -r go; exit 5");
    let mut running = Running::start(&mut init(&["--grace=60000", "--services", &path], &command))?;
    running.tells("ready")?;
    drop(running.input.take());
    running.ends_with(5)?;
    running.tells("bye")
}

fn services_alone_end_on_term() -> Result<(), Failed> {
    let text = "sh -c \"trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.1; done\"\nsh -c \"echo ready; exec sleep 1000\"";
    let (_folder, path) = services("alone", text)?;
    let mut running = Running::start(pipkin().args(["init", "--grace=60000", "--services", &path]))?;
    running.tells("ready")?;
    running.tells("ready")?;
    running.kill(1)?;
    running.kill(TERM)?;
    running.tells("bye")?;
    running.ends_with(0)?;
    let told = running.rest()?;
    if told.is_empty() { Ok(()) } else { Err(format!("{told:?}").into()) }
}

fn services_that_cannot_be_read_are_refused() -> Result<(), Failed> {
    for (name, text, why) in [
        ("none", "# nothing\n\n".to_owned(), "there are none"),
        ("many", "true\n".repeat(17), "more than 16"),
    ] {
        let (_folder, path) = services(name, &text)?;
        let output = init(&["--services", &path], &shell("exit 0")).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(125) || !told.contains(why) {
            return Err(format!("{output:?}").into());
        }
    }
    let output = init(&["--services", "/nowhere"], &shell("exit 0")).output()?;
    if output.status.code() == Some(125) { Ok(()) } else { Err(format!("{output:?}").into()) }
}
