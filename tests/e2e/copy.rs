//! Files copied out of containers and into them.

use crate::exec::{Place, wait_until};
use crate::harness::{Case, Folder, Running, cases, detached, detached_sh, pipkin, run};
use crate::program;
use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            a_file_goes_out_and_in,
            a_directory_goes_with_all_in_it,
            everything_of_a_file_is_kept,
            nothing_that_gives_rights_comes_out,
            what_is_there_is_replaced,
            what_cannot_be_is_told,
            links_lead_nowhere_else,
            a_race_leads_nowhere_else,
            nothing_of_the_container_is_executed,
            it_stands_still_and_goes_on,
            an_interrupt_lets_it_go_on,
            one_that_has_ended_has_its_files,
            ids_are_those_inside,
            one_that_has_ended_has_its_ids_too,
            an_archive_goes_out_and_in,
            attributes_go_by_archive_too,
            hostile_archives_are_refused,
            an_archive_that_ends_early_is_told,
        ]
    )
}

#[track_caller]
fn cp(from: &str, to: &str) {
    pipkin(&["cp", from, to]).prints("");
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn a_file_goes_out_and_in() {
    let (place, folder) = (Place::new("cp-file", ""), Folder::new());
    let file = folder.file("a file", "bytes\0and more\n");
    let text = |path: &str| place.exec("", &["cat", path]).stdout;
    cp(shown(&file), "cp-file:/tmp");
    assert_eq!(text("/tmp/a file"), b"bytes\0and more\n");
    cp(shown(&file), "cp-file:/tmp/other");
    assert_eq!(text("/tmp/other"), b"bytes\0and more\n");
    cp(shown(&file), "cp-file:top");
    assert_eq!(text("/top"), b"bytes\0and more\n");
    cp("cp-file:/tmp/other", shown(&folder.join("back")));
    assert_eq!(fs::read(folder.join("back")).unwrap(), b"bytes\0and more\n");
    let big = folder.file("big", vec![7; 3_000_001]);
    cp(shown(&big), "cp-file:/tmp/");
    cp("cp-file:/tmp/big", shown(&folder.join("big-back")));
    assert_eq!(fs::read(folder.join("big-back")).unwrap(), vec![7; 3_000_001]);
    place.end();
}

fn a_directory_goes_with_all_in_it() {
    let (place, folder) = (Place::new("cp-tree", ""), Folder::new());
    folder.file("tree/a/b/c", "c");
    folder.file("tree/d", "");
    symlink("d", folder.join("tree/link")).unwrap();
    fs::create_dir(folder.join("tree/empty")).unwrap();
    let tree = folder.join("tree");
    let list = |path: &str| place.sh("", &format!("cd {path} && find . | sort")).text();
    let all = ".\n./a\n./a/b\n./a/b/c\n./d\n./empty\n./link\n";
    cp(shown(&tree), "cp-tree:/new");
    assert_eq!(list("/new"), all);
    cp(shown(&tree), "cp-tree:/new");
    assert_eq!(list("/new/tree"), all);
    cp(&format!("{}/.", shown(&tree)), "cp-tree:/srv");
    assert_eq!(list("/srv"), all);
    cp("cp-tree:/srv/.", shown(&folder.folder("out")));
    assert_eq!(fs::read_to_string(folder.join("out/a/b/c")).unwrap(), "c");
    assert_eq!(fs::read_link(folder.join("out/link")).unwrap(), Path::new("d"));
    cp("cp-tree:/srv", shown(&folder.join("out")));
    assert!(folder.join("out/srv/empty").is_dir());
    place.end();
}

fn everything_of_a_file_is_kept() {
    let (place, folder) = (Place::new("cp-keep", ""), Folder::new());
    let file = folder.file("tree/file", "x");
    fs::hard_link(&file, folder.join("tree/second name")).unwrap();
    chown(&file, Some(1234), Some(5678)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o6751)).unwrap();
    rustix::fs::setxattr(&file, c"user.kitchen", b"oven", rustix::fs::XattrFlags::empty()).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    fs::File::open(&file).unwrap().set_modified(time).unwrap();
    cp(shown(&folder.join("tree")), "cp-keep:/tree");
    let seen = place.sh("", "stat -c '%u %g %a %h %Y' /tree/file; stat -c %i /tree/* | sort -u | wc -l");
    assert_eq!(seen.text(), "1234 5678 6751 2 1000000000\n1\n");
    place.sh("", "mkfifo /tree/pipe").prints("");
    cp("cp-keep:/tree", shown(&folder.join("back")));
    let back = fs::metadata(folder.join("back/file")).unwrap();
    assert_eq!((back.uid(), back.gid(), back.nlink()), (1234, 5678, 2));
    assert_eq!((back.mtime(), back.mtime_nsec()), (1_000_000_000, 123_456_789));
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(folder.join("back/file"), c"user.kitchen", &mut value);
    assert_eq!(length.map(|length| &value[..length]), Ok(&b"oven"[..]));
    use std::os::unix::fs::FileTypeExt;
    assert!(fs::metadata(folder.join("back/pipe")).unwrap().file_type().is_fifo());
    place.end();
}

fn nothing_that_gives_rights_comes_out() {
    let (place, folder) = (Place::new("cp-rights", ""), Folder::new());
    place.sh("", "cp /bin/busybox /tmp/su; chmod 6755 /tmp/su").prints("");
    cp("cp-rights:/tmp/su", shown(folder.path()));
    assert_eq!(fs::metadata(folder.join("su")).unwrap().mode() & 0o7777, 0o755);
    // Of a tree the rest comes.
    let outcome = pipkin(&["cp", "cp-rights:/dev", shown(folder.path())]).exits(0);
    assert!(outcome.told().contains("null: it is a device"), "{outcome}");
    assert!(folder.join("dev/fd").is_symlink() && !folder.join("dev/null").exists());
    place.end();
}

fn what_is_there_is_replaced() {
    let (place, folder) = (Place::new("cp-replace", ""), Folder::new());
    let file = folder.file("file", "new");
    let target = folder.file("target", "old");
    symlink(&target, folder.join("link")).unwrap();
    place.sh("", "echo old > /tmp/old; ln -s /tmp/old /tmp/link; mkfifo /tmp/pipe").prints("");
    for name in ["link", "pipe"] {
        cp(shown(&file), &format!("cp-replace:/tmp/{name}"));
        place.sh("", &format!("cat /tmp/{name}; cat /tmp/old")).prints("newold\n");
    }
    cp("cp-replace:/tmp/pipe", shown(&folder.join("link")));
    assert_eq!(fs::read_to_string(target).unwrap(), "old");
    place.end();
}

fn what_cannot_be_is_told() {
    let (place, folder) = (Place::new("cp-told", ""), Folder::new());
    let file = folder.file("file", "");
    let (file, top) = (shown(&file), shown(folder.path()));
    for (from, to, word) in [
        (file, "cp-told:/no/such/place", "No such file"),
        (file, "cp-told:/new/", "Not a directory"),
        (top, "cp-told:/etc/passwd", "Not a directory"),
        (file, "no-such:/tmp", "there is no such container"),
        ("cp-told:/no-such", top, "No such file"),
        ("cp-told:/etc/passwd/x", top, "Not a directory"),
        ("cp-told:/dev/null", top, "it is a device"),
        ("cp-told:/sys/kernel/x", top, "No such file"),
        (file, top, "CONTAINER:PATH"),
        ("cp-told:/a", "cp-told:/b", "CONTAINER:PATH"),
    ] {
        pipkin(&["cp", from, to]).expect_refusal(&[word]);
    }
    pipkin(&["cp", file]).expect_refusal(&["destination"]);
    place.sh("", "mkdir /tmp/file").prints("");
    pipkin(&["cp", file, "cp-told:/tmp"]).expect_refusal(&["file", "directory"]);
    // It goes on after a failure.
    place.exec("", &["true"]).prints("");
    place.end();
}

fn links_lead_nowhere_else() {
    let (place, folder) = (Place::new("cp-links", ""), Folder::new());
    let file = folder.file("file", "of the host");
    let outside = folder.folder("outside");
    let secret = folder.file("outside/secret", "secret");
    let (outside, secret) = (shown(&outside), shown(&secret));
    place
        .sh(
            "",
            &format!(
                "ln -s {outside} /abs; ln -s ../../../../..{outside} /rel; ln -s {secret} /one; \
                           ln -s /proc/self/root /magic; ln -s /proc/1/root /first; ln -s loop /loop"
            ),
        )
        .prints("");
    for link in ["abs", "rel", "loop", "magic", "first"] {
        pipkin(&["cp", shown(&file), &format!("cp-links:/{link}/x")]).exits(125);
        pipkin(&["cp", &format!("cp-links:/{link}/secret"), shown(&folder.join("got"))]).exits(125);
    }
    pipkin(&["cp", "-L", "cp-links:/one", shown(&folder.join("got"))]).expect_refusal(&["No such file"]);
    // Without -L the link itself comes, and is not followed.
    cp("cp-links:/one", shown(&folder.join("got")));
    assert!(folder.join("got").is_symlink());
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
    // A container that has such a place of its own gets the file there.
    place.sh("", &format!("mkdir -p {outside}")).prints("");
    cp(shown(&file), "cp-links:/abs");
    place.sh("", &format!("cat {outside}/file")).prints("of the host");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
    place.end();
}

/// docker cp looked at a path and then used it again (CVE-2018-15664, CVE-2026-41568, CVE-2026-42306).
fn a_race_leads_nowhere_else() {
    let folder = Folder::new();
    let outside = folder.folder("outside");
    let file = folder.file("file", "x");
    let container = run("--net none --name cp-race")
        .start_payload(&format!("swap /tmp/place /tmp/link {}", shown(&outside)));
    container.expect("ready");
    let mut arrived = 0;
    for _ in 0..150 {
        let outcome = pipkin(&["cp", "--live", shown(&file), "cp-race:/tmp/place/x"]);
        arrived += usize::from(outcome.status.success());
        pipkin(&["cp", "--live", "cp-race:/tmp/place", shown(&folder.join("out"))]);
        if folder.join("out").is_symlink() {
            fs::remove_file(folder.join("out")).unwrap();
        } else if folder.join("out").exists() {
            assert!(!folder.join("out/secret").exists());
            fs::remove_dir_all(folder.join("out")).unwrap();
        }
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(arrived > 0, "nothing ever arrived: the race was not on");
    container.signal(15);
    pipkin(&["rm", "-f", "cp-race"]).exits(0);
    container.wait();
}

/// docker cp ran the container's own programs and libraries (CVE-2019-14271, CVE-2026-41567).
fn nothing_of_the_container_is_executed() {
    let (place, folder) = (Place::new("cp-trojan", ""), Folder::new());
    let script = "for p in /bin/tar /usr/bin/tar /usr/bin/xz /bin/gunzip /usr/bin/unpigz; do \
                  rm -f $p; printf '#!/bin/sh\\ntouch /tmp/ran\\n' > $p; chmod 755 $p; done; \
                  echo 'passwd: evil' > /etc/nsswitch.conf; mkdir -p /usr/lib; echo x > /usr/lib/libnss_evil.so.2";
    place.sh("", script).prints("");
    let archive = folder.file("a.tar.xz", "\u{fd}7zXZ");
    cp(shown(&archive), "cp-trojan:/tmp");
    cp("cp-trojan:/usr/bin", shown(&folder.join("bin")));
    place.sh("", "ls /tmp").prints("a.tar.xz\n");
    place.end();
}

/// Whether its cgroup stands still.
fn is_frozen(name: &str) -> bool {
    pipkin(&["exec", name, "true"]).told().contains("paused")
}

fn it_stands_still_and_goes_on() {
    let (place, folder) = (Place::new("cp-still", ""), Folder::new());
    place.sh("", "mkdir /tmp/many; cd /tmp/many; for n in $(seq 2000); do echo $n > $n; done").prints("");
    let mut command = program::pipkin();
    command.args(["cp", "cp-still:/tmp/many", shown(&folder.join("many"))]);
    let copy = Running::start(command, None);
    copy.wait().prints("");
    assert!(!is_frozen("cp-still"));
    assert_eq!(fs::read_dir(folder.join("many")).unwrap().count(), 2000);
    // One that was paused before stays so.
    pipkin(&["pause", "cp-still"]).succeeds();
    cp("cp-still:/etc/passwd", shown(folder.path()));
    assert!(is_frozen("cp-still"));
    pipkin(&["resume", "cp-still"]).succeeds();
    place.end();
}

fn an_interrupt_lets_it_go_on() {
    let (place, folder) = (Place::new("cp-interrupt", ""), Folder::new());
    place.sh("", "truncate -s 600M /tmp/big").prints("");
    let mut command = program::pipkin();
    command.args(["cp", "cp-interrupt:/tmp/big", shown(folder.path())]);
    let copy = Running::start(command, None);
    wait_until(|| folder.join("big").exists());
    assert!(is_frozen("cp-interrupt"));
    copy.signal(2);
    copy.wait().exits(130);
    assert!(!is_frozen("cp-interrupt"));
    // Half a file is not left.
    assert!(!folder.join("big").exists());
    place.end();
}

fn one_that_has_ended_has_its_files() {
    let folder = Folder::new();
    let container =
        detached("--net none --name cp-ended", &["sh", "-c", "echo inside > /made; rm /etc/motd"]);
    pipkin(&["wait", "cp-ended"]).prints("0\n");
    cp("cp-ended:/made", shown(folder.path()));
    assert_eq!(fs::read_to_string(folder.join("made")).unwrap(), "inside\n");
    pipkin(&["cp", "cp-ended:/etc/motd", shown(folder.path())]).expect_refusal(&["No such file"]);
    cp(shown(&folder.file("new", "new")), "cp-ended:/srv");
    cp("cp-ended:/srv/new", shown(&folder.join("back")));
    assert_eq!(fs::read_to_string(folder.join("back")).unwrap(), "new");
    cp("cp-ended:/etc/passwd", shown(folder.path()));
    drop(container);
}

fn ids_are_those_inside() {
    let (place, folder) = (Place::new("cp-ids", "--uidmap 0:100000:65536"), Folder::new());
    place.sh("", "echo made > /tmp/made; chown 7:8 /tmp/made").prints("");
    cp("cp-ids:/tmp/made", shown(folder.path()));
    let made = fs::metadata(folder.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (7, 8));
    let file = folder.file("tree/file", "x");
    chown(&file, Some(3), Some(70_000)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    folder.file("tree/sub/other", vec![1; 300_000]);
    symlink("file", folder.join("tree/link")).unwrap();
    cp(shown(&folder.join("tree")), "cp-ids:/tmp");
    // A group that has no place there is its root.
    let seen = place
        .sh("", "cd /tmp/tree; stat -c '%u %g %a' file; wc -c < sub/other; readlink link; ls -A . | wc -l");
    seen.prints("3 0 640\n300000\nfile\n3\n");
    cp(&format!("{}/.", shown(&folder.join("tree"))), "cp-ids:/srv");
    cp(shown(&file), "cp-ids:/srv/renamed");
    place.sh("", "cat /srv/file /srv/renamed; touch /srv/mine; stat -c %u /srv/mine").prints("xx0\n");
    pipkin(&["cp", shown(&file), "cp-ids:/no/such"]).expect_refusal(&["No such file"]);
    place.end();
}

/// Its layers are shown with its ids, and laid as they were laid when it ran: what it replaced stays replaced.
fn one_that_has_ended_has_its_ids_too() {
    let script = "if test -e /srv/tree; then
                      cd /srv/tree; stat -c '%u %g %a' . file link; cat file; rm -r /srv/tree /root/tree/top; ls /etc/apk
                  else
                      rm -r /etc/apk; mkdir /etc/apk; echo made > /srv/made; chown 7:8 /srv/made
                  fi";
    let (container, folder) = (detached_sh("--uidmap 0:100000:65536", script), Folder::new());
    assert_eq!(container.ended(), "0");
    let inside = |path: &str| [&container.id, ":", path].concat();
    let there = |name: &str| fs::symlink_metadata(folder.join(name)).unwrap();
    for (path, owner) in [("/srv/made", (7, 8)), ("/etc/shadow", (0, 42)), ("/etc/apk", (0, 0))] {
        cp(&inside(path), shown(folder.path()));
        let seen = there(path.rsplit('/').next().unwrap());
        assert_eq!((seen.uid(), seen.gid()), owner, "{path}");
    }
    assert_eq!(fs::read_dir(folder.join("apk")).unwrap().count(), 0);
    let file = folder.file("tree/file", "x\n");
    chown(&file, Some(3), Some(70_000)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("file", folder.join("tree/link")).unwrap();
    cp(shown(&folder.join("tree")), &inside("/srv"));
    fed(
        &["cp", "-", &inside("/root")],
        tar(&folder, &["-c", "--transform", "s/file/top/", "tree/file"], b""),
    )
    .succeeds();
    pipkin(&["cp", shown(&file), &inside("/no/such")]).expect_refusal(&["No such file"]);
    container.verb("start").succeeds();
    assert_eq!(container.ended(), "0");
    container.verb("logs").prints("0 0 755\n3 0 640\n0 0 777\nx\n");
}

/// `pipkin WORDS` with `input` on standard input.
#[track_caller]
fn fed(words: &[&str], input: Vec<u8>) -> crate::harness::Outcome {
    let mut command = program::pipkin();
    command.args(words);
    Running::start(command, Some(input)).wait()
}

/// What the machine's tar makes of `words` in `folder`.
fn tar(folder: &Folder, words: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut command = Command::new("tar");
    command.args(words).current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("tar starts");
    let mut pipe = child.stdin.take().expect("its input");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "tar {words:?}");
    writer.join().expect("the writer").unwrap_or(());
    output.stdout
}

fn an_archive_goes_out_and_in() {
    for (name, options) in [("cp-stream", ""), ("cp-stream-ids", "--uidmap 0:100000:65536")] {
        let (place, folder) = (Place::new(name, options), Folder::new());
        let long = "n".repeat(200);
        let file = folder.file(&format!("tree/{long}/file"), "bytes\0");
        fs::hard_link(&file, folder.join("tree/second name")).unwrap();
        symlink("second name", folder.join("tree/link")).unwrap();
        chown(&file, Some(12), Some(34)).unwrap();
        folder.file("tree/big", vec![7; 1_000_001]);
        for form in ["--format=gnu", "--format=pax", "--format=ustar"] {
            let packed = if form.ends_with("ustar") { "tree/big" } else { "tree" };
            let archive = tar(&folder, &[form, "-cf", "-", packed], b"");
            fed(&["cp", "-", &format!("{name}:/srv")], archive).prints("");
        }
        let script = format!(
            "cd /srv/tree; stat -c '%u %g %h' {long}/file; readlink link; wc -c < big; stat -c %i {long}/file 'second name' | uniq | wc -l"
        );
        place.sh("", &script).prints("12 34 2\nsecond name\n1000001\n1\n");
        let archive = fed(&["cp", &format!("{name}:/srv/tree"), "-"], Vec::new()).succeeds().stdout;
        fs::create_dir(folder.join("back")).unwrap();
        tar(&folder, &["--numeric-owner", "-C", "back", "-xf", "-"], &archive);
        let back = fs::metadata(folder.join(&format!("back/tree/{long}/file"))).unwrap();
        assert_eq!((back.uid(), back.gid(), back.nlink()), (12, 34, 2));
        assert_eq!(fs::read(folder.join("back/tree/big")).unwrap(), vec![7; 1_000_001]);
        assert_eq!(fs::read_link(folder.join("back/tree/link")).unwrap(), Path::new("second name"));
        place.end();
    }
}

/// Those of a user go both ways; file capabilities only in.
fn attributes_go_by_archive_too() {
    const NO_FLAGS: XattrFlags = XattrFlags::empty();
    // Revision 2, effective, and CAP_NET_BIND_SERVICE permitted (linux/capability.h).
    const CAPABLE: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (name, options) in [("cp-attributes", ""), ("cp-attributes-ids", "--uidmap 0:100000:65536")] {
        let (place, folder) = (Place::new(name, options), Folder::new());
        let file = folder.file("tree/file", "x");
        setxattr(&file, "security.capability", &CAPABLE, NO_FLAGS).unwrap();
        for path in [&file, &folder.join("tree")] {
            setxattr(path, "user.mine", b"a\0b=\xff\n", NO_FLAGS).unwrap();
        }
        let kept = ["--xattrs", "--xattrs-include=*"];
        fed(&["cp", "-", &format!("{name}:/srv")], tar(&folder, &[&kept[..], &["-c", "tree"]].concat(), b""))
            .prints("");
        cp(shown(&folder.join("tree")), &format!("{name}:/opt"));
        let mut value = [0; 32];
        for above in ["srv", "opt"] {
            let archive = fed(&["cp", &format!("{name}:/{above}/tree"), "-"], Vec::new()).succeeds().stdout;
            let back = folder.folder(above);
            tar(&folder, &[&kept[..], &["-C", shown(&back), "-x"]].concat(), &archive);
            for path in [back.join("tree"), back.join("tree/file")] {
                let length = getxattr(&path, "user.mine", &mut value[..]).unwrap();
                assert_eq!(value[..length], *b"a\0b=\xff\n", "{}", path.display());
            }
            let capable = getxattr(back.join("tree/file"), "security.capability", &mut value[..]);
            assert_eq!(capable, Err(Errno::NODATA));
            let inside = format!("/proc/{}/root/{above}/tree/file", pid_of(name));
            let length = getxattr(&*inside, "security.capability", &mut value[..]).unwrap();
            assert_eq!(value[4..12], CAPABLE[4..12], "{length}");
        }
        place.end();
    }
}

/// The first process of a container.
fn pid_of(name: &str) -> String {
    let facts = pipkin(&["inspect", name]).succeeds().json();
    let facts = facts.get(0).unwrap_or(&facts);
    facts["PID"].to_string()
}

fn hostile_archives_are_refused() {
    let (place, folder) = (Place::new("cp-hostile", ""), Folder::new());
    let inner = folder.folder("in");
    folder.file("in/payload", "evil");
    symlink("/etc", folder.join("in/absolute")).unwrap();
    symlink("../etc", folder.join("in/upwards")).unwrap();
    place
        .sh("", "mkdir -p /srv/here; ln -s /etc /srv/here/planted; sha256sum /etc/passwd > /tmp/sum")
        .prints("");
    let packed = |words: &[&str]| {
        let more = ["-P", "-C", shown(&inner), "-cf", "-"];
        tar(&folder, &[&more, words].concat(), b"")
    };
    let through =
        |link: &str| packed(&["--transform", &format!("s,payload,{link}/passwd,S"), link, "payload"]);
    for (archive, word) in [
        (packed(&["--transform", "s,payload,/etc/passwd,", "payload"]), "leads out"),
        (packed(&["--transform", "s,payload,../../etc/passwd,", "payload"]), "leads out"),
        (packed(&["--transform", "s,payload,a/../../x,", "payload"]), "leads out"),
        (through("absolute"), "leads out"),
        (through("upwards"), "leads out"),
        (packed(&["--transform", "s,payload,planted/passwd,", "payload"]), "leads out"),
        (tar(&folder, &["-P", "--transform", "s,^,x,", "-cf", "-", "/dev/null"], b""), "it is a device"),
        (b"this is no archive".repeat(100), "no tar archive"),
    ] {
        let outcome = fed(&["cp", "-", "cp-hostile:/srv/here"], archive);
        outcome.expect_refusal(&["cannot unpack", word]);
    }
    fs::hard_link(inner.join("payload"), inner.join("second")).unwrap();
    let archive = packed(&["--transform", "s,^payload$,/etc/passwd,RSh", "payload", "second"]);
    fed(&["cp", "-", "cp-hostile:/srv/here"], archive).expect_refusal(&["second", "outside"]);
    place.sh("", "sha256sum -c /tmp/sum; ls /srv").prints("/etc/passwd: OK\nhere\n");
    place.end();
}

fn an_archive_that_ends_early_is_told() {
    let (place, folder) = (Place::new("cp-early", ""), Folder::new());
    folder.file("file", vec![7; 100_000]);
    let archive = tar(&folder, &["-cf", "-", "file"], b"");
    fed(&["cp", "-", "cp-early:/srv"], archive[..50_000].to_vec()).expect_refusal(&["ends too early"]);
    place.sh("", "ls /srv").prints("");
    fed(&["cp", "-", "cp-early:/no/such"], archive.clone()).expect_refusal(&["No such file"]);
    fed(&["cp", "-", "cp-early:/etc/passwd"], archive).expect_refusal(&["Not a directory"]);
    pipkin(&["cp", "-", "-"]).expect_refusal(&["CONTAINER:PATH"]);
    // It goes on after a failure.
    place.exec("", &["true"]).prints("");
    place.end();
}
