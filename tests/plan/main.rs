//! Golden texts: what is asked for, and the exact list of actions that comes of it. No root is needed: plans are
//! made from facts given here, and nothing is carried out.
//!
//! After an intended change: `INSTA_UPDATE=always cargo test --test plan`, then read the difference.

use pipkin::plan::{
    Availability, Conflict, Controllers, EnterSpec, Groups, HostFacts, Plan, SLOTS, enter, resolve,
};
use pipkin::spec::*;
use pipkin::sys::process::StrArray;
use std::ffi::CStr;

const ROOT: Root<'static> = Root {
    source: RootSource::Layers {
        lower: &[c"/images/alpine"],
        upper: Upper::Directory(c"/data/c1"),
        volatile: false,
    },
    staging: c"/data/c1",
    readonly: false,
};

const PROCESS: Process<'static> = Process {
    args: Strings { list: &[c"sh"], array: StrArray::EMPTY },
    env: Strings::EMPTY,
    path: b"/usr/bin:/bin",
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
};

/// The root and the rarer wishes of an engine.
const BUNDLE: Root<'static> = Root {
    source: RootSource::Directory { propagation: Some(Propagation::Slave), recursive: true },
    staging: c"/bundle/rootfs",
    readonly: true,
};

const TUNED: Tuning<'static> = Tuning {
    personality: Some(8),
    scheduler: Some(Scheduler {
        policy: 3,
        flags: 0,
        nice: 5,
        priority: 0,
        runtime_ns: 0,
        deadline_ns: 0,
        period_ns: 0,
    }),
    io_priority: Some(2 << 13 | 4),
    cpus: &[3],
    ..Tuning::PLAIN
};

const FILTER: Filter<'static> = Filter {
    program: &[6 | 0x7fff_0000 << 32],
    origin: "the default policy",
    log: false,
    allow_speculation: true,
    asks: false,
};

/// What `pipkin run alpine sh` asks for.
fn usual() -> Spec<'static> {
    Spec {
        id: Id::from_random(1),
        root: ROOT,
        process: PROCESS,
        init: false,
        namespaces: Namespaces::DEFAULT,
        network: Network::NONE,
        hostname: None,
        domainname: None,
        mounts: &DEFAULT_MOUNTS,
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

/// The same with nothing mounted or hidden, so that what a case is about stands out.
fn bare() -> Spec<'static> {
    Spec { mounts: &[], masked: &[], readonly: &[], ..usual() }
}

fn text(spec: &Spec<'_>, facts: &HostFacts) -> String {
    let mut plan = Plan::default();
    match resolve(spec, facts, &mut plan) {
        Ok(()) => {
            let mut out = Text(String::new());
            plan.write(&mut out).unwrap();
            out.0
        }
        Err(conflict) => conflict_text(&conflict),
    }
}

fn conflict_text(conflict: &Conflict) -> String {
    let subject = conflict.subject.map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
    format!(
        "cannot {}{}: {}\n{}\n",
        conflict.what,
        subject.map(|subject| format!(" {subject}")).unwrap_or_default(),
        conflict.why,
        conflict.remedy
    )
}

struct Text(String);

impl ufmt::uWrite for Text {
    type Error = std::convert::Infallible;

    fn write_str(&mut self, text: &str) -> Result<(), Self::Error> {
        self.0.push_str(text);
        Ok(())
    }
}

fn limited(resources: Resources<'static>) -> Spec<'static> {
    Spec { resources, ..bare() }
}

fn bind(target: &'static CStr, path: &'static CStr, attributes: Attributes) -> Mount<'static> {
    Mount {
        target,
        source: Source::Bind { path, recursive: true, mapped: None, volume: false },
        attributes,
        propagation: None,
    }
}

const RANGE: UserNamespace<'static> = UserNamespace {
    path: None,
    uids: &[IdMap { inside: 0, outside: 100_000, count: 65_536 }],
    gids: &[IdMap { inside: 0, outside: 100_000, count: 65_536 }],
};

/// What `--device /dev/fuse:r` asks for, and the same of every disk.
const TO_READ: &[DeviceRule] = &[
    DeviceRule { allow: true, block: None, major: None, minor: None, access: 7 },
    DeviceRule { allow: false, block: Some(false), major: Some(10), minor: Some(229), access: 4 },
    DeviceRule { allow: false, block: Some(true), major: Some(8), minor: None, access: 4 },
];

/// Root inside is user 1000 outside.
const OWN: UserNamespace<'static> = UserNamespace {
    path: None,
    uids: &[IdMap { inside: 0, outside: 1000, count: 1 }],
    gids: &[IdMap { inside: 0, outside: 100, count: 1 }],
};

/// That user.
const USER: HostFacts = HostFacts { root: false, uid: 1000, gid: 100, cgroup: false, ..HostFacts::IDEAL };

macro_rules! golden {
    ($($name:ident: $spec:expr $(, $facts:expr)?;)*) => {$(
        #[test]
        fn $name() {
            #[allow(unused_mut, unused_assignments)]
            let mut facts = HostFacts::IDEAL;
            $(facts = $facts;)?
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(stringify!($name), text(&$spec, &facts));
            });
        }
    )*};
}

const RO: u32 = 1;

golden! {
    usual_run: usual();
    bare_run: bare();
    no_cgroup: usual(), HostFacts { cgroup: false, ..HostFacts::IDEAL };
    scratch: Spec { root: Root { source: RootSource::Scratch, ..ROOT }, ..bare() };
    ephemeral: Spec { root: Root { source: RootSource::Layers {
        lower: &[c"/images/app", c"/images/alpine"], upper: Upper::Tmpfs, volatile: true }, ..ROOT }, ..bare() };
    layers_on_disk: Spec { root: Root { source: RootSource::Layers {
        lower: &[c"/l/3", c"/l/2", c"/l/1"], upper: Upper::Directory(c"/data/c1"), volatile: true }, ..ROOT }, ..bare() };
    no_layer: Spec { root: Root { source: RootSource::Layers {
        lower: &[], upper: Upper::Tmpfs, volatile: true }, ..ROOT }, ..bare() };
    read_only_root: Spec { root: Root { readonly: true, ..ROOT }, ..bare() };
    memory_limit: limited(Resources { memory_max: Some(Limit::At(64 << 20)), ..Resources::default() });
    memory_and_no_swap: limited(Resources {
        memory_max: Some(Limit::At(10 << 20)), swap_max: Some(Limit::At(0)), oom_group: Some(true), ..Resources::default() });
    memory_reservation: limited(Resources { memory_low: Some(1 << 20), swap_max: Some(Limit::Max), ..Resources::default() });
    half_a_cpu: limited(Resources {
        cpu_max: Some(CpuMax { quota: Limit::At(50_000), period_us: 100_000 }), ..Resources::default() });
    cpu_weight_and_set: limited(Resources {
        cpu_weight: Some(200), cpuset_cpus: Some("0-1,3"), cpuset_mems: Some("0"), ..Resources::default() });
    cpu_too_small: limited(Resources {
        cpu_max: Some(CpuMax { quota: Limit::At(500), period_us: 100_000 }), ..Resources::default() });
    cpuset_malformed: limited(Resources { cpuset_cpus: Some("0-3; rm"), ..Resources::default() });
    pids_limit: limited(Resources { pids_max: Some(Limit::At(50)), ..Resources::default() });
    pids_zero: limited(Resources { pids_max: Some(Limit::At(0)), ..Resources::default() });
    io_limits: limited(Resources { io_weight: Some(500), devices: &[DeviceLimit { major: 8, minor: 0,
        read_bps: Some(1 << 20), write_bps: None, read_iops: None, write_iops: Some(100) }], ..Resources::default() });
    limit_on_v1: limited(Resources { memory_max: Some(Limit::At(64 << 20)), ..Resources::default() }),
        HostFacts { controllers: Controllers::all(Availability::HeldByV1), ..HostFacts::IDEAL };
    limit_without_hierarchy: limited(Resources { pids_max: Some(Limit::At(5)), ..Resources::default() }),
        HostFacts { cgroup: false, controllers: Controllers::all(Availability::NoHierarchy), ..HostFacts::IDEAL };
    limit_not_delegated: limited(Resources { cpu_weight: Some(5), ..Resources::default() }),
        HostFacts { controllers: Controllers::all(Availability::NotDelegated), ..HostFacts::IDEAL };
    device_to_read: limited(Resources { access: TO_READ, ..Resources::default() });
    device_to_read_without_root: Spec { namespaces: Namespaces { user: Some(OWN), ..Namespaces::DEFAULT },
        ..limited(Resources { access: TO_READ, ..Resources::default() }) }, HostFacts { cgroup: true, ..USER };
    device_to_read_nested: limited(Resources { access: TO_READ, ..Resources::default() }),
        HostFacts { nested: true, ..HostFacts::IDEAL };
    device_to_read_without_hierarchy: limited(Resources { access: TO_READ, ..Resources::default() }),
        HostFacts { cgroup: false, ..HostFacts::IDEAL };
    host_network: Spec { namespaces: Namespaces { network: Join::Host, ..Namespaces::DEFAULT }, ..usual() };
    host_everything: Spec { namespaces: Namespaces { network: Join::Host, pid: Join::Host, ipc: Join::Host,
        uts: Join::Host, cgroup: Join::Host, user: None, time: Join::Host, clocks: &[] }, ..bare() };
    joined_namespaces: Spec { namespaces: Namespaces { network: Join::Path(c"/proc/7/ns/net"),
        pid: Join::Path(c"/proc/7/ns/pid"), ipc: Join::Path(c"/proc/7/ns/ipc"), ..Namespaces::DEFAULT }, ..bare() };
    user_namespace: Spec { namespaces: Namespaces { user: Some(UserNamespace {
    path: None,
        uids: &[IdMap { inside: 0, outside: 100_000, count: 65_536 }],
        gids: &[IdMap { inside: 0, outside: 100_000, count: 65_536 }] }), ..Namespaces::DEFAULT }, ..usual() };
    user_namespace_idmap: Spec { namespaces: Namespaces { user: Some(RANGE), ..Namespaces::DEFAULT }, mounts: &[
        Mount { source: Source::Bind { path: c"/srv", recursive: true, mapped: Some(Mapping::CONTAINER), volume: false }, ..bind(c"/s", c"/srv", Attributes::default()) },
    ], ..bare() };
    volume: Spec { mounts: &[Mount {
        source: Source::Bind { path: c"/v/data", recursive: false, mapped: None, volume: true },
        ..bind(c"/data", c"/v/data", Attributes { set_recursive: linux_raw_sys::general::MOUNT_ATTR_RDONLY, ..Attributes::default() }) }], ..bare() };
    user_namespace_volume: Spec { namespaces: Namespaces { user: Some(RANGE), ..Namespaces::DEFAULT }, mounts: &[Mount {
        source: Source::Bind { path: c"/v/data", recursive: false, mapped: None, volume: true },
        ..bind(c"/data", c"/v/data", Attributes::default()) }], ..bare() };
    rootless_volume: Spec { namespaces: Namespaces { user: Some(OWN), ..Namespaces::DEFAULT }, mounts: &[Mount {
        source: Source::Bind { path: c"/v/data", recursive: false, mapped: None, volume: true },
        ..bind(c"/data", c"/v/data", Attributes::default()) }], ..bare() }, USER;
    user_namespace_of_the_host: Spec { namespaces: Namespaces { user: Some(RANGE), network: Join::Host, pid: Join::Host,
        ipc: Join::Host, uts: Join::Host, cgroup: Join::Host, time: Join::Host, clocks: &[] }, ..usual() };
    user_namespace_joining: Spec { namespaces: Namespaces { user: Some(RANGE), network: Join::Path(c"/run/netns/x"),
        ..Namespaces::DEFAULT }, ..bare() };
    user_namespace_without_root: Spec { namespaces: Namespaces { user: Some(UserNamespace {
    path: None,
        uids: &[IdMap { inside: 1, outside: 100_000, count: 9 }], gids: RANGE.gids }), ..Namespaces::DEFAULT }, ..bare() };
    user_namespace_entered: Spec { namespaces: Namespaces { user: Some(UserNamespace { path: Some(c"/proc/7/ns/user"),
        ..RANGE }), network: Join::Path(c"/proc/7/ns/net"), ..Namespaces::DEFAULT }, ..usual() };
    idmap_of_its_own: Spec { mounts: &[
        Mount { source: Source::Bind { path: c"/srv", recursive: true, mapped: Some(Mapping {
            own: Some((RANGE.uids, RANGE.gids)), recursive: false }), volume: false }, ..bind(c"/s", c"/srv", Attributes::default()) },
        bind(c"/t", c"/tmp", Attributes::default()),
    ], ..bare() };
    idmap_without_root: Spec { namespaces: Namespaces { user: Some(OWN), ..Namespaces::DEFAULT }, mounts: &[
        Mount { source: Source::Bind { path: c"/srv", recursive: true, mapped: Some(Mapping {
            own: Some((RANGE.uids, RANGE.gids)), recursive: false }), volume: false }, ..bind(c"/s", c"/srv", Attributes::default()) },
    ], ..bare() }, USER;
    idmap_without_user_namespace: Spec { mounts: &[
        Mount { source: Source::Bind { path: c"/srv", recursive: true, mapped: Some(Mapping::CONTAINER), volume: false }, ..bind(c"/s", c"/srv", Attributes::default()) },
    ], ..bare() };
    landlock: Spec { process: Process { confinement: Confinement { paths: &[PathRule { path: c"/", write: false },
        PathRule { path: c"/work", write: true }], ..Confinement::NONE }, ..PROCESS }, ..bare() };
    landlock_too_old: Spec { process: Process { confinement: Confinement { paths: &[PathRule { path: c"/", write: false }],
        ..Confinement::NONE }, ..PROCESS }, ..bare() }, HostFacts { landlock: 2, ..HostFacts::IDEAL };
    labels: Spec { process: Process { confinement: Confinement { apparmor: Some(c"web"), selinux: Some(c"u:r:t:s0"),
        ..Confinement::NONE }, ..PROCESS }, ..bare() };
    label_without_module: Spec { process: Process { confinement: Confinement { apparmor: Some(c"web"),
        ..Confinement::NONE }, ..PROCESS }, ..bare() }, HostFacts { apparmor: false, ..HostFacts::IDEAL };
    rootless: Spec { namespaces: Namespaces { user: Some(OWN), ..Namespaces::DEFAULT }, ..usual() }, USER;
    rootless_range: Spec { namespaces: Namespaces { user: Some(UserNamespace { path: None, uids: &[
        IdMap { inside: 0, outside: 1000, count: 1 }, IdMap { inside: 1, outside: 100_000, count: 65_536 }], gids: OWN.gids }),
        ..Namespaces::DEFAULT }, ..bare() }, USER;
    rootless_own_id: Spec { namespaces: Namespaces { user: Some(UserNamespace {
    path: None,
        uids: &[IdMap { inside: 1000, outside: 1000, count: 1 }], gids: OWN.gids }), ..Namespaces::DEFAULT },
        process: Process { user: User { user: Account::Id(1000), group: None, additional: &[], exact: false }, ..PROCESS }, ..bare() }, USER;
    nested: usual(), HostFacts { nested: true, ..HostFacts::IDEAL };
    nested_with_fixed_groups: Spec { process: Process { user: User { additional: &[Account::Id(5)], ..PROCESS.user }, ..PROCESS }, ..bare() },
        HostFacts { nested: true, fixed_groups: true, ..HostFacts::IDEAL };
    time_namespace: Spec { namespaces: Namespaces { time: Join::New, ..Namespaces::DEFAULT }, ..bare() };
    rootless_pasta: Spec { namespaces: Namespaces { user: Some(OWN), ..Namespaces::DEFAULT }, network: Network { pasta: true,
        ports: &[Publish { transport: Transport::Tcp, host: None, host_port: 8080, port: 80, count: 1 }], ..Network::NONE },
        ..bare() }, USER;
    pasta_for_root: Spec { network: Network { pasta: true, ..Network::NONE }, ..bare() };
    without_root: bare(), HostFacts { root: false, ..HostFacts::IDEAL };
    host_and_domain_name: Spec { hostname: Some(c"web"), domainname: Some(c"example"), ..bare() };
    name_of_the_host: Spec { hostname: Some(c"web"), namespaces: Namespaces { uts: Join::Host, ..Namespaces::DEFAULT }, ..bare() };
    binds: Spec { mounts: &[
        Mount { target: c"/proc", source: Source::FileSystem { kind: c"proc", options: &[] },
            attributes: Attributes::only(14), propagation: None },
        bind(c"/data", c"/tmp/x", Attributes::default()),
        bind(c"/ro", c"/etc", Attributes { set_recursive: RO, ..Attributes::default() }),
        Mount { propagation: Some(Propagation::Slave), ..bind(c"/s", c"/mnt", Attributes::only(RO)) },
    ], ..bare() };
    sized_tmpfs: Spec { mounts: &[Mount { target: c"/tmp", source: Source::FileSystem { kind: c"tmpfs",
        options: &[MountOption::Value(c"size", c"16m"), MountOption::Value(c"mode", c"1777")] },
        attributes: Attributes::only(14), propagation: None }], ..bare() };
    extra_device: Spec { devices: &[Device { path: c"/dev/fuse", source: c"/dev/fuse", kind: DeviceKind::Character, major: 10, minor: 229,
        mode: 0o666, uid: 0, gid: 0 }], ..usual() };
    terminal: Spec { process: Process { terminal: Some(WindowSize { rows: 24, columns: 80 }), stdin: true, ..PROCESS }, ..usual() };
    terminal_without_devpts: Spec { process: Process { terminal: Some(WindowSize { rows: 24, columns: 80 }), ..PROCESS }, ..bare() };
    named_user: Spec { process: Process { user: User { user: Account::Name(b"nobody"),
        group: Some(Account::Name(b"wheel")), additional: &[], exact: false }, ..PROCESS }, ..bare() };
    numeric_user: Spec { process: Process { user: User { user: Account::Id(1000), group: None, additional: &[], exact: false },
        capabilities: Capabilities::default(), ..PROCESS }, ..bare() };
    process_limits: Spec { process: Process { oom_score_adj: Some(-500), umask: 0o077, rlimits: &[
        Rlimit { kind: RlimitKind::Nofile, soft: Some(1024), hard: Some(4096) },
        Rlimit { kind: RlimitKind::Core, soft: None, hard: None }], ..PROCESS }, ..bare() };
    new_privileges_allowed: Spec { process: Process { no_new_privileges: false, ..PROCESS }, ..bare() };
    filtered: Spec { process: Process { filter: Some(FILTER), ..PROCESS }, ..bare() };
    filtered_without_nnp: Spec { process: Process { filter: Some(FILTER), no_new_privileges: false, ..PROCESS }, ..bare() };
    under_init: Spec { init: true, ..bare() };
    sysctl: Spec { sysctls: &[Sysctl { name: c"net.core.somaxconn", value: c"512" }], ..usual() };
    sysctl_of_the_machine: Spec { sysctls: &[Sysctl { name: c"kernel.core_pattern", value: c"|/x" }], ..usual() };
    sysctl_of_the_host: Spec { sysctls: &[Sysctl { name: c"net.core.somaxconn", value: c"512" }],
        namespaces: Namespaces { network: Join::Host, ..Namespaces::DEFAULT }, ..usual() };
    started_on_request: Spec { root: BUNDLE, start: Start::OnRequest { hooks: false }, cgroup: Some(c"/a/b"), ..bare() };
    started_after_hooks: Spec { root: BUNDLE, start: Start::OnRequest { hooks: true },
        process: Process { filter: Some(FILTER), no_new_privileges: false, tuning: TUNED, ..PROCESS },
        resources: Resources { unified: &[("memory.high", "1"), ("cgroup.max.depth", "2")], ..Resources::default() },
        namespaces: Namespaces { time: Join::New, clocks: &[ClockOffset { clock: "boottime", seconds: -5, nanoseconds: 0 }],
            ..Namespaces::DEFAULT }, ..usual() };
    no_command: Spec { process: Process { args: Strings::EMPTY, ..PROCESS }, ..bare() };
}

/// A further process, in a container that has every namespace but those of the user and of time.
fn entered(process: Process<'_>, detached: bool) -> String {
    let namespaces = 0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x2000_0000 | 0x4000_0000;
    let spec = EnterSpec {
        process,
        groups: Groups::All,
        namespaces,
        cgroup: true,
        detached,
        silent: detached,
        alone: false,
    };
    let mut plan = Plan::default();
    let mut text = Text(String::new());
    match enter(&spec, &mut plan) {
        Ok(()) => plan.write(&mut text).unwrap(),
        Err(conflict) => text.0 = conflict.what.to_owned(),
    }
    text.0
}

#[test]
fn rights_go_before_a_further_process_is_seen() {
    let process = Process { filter: Some(FILTER), cwd: c"/srv", ..PROCESS };
    let terminal = Some(WindowSize { rows: 24, columns: 80 });
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("entered", entered(process, false));
        insta::assert_snapshot!("entered_detached", entered(process, true));
        let allowed = Process { no_new_privileges: false, ..process };
        insta::assert_snapshot!("entered_without_nnp", entered(allowed, false));
        let on_terminal = Process { terminal, stdin: true, ..process };
        insta::assert_snapshot!("entered_on_a_terminal", entered(on_terminal, false));
    });
    assert_eq!(entered(Process { args: Strings::EMPTY, ..process }, false), "run nothing");
}

#[test]
fn the_same_wish_gives_the_same_plan() {
    let (spec, facts) = (usual(), HostFacts::IDEAL);
    let (mut one, mut other) = (Plan::default(), Plan::default());
    resolve(&spec, &facts, &mut one).unwrap();
    resolve(&spec, &facts, &mut other).unwrap();
    assert_eq!(one, other);
}

#[test]
fn too_many_binds_are_refused_before_anything_happens() {
    let mounts = [bind(c"/x", c"/y", Attributes::default()); SLOTS + 1];
    let spec = Spec { mounts: &mounts, ..bare() };
    let conflict = resolve(&spec, &HostFacts::IDEAL, &mut Plan::default()).unwrap_err();
    assert!(conflict.what.contains("bind"));
}
