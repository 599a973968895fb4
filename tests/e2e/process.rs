//! Limits, privileges and manners of the container's process.

use crate::harness::{Case, Folder, Run, Running, cases, pipkin, run};
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            default_capabilities_are_eleven,
            no_capability_is_inheritable,
            capabilities_added_and_dropped,
            all_capabilities_are_those_there_are,
            capabilities_that_pipkin_lacks,
            securebits_are_locked,
            an_unknown_capability_is_refused,
            a_user_has_no_capability,
            privileges_cannot_grow,
            privileges_can_grow_when_allowed,
            ulimits_as_asked,
            an_unknown_ulimit_is_refused,
            oom_score_as_asked,
            an_init_tells_nobody_what_was_typed,
            sysctls_of_its_own_namespaces,
            sysctls_of_the_machine_are_refused,
            umask_is_022,
            it_leads_a_session,
            it_has_a_session_keyring_of_its_own,
            no_signal_is_blocked_or_ignored,
            no_descriptor_leaks,
            working_directory_is_made,
            working_directory_through_a_descriptor_stays_inside,
            entrypoint_takes_the_command_as_arguments,
            a_command_is_sought_along_path,
            a_file_that_cannot_run_does_not_end_the_search,
            an_empty_path_finds_nothing,
        ]
    )
}

/// CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP.
const DEFAULT: &str = "00000000800405fb";
const NONE: &str = "0000000000000000";

/// The values of these lines of `/proc/self/status`.
fn status(options: &str, fields: &[&str]) -> Vec<String> {
    let text = run(options).sh("cat /proc/self/status").succeeds().text();
    let value = |field: &&str| {
        let line = text.lines().find_map(|line| line.strip_prefix(*field)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
    };
    fields.iter().map(value).collect()
}

fn default_capabilities_are_eleven() {
    assert_eq!(status("", &["CapEff", "CapPrm", "CapBnd"]), [DEFAULT; 3]);
}

fn no_capability_is_inheritable() {
    assert_eq!(status("", &["CapInh", "CapAmb"]), [NONE; 2]);
    assert_eq!(status("--cap-add SYS_ADMIN", &["CapInh", "CapAmb"]), [NONE; 2]);
    assert_eq!(status("-u nobody --cap-add NET_RAW", &["CapInh"]), [NONE]);
}

fn capabilities_added_and_dropped() {
    assert_eq!(status("--cap-drop ALL", &["CapEff", "CapPrm", "CapBnd"]), [NONE; 3]);
    assert_eq!(status("--cap-drop all --cap-add net_raw", &["CapEff", "CapBnd"]), ["0000000000002000"; 2]);
    assert_eq!(status("--cap-drop CAP_CHOWN", &["CapEff"]), ["00000000800405fa"]);
    assert_eq!(status("--cap-add SYS_ADMIN", &["CapEff"]), ["00000000802405fb"]);
}

fn all_capabilities_are_those_there_are() {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap();
    assert_eq!(status("--cap-add ALL", &["CapEff", "CapBnd"]), [own; 2]);
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    let every = (1_u64 << (last.trim().parse::<u32>().unwrap() + 1)) - 1;
    // The first process of a user namespace has every one in it.
    let every = format!("{every:016x}");
    assert_eq!(status("--userns auto --cap-add ALL", &["CapEff", "CapBnd"]), [&*every; 2]);
}

/// What Pipkin does not have itself it cannot give: it says so, and ALL is all that it has.
fn capabilities_that_pipkin_lacks() {
    let without = |run: Run| run.under("setpriv", &["--bounding-set", "-sys_time,-sys_boot"]);
    let refused = without(run("--cap-add CHOWN --cap-add SYS_TIME")).sh("true");
    refused.expect_refusal(&["SYS_TIME", "does not have it", "--cap-drop"]);
    let script = "grep -E 'Cap(Eff|Bnd)' /proc/self/status";
    let told = without(run("--cap-add ALL")).sh(script).succeeds().words();
    for set in [&told[1], &told[3]] {
        assert_eq!(u64::from_str_radix(set, 16).unwrap() & (1 << 22 | 1 << 25), 0);
        assert_ne!(u64::from_str_radix(set, 16).unwrap() & 1 << 21, 0);
    }
    let plan = without(run("--cap-add ALL --dry-run")).sh("true").succeeds().text();
    assert!(plan.contains("SYS_ADMIN") && !plan.contains("SYS_TIME"), "{plan}");
    // In a user namespace the first process has them all the same.
    without(run("--userns auto --cap-add SYS_TIME")).sh("echo ran").prints("ran\n");
    let mut doctor = Command::new("setpriv");
    doctor.args(["--bounding-set", "-sys_time,-sys_boot"]).arg(crate::program::path()).arg("doctor");
    let told = Running::start(doctor, None).wait().text();
    let line = told.lines().find(|line| line.contains("  capabilities  "));
    assert!(line.is_some_and(|line| line.starts_with("limited") && line.contains("SYS_BOOT")), "{told}");
}

fn securebits_are_locked() {
    const NOROOT: &str = "--security-opt securebits=noroot,no-setuid-fixup";
    // Root is a user like others then: its exec gives it nothing.
    assert_eq!(status(NOROOT, &["CapEff", "CapPrm", "CapBnd"]), [NONE, NONE, DEFAULT]);
    let bits = |options: &str| run(options).payload("securebits").succeeds().text();
    assert_eq!(bits(""), "0x0\n");
    assert_eq!(bits(NOROOT), "0xf\n");
    for more in ["-u nobody", "--userns auto", "--security-opt no-new-privileges=false", "--init"] {
        assert_eq!(bits(&[NOROOT, more].join(" ")), "0xf\n", "{more}");
    }
    // Whatever Pipkin was started with.
    let own = std::env::current_exe().unwrap();
    let started = |bits: &str| run("").under(own.to_str().unwrap(), &["--payload", "under-securebits", bits]);
    started("1").payload("securebits").prints("0x0\n");
    let locked = started("3");
    locked.sh("true").expect_refusal(&[]);
    for text in ["securebits", "securebits=", "securebits=root", "securebits=noroot,"] {
        run("--security-opt").option(text).sh("true").expect_refusal(&["securebits="]);
    }
    let container = run(NOROOT).option("--name").option("noroot").start_sh("echo ready; exec sleep 1000");
    container.expect("ready");
    let told = pipkin(&["exec", "noroot", "grep", "CapEff", "/proc/self/status"]).text();
    container.kill_and_clean();
    assert_eq!(told, format!("CapEff:\t{NONE}\n"));
}

fn an_unknown_capability_is_refused() {
    run("--cap-add FLY").sh("true").expect_refusal(&["FLY", "NET_ADMIN"]);
    run("--cap-drop CAP_CHWON").sh("true").expect_refusal(&["CAP_CHWON", "give CHOWN"]);
}

fn a_user_has_no_capability() {
    assert_eq!(status("-u nobody", &["CapEff", "CapPrm", "CapBnd"]), [NONE, NONE, DEFAULT]);
}

fn privileges_cannot_grow() {
    assert_eq!(status("", &["NoNewPrivs"]), ["1"]);
    let layer = Folder::new();
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let program = layer.script("suid", "");
    std::fs::write(&program, own).unwrap();
    std::os::unix::fs::chown(&program, Some(0), Some(0)).unwrap();
    rustix::fs::chmod(&program, rustix::fs::Mode::from_raw_mode(0o4755)).unwrap();
    let run = run("-u nobody --layer").option(layer.path());
    let who = ["/suid", "--payload", "who"];
    run.clone().command(&who).prints("65534 65534\n");
    run.option("--security-opt=no-new-privileges=false").command(&who).prints("65534 0\n");
}

fn privileges_can_grow_when_allowed() {
    assert_eq!(status("--security-opt no-new-privileges=false", &["NoNewPrivs"]), ["0"]);
}

fn ulimits_as_asked() {
    run("--ulimit nofile=64:128").sh("ulimit -Sn; ulimit -Hn").prints("64\n128\n");
    run("--ulimit nofile=99").sh("ulimit -Sn; ulimit -Hn").prints("99\n99\n");
    run("--ulimit core=0 --ulimit fsize=1048576").sh("ulimit -c; ulimit -f").prints("0\n2048\n");
}

fn an_unknown_ulimit_is_refused() {
    for limit in ["files=1", "nofile", "nofile=", "nofile=x", "nofile=2:1", "nofile=-2"] {
        run("--ulimit").option(limit).sh("true").expect_refusal(&[limit]);
    }
}

fn an_init_tells_nobody_what_was_typed() {
    let script = "cat /proc/1/cmdline | tr '\\0' ' '; cat /proc/1/environ 2>/dev/null | grep -c SECRET=hush";
    let told = run("--init -e SECRET=hush").sh(script).text();
    assert!(told.starts_with("pipkin") && !told.contains("hush") && !told.contains("SECRET"), "{told}");
    assert!(told.trim_end().ends_with('0'), "{told}");
}

fn oom_score_as_asked() {
    run("--oom-score-adj 500").sh("cat /proc/self/oom_score_adj").prints("500\n");
    run("--oom-score-adj 1001").sh("true").expect_refusal(&["1001"]);
}

fn sysctls_of_its_own_namespaces() {
    let outside = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let options = "--sysctl net.ipv4.ip_forward=1 --sysctl kernel.shmmni=77 --sysctl net.core.somaxconn=99";
    let files = "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmni net/core/somaxconn";
    run(options).sh(files).prints("1\n77\n99\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), outside);
}

fn sysctls_of_the_machine_are_refused() {
    for name in
        ["kernel.core_pattern", "vm.swappiness", "kernel.hostname", "fs.file-max", "net/../kernel.panic"]
    {
        run("--sysctl").option(format!("{name}=1")).sh("true").expect_refusal(&[name]);
    }
    run("--net host --sysctl net.core.somaxconn=9").sh("true").expect_refusal(&["net.core.somaxconn"]);
    run("--sysctl net.core.somaxconn").sh("true").expect_refusal(&["net.core.somaxconn"]);
    run("--sysctl net.core.nonsense=1").sh("true").expect_refusal(&["net.core.nonsense"]);
}

fn umask_is_022() {
    let former = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let outcome = run("").sh("umask; touch /tmp/x; stat -c %a /tmp/x / /dev /dev/null /dev/shm");
    rustix::process::umask(former);
    outcome.prints("0022\n644\n755\n755\n666\n1777\n");
}

fn it_leads_a_session() {
    // Fields 4 to 8: parent, process group, session, terminal, its foreground group (proc_pid_stat(5)).
    run("").command(&["cut", "-d ", "-f4-8", "/proc/self/stat"]).prints("0 1 1 0 -1\n");
}

/// Of keyrings those of sessions, by the numbers of them that this machine's /proc/keys tells (proc_keys(5)).
fn session_keyrings() -> Vec<String> {
    let keys = std::fs::read_to_string("/proc/keys").unwrap();
    let sessions = keys.lines().filter(|line| line.contains("keyring") && line.contains(" _ses: "));
    sessions.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

fn it_has_a_session_keyring_of_its_own() {
    let before = session_keyrings();
    let container = run("").start_sh("echo here; exec sleep 1000");
    container.expect("here");
    let meanwhile = session_keyrings();
    container.kill_and_clean();
    assert!(meanwhile.iter().any(|keyring| !before.contains(keyring)), "{before:?} {meanwhile:?}");
}

fn no_signal_is_blocked_or_ignored() {
    let line = run("").line(&["grep", "^Sig[BIC]", "/proc/self/status"]);
    let mut sloppy = Command::new("/bin/sh");
    sloppy.args(["-c", "trap '' TERM HUP INT USR1 PIPE; exec \"$0\" \"$@\""]).arg(line.get_program());
    sloppy.args(line.get_args()).env_clear();
    Running::start(sloppy, None)
        .wait()
        .prints(&format!("SigBlk:\t{NONE}\nSigIgn:\t{NONE}\nSigCgt:\t{NONE}\n"));
}

fn no_descriptor_leaks() {
    let line = run("-i").line(&["ls", "/proc/self/fd"]);
    let mut sloppy = Command::new("/bin/sh");
    sloppy.args(["-c", "exec 7</etc 8</proc/self/exe 9>&1; exec \"$0\" \"$@\""]).arg(line.get_program());
    sloppy.args(line.get_args()).env_clear();
    // The fourth is that of `ls` on the directory itself.
    Running::start(sloppy, None).wait().prints("0\n1\n2\n3\n");
}

fn working_directory_is_made() {
    run("-w /new/place").command(&["pwd"]).prints("/new/place\n");
    run("-w /etc").command(&["pwd"]).prints("/etc\n");
    run("").command(&["pwd"]).prints("/\n");
    run("-w relative").sh("true").expect_refusal(&["relative"]);
    run("-w /etc/passwd").sh("true").expect_refusal(&["/etc/passwd"]);
}

fn working_directory_through_a_descriptor_stays_inside() {
    for number in 0..20 {
        let outcome = run(&format!("-w /proc/self/fd/{number}")).command(&["pwd"]);
        assert_eq!(outcome.status.code(), Some(125), "{outcome}");
    }
    let layer = Folder::new();
    std::os::unix::fs::symlink("/proc/self/fd/4", layer.join("link")).unwrap();
    run("-w /link --layer").option(layer.path()).sh("true").expect_refusal(&["/link"]);
}

fn entrypoint_takes_the_command_as_arguments() {
    run("--entrypoint /bin/echo").command(&["a", "-n", "--rm"]).prints("a -n --rm\n");
    run("--entrypoint echo").command::<&str>(&[]).prints("\n");
}

fn a_command_is_sought_along_path() {
    let layer = Folder::new();
    layer.script("opt/tool", "#!/bin/sh\necho \"the tool, as $0\"\n");
    let run = run("--layer").option(layer.path());
    run.clone().option("-ePATH=/nowhere:/opt").command(&["tool"]).prints("the tool, as /opt/tool\n");
    run.clone().option("-ePATH=/opt").option("-w/opt").command(&["./tool"]).prints("the tool, as ./tool\n");
    run.option("-ePATH=/nowhere").command(&["tool"]).fails(127, &["tool"]);
}

fn a_file_that_cannot_run_does_not_end_the_search() {
    let layer = Folder::new();
    layer.file("first/tool", "not executable");
    layer.folder("second/tool");
    layer.script("third/tool", "#!/bin/sh\necho third\n");
    let run = run("--layer").option(layer.path());
    run.clone().option("-ePATH=/first:/second:/third").command(&["tool"]).prints("third\n");
    run.option("-ePATH=/first:/second").command(&["tool"]).fails(126, &["tool"]);
}

fn an_empty_path_finds_nothing() {
    run("-e PATH=").command(&["true"]).fails(127, &["true"]);
    run("").command(&[""]).fails(127, &[]);
}
