//! What the kernel's security modules hold the process to.

use crate::harness::{Case, Folder, cases, pipkin, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            paths_outside_of_the_rules_are_out_of_reach,
            what_may_only_be_read_cannot_be_changed,
            a_further_command_is_held_to_the_same,
            a_rule_for_a_file_is_one_for_a_file,
            rules_that_cannot_hold_are_refused,
            a_label_without_its_module_is_refused,
        ]
    )
}

fn landlock(rules: &str) -> String {
    format!("--security-opt landlock={rules}")
}

fn paths_outside_of_the_rules_are_out_of_reach() {
    let script = "cat /etc/passwd 2>&1; ls /root 2>&1; echo x > /tmp/x; cat /tmp/x; ls /tmp | wc -l";
    let told = run(&landlock("ro:/bin,ro:/lib,rw:/tmp,rw:/dev/null")).sh(script).text();
    assert_eq!(
        told,
        "cat: can't open '/etc/passwd': Permission denied\nls: can't open '/root': Permission denied\nx\n1\n"
    );
}

fn what_may_only_be_read_cannot_be_changed() {
    let folder = Folder::new();
    folder.file("a", "whole");
    let script = "cat /v/a; for try in 'echo > /v/a' 'echo >> /v/a' 'rm /v/a' 'mkdir /v/b' 'mv /v/a /work/a' \
                  'truncate -s 0 /v/a' 'ln -s x /v/l'; do sh -c \"$try\" 2>/dev/null && echo \"$try\"; done; \
                  mkdir -p /work/x/y && echo 1 > /work/x/f && mv /work/x/f /work/x/y/ && cat /work/x/y/f";
    let options = landlock("ro:/,rw:/work,rw:/dev/null");
    run(&options).volume(folder.path(), "/v").option("--tmpfs").option("/work").sh(script).prints("whole1\n");
    assert_eq!(std::fs::read(folder.join("a")).unwrap(), b"whole");
}

fn a_further_command_is_held_to_the_same() {
    let name = format!("landlocked-{}", std::process::id());
    let options = format!("--name {name} {}", landlock("ro:/bin,ro:/lib,ro:/etc/group,rw:/dev"));
    let container = run(&options).start_sh("echo ready; sleep 1000");
    container.expect("ready");
    let told = pipkin(&["exec", &name, "/bin/cat", "/etc/group", "/etc/passwd"]);
    assert!(told.text().starts_with("root:x:0:root"), "{told}");
    assert_eq!(told.told(), "cat: can't open '/etc/passwd': Permission denied\n", "{told}");
    container.kill_and_clean();
}

fn a_rule_for_a_file_is_one_for_a_file() {
    let script =
        "cat /etc/hostname >/dev/null && echo x > /etc/hostname; cat /etc/hostname; cat /etc/shadow 2>&1";
    let told = run(&landlock("ro:/bin,ro:/lib,rw:/etc/hostname,rw:/dev/null")).sh(script).text();
    assert_eq!(told, "x\ncat: can't open '/etc/shadow': Permission denied\n");
}

fn rules_that_cannot_hold_are_refused() {
    for (options, words) in [
        (landlock("ro"), "landlock=ro:PATH"),
        (landlock("rx:/"), "landlock=ro:PATH"),
        (landlock("ro:etc"), "absolute"),
        (landlock("best-effort"), "limits nothing"),
        (landlock("ro:/,ro:/not/there"), "No such file"),
        (format!("{} --security-opt no-new-privileges=false", landlock("ro:/")), "may raise privileges"),
    ] {
        run(&options).sh("true").expect_refusal(&[words]);
    }
}

fn a_label_without_its_module_is_refused() {
    let there = |path: &str| std::path::Path::new(path).exists();
    if !there("/sys/module/apparmor") {
        run("--security-opt apparmor=web").sh("true").expect_refusal(&["AppArmor is not in force"]);
    }
    if !there("/sys/fs/selinux/enforce") {
        run("--security-opt label=type:web_t").sh("true").expect_refusal(&["SELinux is not in force"]);
    }
    run("--security-opt apparmor=unconfined --security-opt label=disable").sh("echo ran").prints("ran\n");
    run("--security-opt label=x:y").sh("true").expect_refusal(&["label=type"]);
}
