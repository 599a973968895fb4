//! Standard input and output.

use crate::harness::{Case, cases, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            input_is_closed_unless_asked_for,
            input_passes_intact,
            input_that_nobody_reads_holds_nobody_up,
            big_output_arrives_whole,
            the_two_outputs_stay_apart,
            a_closed_output_ends_the_writer,
        ]
    )
}

/// A mebibyte in which every byte value stands beside many others.
fn noise() -> Vec<u8> {
    (0..1_u32 << 20).map(|place| (place.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn input_is_closed_unless_asked_for() {
    run("").input(*b"something").sh("wc -c; readlink /proc/self/fd/0").prints("0\n/dev/null\n");
}

fn input_passes_intact() {
    let outcome = run("-i").input(noise()).command(&["cat"]).succeeds();
    assert!(outcome.stdout == noise(), "{} bytes arrived", outcome.stdout.len());
}

fn input_that_nobody_reads_holds_nobody_up() {
    run("-i").input(noise()).command(&["true"]).prints("");
}

fn big_output_arrives_whole() {
    let outcome = run("").sh("yes pipkin | head -c 8388608").succeeds();
    assert_eq!(outcome.stdout.len(), 8 << 20);
    assert!(outcome.stdout.chunks(7).all(|line| b"pipkin\n".starts_with(line)));
}

fn the_two_outputs_stay_apart() {
    let outcome = run("").sh("echo out; echo err >&2").exits(0);
    assert_eq!((outcome.text().as_str(), outcome.told().as_str()), ("out\n", "err\n"));
}

fn a_closed_output_ends_the_writer() {
    let line = run("").line(&["sh", "-c", "yes > /dev/stdout; echo $? >&2"]);
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "\"$0\" \"$@\" | head -c 2"]).arg(line.get_program()).args(line.get_args()).env_clear();
    shell.env("PATH", "/usr/bin:/bin");
    let outcome = crate::harness::Running::start(shell, None).wait();
    assert_eq!((outcome.text().as_str(), outcome.told().as_str()), ("y\n", "141\n"), "{outcome}");
}
