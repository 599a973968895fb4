//! Variables of the container.

use crate::harness::{Case, Folder, Run, cases, run};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            nothing_of_the_host_leaks,
            path_and_home_are_given,
            values_as_given,
            the_last_value_counts,
            a_bare_name_passes_the_callers_value,
            a_bare_name_that_is_not_set_stays_unset,
            a_file_of_variables,
            options_win_over_the_file,
            bytes_that_are_no_utf_8_pass,
            bytes_that_are_no_utf_8_in_an_option_pass_or_are_refused,
            home_comes_from_the_images_accounts,
            a_given_home_stays,
            term_on_a_terminal_only,
            a_name_that_is_none_is_refused,
            a_missing_file_is_refused,
        ]
    )
}

/// What `env` says, line by line.
fn variables(run: Run) -> BTreeMap<String, String> {
    let text = run.command(&["env"]).succeeds().text();
    let pairs = text.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn nothing_of_the_host_leaks() {
    let leaky =
        run("").env("SECRET", "1").env("LD_PRELOAD", "/x.so").env("PATH", "/host").env("HOME", "/host");
    let found = variables(leaky.env("HOSTNAME", "host").env("USER", "host").env("TERM", "host"));
    assert!(found.values().all(|value| !value.contains("host") && value != "1"), "{found:?}");
    let known = ["PATH", "HOME", "HOSTNAME"];
    assert!(found.keys().all(|name| known.contains(&name.as_str())), "{found:?}");
}

fn path_and_home_are_given() {
    let found = variables(run("--hostname pot"));
    assert_eq!(found["PATH"], "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    assert_eq!(found["HOME"], "/root");
}

fn values_as_given() {
    let run = run("")
        .option("-eA=1")
        .option("--env=B=x=y")
        .option("-e")
        .option("C=two words")
        .option("-e")
        .option("D=");
    let found = variables(run);
    assert_eq!([&found["A"], &found["B"], &found["C"], &found["D"]], ["1", "x=y", "two words", ""]);
}

fn the_last_value_counts() {
    run("-e A=1 -e A=2 -e PATH=/bin").sh("echo $A $PATH; /usr/bin/env | grep -c ^A=").prints("2 /bin\n1\n");
}

fn a_bare_name_passes_the_callers_value() {
    run("-e GIVEN").env("GIVEN", "by the caller").sh("echo $GIVEN").prints("by the caller\n");
}

fn a_bare_name_that_is_not_set_stays_unset() {
    run("-e ABSENT").sh("echo ${ABSENT-unset}").prints("unset\n");
}

fn a_file_of_variables() {
    let folder = Folder::new();
    let file = folder.file("env", "# a comment\n\nA=1\nB=two words \nC=a=b\nGIVEN\nABSENT\nQ=\"kept\"\n");
    let found = variables(run("--env-file").option(file).env("GIVEN", "g"));
    assert_eq!([&found["A"], &found["B"], &found["C"]], ["1", "two words ", "a=b"]);
    assert_eq!([&found["GIVEN"], &found["Q"]], ["g", "\"kept\""]);
    assert!(!found.contains_key("ABSENT"));
}

fn options_win_over_the_file() {
    let folder = Folder::new();
    let file = folder.file("env", "A=file\n");
    run("-e A=option --env-file").option(file).sh("echo $A").prints("option\n");
}

fn bytes_that_are_no_utf_8_pass() {
    let odd = OsStr::from_bytes(b"\xff\xfe/\x80");
    let folder = Folder::new();
    let file = folder.file("env", b"B=\xff\xfe/\x80\n");
    let run = run("-e A --env-file").option(file).env("A", odd);
    assert_eq!(run.sh("printf %s%s \"$A\" \"$B\"").succeeds().stdout, [odd.as_bytes(); 2].concat());
}

fn bytes_that_are_no_utf_8_in_an_option_pass_or_are_refused() {
    let odd = [b"A=", &b"\xff\xfe/\x80"[..]].concat();
    let outcome = run("-e").option(OsStr::from_bytes(&odd)).sh("printf %s \"$A\"");
    if outcome.status.success() {
        assert_eq!(outcome.stdout, odd[2..]);
    } else {
        outcome.expect_refusal(&["-e", "UTF-8"]);
    }
}

fn home_comes_from_the_images_accounts() {
    run("-u nobody").sh("echo $HOME").prints("/\n");
    run("-u 65534").sh("echo $HOME").prints("/\n");
    run("-u mail").sh("echo $HOME").prints("/var/mail\n");
    run("-u 4242").sh("echo $HOME").prints("/\n");
}

fn a_given_home_stays() {
    run("-u mail -e HOME=/given").sh("echo $HOME").prints("/given\n");
}

fn term_on_a_terminal_only() {
    run("").sh("echo ${TERM-unset}").prints("unset\n");
}

fn a_name_that_is_none_is_refused() {
    run("-e").option("=value").sh("true").expect_refusal(&["=value"]);
    run("-e").option("").sh("true").expect_refusal(&[]);
}

fn a_missing_file_is_refused() {
    run("--env-file /nonexistent/env").sh("true").expect_refusal(&["/nonexistent/env"]);
}
