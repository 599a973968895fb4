//! The program as somebody who is not root runs it.

mod pasta;

use crate::harness::{Case, Folder, Outcome, Running, alpine, cases, cgroup_root, eventually};
use crate::program;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    let limits =
        cases!(Limits, [limits_hold_in_a_group_that_was_delegated, without_delegation_no_limit_is_had]);
    let own = cases!(
        Nothing,
        [
            it_runs_and_leaves_nothing,
            root_inside_is_the_caller,
            it_has_every_wall,
            what_is_kept_can_be_removed,
            what_has_ended_can_be_copied,
            the_caller_keeps_its_id_on_request,
            volumes_belong_to_the_caller,
            volumes_by_name_are_the_callers_own,
            scratch_memory_and_terminals_work,
            the_network_is_its_own_or_the_hosts,
            an_image_without_a_place_for_a_file_is_told,
            a_limit_is_refused_where_none_can_be_had,
            ids_of_others_are_refused,
            ranges_come_from_what_was_allotted,
            what_others_inside_own_is_copied_too,
            a_group_that_was_delegated_is_used,
            root_of_a_namespace_keeps_its_containers_as_who_it_is,
        ]
    );
    [own, limits, pasta::cases()].concat()
}

/// Somebody, with a small image and directories of his own.
struct User {
    folder: Folder,
}

const UID: u32 = 4711;

impl User {
    fn new() -> Self {
        let folder = Folder::new();
        let alpine = alpine().unwrap();
        for name in ["image/bin", "image/lib", "image/etc", "image/usr/bin", "run", "data", "own"] {
            folder.folder(name);
        }
        fs::copy(alpine.join("bin/busybox"), folder.join("image/bin/busybox")).unwrap();
        for entry in fs::read_dir(alpine.join("lib")).unwrap().flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("ld-musl") {
                fs::copy(entry.path(), folder.join("image/lib").join(name)).unwrap();
            }
        }
        for name in [
            "sh", "cat", "id", "ls", "stat", "touch", "mkdir", "chown", "rm", "grep", "tty", "unshare",
            "mount", "nc",
        ] {
            symlink("busybox", folder.join("image/bin").join(name)).unwrap();
        }
        folder.file("image/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:5:6::/:/bin/sh\n");
        folder.file("image/etc/group", "root:x:0:root\nstaff:x:7:ann\n");
        fs::copy(program::path(), folder.join("pipkin")).unwrap();
        give(folder.path());
        Self { folder }
    }

    fn image(&self) -> PathBuf {
        self.folder.join("image")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.folder.join("pipkin"));
        command.env_clear().env("XDG_RUNTIME_DIR", self.folder.join("run"));
        command.env("XDG_DATA_HOME", self.folder.join("data")).args(words);
        command.uid(UID).gid(UID).current_dir("/");
        command
    }

    #[track_caller]
    fn pipkin(&self, words: &[&str]) -> Outcome {
        Running::start(self.command(words), None).wait()
    }

    /// Runs a script in a container with these options.
    #[track_caller]
    fn sh(&self, options: &str, script: &str) -> Outcome {
        self.kept(&["--rm ", options].concat(), script)
    }

    #[track_caller]
    fn kept(&self, options: &str, script: &str) -> Outcome {
        let image = self.image();
        let mut words = vec!["run"];
        words.extend(options.split_whitespace());
        words.extend([image.to_str().unwrap(), "/bin/sh", "-c", script]);
        self.pipkin(&words)
    }

    /// Everything below a directory of the user's.
    fn below(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left = vec![self.folder.join(name)];
        while let Some(folder) = left.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                found.push(entry.path());
                if entry.file_type().unwrap().is_dir() {
                    left.push(entry.path());
                }
            }
        }
        found
    }
}

/// Gives a tree to the user.
fn give(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        fs::read_dir(path).unwrap().flatten().for_each(|entry| give(&entry.path()));
    }
    std::os::unix::fs::lchown(path, Some(UID), Some(UID)).unwrap();
}

fn it_runs_and_leaves_nothing() {
    let user = User::new();
    user.sh("", "mkdir -p /a/b/c; touch /a/b/d; rm -r /etc; exit 7").exits(7);
    user.sh("--init", "exit 3").exits(3);
    let containers = user.folder.join("data/pipkin/containers");
    assert_eq!(fs::read_dir(containers).unwrap().count(), 0);
    assert_eq!(fs::read_dir(user.folder.join("run/pipkin/containers")).unwrap().count(), 0);
}

fn root_inside_is_the_caller() {
    let user = User::new();
    let told = user.sh("", "id -u; cat /proc/self/uid_map /proc/self/setgroups; stat -c %u /bin/busybox");
    let words = told.succeeds().words().join(" ");
    assert_eq!(words, format!("0 0 {UID} 1 deny 0"));
    // With one id alone the kernel lets nobody change groups.
    user.sh("--group-add 5", "true").expect_refusal(&["supplementary groups", "ranges of ids"]);
}

/// As `unshare -r` and engines' own such commands have it: one id, fixed groups, and all that is the machine's somebody
/// else's.
fn root_of_a_namespace_keeps_its_containers_as_who_it_is() {
    let user = User::new();
    let script = "p() { \"$P\" \"$@\"; }
        p run --rm --net host $IMAGE sh -c 'id -u; id -G; cat /proc/self/setgroups; mount | grep -c devpts; ls -d /sys/kernel'
        p run -d --name ns --net none $IMAGE /bin/sh -c 'while :; do cat /etc/passwd > /dev/null; done' > /dev/null
        ls $XDG_RUNTIME_DIR/pipkin/containers | grep -q . && echo kept
        p exec ns sh -c 'id -u; id -G'
        p exec -u ann ns true; echo $?; p rm -f ns > /dev/null; ls $XDG_RUNTIME_DIR/pipkin/containers | grep -q . || echo gone
        p run --rm --net none --userns auto $IMAGE true; echo $?";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script]);
    command.envs(user.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("P", user.folder.join("pipkin")).env("IMAGE", user.image());
    command.uid(UID).gid(UID).current_dir("/");
    let outcome = Running::start(command, None).wait();
    assert_eq!(outcome.text(), "0\n0\ndeny\n1\n/sys/kernel\nkept\n0\n0\n125\ngone\n125\n", "{outcome}");
    for words in ["become user ann", "map ids that it has"] {
        assert!(outcome.told().contains(words), "{outcome}");
    }
}

fn it_has_every_wall() {
    let user = User::new();
    let script = "grep -E '^(NoNewPrivs|Seccomp|CapInh|CapAmb):' /proc/self/status; unshare -U true 2>&1; \
                  mount -t tmpfs x /etc 2>&1; cat /proc/kcore /proc/keys; touch /proc/sys/kernel/core_pattern 2>&1; \
                  ls /sys/firmware";
    let told = user.sh("", script).text();
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(
        told,
        [
            "CapInh:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
            "unshare: unshare(0x10000000): Operation not permitted",
            "mount: permission denied (are you root?)",
            "touch: /proc/sys/kernel/core_pattern: Read-only file system",
        ]
    );
    let points = user.sh("", "cat /proc/self/mountinfo").succeeds().text();
    let foreign = user.folder.path().to_str().unwrap();
    assert!(!points.contains(foreign), "{points}");
}

fn what_is_kept_can_be_removed() {
    let user = User::new();
    user.kept("--name pot", "mkdir -p /x/y; touch /x/y/z; rm -r /usr").succeeds();
    assert!(user.below("data").iter().any(|path| path.ends_with("upper/x/y/z")));
    user.pipkin(&["rm", "pot"]).succeeds();
    assert!(!user.below("data").iter().any(|path| path.ends_with("upper")));
}

/// Into and out of the root that it had, though nothing of it runs.
fn what_has_ended_can_be_copied() {
    let user = User::new();
    let own = user.folder.join("own");
    let at = |name: &str| own.join(name).to_str().unwrap().to_owned();
    let copy = |from: &str, to: &str| user.pipkin(&["cp", from, to]);
    let script =
        "echo inside > /made; busybox chmod 600 /made; rm /etc/group; mkdir /closed; touch /closed/x";
    user.kept("--name pot", script).succeeds();
    copy("pot:/made", &at("")).prints("");
    assert_eq!(fs::read_to_string(own.join("made")).unwrap(), "inside\n");
    assert_eq!(fs::metadata(own.join("made")).unwrap().uid(), UID);
    copy("pot:/closed", &at("")).prints("");
    assert!(own.join("closed/x").exists());
    // Of the image, and what is gone from it.
    copy("pot:/etc/passwd", &at("")).prints("");
    copy("pot:/etc/group", &at("")).expect_refusal(&["No such file"]);
    copy(&at("made"), "pot:/etc/group").prints("");
    copy("pot:/etc/group", &at("back")).prints("");
    assert_eq!(fs::read_to_string(own.join("back")).unwrap(), "inside\n");
    let inside = user.below("data").into_iter().find(|path| path.ends_with("upper/etc/group")).unwrap();
    assert_eq!(fs::metadata(inside).unwrap().uid(), UID);
    // A link of the container's leads nowhere else.
    user.kept("--name linked", "busybox ln -s /../../etc /out").succeeds();
    copy(&at("made"), "linked:/out/made").prints("");
    assert!(!Path::new("/etc/made").exists());
    copy("linked:/etc/made", &at("again")).prints("");
    user.pipkin(&["rm", "pot", "linked"]).succeeds();
    assert!(!user.below("data").iter().any(|path| path.ends_with("upper")));
}

fn the_caller_keeps_its_id_on_request() {
    let user = User::new();
    let told = user.sh("--userns keep-id", "id -u; id -g; cat /proc/self/uid_map; stat -c %u /bin/busybox");
    assert_eq!(told.succeeds().words().join(" "), format!("{UID} {UID} {UID} {UID} 1 {UID}"));
    user.sh("--userns host", "id").expect_refusal(&["a user namespace is needed"]);
}

fn volumes_belong_to_the_caller() {
    let user = User::new();
    let own = user.folder.join("own");
    let option = format!("-v {}:/v", own.display());
    user.sh(&option, "touch /v/made; stat -c %u /v/made").prints("0\n");
    assert_eq!(fs::metadata(own.join("made")).unwrap().uid(), UID);
    user.sh(&format!("{option}:ro"), "touch /v/other 2>/dev/null || echo refused").prints("refused\n");
    user.sh(&format!("{option}:idmap"), "true").expect_refusal(&["only root may"]);
    // What the caller may not read on the host, root inside may not either.
    let secret = user.folder.file("secret/file", "x");
    chown(secret.parent().unwrap(), Some(0), Some(0)).unwrap();
    rustix::fs::chmod(secret.parent().unwrap(), 0o700.into()).unwrap();
    let option = format!("-v {}:/v", secret.parent().unwrap().display());
    user.sh(&option, "cat /v/file 2>/dev/null || echo refused").prints("refused\n");
}

fn volumes_by_name_are_the_callers_own() {
    let user = User::new();
    user.sh("-v keep:/etc", "cat /etc/group; stat -c %u /etc/group; touch /etc/made")
        .prints("root:x:0:root\nstaff:x:7:ann\n0\n");
    user.sh("-v keep:/v:ro", "ls /v").prints("group\nmade\npasswd\n");
    let path = user.folder.join("data/pipkin/volumes/keep");
    assert_eq!(fs::metadata(path.join("made")).unwrap().uid(), UID);
    user.pipkin(&["volume", "ls"]).prints(&format!("keep\t{}\n", path.display()));
    user.pipkin(&["volume", "rm", "keep"]).prints("keep\n");
    assert!(!path.exists());
}

fn scratch_memory_and_terminals_work() {
    let user = User::new();
    let told = user.pipkin(&["run", "--rm", "scratch"]).succeeds().text();
    assert!(
        told.contains("uid                 0\n") && told.contains("seccomp             filter\n"),
        "{told}"
    );
    user.sh("--ephemeral", "mkdir /x; ls -d /x").prints("/x\n");
    user.sh("--read-only --tmpfs /tmp", "touch /tmp/x; touch /x 2>/dev/null || echo refused")
        .prints("refused\n");
    user.sh("-t", "tty").assert_says("/dev/pts/0");
}

fn the_network_is_its_own_or_the_hosts() {
    let user = User::new();
    let ours = fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let look = "ls -l /proc/self/ns/net; ls /sys/class/net";
    let own = user.sh("", look).succeeds().text();
    assert!(!own.contains(&ours) && own.ends_with("\nlo\n"), "{own}");
    let shared = user.sh("--net host", look).succeeds().text();
    assert!(shared.contains(&ours), "{shared}");
}

fn an_image_without_a_place_for_a_file_is_told() {
    let user = User::new();
    // Not the user's, and without the file that lists resolvers.
    std::os::unix::fs::lchown(user.folder.join("image/etc"), Some(0), Some(0)).unwrap();
    user.sh("--net host", "true").expect_refusal(&["/etc/resolv.conf", "add it to the image"]);
    user.folder.file("image/etc/resolv.conf", "");
    user.sh("--net host", "echo ran").prints("ran\n");
}

fn a_limit_is_refused_where_none_can_be_had() {
    let user = User::new();
    user.sh("--device /dev/tty:/dev/own:r", "true").expect_refusal(&["every container"]);
    user.sh("--device /dev/kmsg:r", "true").expect_refusal(&["use of devices", "root of the machine"]);
    user.sh("--memory 64m", "true").expect_refusal(&["memory"]);
}

fn ids_of_others_are_refused() {
    let user = User::new();
    for (options, words) in [
        ("--uidmap 0:0:1", "/etc/subuid allots other ids"),
        ("--uidmap 0:100000:65536", "/etc/subuid allots other ids"),
        ("--uidmap 0:4711:2", "/etc/subuid allots other ids"),
        ("--uidmap 0:4711:1 --gidmap 0:0:1", "/etc/subgid allots other ids"),
    ] {
        user.sh(options, "true").expect_refusal(&[words]);
    }
    user.sh("--uidmap 0:4711:1", "id -u").prints("0\n");
    let allotted = user.folder.file("allotted", "4711:500000:1000\n");
    let _over = ["/etc/subuid", "/etc/subgid"].map(|file| Over::lay(&allotted, file));
    let mapped = "--uidmap 0:4711:1 --gidmap 0:4711:1";
    for (options, words) in [
        ("--uidmap 1:500000:1001", "--uidmap 1:500000:1001: /etc/subuid allots other ids"),
        ("--uidmap 1:499999:2", "/etc/subuid allots other ids"),
        ("--uidmap 1:501000:1", "/etc/subuid allots other ids"),
        ("--gidmap 1:500999:2", "/etc/subgid allots other ids"),
    ] {
        user.sh(&format!("{mapped} {options}"), "true").expect_refusal(&[words]);
    }
}

/// A file of the machine with another one over it, until dropped.
pub(crate) struct Over(&'static str);

impl Over {
    pub(crate) fn lay(file: &Path, over: &'static str) -> Self {
        mount_bind(file, over).unwrap();
        Self(over)
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            unmount(self.0, UnmountFlags::DETACH).unwrap();
        });
    }
}

/// Allots the user a hundred ids from 900000 on.
fn allot(user: &User) -> [Over; 3] {
    let allotted = user.folder.file("allotted", "ann:900000:100\n");
    let passwd = user.folder.file("passwd", "root:x:0:0::/:/bin/sh\nann:x:4711:4711::/:/bin/sh\n");
    [(&allotted, "/etc/subuid"), (&allotted, "/etc/subgid"), (&passwd, "/etc/passwd")]
        .map(|(file, place)| Over::lay(file, place))
}

/// Out of and into directories that are closed to all but an id that the user is not, and still nothing of the host's.
fn what_others_inside_own_is_copied_too() {
    let user = User::new();
    let _over = allot(&user);
    let own = user.folder.join("own");
    let copy = |from: &str, to: &str| user.pipkin(&["cp", from, to]);
    let script = "mkdir /x; echo soup > /x/y; chown -R 5:6 /x; busybox chmod 600 /x/y; busybox chmod 700 /x";
    user.kept("--name ended", script).succeeds();
    user.kept("-d --net none --name live", &[script, "; exec busybox sleep 1000"].concat()).succeeds();
    let mode = || user.pipkin(&["exec", "live", "stat", "-c", "%a", "/x"]);
    eventually("it is closed", &mut || mode().text() == "700\n");
    let secret = user.folder.file("closed/secret", "the host's");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    for name in ["ended", "live"] {
        let copied = own.join(name);
        copy(&format!("{name}:/x"), copied.to_str().unwrap()).prints("");
        let copied = copied.join("y");
        assert_eq!(fs::read_to_string(&copied).unwrap(), "soup\n");
        let about = fs::metadata(&copied).unwrap();
        assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), (UID, UID, 0o600));
        copy(copied.to_str().unwrap(), &format!("{name}:/x/z")).prints("");
        assert!(copy(&format!("{name}:/x/z"), "-").succeeds().text().contains("soup\n"));
        copy(secret.to_str().unwrap(), &format!("{name}:/x/s")).expect_refusal(&["Permission denied"]);
        copy(&format!("{name}:/x/y"), secret.to_str().unwrap()).expect_refusal(&["Permission denied"]);
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "the host's");
    user.pipkin(&["rm", "-f", "ended", "live"]).succeeds();
    assert!(!user.below("data").iter().any(|path| path.ends_with("upper")));
}

fn ranges_come_from_what_was_allotted() {
    let user = User::new();
    let _over = allot(&user);
    let told = user.sh("", "cat /proc/self/uid_map; id -G").succeeds().words().join(" ");
    assert_eq!(told, format!("0 {UID} 1 1 900000 100 0"));
    user.sh("-u ann", "id -u; id -G").prints("5\n6 7\n");
    user.kept("--name pot", "mkdir /x; touch /x/y; chown -R 5:6 /x").succeeds();
    let made = user.below("data").into_iter().find(|path| path.ends_with("upper/x/y")).unwrap();
    assert_eq!(fs::metadata(made).unwrap().uid(), 900_004);
    let own = user.folder.join("own");
    let copy = |from: &str, to: &str| user.pipkin(&["cp", from, to]).prints("");
    copy("pot:/x/y", own.to_str().unwrap());
    copy(own.join("y").to_str().unwrap(), "pot:/x/new");
    let made = user.below("data").into_iter().find(|path| path.ends_with("upper/x/new")).unwrap();
    assert_eq!(fs::metadata(made).unwrap().uid(), UID);
    user.kept("--userns keep-id --name kept", "echo kept > /made").succeeds();
    copy("kept:/made", own.to_str().unwrap());
    copy(own.join("made").to_str().unwrap(), "kept:/again");
    let made = user.below("data").into_iter().find(|path| path.ends_with("upper/again")).unwrap();
    assert_eq!(fs::metadata(made).unwrap().uid(), UID);
    user.pipkin(&["rm", "pot", "kept"]).succeeds();
    assert!(!user.below("data").iter().any(|path| path.ends_with("upper")));
    user.sh("-v shared:/v", "mkdir /v/x; touch /v/x/y; chown -R 5:6 /v/x").prints("");
    user.sh("-v shared:/v -u 5:6", "stat -c '%u %g' /v/x/y; rm /v/x/y").prints("5 6\n");
    user.sh("-v shared:/v", "mkdir -p /v/x/z; chown -R 7:7 /v/x").prints("");
    user.pipkin(&["volume", "rm", "shared"]).prints("shared\n");
    assert!(!user.below("data").iter().any(|path| path.ends_with("x")));
    let kept = user.sh("--userns keep-id", "id -u; cat /proc/self/uid_map").succeeds().words().join(" ");
    assert_eq!(kept, format!("{UID} 0 900000 100 {UID} {UID} 1"));
    user.sh("--uidmap 0:4711:1 --uidmap 1:900050:10 --gidmap 0:4711:1", "id -u").prints("0\n");
    user.sh("--uidmap 0:900000:10", "true").expect_refusal(&["your own id"]);
    user.sh("--uidmap 0:4711:1 --uidmap 1:900050:51", "true").expect_refusal(&["allots other ids"]);
}

/// A group with a process of the user's in it, delegated or not.
struct Group(PathBuf);

impl Group {
    fn new(root: &Path, delegated: bool) -> Self {
        if delegated && Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            fs::write(root.join("cgroup.subtree_control"), "+memory +pids").unwrap();
        }
        let group = root.join(format!("session-{delegated}"));
        fs::create_dir(&group).unwrap();
        let files: &[&str] = &["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];
        for file in files.iter().filter(|_| delegated) {
            chown(group.join(file), Some(UID), Some(UID)).unwrap();
        }
        Self(group)
    }

    /// What a run from within comes to.
    #[track_caller]
    fn run(&self, user: &User, options: &str, script: &str) -> Outcome {
        let image = user.image();
        let mut words = vec!["run", "--rm"];
        words.extend(options.split_whitespace());
        words.extend([image.to_str().unwrap(), "/bin/busybox", "sh", "-c", script]);
        let line = user.command(&words);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--payload", "from-group"]).arg(&self.0).arg(UID.to_string());
        command.arg(line.get_program()).args(line.get_args()).env_clear();
        command.envs(line.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Running::start(command, None).wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            // Where Pipkin stepped aside to and had its containers, if it did.
            for name in ["pipkin", "pipkin-self", ""] {
                let gone = fs::remove_dir(self.0.join(name));
                assert!(gone.is_ok() || !name.is_empty(), "{gone:?}");
            }
        });
    }
}

fn a_group_that_was_delegated_is_used() {
    let user = User::new();
    let Some(root) = cgroup_root() else { return };
    let told = Group::new(root, true).run(&user, "", "/bin/cat /proc/self/cgroup").succeeds().text();
    assert!(told.contains("0::/\n"), "{told}");
}

fn limits_hold_in_a_group_that_was_delegated() {
    let user = User::new();
    let root = cgroup_root().expect("cgroup v2");
    // Where Pipkin has handed controllers down nobody else can come in.
    let limited =
        |script: &str| Group::new(root, true).run(&user, "-m 32m --memory-swap 32m --pids 20", script);
    limited("cd /sys/fs/cgroup; cat memory.max memory.swap.max pids.max").prints("33554432\n0\n20\n");
    limited("busybox dd if=/dev/zero of=/dev/null bs=8M count=1 2>/dev/null && echo fits").prints("fits\n");
    let killed = limited("exec busybox dd if=/dev/zero of=/dev/null bs=64M count=1").exits(137);
    assert!(killed.told().contains("out of memory"), "{killed}");
    let many = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do busybox sleep 100 & done; echo all";
    let bounded = limited(many);
    assert!(bounded.told().contains("can't fork") && bounded.text().is_empty(), "{bounded}");
}

fn without_delegation_no_limit_is_had() {
    let user = User::new();
    let group = Group::new(cgroup_root().expect("cgroup v2"), false);
    for options in ["-m 32m", "--pids 20"] {
        let outcome = group.run(&user, options, "true").exits(125);
        let told = outcome.told();
        assert!(told.contains("cgroup.procs") && told.contains("Delegate=yes"), "{outcome}");
    }
    group.run(&user, "", "echo ran").prints("ran\n");
}
