//! What is typed arrives as it was typed.

use crate::harness::{Case, cases, run};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            two_hundred_kibibytes_of_arguments,
            one_argument_of_a_hundred_kibibytes,
            bytes_that_are_no_utf_8,
            an_empty_argument_counts,
            newlines_and_blanks_stay,
            options_end_at_the_image,
            spellings_of_options,
            an_image_path_that_is_no_utf_8,
        ]
    )
}

fn two_hundred_kibibytes_of_arguments() {
    let mut words: Vec<String> = ["sh", "-c", "echo $# ${2000}"].map(str::to_owned).to_vec();
    words.push("zero".to_owned());
    words.extend((1..=2000).map(|number| format!("{number:0100}")));
    run("").command(&words).prints(&format!("2000 {:0100}\n", 2000));
}

fn one_argument_of_a_hundred_kibibytes() {
    let long = "x".repeat(100 << 10);
    run("").command(&["sh", "-c", "echo ${#1}", "sh", &long]).prints("102400\n");
}

fn bytes_that_are_no_utf_8() {
    let odd = OsStr::from_bytes(b"\xff\xfe\x80 \xc3");
    let words = ["sh", "-c", "printf %s \"$1\"", "sh"].map(OsStr::new);
    let outcome = run("").command(&[&words[..], &[odd]].concat()).succeeds();
    assert_eq!(outcome.stdout, odd.as_bytes());
}

fn an_empty_argument_counts() {
    run("").command(&["sh", "-c", "echo $#", "sh", "", "x", ""]).prints("3\n");
}

fn newlines_and_blanks_stay() {
    let word = " a\nb\t*$HOME'\"\\ ";
    run("").command(&["printf", "%s", word]).prints(word);
}

fn options_end_at_the_image() {
    run("").command(&["echo", "--rm", "-v", "--help", "--", "-it"]).prints("--rm -v --help -- -it\n");
    run("--").command(&["echo", "--"]).prints("--\n");
}

fn spellings_of_options() {
    for spelling in [&["--hostname", "pot"][..], &["--hostname=pot"], &["-h", "pot"], &["-hpot"]] {
        let run = spelling.iter().fold(run(""), |run, word| run.option(word));
        run.command(&["hostname"]).prints("pot\n");
    }
    run("-ihpot").input(*b"x").command(&["sh", "-c", "cat; hostname"]).prints("xpot\n");
}

fn an_image_path_that_is_no_utf_8() {
    let folder = crate::harness::Folder::new();
    let link = folder.path().join(OsStr::from_bytes(b"image \xff"));
    std::os::unix::fs::symlink(crate::harness::alpine().unwrap(), &link).unwrap();
    run("").image(&link).command(&[OsString::from("true")]).prints("");
}
