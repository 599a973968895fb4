//! The decisions that must not drift; whole plans are compared as texts in `tests/plan`.

use super::*;
use crate::spec::*;

fn spec(mounts: &'static [Mount<'static>]) -> Spec<'static> {
    static ARGS: [&core::ffi::CStr; 1] = [c"true"];
    Spec {
        id: Id::from_random(1),
        root: Root {
            source: RootSource::Layers { lower: &[c"/img"], upper: Upper::Directory(c"/c"), volatile: false },
            staging: c"/c",
            readonly: false,
        },
        process: Process {
            args: Strings { list: &ARGS, ..Strings::EMPTY },
            env: Strings::EMPTY,
            path: b"/bin",
            home: None,
            cwd: c"/",
            user: User::ROOT,
            umask: 0o022,
            capabilities: Capabilities::plain(DEFAULT_CAPABILITIES),
            no_new_privileges: true,
            filter: None,
            rlimits: &[],
            oom_score_adj: None,
            terminal: None,
            stdin: false,
            tuning: Tuning::PLAIN,
            confinement: Confinement::NONE,
        },
        init: false,
        namespaces: Namespaces::DEFAULT,
        network: Network::NONE,
        hostname: None,
        domainname: None,
        mounts,
        devices: &[],
        sysctls: &[],
        masked: &DEFAULT_MASKED,
        readonly: &DEFAULT_READONLY,
        resources: Resources::default(),
        handovers: &[],
        cgroup: None,
        managed: false,
        start: Start::AtOnce,
    }
}

fn place(plan: &Plan<'_>, wanted: &Step<'_>) -> usize {
    let same = |step: &Step<'_>| core::mem::discriminant(step) == core::mem::discriminant(wanted);
    plan.child.iter().position(same).unwrap()
}

#[test]
fn every_step_has_a_sentence() {
    let mut plan = Plan::default();
    let mut spec = spec(&DEFAULT_MOUNTS);
    spec.process.terminal = Some(WindowSize { rows: 24, columns: 80 });
    spec.process.oom_score_adj = Some(5);
    spec.process.rlimits = &[Rlimit { kind: RlimitKind::Nofile, soft: Some(1), hard: None }];
    spec.hostname = Some(c"h");
    spec.domainname = Some(c"d");
    spec.sysctls = &[Sysctl { name: c"net.core.somaxconn", value: c"5" }];
    spec.root.readonly = true;
    spec.namespaces.ipc = Join::Path(c"/proc/1/ns/ipc");
    resolve(&spec, &HostFacts::IDEAL, &mut plan).unwrap();
    for step in &plan.child {
        let description = step.describe();
        assert!(!description.sentence.is_empty(), "{step:?}");
        let mut text = heapless::String::<1024>::new();
        description.write(&mut text).unwrap();
        assert!(!text.contains(['{', '[', ']', '}']), "{text}");
    }
}

#[test]
fn host_paths_are_gone_before_anything_inside_is_named() {
    let mut plan = Plan::default();
    resolve(&spec(&DEFAULT_MOUNTS), &HostFacts::IDEAL, &mut plan).unwrap();
    let pivot = place(&plan, &Step::PivotRoot);
    for (at, step) in plan.child.iter().enumerate() {
        match step {
            Step::OpenSource { .. }
            | Step::CreateFileSystem { .. }
            | Step::OpenNull
            | Step::MountOverlay { .. } => assert!(at < pivot),
            Step::MountFileSystem { .. } | Step::Attach { .. } | Step::Mask(_) | Step::MakeDevice(_) => {
                assert!(at > pivot);
            }
            _ => {}
        }
    }
    assert!(matches!(plan.child.last(), Some(Step::Execute { .. })));
}

#[test]
fn without_a_user_namespace_only_root_may_run() {
    let facts = HostFacts { root: false, ..HostFacts::IDEAL };
    let conflict = resolve(&spec(&DEFAULT_MOUNTS), &facts, &mut Plan::default()).unwrap_err();
    assert_eq!(conflict.what, "run without root");
}

#[test]
fn the_hosts_name_is_not_changed() {
    let mut spec = spec(&DEFAULT_MOUNTS);
    spec.namespaces.uts = Join::Host;
    spec.hostname = Some(c"x");
    assert!(resolve(&spec, &HostFacts::IDEAL, &mut Plan::default()).is_err());
}
