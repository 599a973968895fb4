//! The command line as a person meets it: help, mistakes, and answers for programs.

use crate::program::pipkin;
use libtest_mimic::{Completion, Failed, Trial};
use rustix::fs::StatVfsMountFlags;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub(crate) fn cases() -> Vec<Trial> {
    vec![
        Trial::test("usage::every_verb_has_help", every_verb_has_help),
        Trial::test("usage::a_mistake_is_one_line_and_a_remedy", mistakes),
        Trial::test("usage::arguments_need_not_be_text", arguments_need_not_be_text),
        Trial::test("usage::the_caller_leaks_nothing", the_caller_leaks_nothing),
        Trial::test("usage::programs_can_read_the_answers", programs_can_read_the_answers),
        Trial::test("usage::a_full_disk_is_no_success", a_full_disk_is_no_success),
        Trial::ignorable_test("usage::more_rights_than_the_caller_are_refused", more_rights_are_refused),
    ]
}

fn output(args: &[&str]) -> Result<Output, Failed> {
    Ok(pipkin().args(args).stdin(Stdio::null()).output()?)
}

fn expect(holds: bool, what: &str, output: &Output) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{what}: {output:?}").into()) }
}

fn every_verb_has_help() -> Result<(), Failed> {
    let help = String::from_utf8(output(&["--help"])?.stdout)?;
    let verbs = help.lines().skip_while(|line| *line != "Verbs:").skip(1).take_while(|line| !line.is_empty());
    let verbs =
        verbs.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    let mut count = 0;
    for verb in verbs {
        let asked = output(&[verb, "--help"])?;
        let usage = format!("Usage: pipkin {verb} ");
        expect(asked.status.success() && asked.stdout.starts_with(usage.as_bytes()), verb, &asked)?;
        let told = output(&["help", verb])?;
        expect(told.stdout == asked.stdout, verb, &told)?;
        count += 1;
    }
    if count >= 6 { Ok(()) } else { Err(format!("{count} verbs in {help}").into()) }
}

fn mistakes() -> Result<(), Failed> {
    for (args, words) in [
        (&["run"][..], "an IMAGE is needed"),
        (&["run", "--foo", "x"], "unknown option --foo"),
        (&["run", "-ix", "x"], "unknown option -x"),
        (&["run", "--memory"], "option --memory needs a value"),
        (&["run", "--memory", "64q", "scratch"], "--memory 64q: give a size"),
        (&["run", "--memory", "2m", "--swap", "1m", "scratch"], "it must not be less than --memory"),
        (&["run", "--cpu", "0", "scratch"], "--cpus 0: give a number of CPUs"),
        (&["run", "-v", "-data:/x", "scratch"], "a volume's name has letters"),
        (&["run", "-v", "/tmp:/proc/sys", "scratch"], "nothing can be mounted in /proc"),
        (&["run", "--cap-add", "FLY", "scratch"], "it is no capability"),
        (&["run", "no-such-image"], "there is none of this name"),
        (&["run", "/no/such/directory"], "No such file or directory"),
        (&["run", "/dev/null"], "Not a directory"),
        (&["run", "--sysctl", "kernel.core_pattern=x", "scratch"], "it belongs to the whole machine"),
        (&["doctor", "now"], "it takes no operand"),
        (&["probe", "--frob"], "unknown option --frob"),
        (&["frobnicate"], "unknown verb frobnicate"),
    ] {
        let output = output(args)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        let first = lines.first().copied().unwrap_or_default();
        expect(output.status.code() == Some(125) && output.stdout.is_empty(), "code or output", &output)?;
        expect(first.starts_with("pipkin") && first.contains(words) && lines.len() <= 2, words, &output)?;
    }
    Ok(())
}

fn arguments_need_not_be_text() -> Result<(), Failed> {
    let raw = OsStr::from_bytes(b"caf\xe9");
    let planned = pipkin().args(["run", "--dry-run", "/", "echo"]).arg(raw).output()?;
    expect(planned.status.success(), "a command of bytes", &planned)?;
    let value = pipkin().args(["run", "--hostname"]).arg(raw).arg("/").output()?;
    let said = String::from_utf8_lossy(&value.stderr).into_owned();
    expect(said.contains("the value of --hostname is not UTF-8"), "a value of bytes", &value)?;
    let many = (0..2000).map(|number| OsString::from(format!("{number:0100}")));
    let long = pipkin().args(["run", "--dry-run", "/", "echo"]).args(many).output()?;
    expect(long.status.success(), "200 KiB of arguments", &long)
}

/// The plan is made of what was typed: a variable of the caller's shows nowhere in it.
fn the_caller_leaks_nothing() -> Result<(), Failed> {
    let planned =
        pipkin().env("SECRET_OF_MINE", "hunter2").args(["run", "--dry-run", "--json", "/"]).output()?;
    let text = String::from_utf8_lossy(&planned.stdout);
    expect(planned.status.success() && !text.contains("hunter2"), "the plan", &planned)
}

fn programs_can_read_the_answers() -> Result<(), Failed> {
    let doctor = output(&["doctor", "--json"])?;
    let checks: serde_json::Value = serde_json::from_slice(&doctor.stdout)?;
    let kernel = checks.as_array().and_then(|checks| checks.iter().find(|check| check["name"] == "kernel"));
    expect(kernel.is_some_and(|check| check["state"] == "ok"), "doctor", &doctor)?;
    let probe = output(&["probe", "--json"])?;
    let facts: serde_json::Value = serde_json::from_slice(&probe.stdout)?;
    expect(facts["capabilities"]["inheritable"].is_array(), "probe", &probe)?;
    let plan = output(&["run", "--dry-run", "--json", "--tmpfs", "/t:size=1m", "/", "true"])?;
    let steps: serde_json::Value = serde_json::from_slice(&plan.stdout)?;
    let last = steps["child"].as_array().and_then(|steps| steps.last());
    expect(last.is_some_and(|step| step["command"] == "true"), "plan", &plan)
}

fn a_full_disk_is_no_success() -> Result<(), Failed> {
    for verb in ["--help", "doctor", "probe"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
        let output = pipkin().arg(verb).stdout(full).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        expect(output.status.code() == Some(125) && said.contains("No space left"), verb, &output)?;
    }
    Ok(())
}

/// A copy that is set-user-id of somebody else is started by the kernel with `AT_SECURE`. Where bubblewrap was such a one it
/// could be had by CVE-2016-8659, CVE-2020-5291 (GHSA-j2qp-rvxj-43vj) and CVE-2026-41163.
fn more_rights_are_refused() -> Result<Completion, Failed> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Completion::ignored_with("only root can give a file to somebody else"));
    }
    let folder = std::env::temp_dir();
    if rustix::fs::statvfs(folder.as_os_str().as_bytes())?.f_flag.contains(StatVfsMountFlags::NOSUID) {
        return Ok(Completion::ignored_with("temporary files are on a nosuid mount"));
    }
    let folder = folder.join(format!("pipkin-setuid-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let outcome = run_set_user_id(&folder);
    fs::remove_dir_all(&folder)?;
    outcome.map(|()| Completion::Completed)
}

fn run_set_user_id(folder: &Path) -> Result<(), Failed> {
    let copy = folder.join("pipkin");
    fs::copy(pipkin().get_program(), &copy)?;
    chown(&copy, Some(65_534), Some(65_534))?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    fs::set_permissions(&copy, Permissions::from_mode(0o4755))?;
    let output = Command::new(&copy).arg("--version").env_clear().output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    expect(output.status.code() == Some(125) && said.contains("more rights"), "set-user-id", &output)
}
