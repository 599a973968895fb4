//! Standard input and output.

use crate::harness::{Case, Folder, Running, cases, run};
use rustix::fs::{CWD, FileType, Mode};

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
            descriptors_are_passed_on_as_asked,
            what_was_passed_on_is_the_containers_alone,
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
    let outcome = Running::start(shell, None).wait();
    assert_eq!((outcome.text().as_str(), outcome.told().as_str()), ("y\n", "141\n"), "{outcome}");
}

fn descriptors_are_passed_on_as_asked() {
    let folder = Folder::new();
    let file = folder.file("text", "soup");
    let opening = format!("exec 3<{0} 4<{0}; exec \"$@\"", file.display());
    for options in ["", "--init ", "--tty "] {
        let given = |count: &str| {
            run(&format!("{options}--preserve-fds {count}")).under("sh", &["-c", &opening, "-"])
        };
        let seen = given("1").sh("cat <&3; for n in 3 4 5; do [ -e /proc/$$/fd/$n ] && echo $n; done; true");
        assert_eq!(seen.succeeds().text().trim_end(), "soup3", "{options}");
        given("3").sh("true").expect_refusal(&["descriptor 5 is not open"]);
    }
    run("--preserve-fds 1").sh("true").expect_refusal(&["descriptor 3 is not open"]);
    run("--preserve-fds x").sh("true").fails(125, &["pass on descriptors x"]);
    run("-d --preserve-fds 0").sh("true").fails(125, &["--preserve-fds 0"]);
}

/// Whoever has the other end sees that the container has closed its own, though it runs on.
fn what_was_passed_on_is_the_containers_alone() {
    let folder = Folder::new();
    let pipe = folder.join("pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let mut cat = std::process::Command::new("/bin/cat");
    cat.arg(&pipe);
    let reader = Running::start(cat, None);
    let opening = format!("exec 3> {}; exec \"$@\"", pipe.display());
    let container = run("--preserve-fds 1")
        .under("sh", &["-c", &opening, "-"])
        .start_sh("echo soup >&3; exec 3>&-; sleep 1000");
    reader.wait().prints("soup\n");
    container.kill_and_clean();
}
