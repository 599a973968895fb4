//! Whole command lines and the [`Spec`](pipkin::spec::Spec) they give.

use super::help::RUN;
use super::namespace::Joined;
use super::request::{Directories, Request};
use crate::cli::argv::{Order, Sorted, options, sort};
use linux_raw_sys::general as raw;
use pipkin::spec::*;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Words between blanks, as a shell would pass them.
pub(super) fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

/// The arguments of a `run`, sorted.
pub(super) fn sorted(args: &[OsString]) -> Sorted<'_> {
    sort(RUN, Order::OptionsFirst, args).unwrap()
}

/// Directories that do not exist.
pub(super) fn nowhere() -> Directories<'static> {
    Directories {
        images: Path::new("/nowhere/images"),
        own: Path::new("/nowhere/c"),
        volumes: Path::new("/nowhere/volumes"),
        networks: Path::new("/nowhere/networks"),
        joined: Joined::default(),
        claims: None,
        bridge_is_usual: false,
    }
}

/// What `pipkin run ARGS` asks for, without images in store.
fn with<T>(args: &[OsString], see: impl FnOnce(Result<Request<'_>, super::Failure>) -> T) -> T {
    let directories = nowhere();
    see(Request::new(&sorted(args), Id::from_random(7), directories))
}

fn see<T>(text: &str, see: impl FnOnce(&Spec<'_>) -> T) -> T {
    with(&words(text), |request| see(&request.unwrap_or_else(|why| panic!("{text}: {why:?}")).spec))
}

fn refused(text: &str) -> bool {
    with(&words(text), |request| request.is_err())
}

fn texts<'a>(strings: &Strings<'a>) -> Vec<&'a str> {
    strings.list.iter().map(|text| text.to_str().unwrap()).collect()
}

#[test]
fn nothing_asked_for_is_the_usual_container() {
    see("scratch", |spec| {
        assert_eq!(spec.id.as_str(), "0000000000000007");
        assert_eq!(spec.root.source, RootSource::Scratch);
        assert_eq!((spec.root.staging, spec.root.readonly), (c"/nowhere/c", false));
        assert_eq!(texts(&spec.process.args), ["/pipkin", "probe"]);
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        assert_eq!(texts(&spec.process.env), [path, "HOSTNAME=0000000000000007"]);
        assert!(spec.process.home.is_some());
        assert_eq!(spec.process.path, &path.as_bytes()[5..]);
        assert_eq!((spec.process.cwd, spec.process.user), (c"/", User::ROOT));
        assert_eq!(spec.process.capabilities, Capabilities::plain(DEFAULT_CAPABILITIES));
        assert!(spec.process.no_new_privileges && !spec.process.stdin && spec.process.terminal.is_none());
        assert_eq!((spec.namespaces, spec.hostname), (Namespaces::DEFAULT, Some(c"0000000000000007")));
        assert_eq!(spec.mounts, DEFAULT_MOUNTS);
        assert!(spec.masked.starts_with(&DEFAULT_MASKED));
        assert_eq!(spec.resources, Resources::default());
    });
    see("/ ls", |spec| {
        let upper = Upper::Directory(c"/nowhere/c");
        let source = RootSource::Layers { lower: &[c"/"], upper, volatile: false };
        assert_eq!((spec.root.source, texts(&spec.process.args)), (source, vec!["ls"]));
    });
    see("/", |spec| assert_eq!(texts(&spec.process.args), ["/bin/sh"]));
}

#[test]
fn the_process_is_as_asked() {
    let text = "-it -e A=1 -e HOME=/h --env=A=2 -e PATH=/x -w /w -u 5:6 --entrypoint /e --init \
                --cap-drop ALL --cap-add net_raw --security-opt no-new-privileges=false --ulimit nofile=9 \
                --oom-score-adj -5 --hostname hh --domainname dd --sysctl net.core.somaxconn=5 scratch -x --rm";
    see(text, |spec| {
        let process = &spec.process;
        assert_eq!(texts(&process.args), ["/e", "-x", "--rm"]);
        assert_eq!(texts(&process.env), ["PATH=/x", "HOSTNAME=hh", "TERM=xterm", "A=2", "HOME=/h"]);
        assert!(process.home.is_none());
        assert_eq!((process.path, process.cwd), (&b"/x"[..], c"/w"));
        assert_eq!((process.user.user, process.user.group), (Account::Id(5), Some(Account::Id(6))));
        assert_eq!(process.capabilities.bounding, CapabilitySet::EMPTY.with(13));
        assert!(!process.no_new_privileges && process.stdin && process.terminal.is_some() && spec.init);
        assert_eq!((process.rlimits[0].soft, process.oom_score_adj), (Some(9), Some(-5)));
        assert_eq!((spec.hostname, spec.domainname), (Some(c"hh"), Some(c"dd")));
        assert_eq!((spec.sysctls[0].name, spec.sysctls[0].value), (c"net.core.somaxconn", c"5"));
    });
    see("--uts host --entrypoint= scratch sh", |spec| {
        assert_eq!((spec.hostname, texts(&spec.process.args)), (None, vec!["sh"]));
        assert!(!texts(&spec.process.env).iter().any(|text| text.starts_with("HOSTNAME")));
    });
}

#[test]
fn a_mount_takes_the_turn_of_the_usual_one() {
    see("--tmpfs /dev/shm:size=1m -v /tmp:/data:ro --mount type=bind,src=/etc,dst=/dev scratch", |spec| {
        let targets: Vec<_> = spec.mounts.iter().map(|mount| mount.target).collect();
        let usual = DEFAULT_MOUNTS.map(|mount| mount.target);
        assert_eq!(targets, [&usual[..], &[c"/data"]].concat());
        assert_eq!(
            spec.mounts[1].source,
            Source::Bind { path: c"/etc", recursive: true, mapped: None, volume: false }
        );
        let options = &[MountOption::Value(c"size", c"1048576")];
        assert_eq!(spec.mounts[3].source, Source::FileSystem { kind: c"tmpfs", options });
        assert_eq!(spec.mounts[7].attributes.set_recursive, raw::MOUNT_ATTR_RDONLY);
    });
    assert!(refused("-v /tmp:/a --tmpfs /a scratch"));
    assert!(refused("--mount type=bind,src=/not/there,dst=/a scratch"));
}

#[test]
fn layers_lie_on_the_image_the_last_on_top() {
    see("--rm --ephemeral --read-only --layer /usr --layer /tmp /etc x", |spec| {
        let source =
            RootSource::Layers { lower: &[c"/tmp", c"/usr", c"/etc"], upper: Upper::Tmpfs, volatile: true };
        assert_eq!((spec.root.source, spec.root.readonly), (source, true));
    });
    assert!(refused("--layer /usr scratch"));
    assert!(refused("--layer /not/there /etc x"));
    assert!(refused("--layer /dev/null /etc x"));
}

#[test]
fn sources_are_made_when_the_container_is() {
    let name = format!("pipkin-run-source-{}", std::process::id());
    let path = std::env::temp_dir().join(name).join("below");
    let volume = format!("-v {}:/a scratch", path.display());
    with(&words(&volume), |request| {
        let request = request.unwrap();
        assert!(!path.exists());
        request.make_sources().unwrap();
    });
    assert!(path.is_dir());
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn bytes_that_are_no_text_reach_the_command() {
    let mut args = words("/ echo");
    args.push(OsString::from_vec(b"\xff\xfe".to_vec()));
    with(&args, |request| {
        let request = request.unwrap();
        assert_eq!(request.spec.process.args.list[1].to_bytes(), b"\xff\xfe");
        assert_eq!(request.command(), OsString::from_vec(b"echo \xff\xfe".to_vec()));
        assert_eq!(request.image, OsStr::new("/"));
    });
}

#[test]
fn what_makes_no_sense_is_refused() {
    for text in [
        "",
        "--rm",
        "nothing-of-this-name",
        "./not/there",
        "--json scratch",
        "--name .x scratch",
        "--name a/b scratch",
        "--hostname -x scratch",
        "--hostname a/b scratch",
        "--hostname= scratch",
        "-w x scratch",
        "-u 1: scratch",
        "-u 4294967295 scratch",
        "-e =x scratch",
        "--env-file /not/there scratch",
        "--cap-add FLY scratch",
        "--device /dev/not/there scratch",
        "--sysctl x scratch",
        "--memory 64q scratch",
        "--net a/b scratch",
        "--oom-score-adj 1001 scratch",
        "--security-opt seccomp=x scratch",
    ] {
        assert!(refused(text), "{text}");
    }
    let long = ["--hostname ", &"x".repeat(65), " scratch"].concat();
    assert!(refused(&long));
}

#[test]
fn whatever_help_promises_is_looked_at() {
    let sources = [
        include_str!("mod.rs"),
        include_str!("life.rs"),
        include_str!("namespace.rs"),
        include_str!("network/mod.rs"),
        include_str!("network/address.rs"),
        include_str!("network/files.rs"),
        include_str!("request.rs"),
        include_str!("resource.rs"),
        include_str!("user.rs"),
        include_str!("warden.rs"),
    ];
    for (name, _) in options(RUN).filter(|(name, _)| *name != "--help") {
        let quoted = ["\"", name, "\""].concat();
        assert!(sources.iter().any(|source| source.contains(&quoted)), "{name}");
    }
}

#[test]
fn what_an_image_says_gives_way_to_what_is_typed() {
    let folder = std::env::temp_dir().join(format!("pipkin-says-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("app/rootfs/bin")).unwrap();
    let config = r#"{"config":{"Entrypoint":["/e"],"Cmd":["c"],"Env":["PATH=/x","A=1","HOME"],"User":"7","WorkingDir":"/w","StopSignal":"QUIT"}}"#;
    std::fs::write(folder.join("app/config.json"), config).unwrap();
    let see = |text: &str, see: fn(&Request<'_>)| {
        let args = words(text);
        let directories = Directories { images: &folder, ..nowhere() };
        see(&Request::new(&sorted(&args), Id::from_random(7), directories).unwrap());
    };
    see("app", |request| {
        let process = &request.spec.process;
        assert_eq!(texts(&process.args), ["/e", "c"]);
        assert_eq!(texts(&process.env), ["PATH=/x", "HOSTNAME=0000000000000007", "A=1"]);
        assert_eq!((process.path, process.cwd), (&b"/x"[..], c"/w"));
        assert_eq!(Some(process.user), User::parse(b"7"));
        assert_eq!(request.stop_signal, Some(3));
    });
    see("-u 8 -w / -e A=2 app d", |request| {
        let process = &request.spec.process;
        assert_eq!(texts(&process.args), ["/e", "d"]);
        assert!(texts(&process.env).contains(&"A=2"));
        assert_eq!((process.cwd, Some(process.user)), (c"/", User::parse(b"8")));
    });
    see("--entrypoint /f app", |request| assert_eq!(texts(&request.spec.process.args), ["/f"]));
    see("--entrypoint= app d", |request| assert_eq!(texts(&request.spec.process.args), ["d"]));
    std::fs::remove_dir_all(&folder).unwrap();
}
