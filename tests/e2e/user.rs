//! Who the container's process is.

use crate::harness::{Case, Folder, cases, detached, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            root_with_the_images_groups,
            a_number,
            a_name,
            user_and_group,
            a_number_is_never_looked_up_as_a_name,
            groups_of_the_image_are_given,
            groups_of_the_caller_are_not,
            groups_are_added,
            an_unknown_name_is_refused,
            a_number_out_of_range_is_refused,
            an_image_without_accounts_has_numbers,
            accounts_that_are_no_file_count_as_none,
            accounts_outside_of_the_image_are_not_read,
            a_user_owns_the_files_it_makes,
        ]
    )
}

const IDS: &str = "id -u; id -g";

fn root_with_the_images_groups() {
    run("").sh("id").prints(
        "uid=0(root) gid=0(root) groups=0(root),1(bin),2(daemon),3(sys),4(adm),6(disk),10(wheel),11(floppy),\
         20(dialout),26(tape),27(video)\n",
    );
}

fn a_number() {
    run("-u 1234").sh(IDS).prints("1234\n0\n");
    run("--user=65534").sh(IDS).prints("65534\n65534\n");
}

fn a_name() {
    run("-u nobody").sh(IDS).prints("65534\n65534\n");
    run("-u mail").sh(IDS).prints("8\n12\n");
}

fn user_and_group() {
    run("-u 1:2").sh(IDS).prints("1\n2\n");
    run("-u nobody:wheel").sh(IDS).prints("65534\n10\n");
    run("-u 4242:video").sh(IDS).prints("4242\n27\n");
    run("-u mail:4294967294").sh(IDS).prints("8\n4294967294\n");
}

fn a_number_is_never_looked_up_as_a_name() {
    let layer = Folder::new();
    layer.file("etc/passwd", "1000:x:0:0:trap:/trap:/bin/sh\n");
    run("-u 1000 --layer").option(layer.path()).sh("id -u; echo $HOME").prints("1000\n/\n");
}

fn groups_of_the_image_are_given() {
    let layer = Folder::new();
    layer.file("etc/passwd", "cook:x:1000:1000::/home/cook:/bin/sh\n");
    layer.file("etc/group", "cook:x:1000:\noven:x:50:waiter,cook\nsink:x:51:cook\nhall:x:52:waiter,cooks\n");
    let run = run("--layer").option(layer.path());
    run.clone().option("-ucook").sh("id -G").prints("1000 50 51\n");
    run.clone().option("-u1000").sh("id -G").prints("1000 50 51\n");
    run.option("-ucook:hall").sh("id -G").prints("52 50 51\n");
}

fn groups_are_added() {
    let more = run("-u mail --group-add video --group-add 4242 --group-add 12");
    more.sh("id -G").prints("12 27 4242\n");
    let container = detached("-u mail --group-add video --group-add 4242", &["sleep", "1000"]);
    container.verb_with("exec", &["id", "-G"]).prints("12 27 4242\n");
    container.verb("stop -t 0").succeeds();
    container.verb("start").succeeds();
    container.verb_with("exec", &["id", "-G"]).prints("12 27 4242\n");
    // One that has no place is refused, not left out.
    run("--userns auto --group-add 4242").sh("id -G").succeeds();
    let mapped = run("--uidmap 0:100000:1000 --gidmap 0:100000:1000");
    mapped.clone().option("--group-add=999").sh("id -G | tr ' ' '\\n' | grep 999").prints("999\n");
    mapped.option("--group-add=1000").sh("true").expect_refusal(&["no place in the user namespace's maps"]);
    run("--group-add bakers").sh("true").expect_refusal(&["no such user or group"]);
    run("--group-add a:b").sh("true").fails(125, &["--group-add a:b"]);
}

fn groups_of_the_caller_are_not() {
    let gid = rustix::process::Gid::from_raw;
    rustix::thread::set_thread_groups(&[gid(4242)]).unwrap();
    let outcome = run("-u nobody").sh("id -G");
    rustix::thread::set_thread_groups(&[]).unwrap();
    outcome.prints("65534\n");
}

fn an_unknown_name_is_refused() {
    run("-u cook").sh("true").expect_refusal(&["cook"]);
    run("-u root:kitchen").sh("true").expect_refusal(&["kitchen"]);
}

fn a_number_out_of_range_is_refused() {
    for user in ["4294967295", "4294967296", "-1", "1:", ":1", "1:2:3", "1x", "", "a b"] {
        run("-u").option(user).sh("true").expect_refusal(&[user]);
    }
}

fn an_image_without_accounts_has_numbers() {
    let layer = Folder::new();
    // A whiteout (Documentation/filesystems/overlayfs.rst).
    layer.folder("etc");
    for name in ["passwd", "group"] {
        whiteout(&layer.join("etc").join(name));
    }
    let run = run("--layer").option(layer.path());
    run.clone().option("-u5:6").sh("id -u; id -G; echo $HOME").prints("5\n6\n/\n");
    run.clone().sh("id -u; echo $HOME").prints("0\n/root\n");
    run.option("-unobody").sh("true").expect_refusal(&["nobody"]);
}

fn whiteout(path: &std::path::Path) {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
}

fn accounts_that_are_no_file_count_as_none() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let layer = Folder::new();
    layer.folder("etc/group");
    mknodat(CWD, layer.join("etc/passwd"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    run("-u 5:6 --layer").option(layer.path()).sh("id -u; id -g").prints("5\n6\n");
}

fn accounts_outside_of_the_image_are_not_read() {
    let layer = Folder::new();
    layer.folder("etc");
    let outside = layer.file("outside", "cook:x:77:77::/:/bin/sh\n");
    std::os::unix::fs::symlink(&outside, layer.join("etc/passwd")).unwrap();
    run("-u cook --layer").option(layer.path()).sh("true").expect_refusal(&["cook"]);
}

fn a_user_owns_the_files_it_makes() {
    run("-u 1000:100").sh("touch /tmp/x; stat -c '%u %g %a' /tmp/x").prints("1000 100 644\n");
}
